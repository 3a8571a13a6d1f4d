//! What is sampled, what a span says, and what the queue does at its bound.

use std::time::Duration;

use opentelemetry::trace::{SpanId, Status};

use super::*;

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn parent(text: &str) -> Option<TraceParent> {
    let parsed = TraceParent::parse(text);
    assert!(parsed.is_some(), "{text}");
    parsed
}

/// The only span there is.
fn only(spans: &mut SpanReceiver) -> SpanData {
    let mut ended = spans.take_waiting(2);
    assert_eq!(ended.len(), 1);
    ended.remove(0)
}

#[test]
fn a_lawful_traceparent_is_read_and_written_again() {
    for text in [SAMPLED, UNSAMPLED, "00-00000000000000000000000000000001-0000000000000001-03"] {
        assert_eq!(parent(text).unwrap().to_string(), text);
    }
    assert!(parent(SAMPLED).unwrap().is_sampled());
    assert!(!parent(UNSAMPLED).unwrap().is_sampled());
    assert!(!parent(&UNSAMPLED.replace("-00", "-02")).unwrap().is_sampled(), "02 says how the id was made");
}

#[test]
fn of_a_later_version_only_what_is_known_is_taken() {
    for later in [
        SAMPLED.replacen("00", "01", 1),
        SAMPLED.replacen("00", "fe", 1) + "-and-more",
        SAMPLED[..53].to_owned() + "ff",
        SAMPLED[..53].to_owned() + "fd",
    ] {
        let read = parent(&later).unwrap();
        assert!(read.is_sampled(), "{later}");
        assert_eq!(read.to_string()[..53], SAMPLED[..53], "{later}");
        assert!(["01", "03"].contains(&&read.to_string()[53..]), "{later}");
    }
}

#[test]
fn a_malformed_traceparent_is_none() {
    for bad in [
        "",
        "00",
        &SAMPLED[..54],
        &SAMPLED.to_uppercase(),
        &format!("{SAMPLED}-more"),
        &format!("{SAMPLED} "),
        &format!(" {SAMPLED}"),
        &SAMPLED.replacen("00", "ff", 1),
        &SAMPLED.replacen("00", "0x", 1),
        &format!("{}x", SAMPLED.replacen("00", "01", 1)),
        &SAMPLED.replace('-', "_"),
        &SAMPLED.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
        &SAMPLED.replace("00f067aa0ba902b7", "0000000000000000"),
        &SAMPLED.replace("00f067aa0ba902b7", "00f067aa0ba902bg"),
        &SAMPLED.replace("4bf9", "4bf\u{e9}"),
        &SAMPLED.replace("-01", "-0g"),
    ] {
        assert_eq!(TraceParent::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn where_tracing_is_off_there_is_no_span() {
    let tracer = Tracer::default();

    let mut span = tracer.start_at(SpanKind::Server, "upgrade", parent(SAMPLED), || panic!("nobody asks"));
    span.set("key", "value");
    span.event("happened", []);

    assert!(!tracer.is_on());
    assert!(!span.is_recording());
    assert_eq!(span.context(), None);
    drop(span);
    assert_eq!(tracer.stats(), TraceStats::default());
}

#[test]
fn a_child_follows_its_parent_whatever_the_ratio() {
    for (ratio, text, is_kept) in [(0.0, SAMPLED, true), (1.0, UNSAMPLED, false)] {
        let (tracer, mut spans) = Tracer::new("test", ratio, 8);

        let span = tracer.start(SpanKind::Server, "work", parent(text));

        assert_eq!(span.is_recording(), is_kept, "{ratio} {text}");
        drop(span);
        assert_eq!(spans.take_waiting(8).len(), usize::from(is_kept));
    }
}

#[test]
fn a_root_is_sampled_by_the_ratio() {
    let kept = |ratio| {
        let (tracer, mut spans) = Tracer::new("test", ratio, 2000);
        (0..2000).for_each(|_| tracer.start(SpanKind::Internal, "root", None).end());
        spans.take_waiting(2000).len()
    };
    assert_eq!(kept(0.0), 0);
    assert_eq!(kept(1.0), 2000);
    // Twelve standard deviations to either side.
    assert!((230..=770).contains(&kept(0.25)));
}

#[test]
fn the_ratio_is_a_threshold_on_the_random_bits_of_the_id() {
    let id = |bits: u128| TraceId::from(bits);
    let half = 1_u128 << 55;
    assert!(is_within_ratio(id(half - 1), 0.5));
    assert!(!is_within_ratio(id(half), 0.5));
    assert!(is_within_ratio(id((0xff << 56) | (half - 1)), 0.5), "the upper bits need not be random");
    assert!(is_within_ratio(id(1), f64::MIN_POSITIVE.max(1e-15)));
}

#[test]
fn a_childs_child_stays_in_the_trace() {
    let (tracer, mut spans) = Tracer::new("test", 0.0, 8);

    let outer = tracer.start(SpanKind::Server, "outer", parent(SAMPLED));
    let own = outer.context().unwrap();
    tracer.start(SpanKind::Client, "inner", outer.context()).end();
    let inner = only(&mut spans);
    drop(outer);
    let outer = only(&mut spans);

    assert_eq!(inner.span_context.trace_id(), parent(SAMPLED).unwrap().trace_id());
    assert_eq!(inner.parent_span_id, outer.span_context.span_id());
    assert_eq!(outer.parent_span_id, parent(SAMPLED).unwrap().span_id());
    assert!(outer.parent_span_is_remote && !inner.parent_span_is_remote);
    assert_eq!(own.to_string()[..35], SAMPLED[..35]);
    assert_eq!(own.span_id(), outer.span_context.span_id());
    assert_ne!(own.span_id(), SpanId::INVALID);
}

#[test]
fn a_span_says_what_it_was_told() {
    let (tracer, mut spans) = Tracer::new("test", 1.0, 8);
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(10);

    let mut span = tracer.start_at(SpanKind::Producer, "work", None, || began);
    span.rename("send");
    span.set("count", 3);
    span.set("text", "é".repeat(TEXT_BYTES_MAX));
    span.link(parent(SAMPLED).unwrap());
    span.fail("no answer");
    span.end_at(began + Duration::from_secs(2));

    let span = only(&mut spans);
    assert_eq!((span.name.as_ref(), span.span_kind), ("send", SpanKind::Producer));
    assert_eq!((span.start_time, span.end_time), (began, began + Duration::from_secs(2)));
    assert_eq!(span.attributes[0], KeyValue::new("count", 3));
    assert_eq!(span.attributes[1].value.as_str().len(), TEXT_BYTES_MAX);
    assert_eq!(span.links[0].span_context.trace_id(), parent(SAMPLED).unwrap().trace_id());
    assert_eq!(span.status, Status::error("no answer"));
}

#[test]
fn a_span_never_ends_before_it_began() {
    let (tracer, mut spans) = Tracer::new("test", 1.0, 8);
    let began = SystemTime::now();

    tracer.start_at(SpanKind::Internal, "work", None, || began).end_at(SystemTime::UNIX_EPOCH);

    assert_eq!(only(&mut spans).end_time, began);
}

#[test]
fn events_and_links_above_their_bound_are_only_counted() {
    for above in [0, 1] {
        let (tracer, mut spans) = Tracer::new("test", 1.0, 8);
        let mut span = tracer.start(SpanKind::Internal, "work", None);
        (0..EVENTS_MAX + above).for_each(|_| span.event("batch", [("size", Value::from(1))]));
        (0..LINKS_MAX + above).for_each(|_| span.link(parent(SAMPLED).unwrap()));
        drop(span);

        let span = only(&mut spans);
        assert_eq!((span.events.len(), span.events.dropped_count as usize), (EVENTS_MAX, above));
        assert_eq!((span.links.len(), span.links.dropped_count as usize), (LINKS_MAX, above));
    }
}

#[test]
fn a_full_queue_loses_one_span_more_and_says_so() {
    let (tracer, mut spans) = Tracer::new("test", 1.0, 3);
    let end_one = || tracer.start(SpanKind::Internal, "work", None).end();

    (0..3).for_each(|_| end_one());
    assert_eq!(tracer.stats(), TraceStats { queued: 3, ..TraceStats::default() });
    end_one();
    assert_eq!(tracer.stats(), TraceStats { queued: 3, dropped_full: 1, ..TraceStats::default() });

    assert_eq!(spans.take_waiting(8).len(), 3);
    end_one();
    assert_eq!(tracer.stats(), TraceStats { queued: 1, dropped_full: 1, ..TraceStats::default() });
}

#[test]
fn spans_end_on_any_thread() {
    let (tracer, mut spans) = Tracer::new("test", 1.0, 8);
    let span = tracer.start(SpanKind::Internal, "work", None);

    std::thread::spawn(move || drop(span)).join().unwrap();

    assert_eq!(only(&mut spans).name, "work");
}
