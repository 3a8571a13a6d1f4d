//! Orders of a coordinator: obeyed in every phase, taken back, paused, refused, and what follows when they stop coming.

use serde_json::json;
use tidegate_testkit::Request;
use tidegate_wire::close::CloseCode;

use super::{Operator, await_phase, await_report, node, report};
use crate::native::{connect, publish, subscriber};
use crate::server_api::problem;

/// So fast that nobody waits for the pace, or so slow that nobody is sent away while a test looks.
const FAST: f64 = 1_000.0;
const NEVER: f64 = 0.001;

#[test]
fn a_node_without_a_drain_says_how_it_does() {
    let gateway = node().set("node.name", "n1").set("limits.connections", "10").start();
    let _client = connect(&gateway);
    gateway.await_metric("tidegate_sessions", &[], 1.0);

    let told = report(&gateway);

    assert_eq!(
        (&told["node"], &told["phase"], &told["source"]),
        (&json!("n1"), &json!("serving"), &json!("none"))
    );
    assert_eq!((&told["ready"], &told["shutting_down"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&told["connections"], &told["sessions"], &told["capacity"]),
        (&json!(1), &json!(1), &json!(10))
    );
    assert_eq!((&told["load"]["permille"], &told["load"]["free_connections"]), (&json!(100), &json!(9)));
    assert_eq!((&told["store"], &told["bus"]), (&json!("up"), &json!("up")));
    assert_eq!(told["load"]["parser_states"]["idle"], 1);
}

#[test]
fn an_ordered_node_is_cordoned_emptied_and_held_until_it_is_told_to_serve_again() {
    let gateway = node().start();
    let mut operator = Operator::new("deploy-42");
    let (mut native, mut raw) = (subscriber(&gateway, "log:tea"), gateway.open("/echo"));

    operator.order(&gateway, "announcing", &json!({}));
    await_phase(&gateway, "announcing");
    assert_eq!(gateway.admin_get("/readyz").status, 503);
    connect(&gateway).close(CloseCode::NORMAL);

    operator.order(&gateway, "evicting", &json!({ "rate": FAST, "reason": "deploy" }));
    let told = native.expect("reconnect");
    assert_eq!((&told["within_ms"], &told["reason"]), (&json!(5_000), &json!("drain")), "{told}");
    assert_eq!(raw.expect_close().0, 1012);
    raw.send_close(CloseCode::RESTART, "");
    native.close(CloseCode::new(4000));
    let told = await_phase(&gateway, "drained");
    assert_eq!((&told["op"], &told["source"]), (&json!("deploy-42"), &json!("order")));
    assert_eq!(
        (&told["moved"], &told["left"], &told["closed"], &told["forced"]),
        (&json!(2), &json!(1), &json!(1), &json!(0))
    );
    let refused = gateway.client_call("GET", "/");
    assert!(refused.status < 500, "the port stays open: {refused:?}");
    let upgrade = gateway.request("/echo").refused();
    assert_eq!(upgrade.status, 503, "{upgrade:?}");
    assert!(upgrade.header("retry-after").is_some(), "{upgrade:?}");

    operator.order(&gateway, "serving", &json!({}));
    let told = await_phase(&gateway, "serving");
    assert_eq!((&told["ready"], &told["moved"]), (&json!(true), &json!(2)), "the record stays");
    assert_eq!(gateway.admin_get("/readyz").status, 200);
    gateway.open("/echo").check_echo("back again");
    gateway.stop();
}

#[test]
fn an_abort_in_the_midst_of_eviction_leaves_the_rest_alone() {
    let gateway = node().start();
    let mut operator = Operator::new("a");
    let mut clients: Vec<_> = (0..4).map(|_| subscriber(&gateway, "log:tea")).collect();
    operator.order(&gateway, "evicting", &json!({ "rate": NEVER }));
    await_phase(&gateway, "evicting");

    operator.order(&gateway, "serving", &json!({}));
    let told = await_phase(&gateway, "serving");

    assert_eq!((&told["moved"], &told["ready"]), (&json!(0), &json!(true)));
    assert!(clients.iter_mut().all(|client| client.hears_nothing()));
    connect(&gateway);
}

#[test]
fn an_abort_in_any_phase_makes_the_node_serve_again() {
    let gateway = node().start();
    let mut operator = Operator::new("a");
    let mut client = connect(&gateway);
    for (wanted, more) in [
        ("announcing", json!({})),
        ("evicting", json!({ "rate": 0 })),
        ("paused", json!({})),
        ("rebalancing", json!({ "moves": 0 })),
    ] {
        operator.order(&gateway, wanted, &more);
        await_phase(&gateway, wanted);
        assert_eq!(gateway.admin_get("/readyz").status, 503, "{wanted}");

        operator.order(&gateway, "serving", &json!({}));
        let told = await_phase(&gateway, "serving");

        assert_eq!((&told["ready"], &told["moved"]), (&json!(true), &json!(0)), "{wanted}");
        assert_eq!(gateway.admin_get("/readyz").status, 200, "{wanted}");
        connect(&gateway).close(CloseCode::NORMAL);
    }
    assert!(client.hears_nothing());
}

#[test]
fn a_client_that_was_told_and_stays_is_spared_by_an_abort() {
    let gateway = node().set("drain.leave_grace", "1s").start();
    let mut operator = Operator::new("a");
    let mut client = subscriber(&gateway, "log:tea");
    operator.order(&gateway, "evicting", &json!({ "rate": FAST, "leave_grace": 300 }));
    client.expect("reconnect");

    operator.order(&gateway, "serving", &json!({}));
    await_phase(&gateway, "serving");

    publish(&mut client, "log:tea", 1);
    assert_eq!(client.expect("message")["data"], 1);
    assert_eq!(
        gateway.metric("tidegate_drain_closed_total", &[("how", "closed")]).to_bits(),
        0_f64.to_bits()
    );
}

#[test]
fn while_a_drain_is_paused_nobody_goes_and_then_everybody_does() {
    let gateway = node().start();
    let mut operator = Operator::new("a");
    let mut clients: Vec<_> = (0..3).map(|_| connect(&gateway)).collect();
    operator.order(&gateway, "evicting", &json!({ "rate": NEVER }));
    await_phase(&gateway, "evicting");

    operator.order(&gateway, "paused", &json!({ "rate": FAST }));
    let told = await_phase(&gateway, "paused");
    assert_eq!((&told["remaining"], &told["rate"]), (&json!(3), &json!(0.0)));
    assert!(clients.iter_mut().all(|client| client.hears_nothing()));

    operator.order(&gateway, "evicting", &json!({ "rate": FAST }));
    for mut client in clients {
        client.expect("reconnect");
        client.close(CloseCode::new(4000));
    }
    await_phase(&gateway, "drained");
}

#[test]
fn a_burst_closes_everyone_without_asking() {
    let gateway = node().set("drain.margin", "1s").start();
    let mut operator = Operator::new("a");
    let mut clients: Vec<_> = (0..3).map(|_| connect(&gateway)).collect();

    operator.order(&gateway, "bursting", &json!({}));

    for client in &mut clients {
        assert_eq!(client.expect_closing(), 4000);
    }
    drop(clients);
    let told = await_phase(&gateway, "drained");
    assert_eq!((&told["forced"], &told["moved"]), (&json!(3), &json!(3)));
}

#[test]
fn when_orders_stop_coming_the_node_does_what_the_last_one_said() {
    for (loss, phase, ready) in
        [("continue", "drained", false), ("pause", "paused", false), ("resume-serving", "serving", true)]
    {
        let gateway = node().start();
        let client = connect(&gateway);
        // Led, nobody would go: the rate is the coordinator's, until it is lost.
        let order = json!({ "rate": 0, "ttl": "500ms", "on_coordinator_loss": loss });
        Operator::new("a").order(&gateway, "evicting", &order);

        if loss == "continue" {
            let mut client = client;
            client.expect("reconnect");
            drop(client);
            let told = await_phase(&gateway, phase);
            assert_eq!(told["moved"], 1);
        } else {
            let told = await_phase(&gateway, phase);
            assert_eq!((&told["moved"], &told["ready"]), (&json!(0), &json!(ready)), "{loss}");
        }
    }
}

#[test]
fn an_order_of_a_leader_of_the_past_is_refused() {
    let gateway = node().start();
    let mut leader = Operator { op: "a", epoch: 7, seq: 3 };
    leader.order(&gateway, "announcing", &json!({}));

    for (op, epoch, seq, code) in
        [("a", 6, 99, "stale_epoch"), ("a", 7, 2, "stale_epoch"), ("b", 7, 9, "owned")]
    {
        let answer = Operator { op, epoch, seq }.try_order(&gateway, "evicting", &json!({}));
        let (status, problem) = problem(&answer);
        assert_eq!((status, &problem["code"]), (409, &json!(code)), "{problem}");
    }
    let told = report(&gateway);
    assert_eq!((&told["op"], &told["epoch"], &told["phase"]), (&json!("a"), &json!(7), &json!("announcing")));
}

#[test]
fn an_order_that_cannot_be_meant_is_refused_with_what_is_wrong_with_it() {
    let gateway = node().start();
    for (body, told) in [
        ("{", "EOF"),
        (r#"{"op":"a b","epoch":1,"seq":1,"phase":"evicting"}"#, "operation"),
        (r#"{"op":"a","epoch":1,"seq":1,"phase":"dancing"}"#, "dancing"),
        (r#"{"op":"a","epoch":1,"seq":1,"phase":"evicting","rate":-1}"#, "rate"),
        (r#"{"op":"a","epoch":1,"seq":1,"phase":"evicting","deadline":"soon"}"#, "duration"),
    ] {
        let (status, problem) = problem(&gateway.admin_put("/drain/order", body));
        assert_eq!((status, &problem["code"]), (400, &json!("bad_order")), "{body}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(told)), "{problem}");
    }
    assert_eq!(report(&gateway)["phase"], "serving");
}

#[test]
fn a_rebalance_moves_as_many_as_it_was_told_and_keeps_the_rest() {
    let gateway = node().start();
    let mut operator = Operator::new("a");
    // It came first, and could not go on elsewhere where it was.
    let mut raw = gateway.open("/echo");
    let mut clients: Vec<_> = (0..6).map(|_| connect(&gateway)).collect();

    operator.order(&gateway, "rebalancing", &json!({ "rate": FAST, "moves": 2 }));

    let told = await_report(&gateway, "two moves", |report| report["moved"] == 2);
    assert_eq!((&told["phase"], &told["ready"]), (&json!("rebalancing"), &json!(false)));
    let heard =
        clients.iter_mut().filter_map(|client| (!client.hears_nothing()).then(|| client.expect("reconnect")));
    let reasons: Vec<_> = heard.map(|told| told["reason"].clone()).collect();
    assert_eq!(reasons, ["rebalance", "rebalance"]);
    raw.check_echo("still here");
    operator.order(&gateway, "serving", &json!({}));
    await_phase(&gateway, "serving");
}

#[test]
fn whoever_is_in_the_middle_of_a_message_is_not_closed_and_whoever_is_silent_goes() {
    let gateway = node().start();
    let mut operator = Operator::new("a");
    let (mut busy, mut idle) = (gateway.open("/echo"), gateway.open("/echo"));
    // The beginning of a masked text frame of ten bytes.
    busy.send_bytes(&[0x81, 0x8a, 0, 0, 0, 0, b'h', b'a', b'l', b'f']);
    gateway.await_metric("tidegate_parser_state", &[("state", "reading_payload")], 1.0);

    operator.order(&gateway, "evicting", &json!({ "rate": FAST }));

    assert_eq!(idle.expect_close().0, 1012);
    await_report(&gateway, "one to be left", |report| report["remaining"] == 1);
    busy.send_bytes(b"+other");
    busy.expect_text("half+other");
    assert_eq!(busy.expect_close().0, 1012);
}

#[test]
fn blocked_addresses_are_refused_at_the_door_until_the_list_is_replaced() {
    let gateway = node().start();
    let list = |seq: u64, addresses: &[&str]| {
        let list = json!({ "epoch": 1, "seq": seq, "ttl": "10m", "addresses": addresses });
        gateway.admin_put("/admission/blocked", &list.to_string()).status
    };
    assert_eq!(list(1, &["10.0.0.7", "127.0.0.0/8"]), 200);

    let refused = Request::to(gateway.client(), "/echo").refused();
    assert_eq!(refused.status, 429, "{refused:?}");
    gateway.await_metric("tidegate_blocked_addresses", &[], 2.0);
    assert_eq!(list(0, &[]), 409);
    assert_eq!(list(2, &["tea"]), 400);
    assert_eq!(list(2, &[]), 200);
    gateway.open("/echo").check_echo("welcome");
}

#[test]
fn whoever_holds_handshakes_open_is_named_once_there_are_some() {
    let gateway = node().start();
    let half_open = |count: usize| -> Vec<_> {
        (0..count)
            .map(|_| {
                let mut client = Request::to(gateway.client(), "").connect();
                client.send_bytes(b"GET /echo HTTP/1.1\r\n");
                client
            })
            .collect()
    };
    let mut clients = half_open(15);
    gateway.await_metric("tidegate_connections", &[("state", "new")], 15.0);
    assert_eq!(report(&gateway)["slow_addresses"], json!([]));

    clients.extend(half_open(1));
    gateway.await_metric("tidegate_connections", &[("state", "new")], 16.0);
    let told = report(&gateway);
    assert_eq!(told["slow_addresses"], json!([{ "address": "127.0.0.1", "handshaking": 16 }]));
    assert_eq!(told["load"]["handshaking"], 16);
}
