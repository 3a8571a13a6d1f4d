//! The gateway's defaults and rules, through the loading that `main` uses.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_service::config::{Outline, Startup, load};
use tidegate_service::log::Format as LogFormat;

use super::telemetry::export_settings;
use super::*;

/// Loads with `settings` as `--set` flags; the faults are the lines after the first.
fn load_with(settings: &[&str]) -> Result<Config, Vec<String>> {
    let flags = settings.iter().flat_map(|setting| ["--set", *setting]);
    start(["gateway"].into_iter().chain(flags))
}

fn start<'a>(args: impl Iterator<Item = &'a str>) -> Result<Config, Vec<String>> {
    match load::<Config>(args.map(Into::into), [("POD_NAME".into(), "pod-7".into())]) {
        Startup::Run(loaded) => Ok(loaded.config),
        Startup::Exit { code, stderr, .. } => {
            assert_eq!(code, 64);
            Err(stderr.lines().skip(1).map(|line| line.trim().to_owned()).collect())
        }
    }
}

/// Asserts that `settings` break exactly one rule, whose message holds each of `parts`.
#[track_caller]
fn assert_fault(settings: &[&str], parts: &[&str]) {
    let faults = load_with(settings).expect_err("a rule is broken");
    assert_eq!(faults.len(), 1, "{faults:#?}");
    for part in parts {
        assert!(faults[0].contains(part), "{part} in {}", faults[0]);
    }
}

fn project_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn a_gateway_that_is_told_nothing_serves_echo_and_channels() {
    let config = load_with(&[]).unwrap();

    assert_eq!(config.node.name, "pod-7");
    assert_eq!(config.client.listen.to_string(), "0.0.0.0:8000");
    assert_eq!(config.admin.listen.to_string(), "0.0.0.0:9000");
    let raw: Vec<_> = config.raw.iter().map(|raw| (raw.path.as_str(), raw.mode)).collect();
    assert_eq!(raw, [("/echo", RawMode::Echo), ("/raw/{channel}", RawMode::Channel)]);
}

#[test]
fn without_a_pod_name_two_gateways_on_one_machine_have_different_names() {
    let name = || match load::<Config>(["gateway".into()], []) {
        Startup::Run(loaded) => loaded.config.node.name,
        Startup::Exit { stderr, .. } => panic!("{stderr}"),
    };
    let names: std::collections::BTreeSet<_> = (0..8).map(|_| name()).collect();

    // Four random hex digits: eight equal draws in a row are no chance.
    assert!(names.len() > 1, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with(&process::host_name())));
}

#[test]
fn the_longest_frame_follows_the_longest_message_unless_it_is_set() {
    let follows = load_with(&["limits.message_bytes=4MiB"]).unwrap().limits;
    assert_eq!(follows.frame_bytes, 4 * MIB);

    let own = load_with(&["limits.message_bytes=4MiB", "limits.frame_bytes=64KiB"]).unwrap().limits;
    assert_eq!(own.frame_bytes, 64 * KIB);

    assert_fault(&["limits.frame_bytes=2MiB"], &["limits.frame_bytes", "limits.message_bytes (default)"]);
}

#[test]
fn the_longest_target_shrinks_with_the_head_unless_it_is_set() {
    assert_eq!(load_with(&["limits.header_bytes=1KiB"]).unwrap().limits.target_bytes, KIB);

    let settings = ["limits.header_bytes=1KiB", "limits.target_bytes=2KiB"];
    assert_fault(&settings, &["limits.target_bytes", "limits.header_bytes", "part of the request head"]);
}

#[test]
fn several_gateways_do_not_keep_everything_to_themselves() {
    assert!(load_with(&["node.replicas=1"]).is_ok());
    assert_fault(
        &["node.replicas=2"],
        &["node.replicas", "store.url (default)", "bus.url (default)", "or node.replicas to 1"],
    );
}

#[test]
fn who_comes_back_is_not_held_up_more_than_who_is_new() {
    let (new, resumes) = ("limits.cluster.handshakes_per_second=5", "limits.cluster.resumes_per_second=5");

    assert!(load_with(&[new]).is_ok() && load_with(&[new, resumes]).is_ok());
    let both = ["limits.cluster.handshakes_per_second", "limits.cluster.resumes_per_second"];
    assert_fault(&[new, "limits.cluster.resumes_per_second=4"], &both);
    assert_fault(&[resumes], &both);
}

#[test]
fn a_pool_smaller_than_a_message_is_refused() {
    let settings = ["limits.message_bytes=64MiB", "limits.pool_bytes=32MiB"];
    assert_fault(&settings, &["limits.message_bytes", "limits.pool_bytes", "at least one message"]);
}

#[test]
fn ranges_hold_at_both_ends() {
    for (inside, outside) in [
        ("limits.outbox_bytes=4096", "limits.outbox_bytes=4095"),
        ("limits.pings_missed=1", "limits.pings_missed=0"),
        ("client.compression.server_max_window_bits=9", "client.compression.server_max_window_bits=8"),
        ("client.compression.server_max_window_bits=15", "client.compression.server_max_window_bits=16"),
        ("client.compression.level=9", "client.compression.level=10"),
        ("node.replicas=1", "node.replicas=0"),
    ] {
        assert!(load_with(&[inside]).is_ok(), "{inside}");
        let key = outside.split('=').next().unwrap();
        assert_fault(&[outside], &[key, "expected"]);
    }
}

#[test]
fn a_certificate_and_its_key_come_together() {
    let (cert, key) = ("client.tls.cert_file=/c", "client.tls.key_file=/k");

    assert!(load_with(&[cert, key]).is_ok());
    let both = ["client.tls.cert_file", "client.tls.key_file"];
    assert_fault(&[cert], &[&both[..], &["no private key"]].concat());
    assert_fault(&[key], &[&both[..], &["no certificate"]].concat());
}

#[test]
fn two_listeners_do_not_share_a_port() {
    let shared = ["client.listen=127.0.0.1:9000"];
    assert_fault(&shared, &["client.listen", "admin.listen (default)", "port 9000"]);

    assert!(load_with(&["client.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"]).is_ok());
    assert!(load_with(&["client.listen=127.0.0.1:7", "admin.listen=127.0.0.2:7"]).is_ok());
}

#[test]
fn raw_paths_are_checked_one_by_one_and_against_each_other() {
    let raw = |tables: &str| format!("raw=[{tables}]");

    assert!(load_with(&[&raw(r#"{path="/a",mode="echo"},{path="/a/{channel}",mode="channel"}"#)]).is_ok());
    assert_fault(&[&raw(r#"{path="a",mode="echo"}"#)], &["raw[0].path", "slash"]);
    assert_fault(&[&raw(r#"{path="/{channel}/{channel}",mode="channel"}"#)], &["raw[0].path", "twice"]);
    let twice = raw(r#"{path="/a",mode="echo"},{path="/b",mode="echo"},{path="/a",mode="echo"}"#);
    assert_fault(&[&twice], &["raw[0].path", "raw[2].path", "both serve \"/a\""]);
    assert_fault(&[&raw(r#"{path="/a",mode="channel"}"#)], &["raw[0].path", "raw[0].mode", "{channel}"]);
    assert_fault(
        &[&raw(r#"{path="/a",mode="echo",subprotocols=["a","b c"]}"#)],
        &["raw[0].subprotocols", "\"b c\""],
    );
    assert_fault(&[&raw(r#"{path="/a",mode="echo",subprotocols=["a","a"]}"#)], &["listed twice"]);
}

#[test]
fn an_origin_that_cannot_match_is_refused() {
    assert!(load_with(&["client.allowed_origins=https://app.example,https://*.example"]).is_ok());
    assert_fault(&["client.allowed_origins=app.example"], &["client.allowed_origins", "app.example"]);
}

#[test]
fn a_log_level_is_checked_before_anything_starts() {
    assert!(load_with(&["telemetry.log_level=warn,tidegate_gateway=debug"]).is_ok());
    assert_fault(&["telemetry.log_level=debgu"], &["telemetry.log_level", "did you mean `debug`"]);
}

#[test]
fn spans_go_to_an_http_address_or_nowhere() {
    assert!(export_settings(&load_with(&[]).unwrap()).is_none());
    let settings = ["telemetry.otlp_endpoint=http://collector:4318", "telemetry.otlp_protocol=http/protobuf"];
    let config = load_with(&settings).unwrap();
    let settings = export_settings(&config).unwrap();
    assert_eq!((settings.sample_ratio, settings.queue_max), (0.0, 4096));
    assert_eq!((&*settings.identity.node, settings.identity.pod.as_deref()), ("pod-7", Some("pod-7")));

    assert_fault(&["telemetry.otlp_endpoint=https://a:4317"], &["telemetry.otlp_endpoint", "TLS"]);
    assert_fault(&["telemetry.sample_ratio=1.1"], &["telemetry.sample_ratio", "0.0 to 1.0"]);
}

#[test]
fn a_node_name_is_fit_for_labels_and_subjects() {
    assert!(load_with(&["node.name=gateway-0.west_1"]).is_ok());
    assert_fault(&["node.name=two words"], &["node.name", "two words"]);
    assert_fault(&["node.name="], &["node.name"]);
}

#[test]
fn a_secret_has_exactly_one_place_and_is_long_enough() {
    let keys = |table: &str| format!("auth.jwt.keys=[{{{table}}}]");
    let long = "0123456789abcdef0123456789abcdef";

    assert!(load_with(&[&keys(&format!("alg=\"HS256\",secret=\"{long}\""))]).is_ok());
    assert_fault(&[&keys("alg=\"HS256\"")], &["auth.jwt.keys[0].secret", "set secret or secret_file"]);
    let both = keys(&format!("alg=\"HS256\",secret=\"{long}\",secret_file=\"/s\""));
    assert_fault(&[&both], &["auth.jwt.keys[0].secret_file", "only one of both"]);
    let short = keys(&format!("alg=\"HS512\",secret=\"{long}\""));
    assert_fault(&[&short], &["auth.jwt.keys[0].secret", "found 32 bytes, expected at least 64"]);
    let api = r#"api.keys=[{name="a",secret="hunter2",rights=["read"]}]"#;
    assert_fault(&[api], &["api.keys[0].secret", "found 7 bytes, expected at least 16"]);
    assert!(!load_with(&[api]).unwrap_err().concat().contains("hunter2"));
}

#[test]
fn a_key_fits_its_algorithm() {
    let keys = |table: &str| format!("auth.jwt.keys=[{{{table}}}]");

    assert!(load_with(&[&keys(r#"alg="RS256",public_key_file="/k.pem""#)]).is_ok());
    assert_fault(&[&keys(r#"alg="RS256""#)], &["auth.jwt.keys[0].public_key_file", "needs public_key_file"]);
    assert_fault(&[&keys(r#"alg="ES256",secret_file="/k""#)], &["has a public key and no secret"]);
    let public = keys(r#"alg="HS256",public_key_file="/k.pem",secret_file="/s""#);
    assert_fault(&[&public], &["auth.jwt.keys[0].alg", "would let everybody sign"]);
    let lower = keys(r#"alg="rs256",public_key_file="/k.pem""#);
    assert_fault(&[&lower], &["auth.jwt.keys[0].alg", "write \"RS256\""]);
    assert_fault(&[&keys(r#"alg="none""#)], &["auth.jwt.keys[0].alg", "\"HS256\""]);
}

#[test]
fn keys_of_the_server_api_have_names_of_their_own_and_rights() {
    let keys = |tables: &str| format!("api.keys=[{tables}]");
    let secret = r#"secret="0123456789abcdef""#;

    let one = format!(r#"{{name="a",{secret},rights=["read","publish"]}}"#);
    assert!(load_with(&[&keys(&one)]).is_ok());
    assert_fault(
        &[&keys(&format!("{one},{one}"))],
        &["api.keys[0].name", "api.keys[1].name", "both are called"],
    );
    let none = format!(r#"{{name="a",{secret},rights=[]}}"#);
    assert_fault(&[&keys(&none)], &["api.keys[0].rights", "can do nothing"]);
}

#[test]
fn namespaces_come_from_the_environment_and_default_is_always_there() {
    let env = [("TIDEGATE_NAMESPACES__CHAT__HISTORY_SIZE".into(), "50".into())];
    let config = match load::<Config>(["gateway".into()], env) {
        Startup::Run(loaded) => loaded.config,
        Startup::Exit { stderr, .. } => panic!("{stderr}"),
    };

    assert_eq!(config.namespaces.keys().collect::<Vec<_>>(), ["chat", "default"]);
    assert_eq!(config.namespaces["chat"].history_size, 50);
    assert_eq!(config.namespaces["default"].history_size, 0);
}

#[test]
fn what_a_namespace_needs_must_be_there() {
    assert_fault(
        &["namespaces.chat.join_leave=true"],
        &["namespaces.chat.join_leave", "namespaces.chat.presence", "switch it on too"],
    );
    assert_fault(
        &["namespaces.chat.publish=hook"],
        &["namespaces.chat.publish", "auth.hook.publish_url", "no hook to ask"],
    );
    let hook = ["namespaces.chat.publish=hook", "auth.hook.publish_url=http://hook:80/"];
    assert!(load_with(&hook).is_ok());
    assert_fault(&["auth.hook.publish_url=hook:80"], &["auth.hook.publish_url", "expected an address"]);
}

#[test]
fn outboxes_may_not_be_allowed_more_than_the_pool_holds() {
    assert_eq!(load_with(&["limits.pool_bytes=64MiB"]).unwrap().overload.outbox_total_bytes, 48 * MIB);
    assert_fault(
        &["limits.pool_bytes=64MiB", "overload.outbox_total_bytes=65MiB"],
        &["overload.outbox_total_bytes", "limits.pool_bytes"],
    );
}

#[test]
fn what_is_printed_reads_back_the_same() {
    let settings =
        ["--set", "limits.frame_timeout=90s", "--set", "client.proxy_protocol.trusted_cidrs=10.0.0.0/8"];
    let args = || ["gateway"].into_iter().chain(settings);
    let printed = match load::<Config>(args().chain(["--print-config"]).map(Into::into), []) {
        Startup::Exit { code: 0, stdout, .. } => stdout,
        other => panic!("{other:?}"),
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), printed).unwrap();

    let mut before = start(args()).unwrap();
    let after = start(["gateway", "--config", file.path().to_str().unwrap()].into_iter()).unwrap();

    // The name is drawn anew at each start without a file, and was printed here.
    before.node.name.clone_from(&after.node.name);
    assert_eq!(after, before);
}

#[test]
fn the_documented_keys_are_those_that_exist() {
    let path = project_file("docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, Config::reference()).unwrap();
    }

    let page = fs::read_to_string(&path).unwrap();

    assert!(page == Config::reference(), "docs/configuration.md is stale; run `make docs`");
}

#[test]
fn the_documented_schema_of_the_chart_has_the_keys_that_exist() {
    let path = project_file("helm/schema/gateway.json");
    let mut schema = serde_json::to_string_pretty(&Outline::of::<Config>().json_schema()).unwrap();
    schema.push('\n');
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &schema).unwrap();
    }

    let file = fs::read_to_string(&path).unwrap();

    assert!(
        file == schema,
        "helm/schema/gateway.json is stale; run `make docs`, then `scripts/chart generate`"
    );
}

#[test]
fn the_development_configuration_has_no_faults() {
    let file = project_file("config/dev.toml");

    let config = start(["gateway", "--config", file.to_str().unwrap()].into_iter()).unwrap();

    assert_eq!(config.telemetry.log_format, LogFormat::Text, "it is for people");
}
