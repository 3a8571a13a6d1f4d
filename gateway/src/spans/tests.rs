//! The chain of a message and the span of an upgrade, read from the queue that the exporter reads.

use std::time::{Duration, Instant};

use tidegate_service::trace::{SpanData, SpanReceiver};
use tidegate_wire::request::{Parsed, RequestParser};

use super::*;
use crate::ending::HandshakeOutcome;
use crate::node::testing::node;

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn spans(sample_ratio: f64) -> (Spans, SpanReceiver) {
    let (tracer, ended) = Tracer::new("test", sample_ratio, 64);
    (Spans::new(tracer, "redis", "nats"), ended)
}

fn session() -> SessionId {
    "AAAAAAAAAAAAAAAAAAAAAA".parse().expect("22 characters of base64url")
}

/// What a span says under `key`.
fn said(span: &SpanData, key: &str) -> Option<String> {
    span.attributes.iter().find(|said| said.key.as_str() == key).map(|said| said.value.to_string())
}

/// Ends everything a message goes through on two nodes; `trace` is the client's.
fn pass_through(spans: &Spans, trace: Option<&str>) -> Option<Arc<str>> {
    let publish = spans.publish("chat:room-17", trace, None);
    drop(spans.store_append("chat:room-17", publish.trace.as_deref()));
    let sent = spans.bus_publish("chat:room-17", publish.trace.as_deref());
    let received = spans.bus_receive("chat:room-17", sent.trace.as_deref());
    let fan_out = Arc::new(spans.fan_out("chat:room-17", received.trace.as_deref()));
    for worker in 0..2 {
        let own = Arc::clone(&fan_out);
        std::thread::spawn(move || own.batch(worker, 3, 120)).join().unwrap();
    }
    received.trace
}

#[test]
fn a_sampled_message_is_one_trace_from_the_client_to_the_fan_out() {
    let (spans, mut ended) = spans(0.0);

    pass_through(&spans, Some(CLIENT));

    let ended = ended.take_waiting(64);
    let named = |name: &str| ended.iter().find(|span| span.name == name).expect(name);
    let chain = [
        ("publish chat:*", SpanKind::Server),
        ("send chat:*", SpanKind::Producer),
        ("receive chat:*", SpanKind::Consumer),
        ("fan-out chat:*", SpanKind::Internal),
    ];
    let mut parent = CLIENT[36..52].to_owned();
    for (name, kind) in chain {
        let span = named(name);
        assert_eq!(span.span_kind, kind, "{name}");
        assert_eq!(span.span_context.trace_id().to_string(), CLIENT[3..35], "{name}");
        assert_eq!(span.parent_span_id.to_string(), parent, "{name}");
        assert_eq!(said(span, "messaging.destination.template").as_deref(), Some("chat:*"));
        parent = span.span_context.span_id().to_string();
    }
    let append = named("append chat:*");
    assert_eq!(append.parent_span_id, named("publish chat:*").span_context.span_id());
    assert_eq!(said(append, "db.system.name").as_deref(), Some("redis"));
    assert_eq!(said(named("send chat:*"), "messaging.system").as_deref(), Some("nats"));
    let batches = &named("fan-out chat:*").events;
    assert_eq!(batches.len(), 2, "one a worker, however many subscribers it has");
    assert_eq!(batches[1].attributes[1].value, Value::from(3));
    assert_eq!(ended.len(), 5);
}

#[test]
fn a_message_that_nobody_sampled_makes_no_span_on_any_node() {
    let unsampled = CLIENT.replace("-01", "-00");
    for trace in [None, Some("nonsense"), Some(&*unsampled)] {
        let (spans, mut ended) = spans(0.0);
        assert_eq!(pass_through(&spans, trace), None);
        assert!(ended.take_waiting(64).is_empty(), "{trace:?}");
    }
}

#[test]
fn a_trace_begins_with_the_publisher_and_never_at_a_receiver() {
    let (spans, mut ended) = spans(1.0);

    for trace in [None, Some("nonsense")] {
        drop(spans.bus_receive("chat:a", trace));
        drop(spans.fan_out("chat:a", trace));
        drop(spans.store_append("chat:a", trace));
        assert!(ended.take_waiting(64).is_empty(), "{trace:?}");
        drop(spans.publish("chat:a", trace, None));
        assert_eq!(ended.take_waiting(64).len(), 1, "{trace:?}");
    }
}

#[test]
fn where_tracing_is_off_a_sampled_context_goes_through_as_it_is() {
    let spans = Spans::new(Tracer::default(), "redis", "nats");

    assert_eq!(pass_through(&spans, Some(CLIENT)).as_deref(), Some(CLIENT));
    assert_eq!(pass_through(&spans, Some(&CLIENT.replace("-01", "-00"))), None);
    assert!(!spans.resume(session(), TraceParent::parse(CLIENT)).is_recording());
    assert_eq!(spans.stats(), TraceStats::default());
}

#[test]
fn a_return_is_linked_to_its_connection_and_to_what_was_before() {
    let (spans, mut ended) = spans(1.0);
    let upgrade = TraceParent::parse(CLIENT);

    let mut returned = spans.resume(session(), upgrade);
    TraceParent::parse(&CLIENT.replace("00f0", "00f1")).into_iter().for_each(|began| returned.link(began));
    returned.end();
    drop(spans.resume(session(), None));

    let ended = ended.take_waiting(64);
    let linked = |span: &SpanData| {
        span.links.iter().map(|link| link.span_context.span_id().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(linked(&ended[0]), ["00f067aa0ba902b7", "00f167aa0ba902b7"]);
    assert!(linked(&ended[1]).is_empty());
    assert_eq!(said(&ended[0], "session.id"), Some(session().to_string()));
}

/// The span of an upgrade with these further header lines, answered as `answer` says.
fn upgrade(lines: &str, answer: impl FnOnce(&mut Span)) -> SpanData {
    let (spans, mut ended) = spans(1.0);
    let head = format!(
        "GET /raw/room?token=secret HTTP/1.1\r\nHost: gate.example:8000\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUser-Agent: test/1\r\n{lines}\r\n"
    );
    let node = node(1, &[]);
    let mut parser = RequestParser::new();
    let Ok(Parsed::Upgrade { request, .. }) = parser.parse(&node.request_limits, head.as_bytes()) else {
        panic!("not an upgrade: {head}")
    };
    let arrival = Arrival {
        client: "[2001:db8::7]:4711".parse().unwrap(),
        peer: Some("10.0.0.9:80".parse().unwrap()),
        is_tls: true,
        accepted_at: Instant::now() - Duration::from_secs(2),
    };
    let mut span = spans.upgrade(Some(&arrival), Some(&request));
    answer(&mut span);
    drop(span);
    ended.take_waiting(64).remove(0)
}

#[test]
fn an_upgrade_says_what_http_says_and_no_secret() {
    let span = upgrade("", |span| accepted(span, || "/raw/{channel}".to_owned()));

    assert_eq!((span.name.as_ref(), &span.span_kind), ("GET /raw/{channel}", &SpanKind::Server));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "101"),
        ("http.route", "/raw/{channel}"),
        ("url.path", "/raw/room"),
        ("url.scheme", "https"),
        ("server.address", "gate.example"),
        ("server.port", "8000"),
        ("client.address", "2001:db8::7"),
        ("client.port", "4711"),
        ("network.peer.address", "10.0.0.9"),
        ("user_agent.original", "test/1"),
        ("tidegate.handshake.outcome", "accepted"),
    ] {
        assert_eq!(said(&span, key).as_deref(), Some(value), "{key}");
    }
    assert!(!format!("{span:?}").contains("secret"));
    let took = span.end_time.duration_since(span.start_time).unwrap();
    assert!(took >= Duration::from_secs(2), "it began with the connection");
}

#[test]
fn a_refusal_is_an_error_only_where_it_is_our_fault() {
    let refuse = |status, outcome| upgrade("", |span| refused(span, status, outcome));
    let theirs = refuse(403, HandshakeOutcome::Origin);
    let ours = refuse(503, HandshakeOutcome::Overloaded);

    assert_eq!(theirs.name, "GET");
    assert_eq!(said(&theirs, "http.response.status_code").as_deref(), Some("403"));
    assert_eq!(said(&theirs, "error.type"), None);
    assert_eq!(said(&ours, "error.type").as_deref(), Some("503"));
    assert_ne!(ours.status, theirs.status);
}

#[test]
fn an_upgrade_is_the_child_of_one_traceparent_and_of_none_if_there_are_two() {
    let header = format!("Traceparent: {CLIENT}\r\n");
    let one = upgrade(&header, |_| {});
    let two = upgrade(&header.repeat(2), |_| {});

    assert_eq!(one.span_context.trace_id().to_string(), CLIENT[3..35]);
    assert_eq!(one.parent_span_id.to_string(), CLIENT[36..52]);
    assert_ne!(two.span_context.trace_id().to_string(), CLIENT[3..35]);
}
