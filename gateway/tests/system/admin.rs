//! The admin port: what probes, scrapers and people at night ask.

use serde_json::Value;
use tidegate_testkit::Gateway;

use crate::gateway;

#[test]
fn a_serving_gateway_is_started_live_and_ready() {
    let gateway = gateway().start();

    for probe in ["/startupz", "/livez", "/readyz"] {
        assert_eq!(gateway.admin_get(probe).status, 200, "{probe}");
    }
}

#[test]
fn info_says_what_runs_where() {
    let gateway = gateway().set("node.name", "pod-7").set("node.workers", "2").start();
    let _client = gateway.open("/echo");
    gateway.await_metric("tidegate_connections_active", &[], 1.0);

    let info = json(&gateway, "/info");

    assert_eq!(info["node"], "pod-7");
    assert_eq!(info["workers"], 2);
    assert_eq!(info["client"], gateway.client().to_string());
    assert_eq!(info["connections"]["open"], 1);
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert!(info["phase"].is_string(), "{info}");
}

#[test]
fn connections_are_described_with_their_parser_state_up_to_the_asked_number() {
    let gateway = gateway().start();
    let mut clients: Vec<_> = (0..5).map(|_| gateway.open("/echo")).collect();
    clients[0].send_bytes(b"\x81");
    gateway.await_metric("tidegate_parser_state", &[("state", "reading_header")], 1.0);

    let (all, some) = (json(&gateway, "/debug/connections"), json(&gateway, "/debug/connections?limit=2"));

    assert_eq!(all["connections"].as_array().unwrap().len(), 5);
    assert_eq!((&some["total"], some["connections"].as_array().unwrap().len()), (&Value::from(5), 2));
    let text = all.to_string();
    assert!(text.contains("reading_header") && text.contains(&clients[3].local_addr().to_string()), "{text}");
}

#[test]
fn every_metric_that_dashboards_rely_on_is_there() {
    let gateway = gateway().start();
    gateway.open("/echo").check_echo("one message");
    let metrics = gateway.metrics();

    for (name, labels) in [
        ("tidegate_connections_active", &[][..]),
        ("tidegate_parser_state", &[("state", "idle")][..]),
        ("tidegate_buffer_pool_bytes", &[("state", "in_use")]),
        ("tidegate_buffer_pool_bytes", &[("state", "free")]),
        ("tidegate_messages_total", &[("direction", "in")]),
        ("tidegate_messages_total", &[("direction", "out")]),
        ("tidegate_message_bytes_total", &[("direction", "in")]),
        ("tidegate_outbox_bytes", &[]),
        ("tidegate_handshakes_reaped_total", &[("stage", "request")]),
        ("tidegate_build_info", &[("version", env!("CARGO_PKG_VERSION"))]),
    ] {
        assert!(metrics.value(name, labels).is_some(), "{name} {labels:?} is missing");
    }
}

#[test]
fn messages_and_their_bytes_are_counted_both_ways() {
    let gateway = gateway().start();
    let mut clients = [gateway.open("/echo"), gateway.open("/raw/tea"), gateway.open("/raw/tea")];

    clients[0].check_echo("12345");
    clients[1].send_text("123");
    clients[1].expect_text("123");
    clients[2].expect_text("123");

    gateway.await_metric("tidegate_messages_total", &[("direction", "in")], 2.0);
    gateway.await_metric("tidegate_messages_total", &[("direction", "out")], 3.0);
    gateway.await_metric("tidegate_message_bytes_total", &[("direction", "in")], 8.0);
}

#[test]
fn the_log_level_changes_while_running() {
    let gateway = gateway().start();
    assert_eq!(gateway.admin_put("/log-level", "debug").status, 200);
    gateway.open("/echo").check_echo("hello");

    // At the level the process began with, an everyday ending is not worth a line.
    let entry = gateway.await_log("connection ended");
    assert!(entry.to_string().contains("client_gone"), "{entry}");

    assert_eq!(gateway.admin_put("/log-level", "no such level!").status, 400);
}

#[test]
fn unknown_paths_are_answered_with_the_known_ones() {
    let gateway = gateway().start();

    let response = gateway.admin_get("/healthz");

    assert_eq!(response.status, 404);
    assert!(response.body.contains("/readyz"), "{response:?}");
}

fn json(gateway: &Gateway, path: &str) -> Value {
    let response = gateway.admin_get(path);
    assert_eq!(response.status, 200, "{response:?}");
    serde_json::from_str(&response.body).expect("it answers with JSON")
}
