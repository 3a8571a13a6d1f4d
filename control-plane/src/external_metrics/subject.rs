//! Reads one field of an X.509 certificate: the common name of its subject.
//!
//! A walk over the few DER elements before it (RFC 5280, section 4.1) instead of a dependency on a full parser. It only ever
//! sees certificates whose signature was checked.

const TAG_INTEGER: u8 = 0x02;
const TAG_OID: u8 = 0x06;
const TAG_UTF8: u8 = 0x0C;
const TAG_PRINTABLE: u8 = 0x13;
const TAG_IA5: u8 = 0x16;
const TAG_SEQUENCE: u8 = 0x30;
const TAG_SET: u8 = 0x31;
const TAG_VERSION: u8 = 0xA0;

/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The last common name of the subject, as Go's `x509` takes it; `None` if it has none, or the bytes are no certificate.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = element(certificate, TAG_SEQUENCE)?;
    let (to_be_signed, _) = element(certificate, TAG_SEQUENCE)?;
    // Version 1 certificates leave the version out.
    let rest = element(to_be_signed, TAG_VERSION).map_or(to_be_signed, |(_, rest)| rest);
    let (_serial_number, rest) = element(rest, TAG_INTEGER)?;
    let (_signature_algorithm, rest) = element(rest, TAG_SEQUENCE)?;
    let (_issuer, rest) = element(rest, TAG_SEQUENCE)?;
    let (_validity, rest) = element(rest, TAG_SEQUENCE)?;
    let (mut subject, _) = element(rest, TAG_SEQUENCE)?;
    let mut found = None;
    while !subject.is_empty() {
        let (mut relative, rest) = element(subject, TAG_SET)?;
        while !relative.is_empty() {
            let (attribute, rest) = element(relative, TAG_SEQUENCE)?;
            let (kind, value) = element(attribute, TAG_OID)?;
            if kind == COMMON_NAME {
                found = Some(text(value)?);
            }
            relative = rest;
        }
        subject = rest;
    }
    found
}

/// A string of one of the kinds that names are written in today.
fn text(bytes: &[u8]) -> Option<String> {
    let mut kinds = [TAG_UTF8, TAG_PRINTABLE, TAG_IA5].into_iter();
    let (text, _) = kinds.find_map(|tag| element(bytes, tag))?;
    String::from_utf8(text.to_vec()).ok()
}

/// Splits the element with `tag` off the front: its content, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // Long form: up to four bytes of length, which is more than a handshake carries.
        let count = usize::from(first & 0x7F);
        let (length, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
        (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
    };
    rest.split_at_checked(length).filter(|_| found == tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external_metrics::tests::pki::Authority;

    #[test]
    fn the_common_name_of_a_real_certificate_is_read() {
        let authority = Authority::new("front");
        for name in ["front-proxy-client", "é", &"n".repeat(200)] {
            assert_eq!(common_name(&authority.issue(name).certificate).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_name_wherever_it_ends() {
        let whole = Authority::new("front").issue("front-proxy-client").certificate.to_vec();
        for end in 0..whole.len() {
            assert_eq!(common_name(&whole[..end]), None, "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0xFF;
            // Another name, or none: never a panic.
            let _ = common_name(&broken);
        }
    }
}
