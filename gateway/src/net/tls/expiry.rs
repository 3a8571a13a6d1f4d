//! Reads one field of an X.509 certificate: when it expires.
//!
//! A walk over the few DER elements before it (RFC 5280, section 4.1) instead of a dependency on a full parser; the
//! certificate comes from the operator, and all that depends on the answer is a metric.

const TAG_INTEGER: u8 = 0x02;
const TAG_UTC_TIME: u8 = 0x17;
const TAG_GENERALIZED_TIME: u8 = 0x18;
const TAG_SEQUENCE: u8 = 0x30;
const TAG_VERSION: u8 = 0xA0;

/// `notAfter` in seconds since 1970, or `None` if the bytes are no certificate, or expire before 1970.
pub(super) fn not_after_unix(certificate: &[u8]) -> Option<u64> {
    let (certificate, _) = element(certificate, TAG_SEQUENCE)?;
    let (to_be_signed, _) = element(certificate, TAG_SEQUENCE)?;
    // Version 1 certificates leave the version out.
    let rest = element(to_be_signed, TAG_VERSION).map_or(to_be_signed, |(_, rest)| rest);
    let (_serial_number, rest) = element(rest, TAG_INTEGER)?;
    let (_signature_algorithm, rest) = element(rest, TAG_SEQUENCE)?;
    let (_issuer, rest) = element(rest, TAG_SEQUENCE)?;
    let (validity, _) = element(rest, TAG_SEQUENCE)?;
    let (_not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    u64::try_from(not_after).ok()
}

/// Splits the element with `tag` off the front: its content, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // Long form: up to four bytes of length, which is more than a file may have.
        let count = usize::from(first & 0x7F);
        let (length, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
        (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
    };
    rest.split_at_checked(length).filter(|_| found == tag)
}

/// Splits a time off the front: seconds since 1970, and what follows it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    if let Some((text, rest)) = element(bytes, TAG_UTC_TIME) {
        // RFC 5280, 4.1.2.5.1: YYMMDDHHMMSSZ, where 50 and above is the last century.
        let (year, text) = text.split_at_checked(2)?;
        let year = number(year)?;
        let century = if year >= 50 { 1900 } else { 2000 };
        return Some((seconds(century + year, text)?, rest));
    }
    let (text, rest) = element(bytes, TAG_GENERALIZED_TIME)?;
    let (year, text) = text.split_at_checked(4)?;
    Some((seconds(number(year)?, text)?, rest))
}

/// From a year and `MMDDHHMMSSZ`.
fn seconds(year: i64, text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"Z").filter(|t| t.len() == 10)?;
    let field = |at: usize| number(&text[at..at + 2]);
    let (month, day) = (field(0)?, field(2)?);
    let (hour, minute, second) = (field(4)?, field(6)?, field(8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days in the Gregorian calendar: years counted from March, so that the leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_FROM_0000_03_01_TO_1970: i64 = 719_468;

    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + (day - 1) - DAYS_FROM_0000_03_01_TO_1970
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiring(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["app.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, month, day);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_expiry_of_a_real_certificate_is_read_to_the_second() {
        // `date -u -d 2030-03-01 +%s` and so on; from 2050 the other time format applies.
        for ((year, month, day), unix) in [
            ((2030, 3, 1), 1_898_553_600),
            ((2028, 2, 29), 1_835_395_200),
            ((2049, 12, 31), 2_524_521_600),
            ((2050, 1, 1), 2_524_608_000),
            ((2100, 3, 1), 4_107_542_400),
            ((1999, 12, 31), 946_598_400),
        ] {
            assert_eq!(not_after_unix(&expiring(year, month, day)), Some(unix), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn the_time_of_day_counts() {
        assert_eq!(seconds(1970, b"0101000000Z"), Some(0));
        assert_eq!(seconds(1970, b"0102030405Z"), Some(86_400 + 3 * 3600 + 4 * 60 + 5));
    }

    #[test]
    fn bytes_cut_short_anywhere_give_nothing_or_the_same() {
        let certificate = expiring(2030, 3, 1);
        for cut in 0..certificate.len() {
            assert_eq!(not_after_unix(&certificate[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn malformed_times_give_nothing() {
        for text in [
            &b"0101000000"[..],
            b"0101000000+",
            b"1301000000Z",
            b"0100000000Z",
            b"0101240000Z",
            b"01010000xxZ",
            b"Z",
        ] {
            assert_eq!(seconds(2030, text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_flipped_bit_never_panics() {
        let certificate = expiring(2030, 3, 1);
        for bit in 0..certificate.len() * 8 {
            let mut damaged = certificate.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Either answer is fine; half of the certificate lies behind the field.
            let _either = not_after_unix(&damaged);
        }
    }
}
