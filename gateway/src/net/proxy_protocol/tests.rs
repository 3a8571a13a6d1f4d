use super::*;

fn done(source: Option<&str>, consumed: usize) -> Result<Progress, ProxyError> {
    Ok(Progress::Done { source: source.map(|s| s.parse().unwrap()), consumed })
}

fn v2(command: u8, family_transport: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = V2_SIGNATURE.to_vec();
    bytes.extend([0x20 | command, family_transport]);
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn v4_body() -> Vec<u8> {
    vec![203, 0, 113, 7, 10, 0, 0, 1, 0xDC, 0x04, 0x1F, 0x40]
}

fn v6_body() -> Vec<u8> {
    let mut body = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets().to_vec();
    body.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
    body.extend([0xDC, 0x04, 0x1F, 0x40]);
    body
}

/// Every header that must be understood, with what it says.
fn valid_headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let mut with_tlvs = v4_body();
    with_tlvs.extend([0x04, 0x00, 0x03, 1, 2, 3]);
    let longest_v1 = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_BYTES_MAX - 16));
    assert_eq!(longest_v1.len(), V1_BYTES_MAX);
    vec![
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 8000\r\n".to_vec(), Some("203.0.113.7:56324")),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 0\r\n".to_vec(), Some("[2001:db8::7]:56324")),
        (
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(),
            Some("255.255.255.255:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN what ever 1\r\n".to_vec(), None),
        (longest_v1.into_bytes(), None),
        (v2(1, 0x11, &v4_body()), Some("203.0.113.7:56324")),
        (v2(1, 0x21, &v6_body()), Some("[2001:db8::7]:56324")),
        (v2(1, 0x11, &with_tlvs), Some("203.0.113.7:56324")),
        (v2(1, 0x00, &[]), None),
        (v2(1, 0x01, &[9, 9]), None),
        (v2(1, 0x31, &[b'a'; 216]), None),
        (v2(0, 0x00, &[]), None),
        (v2(0, 0x11, &v4_body()), None),
        (v2(0, 0xFF, &[]), None),
        (
            v2(1, 0x11, &[&v4_body()[..], &[0; V2_BYTES_MAX - V2_FIXED_BYTES - 12]].concat()),
            Some("203.0.113.7:56324"),
        ),
    ]
}

#[test]
fn valid_headers_are_incomplete_at_every_cut_and_then_done() {
    for (header, source) in valid_headers() {
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Ok(Progress::Incomplete), "{} at {cut}", header.escape_ascii());
        }
        assert_eq!(parse(&header), done(source, header.len()), "{}", header.escape_ascii());
    }
}

#[test]
fn bytes_behind_the_header_are_left_alone() {
    for (header, source) in valid_headers() {
        let with_request = [&header[..], b"GET /echo HTTP/1.1\r\n"].concat();
        assert_eq!(parse(&with_request), done(source, header.len()), "{}", header.escape_ascii());
    }
}

#[test]
fn each_broken_v1_rule_has_its_error() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_BYTES_MAX - 15));
    let cases: &[(&[u8], ProxyError)] = &[
        (too_long.as_bytes(), ProxyError::V1TooLong),
        (&[b"PROXY " as &[u8], &[b'x'; 200]].concat(), ProxyError::V1TooLong),
        (b"PROXY UNKNOWN\n", ProxyError::V1LineEnd),
        (b"PROXY UNKNOWN\rx", ProxyError::V1LineEnd),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", ProxyError::V1Words),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", ProxyError::V1Words),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", ProxyError::V1Words),
        (b"PROXY TCP4\r\n", ProxyError::V1Words),
        (b"PROXY TCP4 \xFF 1.2.3.4 1 2\r\n", ProxyError::V1Words),
        (b"PROXY \r\n", ProxyError::V1Family),
        (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", ProxyError::V1Family),
        (b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", ProxyError::V1Family),
        (b"PROXY UNKNOWNX\r\n", ProxyError::V1Family),
        (b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", ProxyError::V1Words),
        (b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", ProxyError::V1Address),
        (b"PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n", ProxyError::V1Address),
        (b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", ProxyError::V1Address),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", ProxyError::V1Address),
        (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", ProxyError::V1Address),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", ProxyError::V1Address),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", ProxyError::V1Port),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", ProxyError::V1Port),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", ProxyError::V1Port),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", ProxyError::V1Port),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", ProxyError::V1Port),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n", ProxyError::V1Port),
    ];
    for (bytes, error) in cases {
        assert_eq!(parse(bytes), Err(*error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn each_broken_v2_rule_has_its_error() {
    let mut version_1 = v2(1, 0x11, &v4_body());
    version_1[12] = 0x11;
    let too_long = vec![0; V2_BYTES_MAX - V2_FIXED_BYTES + 1];
    let cases = [
        (version_1, ProxyError::V2Version),
        (v2(2, 0x11, &v4_body()), ProxyError::V2Command),
        (v2(15, 0x11, &v4_body()), ProxyError::V2Command),
        (v2(1, 0x41, &v4_body()), ProxyError::V2Family),
        (v2(1, 0x13, &v4_body()), ProxyError::V2Family),
        (v2(1, 0x12, &v4_body()), ProxyError::V2Transport),
        (v2(1, 0x22, &v6_body()), ProxyError::V2Transport),
        (v2(1, 0x11, &v4_body()[..11]), ProxyError::V2TooShort),
        (v2(1, 0x21, &v6_body()[..35]), ProxyError::V2TooShort),
        (v2(1, 0x31, &[0; 215]), ProxyError::V2TooShort),
        (v2(1, 0x11, &too_long), ProxyError::V2TooLong),
        (v2(0, 0x00, &too_long), ProxyError::V2TooLong),
    ];
    for (bytes, error) in cases {
        assert_eq!(parse(&bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_v2_length_beyond_the_bound_is_refused_before_its_bytes_arrive() {
    let header = v2(1, 0x11, &[0; 2000]);
    assert_eq!(parse(&header[..V2_FIXED_BYTES]), Err(ProxyError::V2TooLong));
}

#[test]
fn what_is_no_header_is_refused_at_the_first_wrong_byte() {
    for bytes in [&b"G"[..], b"PROXY\t", b"PROXYTCP4", b"\x16\x03\x01", b"\r\n\r\n\r", b" PROXY", b"proxy "] {
        assert_eq!(parse(bytes), Err(ProxyError::Missing), "{}", bytes.escape_ascii());
    }
}

#[test]
fn no_header_needs_more_than_the_bound_to_be_judged() {
    for (header, _) in valid_headers() {
        let mut flood = header[..header.len() - 1].to_vec();
        flood.resize(V2_BYTES_MAX, b'x');
        assert_ne!(parse(&flood), Ok(Progress::Incomplete), "{}", header.escape_ascii());
    }
}

fn trusted(cidrs: &[&str]) -> Trusted {
    Trusted::new(&cidrs.iter().map(|c| c.parse().unwrap()).collect::<Vec<_>>())
}

#[test]
fn trust_is_decided_by_network() {
    let trusted = trusted(&["10.0.0.0/8", "2001:db8::/32"]);
    for peer in ["10.0.0.0", "10.255.255.255", "2001:db8::1"] {
        assert!(trusted.contains(peer.parse().unwrap()), "{peer}");
    }
    for peer in ["9.255.255.255", "11.0.0.0", "2001:db9::1", "::1", "127.0.0.1"] {
        assert!(!trusted.contains(peer.parse().unwrap()), "{peer}");
    }
}

#[test]
fn mapped_addresses_and_networks_are_ipv4() {
    assert!(trusted(&["10.0.0.0/8"]).contains("::ffff:10.1.2.3".parse().unwrap()));
    let mapped = trusted(&["::ffff:10.0.0.0/104"]);
    assert!(mapped.contains("10.1.2.3".parse().unwrap()));
    assert!(mapped.contains("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!mapped.contains("11.1.2.3".parse().unwrap()));
}

#[test]
fn a_wide_ipv6_network_does_not_take_in_ipv4() {
    assert!(!trusted(&["::/0"]).contains("10.1.2.3".parse().unwrap()));
    assert!(trusted(&["::/0"]).contains("2001:db8::1".parse().unwrap()));
}

#[test]
fn nobody_is_trusted_by_default() {
    assert!(!Trusted::default().contains("127.0.0.1".parse().unwrap()));
}
