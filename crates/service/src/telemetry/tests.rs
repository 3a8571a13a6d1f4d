//! The exporting loop in virtual time, against collectors that take everything, nothing, or for ever.

use std::sync::{Arc, Mutex};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::task::JoinHandle;

use super::exporter::BATCH_SPANS_MAX;
use super::*;
use crate::trace::{SpanKind, TraceStats};

/// What a collector does with a batch.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Takes,
    Refuses,
    Hangs,
}

#[derive(Clone, Debug)]
struct Collector {
    mood: Arc<Mutex<Mood>>,
    /// Sizes of the batches that came.
    batches: Arc<Mutex<Vec<usize>>>,
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.batches.lock().unwrap().push(batch.len());
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Takes => Ok(()),
            Mood::Refuses => Err(OTelSdkError::InternalFailure("not today".to_owned())),
            Mood::Hangs => std::future::pending().await,
        }
    }
}

/// A tracer whose spans go to a collector; dropping the sender stops the loop.
fn exporting(mood: Mood, queue_max: usize) -> (Tracer, Collector, oneshot::Sender<()>, JoinHandle<()>) {
    let (tracer, spans) = Tracer::new("test", 1.0, queue_max);
    let collector = Collector { mood: Arc::new(Mutex::new(mood)), batches: Arc::default() };
    let (stop, stopped) = oneshot::channel();
    let exporter = Exporter { sink: collector.clone(), spans, is_failing: false };
    (tracer, collector, stop, tokio::spawn(exporter.run(stopped)))
}

fn end_spans(tracer: &Tracer, count: usize) {
    (0..count).for_each(|_| tracer.start(SpanKind::Internal, "work", None).end());
}

#[tokio::test(start_paused = true)]
async fn spans_of_half_a_second_go_in_one_batch() {
    let (tracer, collector, _stop, _loop) = exporting(Mood::Takes, 100);

    end_spans(&tracer, 3);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(collector.batches.lock().unwrap().is_empty());
    end_spans(&tracer, 2);
    tokio::time::sleep(Duration::from_millis(200)).await;

    assert_eq!(*collector.batches.lock().unwrap(), [5]);
    assert_eq!(tracer.stats(), TraceStats { exported: 5, ..TraceStats::default() });
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_half_full_is_not_left_to_wait() {
    let (tracer, collector, _stop, _loop) = exporting(Mood::Takes, 10);

    end_spans(&tracer, 6);
    tokio::time::sleep(Duration::from_millis(10)).await;

    assert_eq!(collector.batches.lock().unwrap().iter().sum::<usize>(), 6);
}

#[tokio::test(start_paused = true)]
async fn one_span_more_than_a_batch_makes_two() {
    for (count, batches) in
        [(BATCH_SPANS_MAX, vec![BATCH_SPANS_MAX]), (BATCH_SPANS_MAX + 1, vec![BATCH_SPANS_MAX, 1])]
    {
        let (tracer, collector, _stop, _loop) = exporting(Mood::Takes, 10 * BATCH_SPANS_MAX);
        end_spans(&tracer, count);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*collector.batches.lock().unwrap(), batches);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_collector_refuses_is_counted_and_the_next_batch_tried() {
    let (tracer, collector, _stop, _loop) = exporting(Mood::Refuses, 100);

    end_spans(&tracer, 3);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lost = TraceStats { dropped_export: 3, export_failures: 1, ..TraceStats::default() };
    assert_eq!(tracer.stats(), lost);

    *collector.mood.lock().unwrap() = Mood::Takes;
    end_spans(&tracer, 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tracer.stats(), TraceStats { exported: 2, ..lost });
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_hangs_is_given_up_and_the_queue_keeps_its_bound() {
    let (tracer, _collector, _stop, _loop) = exporting(Mood::Hangs, 100);

    end_spans(&tracer, 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    end_spans(&tracer, 101);
    assert_eq!(tracer.stats(), TraceStats { queued: 100, dropped_full: 1, ..TraceStats::default() });

    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((tracer.stats().dropped_export, tracer.stats().export_failures), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_sent_before_the_end() {
    let (tracer, collector, stop, ended) = exporting(Mood::Takes, 2000);
    end_spans(&tracer, 700);

    drop(stop);
    ended.await.unwrap();

    assert_eq!(collector.batches.lock().unwrap().iter().sum::<usize>(), 700);
    end_spans(&tracer, 1);
    assert_eq!(tracer.stats().dropped_export, 1, "a span that ends too late is lost, and counted");
}

#[test]
fn the_end_of_the_process_waits_for_the_last_batch_and_not_for_a_dead_collector() {
    // Nobody listens on the port of a socket that is bound and does not.
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let identity =
            Identity { program: "test", version: "1", node: "node".to_owned(), pod: None, namespace: None };
        let endpoint = format!("http://{closed}");
        let settings = ExportSettings { endpoint, protocol, sample_ratio: 1.0, queue_max: 8, identity };
        let (tracer, export) = start(&settings).unwrap();
        end_spans(&tracer, 2);

        drop(export);

        let stats = tracer.stats();
        assert_eq!((stats.queued, stats.dropped_export), (0, 2), "{protocol:?}");
    }
}
