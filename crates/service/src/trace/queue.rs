//! Ended spans on their way out: a bounded queue that loses what does not fit and says how much.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};

/// What became of spans, since the process began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TraceStats {
    /// Waiting to be exported, now.
    pub queued: u64,
    /// Taken by whoever collects traces.
    pub exported: u64,
    /// Lost because too many waited.
    pub dropped_full: u64,
    /// Lost because whoever collects traces did not take them, or the process ended first.
    pub dropped_export: u64,
    /// Batches that were not taken.
    pub export_failures: u64,
}

/// The end of the queue that spans go into.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: mpsc::Sender<SpanData>,
    counts: Arc<Counts>,
}

/// The end of the queue that spans come out of.
#[derive(Debug)]
pub struct SpanReceiver {
    receiver: mpsc::Receiver<SpanData>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    exported: AtomicU64,
    dropped_full: AtomicU64,
    dropped_export: AtomicU64,
    export_failures: AtomicU64,
    /// The queue is half full: the next batch should not wait for its time.
    pressed: Notify,
}

pub(super) fn queue(spans_max: usize) -> (Arc<Queue>, SpanReceiver) {
    let (sender, receiver) = mpsc::channel(spans_max);
    let counts = Arc::<Counts>::default();
    let queue = Queue { sender, counts: Arc::clone(&counts) };
    (Arc::new(queue), SpanReceiver { receiver, counts })
}

impl Queue {
    /// Takes a span, or counts it as lost.
    pub(super) fn push(&self, span: SpanData) {
        match self.sender.try_send(span) {
            Ok(()) if self.sender.capacity() < self.sender.max_capacity() / 2 => {
                self.counts.pressed.notify_one();
            }
            Ok(()) => {}
            Err(TrySendError::Full(_)) => add(&self.counts.dropped_full, 1),
            Err(TrySendError::Closed(_)) => add(&self.counts.dropped_export, 1),
        }
    }

    pub(super) fn stats(&self) -> TraceStats {
        let counts = &self.counts;
        TraceStats {
            queued: (self.sender.max_capacity() - self.sender.capacity()) as u64,
            exported: counts.exported.load(Ordering::Relaxed),
            dropped_full: counts.dropped_full.load(Ordering::Relaxed),
            dropped_export: counts.dropped_export.load(Ordering::Relaxed),
            export_failures: counts.export_failures.load(Ordering::Relaxed),
        }
    }
}

impl SpanReceiver {
    /// Waits for spans and takes up to `spans_max` of them; empty once no more can come.
    pub(crate) async fn take(&mut self, spans_max: usize) -> Vec<SpanData> {
        let mut batch = Vec::new();
        self.receiver.recv_many(&mut batch, spans_max).await;
        batch
    }

    /// Takes up to `spans_max` of the spans that wait, in the order they ended.
    pub fn take_waiting(&mut self, spans_max: usize) -> Vec<SpanData> {
        std::iter::from_fn(|| self.receiver.try_recv().ok()).take(spans_max).collect()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// Waits until the queue fills faster than it is emptied.
    pub(crate) async fn pressed(&self) {
        self.counts.pressed.notified().await;
    }

    /// Lets no more spans in; those that wait can still be taken.
    pub(crate) fn close(&mut self) {
        self.receiver.close();
    }

    /// A batch was taken by whoever collects traces.
    pub(crate) fn count_exported(&self, spans: usize) {
        add(&self.counts.exported, spans);
    }

    /// A batch was not taken, and is lost.
    pub(crate) fn count_failed(&self, spans: usize) {
        add(&self.counts.dropped_export, spans);
        add(&self.counts.export_failures, 1);
    }
}

fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}
