//! What is left of a drain for people: log lines, and one span that is always sampled, with its phases and batches.
//!
//! Place in the data path: none. The span is a child of the operation's, where the order names one.

use std::time::{Duration, Instant};

use tidegate_protocol::drain::REASON_BYTES_MAX;
use tidegate_service::trace::{Span, Value};

use super::Counts;
use super::machine::{Course, Machine, Manner, Phase};
use crate::node::Node;
use crate::spans::Spans;

/// Clients sent away within so long a time share one event.
const BATCH: Duration = Duration::from_secs(5);

/// The record of the drain under way, if there is one.
#[derive(Debug)]
pub(super) struct Record {
    spans: Spans,
    span: Span,
    began: Instant,
    /// Clients of the batches since the last event, and when that was.
    gathered: u64,
    gathered_at: Instant,
}

impl Record {
    pub(super) fn new(node: &Node) -> Self {
        let now = Instant::now();
        Self { spans: node.spans.clone(), span: Span::none(), began: now, gathered: 0, gathered_at: now }
    }

    /// A drain begins.
    pub(super) fn begin(&mut self, machine: &Machine) {
        let (trace, reason) = machine.trace_and_reason();
        let (op, reason) = (machine.op().map(ToString::to_string).unwrap_or_default(), short(reason));
        let source = if machine.op().is_some() { "order" } else { "signal" };
        tracing::info!(op, source, reason, "a drain begins");
        self.span = self.spans.drain(trace);
        self.span.set("tidegate.operation.id", op);
        self.span.set("tidegate.drain.source", source);
        self.span.set("tidegate.drain.reason", reason);
        (self.began, self.gathered) = (Instant::now(), 0);
    }

    /// The drain is in another phase.
    pub(super) fn enter(&mut self, node: &Node, before: Phase, phase: Phase) {
        let counts = node.drain.counts(&node.stats).since(node.drain.baseline().counts);
        self.flush();
        let connections = node.open_connections();
        tracing::info!(
            phase = phase.name(),
            before = before.name(),
            connections,
            moved = counts.moved,
            "the drain goes on"
        );
        if phase == Phase::Bursting {
            tracing::warn!(connections, "the deadline cannot be kept at the allowed rate: clients go faster");
        }
        let attributes = [
            ("tidegate.drain.phase", Value::from(phase.name())),
            ("tidegate.drain.connections", integer(connections)),
            ("tidegate.drain.moved", integer(counts.moved)),
        ];
        self.span.event("phase", attributes);
    }

    /// Some clients were sent away. Few events hold many of them: a span keeps only so many.
    pub(super) fn batch(&mut self, count: u64, course: Course) {
        self.gathered += count;
        if self.gathered_at.elapsed() >= BATCH {
            self.flush();
            if course.manner == Manner::Force {
                tracing::debug!(rate = course.rate, "clients are closed without being asked");
            }
        }
    }

    fn flush(&mut self) {
        self.gathered_at = Instant::now();
        let gathered = std::mem::take(&mut self.gathered);
        if gathered > 0 {
            self.span.event("batch", [("tidegate.drain.clients", integer(gathered))]);
        }
    }

    /// The drain is over, for better or for worse.
    pub(super) fn finish(&mut self, node: &Node) {
        let counts = node.drain.counts(&node.stats).since(node.drain.baseline().counts);
        let Counts { moved, left, closed, forced, resumed, lost, repeats } = counts;
        let seconds = self.began.elapsed().as_secs_f64();
        tracing::info!(moved, left, closed, forced, resumed, lost, repeats, seconds, "the drain is over");
        for (key, count) in [
            ("tidegate.drain.moved", moved),
            ("tidegate.drain.left", left),
            ("tidegate.drain.closed", closed),
            ("tidegate.drain.forced", forced),
            ("tidegate.drain.resumed", resumed),
            ("tidegate.drain.lost", lost),
        ] {
            self.span.set(key, integer(count));
        }
        // The span ends here.
        drop(std::mem::replace(&mut self.span, Span::none()));
    }
}

fn short(reason: Option<&str>) -> String {
    let reason = reason.unwrap_or_default();
    reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned()
}

fn integer(count: u64) -> Value {
    Value::from(i64::try_from(count).unwrap_or(i64::MAX))
}
