//! Drains by order and by signal: who is told what, in what pace, and how the node comes back or ends.
//!
//! Orders are given as the control plane gives them, over the admin port. Paces are proved by counts that a slower or
//! faster node could not show, never by how long something took.

mod cluster;
mod orders;
mod signal;

use serde_json::{Value, json};
use tidegate_testkit::{Builder, Gateway, HttpResponse, until};

use crate::server_api;

/// A node as the tests of the server API have it, whose clients may take a while to leave.
fn node() -> Builder {
    server_api::gateway().set("drain.leave_grace", "5s")
}

/// Gives the orders of one operation, each with the next number.
struct Operator {
    op: &'static str,
    epoch: u64,
    seq: u64,
}

impl Operator {
    fn new(op: &'static str) -> Self {
        Self { op, epoch: 1, seq: 0 }
    }

    /// An order whose time is long enough for any test.
    fn try_order(&mut self, gateway: &Gateway, phase: &str, more: &Value) -> HttpResponse {
        self.seq += 1;
        let mut order = json!({
            "op": self.op, "epoch": self.epoch, "seq": self.seq, "phase": phase,
            "ttl": "1h", "deadline": "20h", "lb_propagation": 0,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            order[key] = value.clone();
        }
        gateway.admin_put("/drain/order", &order.to_string())
    }

    /// An order that is obeyed.
    #[track_caller]
    fn order(&mut self, gateway: &Gateway, phase: &str, more: &Value) -> Value {
        let answer = self.try_order(gateway, phase, more);
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).expect("a report is JSON")
    }
}

fn report(gateway: &Gateway) -> Value {
    let answer = gateway.admin_get("/drain");
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).expect("a report is JSON")
}

/// Waits until the node is in this phase.
#[track_caller]
fn await_phase(gateway: &Gateway, phase: &str) -> Value {
    await_report(gateway, &format!("phase {phase}"), |report| report["phase"] == phase)
}

#[track_caller]
fn await_report(gateway: &Gateway, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    until(what, || Some(report(gateway)).filter(|report| is_it(report)))
}
