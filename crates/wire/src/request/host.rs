//! The form of a `Host` value: `uri-host [":" port]` (RFC 9112 3.2, RFC 3986 3.2.2).
//!
//! Place in the data path: `fields.rs` asks when it meets the header.

use std::net::Ipv6Addr;

/// True for a host name, IPv4 address or bracketed IPv6 address, with an optional port.
///
/// Narrower than RFC 3986: no sub-delimiters in names, since `,` and `;` are how an intermediary folds two hosts into one,
/// no escapes, no zone ids, and never empty.
pub(super) fn is_valid(value: &[u8]) -> bool {
    if let [b'[', rest @ ..] = value {
        let Some(end) = memchr::memchr(b']', rest) else {
            return false;
        };
        return is_ipv6(&rest[..end]) && is_port_suffix(&rest[end + 1..]);
    }
    let end = value.iter().position(|&byte| !is_name_byte(byte)).unwrap_or(value.len());
    end > 0 && is_port_suffix(&value[end..])
}

fn is_ipv6(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Nothing, a colon alone (RFC 3986 allows the empty port), or a colon and a port number.
fn is_port_suffix(text: &[u8]) -> bool {
    let [b':', port @ ..] = text else {
        return text.is_empty();
    };
    // Five digits at most, before they are added up: more would overflow.
    if port.len() > 5 || !port.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let number = port.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    number <= u32::from(u16::MAX)
}

#[inline]
fn is_name_byte(byte: u8) -> bool {
    NAME[usize::from(byte)]
}

const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn names_and_addresses_with_optional_ports_are_hosts() {
        for host in [
            "a",
            "example.com",
            "EXAMPLE.com.",
            "my_pod-0.svc",
            "10.0.0.1",
            "example.com:0",
            "example.com:65535",
            "example.com:",
            "[::1]",
            "[2001:db8::7]:8000",
            "[::ffff:10.0.0.1]:80",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn anything_else_is_no_host() {
        for host in [
            "",
            ":80",
            "a b",
            "a,b",
            "a;b",
            "user@host",
            "http://a",
            "a/b",
            "a?b",
            "a#b",
            "a%41",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:-1",
            "a:+1",
            "a: 80",
            "[::1",
            "[]",
            "[::1]80",
            "[fe80::1%eth0]",
            "[1.2.3.4]",
            "::1",
            "b\u{fc}cher.example",
            "\\",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }
}
