//! Who is refused when there are too many: by node, by address, by rate. Who is in stays in.

use std::net::{IpAddr, Ipv4Addr};

use tidegate_testkit::HttpResponse;

use crate::gateway;

#[test]
fn one_connection_over_the_nodes_limit_is_told_to_come_back_and_can_when_another_has_left() {
    let gateway = gateway().set("limits.connections", "3").start();
    let mut inside: Vec<_> = (0..3).map(|_| gateway.open("/echo")).collect();

    refused_for_now(&gateway.request("/echo").refused(), 503);
    inside.iter_mut().for_each(|client| client.check_echo("still in"));

    drop(inside.pop());
    gateway.await_metric("tidegate_connections_active", &[], 2.0);
    gateway.open("/echo").check_echo("now there is room");
    gateway.await_metric("tidegate_handshakes_total", &[("outcome", "node_limit")], 1.0);
}

#[test]
fn a_full_node_is_not_ready_and_says_why() {
    let gateway = gateway().set("limits.connections", "1").start();
    assert_eq!(gateway.admin_get("/readyz").status, 200);

    let _inside = gateway.open("/echo");

    let response = gateway.admin_get("/readyz");
    assert_eq!(response.status, 503);
    assert!(response.body.contains("limits.connections"), "{response:?}");
}

#[test]
fn one_connection_over_an_addresss_limit_is_refused_and_other_addresses_are_not() {
    let gateway = gateway().set("limits.connections_per_ip", "2").set("node.workers", "2").start();
    let from = |last| gateway.request("/echo").from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    let mut inside = vec![from(5).open(), from(5).open()];

    refused_for_now(&from(5).refused(), 429);
    from(6).open().check_echo("another address");

    drop(inside.pop());
    gateway.await_metric("tidegate_connections_active", &[], 1.0);
    from(5).open().check_echo("now there is room");
    gateway.await_metric("tidegate_handshakes_total", &[("outcome", "address_limit")], 1.0);
}

#[test]
fn handshakes_over_the_rate_are_told_to_come_back() {
    let gateway = gateway().set("limits.handshakes_per_second", "2").start();

    // More than twice what a second allows. Should this machine take seconds for it, then there is a longer burst.
    let refusals: Vec<HttpResponse> = (0..)
        .map_while(|tried| (tried < 2000).then(|| gateway.request("/echo").try_open()))
        .filter_map(Result::err)
        .take(3)
        .collect();

    assert_eq!(refusals.len(), 3, "the rate was never exceeded");
    refusals.iter().for_each(|refusal| refused_for_now(refusal, 503));
}

fn refused_for_now(response: &HttpResponse, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    let retry_after = response.header("retry-after").expect("a refusal for now says when to come back");
    assert!(retry_after.parse::<u32>().is_ok_and(|seconds| seconds >= 1), "{response:?}");
    assert_eq!(response.body.trim_end().lines().count(), 1, "{response:?}");
}
