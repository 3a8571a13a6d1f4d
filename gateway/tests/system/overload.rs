//! A node that is overloaded refuses new clients before it hurts old ones: fresh sessions first, then everybody.

use serde_json::{Value, json};
use tidegate_testkit::{Gateway, NativeClient};

use crate::gateway;

const NATIVE: &str = "tidegate.v1.json";
const CONFIG: &str = r#"
[auth]
anonymous = true

[namespaces.talk]
subscribe = "anyone"
publish = "anyone"
"#;
/// What may wait for all clients together.
const OUTBOXES_BYTES: usize = 1 << 20;
/// A twentieth of what lies between the two levels.
const STEP_BYTES: usize = OUTBOXES_BYTES / 200;

#[test]
fn near_the_bound_only_sessions_come_back_and_above_it_nobody_does() {
    let gateway = gateway()
        .config(CONFIG)
        .set("limits.outbox_bytes", "4MiB")
        .set("overload.outbox_total_bytes", "1MiB")
        .set("overload.recovery", "100ms")
        .start();
    let (mut publisher, _) = connect(&gateway, json!({}));
    let (lost, session) = connect(&gateway, json!({}));
    lost.cut();
    let slow = gateway.request("/ws").subprotocols(&[NATIVE]).receive_buffer_bytes(16 << 10).open();
    let mut slow = NativeClient::new(slow);
    slow.ask("connect", json!({ "subscribe": ["talk:tea"] }));

    fill(&gateway, &mut publisher, OUTBOXES_BYTES / 100 * 93);
    gateway.await_metric("tidegate_overload", &[("state", "strained")], 1.0);
    assert_eq!(gateway.admin_get("/readyz").status, 200, "it takes those that come back");
    let mut fresh = open(&gateway);
    let refusal = fresh.refused("connect", json!({}));
    assert_eq!((&*refusal.code, refusal.retry_after_ms), ("limit", Some(1_000)), "{refusal:?}");
    assert_eq!(fresh.expect_closing(), 4051);
    let back = json!({ "session": session["session"], "resume": session["resume"] });
    let (_back, told) = connect(&gateway, back);
    assert_eq!(told["resumed"], true);

    fill(&gateway, &mut publisher, OUTBOXES_BYTES + STEP_BYTES);
    gateway.await_metric("tidegate_overload", &[("state", "closed")], 1.0);
    let refused = gateway.request("/echo").refused();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    let readiness = gateway.admin_get("/readyz");
    assert!(readiness.status == 503 && readiness.body.contains("overloaded (outboxes)"), "{readiness:?}");
    publisher.settle();
    let counted = |newcomer| {
        let labels = [("reason", "outboxes"), ("newcomer", newcomer)];
        gateway.metric("tidegate_overload_refusals_total", &labels)
    };
    assert_eq!([counted("session"), counted("handshake")].map(f64::to_bits), [1.0, 1.0].map(f64::to_bits));

    // Whoever does not read goes, and with it what waited.
    slow.cut();
    gateway.await_log("no longer overloaded: new clients are taken");
    gateway.await_metric("tidegate_overload", &[("state", "open")], 1.0);
    connect(&gateway, json!({}));
    gateway.open("/echo").check_echo("welcome");
    assert_eq!(gateway.admin_get("/readyz").status, 200);
    gateway.await_metric("tidegate_overloads_total", &[("reason", "outboxes")], 1.0);
}

/// Publishes until so much waits for clients.
#[track_caller]
fn fill(gateway: &Gateway, publisher: &mut NativeClient, bytes: usize) {
    let data = "x".repeat(STEP_BYTES);
    // The kernel holds some of it too.
    for _ in 0..10_000 {
        publisher.ask("publish", json!({ "channel": "talk:tea", "data": data }));
        if gateway.metric("tidegate_outbox_bytes", &[]) >= bytes as f64 {
            return;
        }
    }
    panic!("{bytes} bytes never waited");
}

fn open(gateway: &Gateway) -> NativeClient {
    NativeClient::new(gateway.request("/ws").subprotocols(&[NATIVE]).open())
}

#[track_caller]
fn connect(gateway: &Gateway, body: Value) -> (NativeClient, Value) {
    let mut client = open(gateway);
    let connected = client.ask("connect", body);
    (client, connected)
}
