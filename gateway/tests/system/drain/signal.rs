//! SIGTERM: the same drain, with readiness kept up until load balancers know, a closed port after it, and an end.

use serde_json::json;

use super::{Operator, await_phase, node, report};
use crate::native::connect;
use tidegate_wire::close::CloseCode;

#[test]
fn readiness_stays_until_load_balancers_know_of_it() {
    let mut gateway = node().set("drain.lb_propagation", "2s").start();
    let early = connect(&gateway);

    gateway.terminate();
    let told = await_phase(&gateway, "announcing");
    assert_eq!(
        (&told["source"], &told["ready"], &told["shutting_down"]),
        (&json!("signal"), &json!(true), &json!(true))
    );
    assert_eq!(gateway.admin_get("/readyz").status, 200);
    let late = connect(&gateway);

    for mut client in [early, late] {
        client.expect("reconnect");
        client.close(CloseCode::new(4000));
    }
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_signal_during_an_ordered_drain_goes_on_with_it_and_cannot_be_taken_back() {
    let mut gateway = node().set("drain.lb_propagation", "10m").start();
    let mut operator = Operator::new("a");
    let mut client = connect(&gateway);
    operator.order(&gateway, "evicting", &json!({ "rate": 0 }));
    await_phase(&gateway, "evicting");

    gateway.terminate();
    gateway.await_log_containing("draining");
    let answer = operator.try_order(&gateway, "serving", &json!({}));
    assert_eq!((answer.status, answer.body.contains("shutting_down")), (409, true), "{answer:?}");
    let told = report(&gateway);
    assert_eq!(
        (&told["phase"], &told["op"]),
        (&json!("evicting"), &json!("a")),
        "nothing is announced again"
    );

    operator.order(&gateway, "evicting", &json!({ "rate": 1_000 }));
    client.expect("reconnect");
    client.close(CloseCode::new(4000));
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn clients_that_ignore_what_they_are_told_are_closed_in_the_pace_they_were_told_in() {
    const CLIENTS: u32 = 40;
    let mut gateway = node()
        .set("drain.leave_grace", "1s")
        .set("drain.max_rate", "40")
        .set("limits.close_timeout", "1s")
        .start();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(&gateway)).collect();

    gateway.terminate();

    for client in &mut clients {
        assert_eq!(client.expect_closing(), 4000);
    }
    let told = report(&gateway);
    assert_eq!((&told["forced"], &told["left"]), (&json!(0), &json!(0)), "nobody was hurried: {told}");
    assert_eq!(told["closed"], CLIENTS);
    drop(clients);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn what_does_not_fit_into_the_window_goes_faster_and_the_process_ends_with_code_0() {
    const CLIENTS: usize = 200;
    let mut gateway = node()
        .set("drain.window", "2s")
        .set("drain.margin", "1s")
        .set("drain.leave_grace", "500ms")
        .set("drain.max_rate", "5")
        .set("limits.close_timeout", "1s")
        .start();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|number| if number % 2 == 0 { gateway.open("/echo") } else { gateway.open("/raw/tea") })
        .collect();

    gateway.terminate();

    gateway.await_log_containing("the deadline cannot be kept");
    for client in &mut clients {
        assert_eq!(client.expect_close().0, 1012);
    }
    drop(clients);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}
