use super::*;

#[test]
fn each_form_of_url_names_its_servers() {
    let target = parse("redis://store");
    assert_eq!((target.topology, target.tls), (Topology::Standalone, false));
    assert_eq!((target.hosts, target.database), (vec![("store".to_owned(), 6379)], None));

    let target = parse("rediss://127.0.0.1:7000/3");
    assert_eq!((target.topology, target.tls), (Topology::Standalone, true));
    assert_eq!((target.hosts, target.database), (vec![("127.0.0.1".to_owned(), 7000)], Some(3)));

    let target = parse("redis-sentinel://a,b:7001/main/2");
    assert_eq!(target.topology, Topology::Sentinel { service: "main".to_owned() });
    assert_eq!(target.hosts, [("a".to_owned(), 26379), ("b".to_owned(), 7001)]);
    assert_eq!(target.database, Some(2));

    let target = parse("rediss-cluster://[::1]:7000,[fe80::2]");
    assert_eq!((target.topology, target.tls), (Topology::Cluster, true));
    assert_eq!(target.hosts, [("::1".to_owned(), 7000), ("fe80::2".to_owned(), 6379)]);
}

#[test]
fn user_and_password_are_decoded_and_settings_of_their_own_come_first() {
    let target = parse("redis://ann:p%40ss%2Fword@store");
    assert_eq!((target.username.as_deref(), target.password.as_deref()), (Some("ann"), Some("p@ss/word")));
    let target = parse("redis://:secret@store");
    assert_eq!((target.username, target.password.as_deref()), (None, Some("secret")));

    let config = Config {
        url: "redis://ann:one@store".to_owned(),
        password: Some("two".to_owned()),
        ..Config::default()
    };
    let target = config.target().unwrap();
    assert_eq!((target.username.as_deref(), target.password.as_deref()), (Some("ann"), Some("two")));
}

#[test]
fn what_is_wrong_with_a_url_is_said() {
    for (url, expected) in [
        ("", ConfigError::Scheme),
        ("http://store", ConfigError::Scheme),
        ("redisx://store", ConfigError::Scheme),
        ("redis-replica://store", ConfigError::Scheme),
        ("redis://", ConfigError::Host(String::new())),
        ("redis://a,b", ConfigError::Hosts),
        ("redis://a:port", ConfigError::Host("a:port".to_owned())),
        ("redis://a:0", ConfigError::Host("a:0".to_owned())),
        ("redis://[::1", ConfigError::Host("[::1".to_owned())),
        ("redis://[::1]x", ConfigError::Host("[::1]x".to_owned())),
        ("redis://a/x", ConfigError::Database("x".to_owned())),
        ("redis://a/256", ConfigError::Database("256".to_owned())),
        ("redis-cluster://a/0", ConfigError::ClusterDatabase),
        ("redis-sentinel://a", ConfigError::Service),
        ("redis://%ff@a", ConfigError::Credentials),
    ] {
        assert_eq!(url.parse::<Target>().err(), Some(expected), "{url}");
    }
}

#[test]
fn limits_are_checked_at_both_ends() {
    let with = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config.target().map(drop)
    };
    for braces in ["a{", "a}", "a b", "a\n"] {
        let config = Config { prefix: braces.to_owned(), ..Config::default() };
        assert_eq!(config.target().err(), Some(ConfigError::Prefix), "{braces:?}");
    }
    assert_eq!(with(|config| config.prefix = "p".repeat(64)), Ok(()));
    assert_eq!(with(|config| config.prefix = "p".repeat(65)), Err(ConfigError::Prefix));
    assert_eq!(with(|config| config.prefix = String::new()), Ok(()));
    assert_eq!(with(|config| config.connections = 64), Ok(()));
    assert_eq!(with(|config| config.connections = 65), Err(ConfigError::Range("connections")));
    assert_eq!(with(|config| config.connections = 0), Err(ConfigError::Range("connections")));
    assert_eq!(with(|config| config.in_flight_max = 0), Err(ConfigError::Range("in_flight_max")));
    assert_eq!(with(|config| config.timeout = Duration::from_millis(9)), Err(ConfigError::Range("timeout")));
    assert_eq!(with(|config| config.timeout = Duration::from_secs(61)), Err(ConfigError::Range("timeout")));
}

#[test]
fn no_password_is_shown() {
    let config = Config {
        url: "redis://ann:hunter2@store/1".to_owned(),
        password: Some("hunter3".to_owned()),
        sentinel_password: Some("hunter4".to_owned()),
        ..Config::default()
    };
    let shown = format!("{config:?}");
    assert!(shown.contains("redis://store/1"), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");

    let wrong = Config { url: "redis://ann:hunter2@store:port".to_owned(), ..Config::default() };
    let error = wrong.target().err().unwrap().to_string();
    assert!(!error.contains("hunter"), "{error}");
}

fn parse(url: &str) -> Target {
    url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
}
