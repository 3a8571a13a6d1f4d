//! Traces as a collector gets them: over both protocols, below the client's span, and without anyone noticing when there is
//! no collector.

use std::net::TcpListener;

use serde_json::json;
use tidegate_testkit::{Builder, Cluster, NativeClient, OtlpReceiver};

use crate::gateway;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// A gateway that exports to `url`.
fn exporting(url: &str, protocol: &str) -> Builder {
    gateway().set("telemetry.otlp_endpoint", url).set("telemetry.otlp_protocol", protocol)
}

#[test]
fn an_upgrade_is_a_child_of_the_clients_span_over_both_protocols() {
    let collector = OtlpReceiver::start();
    for (protocol, url) in [("grpc", collector.grpc_url()), ("http/protobuf", collector.http_url())] {
        let node = format!("node-{}", &protocol[..4]);
        let gateway = exporting(&url, protocol).set("node.name", &node).set("telemetry.pod", "pod-7").start();

        gateway.request("/raw/room?token=secret").header("traceparent", SAMPLED).open().check_echo("hello");

        let span = collector.await_span("the span of the upgrade", |span| {
            span.resource.get("service.instance.id") == Some(&node)
        });
        assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, "00f067aa0ba902b7"), "{protocol}");
        assert_eq!((span.name.as_str(), span.kind), ("GET /raw/{channel}", 2));
        assert_eq!(span.said("http.response.status_code"), "101");
        assert_eq!(span.said("url.path"), "/raw/room");
        assert!(span.attributes.values().all(|value| !value.contains("secret")), "{span:?}");
        for (key, value) in [("service.name", "tidegate-gateway"), ("k8s.pod.name", "pod-7")] {
            assert_eq!(span.resource.get(key).map(String::as_str), Some(value));
        }
        gateway.await_metric("tidegate_trace_spans_exported_total", &[], 1.0);
        assert_eq!(gateway.metric("tidegate_trace_spans_dropped_total", &[]), 0.0);
        gateway.stop();
    }
}

#[test]
fn what_nobody_sampled_is_not_exported_and_what_the_ratio_takes_is() {
    let collector = OtlpReceiver::start();
    let quiet = exporting(&collector.grpc_url(), "grpc").set("node.name", "quiet").start();
    let all = exporting(&collector.grpc_url(), "grpc").set("node.name", "all");
    let all = all.set("telemetry.sample_ratio", "1").start();

    for gateway in [&quiet, &all] {
        gateway.open("/echo").check_echo("no context");
        gateway.request("/echo").header("traceparent", UNSAMPLED).open().check_echo("unsampled");
        assert_eq!(gateway.request("/nowhere").refused().status, 404);
    }
    // The end of the process sends what waits: after it, all is there that ever will be.
    quiet.stop();
    all.stop();

    let spans: Vec<_> = collector.spans().into_iter().filter(|span| span.name != "drain").collect();
    assert!(spans.iter().all(|span| span.resource["service.instance.id"] == "all"), "{spans:?}");
    assert!(spans.iter().all(|span| span.parent.is_empty() && span.trace != TRACE), "{spans:?}");
    let mut statuses: Vec<_> = spans.iter().map(|span| span.said("http.response.status_code")).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["101", "404"]);
}

#[test]
fn without_a_collector_nothing_is_different_but_a_counter() {
    // Taken and given back: nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for protocol in ["grpc", "http/protobuf"] {
        let gateway = exporting(&format!("http://{nobody}"), protocol).start();

        let mut client = gateway.request("/echo").header("traceparent", SAMPLED).open();
        let lost = [("reason", "export_failed")];
        gateway.await_metric("tidegate_trace_spans_dropped_total", &lost, 1.0);

        client.check_echo("still here");
        assert_eq!(gateway.metric("tidegate_trace_export_failures_total", &[]), 1.0);
        assert_eq!(gateway.metric("tidegate_trace_spans_exported_total", &[]), 0.0);
        assert_eq!(gateway.admin_get("/readyz").status, 200);
        gateway.await_log("spans cannot be exported, and are lost");
        gateway.stop();
    }
}

#[test]
fn a_collector_that_never_answers_costs_spans_beyond_the_queue_and_nothing_else() {
    // Connections are accepted by the kernel; nobody ever reads.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let gateway = exporting(&url, "http/protobuf").set("telemetry.span_queue", "2").start();

    let mut clients = Vec::new();
    // The first batch hangs with what it took; two more wait, and others are lost.
    while gateway.metric("tidegate_trace_spans_dropped_total", &[("reason", "queue_full")]) < 1.0 {
        assert!(clients.len() < 200, "the queue has no bound");
        clients.push(gateway.request("/echo").header("traceparent", SAMPLED).open());
    }

    assert!(gateway.metric("tidegate_trace_spans_queued", &[]) <= 2.0);
    clients.iter_mut().for_each(|client| client.check_echo("still here"));
    gateway.stop();
}

#[test]
fn one_sampled_message_is_one_trace_from_its_publisher_to_the_fan_out_of_every_node() {
    let collector = OtlpReceiver::start();
    let url = collector.grpc_url();
    let cluster = Cluster::of(2, || {
        exporting(&url, "grpc").config(
            "[auth]\nanonymous = true\n[namespaces.log]\nhistory_size = 10\nsubscribe = \"anyone\"\npublish = \"anyone\"",
        )
    });
    let connect = |node: usize| {
        let request = cluster[node].request("/ws");
        let mut client = NativeClient::new(request.subprotocols(&["tidegate.v1.json"]).open());
        client.ask("connect", json!({}));
        client
    };
    let mut readers = [connect(0), connect(1), connect(1)];
    for reader in &mut readers {
        reader.ask("subscribe", json!({ "channel": "log:tea" }));
    }

    connect(0).ask("publish", json!({ "channel": "log:tea", "data": 1, "trace": SAMPLED }));

    for reader in &mut readers {
        let trace = reader.expect("message")["trace"].as_str().unwrap().to_owned();
        assert!(trace.starts_with(&format!("00-{TRACE}-")), "{trace}");
    }
    let fan_out = |node: &str| {
        collector.await_span("a fan-out", |span| {
            span.name.starts_with("fan-out") && span.resource["service.instance.id"] == node
        })
    };
    let ends = ["node-0", "node-1"].map(fan_out);
    collector.await_span("the publication", |span| span.name.starts_with("publish"));
    let spans = collector.spans();
    let find = |id: &str| spans.iter().find(|span| span.id == id);
    for end in &ends {
        assert_eq!(end.events, ["batch"], "one a worker, none a socket");
        let mut line = vec![end];
        while let Some(above) = find(&line.last().unwrap().parent) {
            line.push(above);
        }
        assert!(line.iter().all(|span| span.trace == TRACE), "{line:?}");
        let names: Vec<_> = line.iter().map(|span| span.name.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["fan-out", "receive", "send", "publish"]);
        assert_eq!(line.last().unwrap().parent, "00f067aa0ba902b7", "the client's own span");
    }
    assert!(spans.iter().any(|span| span.name.starts_with("append") && span.trace == TRACE));
}

#[test]
fn a_drain_is_a_span_of_its_operation_with_its_phases_whatever_the_ratio() {
    let collector = OtlpReceiver::start();
    let gateway = exporting(&collector.grpc_url(), "grpc").set("telemetry.sample_ratio", "0").start();
    let mut client = gateway.open("/echo");
    let order = json!({
        "op": "deploy-42", "epoch": 1, "seq": 1, "phase": "evicting", "ttl": "1h", "rate": 100, "trace": SAMPLED,
    });
    assert_eq!(gateway.admin_put("/drain/order", &order.to_string()).status, 200);
    assert_eq!(client.expect_close().0, 1012);
    drop(client);
    gateway.stop();

    let span = collector.await_span("the span of the drain", |span| span.name == "drain");
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, "00f067aa0ba902b7"));
    assert_eq!((span.said("tidegate.operation.id"), span.said("tidegate.drain.closed")), ("deploy-42", "1"));
}
