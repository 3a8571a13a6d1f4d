//! Base64 (RFC 4648 4) of the two lengths that a WebSocket handshake knows: 16 bytes in a key, 20 in an accept value.
//!
//! Place in the data path: `handshake.rs` encodes with it, `request/upgrade.rs` checks keys with it.

use crate::request::chars::any;

/// Encodes 16 bytes: a `Sec-WebSocket-Key`.
pub(crate) fn encode_sixteen_bytes(bytes: &[u8; 16]) -> [u8; 24] {
    encode(bytes)
}

/// Encodes 20 bytes: a `Sec-WebSocket-Accept`.
pub(crate) fn encode_twenty_bytes(bytes: &[u8; 20]) -> [u8; 28] {
    encode(bytes)
}

/// True if `text` is the one and only encoding of some 16 bytes: its unused last bits are zero.
pub(crate) fn is_sixteen_bytes(text: &[u8; 24]) -> bool {
    let (digits, end) = text.split_at(21);
    !any(digits, |byte| !is_digit(byte)) && matches!(end, [b'A' | b'Q' | b'g' | b'w', b'=', b'='])
}

#[inline]
fn encode<const N: usize, const M: usize>(bytes: &[u8; N]) -> [u8; M] {
    const { assert!(M == N.div_ceil(3) * 4) };
    let mut out = [b'='; M];
    for (group, digits) in bytes.chunks(3).zip(out.chunks_exact_mut(4)) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        // A group of n bytes fills n + 1 digits; the rest stays padding.
        for (at, digit) in digits.iter_mut().enumerate().take(group.len() + 1) {
            *digit = ALPHABET[(bits >> (18 - 6 * at) & 0x3f) as usize];
        }
    }
    out
}

#[inline]
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | (byte == b'+') | (byte == b'/')
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_rfc_6455_are_encoded() {
        let nonce = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        assert_eq!(&encode_sixteen_bytes(&nonce), b"AQIDBAUGBwgJCgsMDQ4PEA==");
        let digest = [
            0xb3, 0x7a, 0x4f, 0x2c, 0xc0, 0x62, 0x4f, 0x16, 0x90, 0xf6, 0x46, 0x06, 0xcf, 0x38, 0x59, 0x45,
            0xb2, 0xbe, 0xc4, 0xea,
        ];
        assert_eq!(&encode_twenty_bytes(&digest), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn every_encoding_is_recognised() {
        for byte in 0..=u8::MAX {
            let mut bytes = [byte; 16];
            bytes[7] = byte.wrapping_mul(31);
            assert!(is_sixteen_bytes(&encode_sixteen_bytes(&bytes)));
        }
    }

    #[test]
    fn a_change_that_leaves_the_encoding_is_recognised() {
        let good = *b"dGhlIHNhbXBsZSBub25jZQ==";
        for at in 0..good.len() {
            for byte in 0..=u8::MAX {
                let mut text = good;
                text[at] = byte;
                let expected = match at {
                    0..21 => ALPHABET.contains(&byte),
                    21 => b"AQgw".contains(&byte),
                    _ => byte == b'=',
                };
                assert_eq!(is_sixteen_bytes(&text), expected, "byte {byte:#04x} at {at}");
            }
        }
    }
}
