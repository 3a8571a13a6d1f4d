//! SIGTERM: everyone is told, what was accepted is flushed, and the process ends in time and with code 0.

use std::net::TcpStream;

use tidegate_testkit::{Client, HttpResponse, Request, until};
use tidegate_wire::close::CloseCode;

use crate::gateway;

#[test]
fn every_client_is_told_to_come_back_and_the_process_ends_with_code_0() {
    let mut gateway = gateway().set("node.workers", "2").start();
    let mut clients: Vec<_> =
        (0..20).map(|number| gateway.open(if number % 2 == 0 { "/echo" } else { "/raw/tea" })).collect();

    gateway.terminate();

    for client in &mut clients {
        assert_eq!(client.expect_close().0, 1012);
        client.send_close(CloseCode::RESTART, "");
    }
    for client in &mut clients {
        client.expect_end();
    }
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn what_was_accepted_before_is_delivered_before_the_close() {
    const MESSAGES: usize = 500;
    let mut gateway = gateway().start();
    let mut members: Vec<_> = (0..3).map(|_| gateway.open("/raw/tea")).collect();
    for number in 0..MESSAGES {
        members[0].send_text(&number.to_string());
    }
    // The gateway has taken all of them, and the members have read none.
    gateway.await_metric("tidegate_messages_total", &[("direction", "in")], MESSAGES as f64);

    gateway.terminate();

    for member in &mut members {
        (0..MESSAGES).for_each(|number| member.expect_text(&number.to_string()));
        assert_eq!(member.expect_close().0, 1012);
    }
    drop(members);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn clients_that_do_not_answer_the_close_do_not_keep_the_process() {
    let mut gateway = gateway().set("limits.close_timeout", "1s").start();
    let mut silent = gateway.open("/echo");
    let mut unread = gateway.request("/echo").receive_buffer_bytes(4096).open();
    unread.send_until_blocked(&[0; 65_536], 64 << 20, std::time::Duration::from_millis(300));

    gateway.terminate();

    assert_eq!(silent.expect_close().0, 1012);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn the_window_bounds_how_long_clients_may_take() {
    let mut gateway = gateway().set("drain.window", "1s").set("limits.close_timeout", "1h").start();
    let mut silent = gateway.open("/echo");

    gateway.terminate();

    assert_eq!(silent.expect_close().0, 1012);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn nobody_new_is_let_in_while_draining_and_a_request_under_way_is_told_so() {
    let mut gateway = gateway().set("limits.close_timeout", "1h").start();
    let mut inside = gateway.open("/echo");
    let mut halfway = Request::to(gateway.client(), "").connect();
    halfway.send_bytes(b"GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    gateway.await_metric("tidegate_connections", &[("state", "new")], 1.0);

    gateway.terminate();
    assert_eq!(inside.expect_close().0, 1012);
    halfway.send_bytes(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");

    let response = HttpResponse::parse(&halfway.read_to_end());
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.header("retry-after").is_some(), "{response:?}");
    assert_eq!(gateway.admin_get("/readyz").status, 503);
    until("the port to be closed", || TcpStream::connect(gateway.client()).is_err().then_some(()));

    leave(inside);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn while_load_balancers_learn_of_it_clients_are_still_served() {
    let mut gateway = gateway().set("drain.lb_propagation", "2s").start();
    let mut early = gateway.open("/echo");

    gateway.terminate();
    gateway.await_log_containing("draining");
    let mut late = gateway.open("/echo");
    late.check_echo("came after SIGTERM");

    for client in [&mut early, &mut late] {
        assert_eq!(client.expect_close().0, 1012);
    }
    [early, late].into_iter().for_each(leave);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let mut gateway = gateway().set("drain.window", "1h").set("limits.close_timeout", "1h").start();
    let mut silent = gateway.open("/echo");

    gateway.terminate();
    assert_eq!(silent.expect_close().0, 1012);
    gateway.terminate();

    assert_eq!(gateway.wait_exit().code(), Some(143));
}

#[test]
fn without_clients_the_process_ends_at_once() {
    // Longer than the test's own patience: an end by the window would fail it.
    let gateway = gateway().set("drain.window", "10m").start();

    gateway.stop();
}

fn leave(mut client: Client) {
    client.send_close(CloseCode::RESTART, "");
    client.expect_end();
}
