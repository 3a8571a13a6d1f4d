use super::*;

#[test]
fn a_url_names_one_server_or_several() {
    let servers = Servers::parse("nats://a:4223, tls://b,c:1").unwrap();
    let shown: Vec<_> = servers.addresses.iter().map(|address| (address.host(), address.port())).collect();
    assert_eq!(shown, [("a", 4223), ("b", 4222), ("c", 1)]);
    assert_eq!(servers.credentials, Credentials::None);
}

#[test]
fn who_connects_is_taken_out_of_the_address() {
    let servers = Servers::parse("nats://me:s%40crt@a,nats://b,nats://me:s%40crt@c").unwrap();
    let expected = Credentials::Password { user: "me".into(), password: "s@crt".into() };
    assert_eq!(servers.credentials, expected);
    assert!(!servers.addresses.iter().any(|address| address.as_url_str().contains('@')));

    assert_eq!(Servers::parse("nats://t0ken@a").unwrap().credentials, Credentials::Token("t0ken".into()));
}

#[test]
fn a_fault_is_named_by_its_place_and_shows_no_secret() {
    for (urls, expected) in [
        ("", "names no server"),
        (" , ", "names no server"),
        ("nats://a,http://me:s3cret@b", "server 2 "),
        ("nats://me:s3cret@:0x", "server 1 "),
        ("ws://a", "server 1 "),
        ("nats://me:%ff@a", "server 1 "),
        ("nats://me:s3cret@a,nats://me:other@b", "more than one place"),
    ] {
        let text = Servers::parse(urls).unwrap_err().to_string();
        assert!(text.contains(expected) && !text.contains("s3cret"), "{urls}: {text}");
    }
}

#[test]
fn credentials_stand_in_one_place_and_are_not_shown() {
    let config = NatsConfig {
        servers: Servers::parse("nats://me:s3cret@a").unwrap(),
        credentials: Credentials::Token("t0ken".into()),
        ..NatsConfig::default()
    };
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");

    let node = NodeName::parse("n1").unwrap();
    assert!(matches!(config.connect_options(&node), Err(ConfigError::TwoCredentials)));
}

#[test]
fn files_that_are_not_there_are_named() {
    let node = NodeName::parse("n1").unwrap();
    let credentials = Credentials::File("/nowhere/node.creds".into());
    let text =
        NatsConfig { credentials, ..NatsConfig::default() }.connect_options(&node).unwrap_err().to_string();
    assert!(text.contains("/nowhere/node.creds"), "{text}");

    let tls_ca_file = Some("/nowhere/ca.pem".into());
    let text =
        NatsConfig { tls_ca_file, ..NatsConfig::default() }.connect_options(&node).unwrap_err().to_string();
    assert!(text.contains("/nowhere/ca.pem"), "{text}");
}

#[test]
fn pauses_between_attempts_grow_to_their_bound() {
    let max = Duration::from_secs(2);
    for _ in 0..100 {
        assert!(delay(1, max) <= FIRST_DELAY_MAX);
        assert!(delay(2, max) <= FIRST_DELAY_MAX * 2);
        assert!(delay(usize::MAX, max) <= max);
    }
    let longest = (0..100).map(|_| delay(20, max)).max().unwrap();
    assert!(longest > FIRST_DELAY_MAX, "a hundred random pauses were all short: {longest:?}");
}
