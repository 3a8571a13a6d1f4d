//! SIGTERM: clients are told to come back, after all that was accepted.

use serde_json::json;

use super::{connect, connect_with, expect_data, native, open, publish, subscriber, token_of};

#[test]
fn every_client_is_told_to_come_back_and_the_process_ends_with_code_0() {
    let mut gateway = native().set("node.workers", "2").start();
    let mut clients: Vec<_> = (0..20)
        .map(|number| match number % 4 {
            0 => open(&gateway),
            1 => connect(&gateway),
            2 => subscriber(&gateway, "log:tea"),
            _ => connect_with(&gateway, json!({ "token": token_of("ann"), "subscribe": ["talk:tea"] })).0,
        })
        .collect();

    gateway.terminate();

    for client in &mut clients {
        let (_, closing) = client.read_to_closing();
        let said = (&closing["code"], &closing["name"], &closing["reconnect"]);
        assert_eq!(said, (&json!(4000), &json!("drain"), &json!(true)), "{closing}");
    }
    drop(clients);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn what_was_accepted_before_is_answered_and_delivered_before_the_end() {
    const MESSAGES: u32 = 500;
    let mut gateway = native().start();
    for channel in ["talk:tea", "log:tea"] {
        let mut publisher = connect(&gateway);
        let mut readers: Vec<_> = (0..3).map(|_| subscriber(&gateway, channel)).collect();
        let before = gateway.metric("tidegate_messages_total", &[("direction", "in")]);
        let ids: Vec<_> = (0..MESSAGES)
            .map(|number| publisher.command("publish", json!({ "channel": channel, "data": number })))
            .collect();
        // The gateway has taken all of them, and nobody has read anything.
        gateway.await_metric("tidegate_messages_total", &[("direction", "in")], before + f64::from(MESSAGES));
        if channel == "log:tea" {
            gateway.terminate();
        }

        for id in ids {
            assert!(publisher.answer(id).get("publish").is_some());
        }
        for reader in &mut readers {
            (0..MESSAGES).for_each(|number| assert_eq!(reader.expect("message")["data"], number));
            if channel == "log:tea" {
                assert_eq!(reader.expect_closing(), 4000);
            }
        }
    }
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_client_that_says_goodbye_itself_does_not_keep_the_process() {
    // Longer than the test's own patience: an end by the window would fail it.
    let mut gateway = native().set("drain.window", "10m").set("limits.close_timeout", "10m").start();
    let mut client = subscriber(&gateway, "log:tea");
    publish(&mut client, "log:tea", 1);
    client.expect("message");

    gateway.terminate();

    assert_eq!(client.expect_closing(), 4000);
    client.socket().send_close(tidegate_wire::close::CloseCode::new(4000), "");
    client.socket().expect_end();
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn whoever_leaves_when_told_to_sees_nothing_else_of_a_drain() {
    let mut gateway = native().set("drain.leave_grace", "10s").set("drain.window", "1h").start();
    let mut clients: Vec<_> = (0..3).map(|_| subscriber(&gateway, "log:tea")).collect();

    gateway.terminate();

    for client in &mut clients {
        let told = client.expect("reconnect");
        assert_eq!((&told["within_ms"], &told["reason"]), (&json!(10_000), &json!("drain")), "{told}");
    }
    publish(&mut clients[0], "log:tea", "they are served until they leave");
    expect_data(&mut clients[1], "log:tea", "they are served until they leave");
    drop(clients);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn whoever_does_not_leave_is_closed_in_the_end() {
    let mut gateway = native().set("drain.leave_grace", "100ms").start();
    let mut client = subscriber(&gateway, "log:tea");

    gateway.terminate();

    client.expect("reconnect");
    assert_eq!(client.expect_closing(), 4000);
    drop(client);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}
