//! Masking of RFC 6455, section 5.3: payload XOR a four-byte key, repeated.
//!
//! Place in the data path: `decode` unmasks what a client sent, in the buffer it was read into; `frame` masks what
//! the client role sends. The same function does both.

/// XORs `data` with `key`, beginning at `offset` bytes into the key's cycle.
///
/// The widest step is a fixed-size array, which the compiler turns into vector instructions without any `unsafe`;
/// the rest shrinks by halves, so that a short message costs a handful of instructions and no loop over bytes.
#[inline]
pub fn apply(key: [u8; 4], offset: usize, data: &mut [u8]) {
    let key = rotated(key, offset);
    if data.len() < LONG_BYTES_MIN { xor(key, data) } else { xor_long(key, data) }
}

#[inline]
fn xor(key: [u8; 4], data: &mut [u8]) {
    let word = u32::from_ne_bytes(key);
    let pair = u64::from(word) << 32 | u64::from(word);

    // Every step is a multiple of four bytes, so the key's cycle stays aligned with what is left.
    let (blocks, rest) = data.as_chunks_mut::<64>();
    for block in blocks {
        for word in block.as_chunks_mut::<8>().0 {
            *word = (u64::from_ne_bytes(*word) ^ pair).to_ne_bytes();
        }
    }
    let (pairs, rest) = rest.as_chunks_mut::<8>();
    for bytes in pairs {
        *bytes = (u64::from_ne_bytes(*bytes) ^ pair).to_ne_bytes();
    }
    let (words, rest) = rest.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// A payload begins wherever its header ended. In a long one, vectors that cross no cache line save half of the time, and a
/// few bytes masked one by one bring it there.
#[inline(never)]
fn xor_long(key: [u8; 4], data: &mut [u8]) {
    let before = data.as_ptr().align_offset(VECTOR_BYTES).min(data.len());
    let (head, aligned) = data.split_at_mut(before);
    for (byte, key) in head.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
    xor(rotated(key, before), aligned);
}

/// The key as it stands `offset` bytes into its cycle.
#[inline]
pub(crate) fn rotated(mut key: [u8; 4], offset: usize) -> [u8; 4] {
    key.rotate_left(offset % 4);
    key
}

/// What the compiler's baseline for x86-64 moves at a time.
const VECTOR_BYTES: usize = 16;

/// From here on aligning costs less than it brings.
const LONG_BYTES_MIN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn the_worked_example_of_the_rfc_unmasks_to_hello() {
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];

        apply(KEY, 0, &mut payload);

        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn every_length_and_offset_agrees_with_a_loop_over_bytes() {
        let lengths = (0..200).chain(LONG_BYTES_MIN - 1..LONG_BYTES_MIN + 70);
        for len in lengths {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..=255).cycle().take(len).collect();
                let mut masked = plain.clone();

                apply(KEY, offset, &mut masked);

                let expected: Vec<u8> =
                    plain.iter().enumerate().map(|(at, byte)| byte ^ KEY[(offset + at) % 4]).collect();
                assert_eq!(masked, expected, "len {len}, offset {offset}");
            }
        }
    }

    #[test]
    fn a_payload_may_begin_at_any_address() {
        for start in 0..2 * VECTOR_BYTES {
            let mut bytes = [0; 2 * LONG_BYTES_MIN];

            apply(KEY, 0, &mut bytes[start..]);

            assert!(bytes[..start].iter().all(|&byte| byte == 0));
            assert!(bytes[start..].iter().zip(KEY.iter().cycle()).all(|(byte, key)| byte == key));
        }
    }
}
