//! Spans of distributed traces: whether one is kept, what it says, whose child it is.
//!
//! Place in the data path: whoever does a piece of work that a trace should show starts a [`Span`] and lets go of it
//! when the work is done, on any thread. Ended spans wait in a bounded queue for [`telemetry`](crate::telemetry), which
//! sends them away; a full queue loses spans and never holds up who made them. Where tracing is off a span costs one
//! look at an `Option`. Only sampled work has spans at all: an unsampled one is nothing, not a span that is thrown away.

mod parent;
mod queue;
mod span;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

pub use opentelemetry::trace::SpanKind;
pub use opentelemetry::{KeyValue, Value};
pub use opentelemetry_sdk::trace::SpanData;

pub use self::parent::TraceParent;
pub use self::queue::{SpanReceiver, TraceStats};
pub use self::span::{EVENTS_MAX, LINKS_MAX, Span, TEXT_BYTES_MAX};

use self::parent::{FLAG_RANDOM, FLAG_SAMPLED};
use self::queue::Queue;

/// Makes spans, or nothing where tracing is off, which is the default. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Source>>);

/// What all spans of a process have in common.
#[derive(Debug)]
struct Source {
    sample_ratio: f64,
    scope: InstrumentationScope,
    queue: Arc<Queue>,
}

impl Tracer {
    /// A tracer whose ended spans wait in a queue of `queue_max` for the receiver. Of the work that nobody else has
    /// decided about, `sample_ratio` (0.0 to 1.0) is sampled. `name`: of the program, as the traces' scope.
    pub fn new(name: &'static str, sample_ratio: f64, queue_max: usize) -> (Self, SpanReceiver) {
        let (queue, receiver) = queue::queue(queue_max);
        let scope = InstrumentationScope::builder(name).build();
        (Self(Some(Arc::new(Source { sample_ratio, scope, queue }))), receiver)
    }

    /// Whether any span can come of it.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Starts a span now, if it is sampled.
    ///
    /// A child is sampled when its parent is, so that a trace is whole or not there; a root by the ratio.
    pub fn start(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        parent: Option<TraceParent>,
    ) -> Span {
        self.start_at(kind, name, parent, SystemTime::now)
    }

    /// Starts a span that began at `began`, which is asked only if the span is sampled.
    pub fn start_at(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        parent: Option<TraceParent>,
        began: impl FnOnce() -> SystemTime,
    ) -> Span {
        let Some(source) = &self.0 else { return Span::none() };
        let Some((trace, flags)) = source.sample(parent) else { return Span::none() };
        let own = TraceParent::new(trace, RandomIdGenerator::default().new_span_id(), flags);
        Span::open(source, own, parent, kind, name.into(), began())
    }

    /// Starts a span now that is always kept: for what is rare, and asked about whenever it happened. A child of `parent`
    /// where there is one.
    pub fn start_always(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        parent: Option<TraceParent>,
    ) -> Span {
        let Some(source) = &self.0 else { return Span::none() };
        let ids = RandomIdGenerator::default();
        let trace = parent.map_or_else(|| ids.new_trace_id(), |parent| parent.trace_id());
        let own = TraceParent::new(trace, ids.new_span_id(), FLAG_SAMPLED | FLAG_RANDOM);
        Span::open(source, own, parent, kind, name.into(), SystemTime::now())
    }

    /// Starts a root span that was named before it was made: its parts are its children already, here and elsewhere. Always
    /// kept.
    pub fn start_as(
        &self,
        own: TraceParent,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        began: SystemTime,
    ) -> Span {
        let Some(source) = &self.0 else { return Span::none() };
        Span::open(source, own, None, kind, name.into(), began)
    }

    /// What became of the spans so far; all zero where tracing is off.
    pub fn stats(&self) -> TraceStats {
        self.0.as_ref().map(|source| source.queue.stats()).unwrap_or_default()
    }
}

impl Source {
    /// The trace and the flags of a span, unless it is not sampled.
    fn sample(&self, parent: Option<TraceParent>) -> Option<(TraceId, u8)> {
        if let Some(parent) = parent {
            return parent.is_sampled().then(|| (parent.trace_id(), parent.flags()));
        }
        if self.sample_ratio <= 0.0 {
            return None;
        }
        let trace = RandomIdGenerator::default().new_trace_id();
        is_within_ratio(trace, self.sample_ratio).then_some((trace, FLAG_SAMPLED | FLAG_RANDOM))
    }
}

/// Decides by the 56 bits of a trace id that are random (Trace Context level 2, section 3.2.2.3), so that others with the
/// same ratio decide alike.
fn is_within_ratio(trace: TraceId, ratio: f64) -> bool {
    const RANDOM_BITS: u32 = 56;
    let bytes = trace.to_bytes();
    let [.., a, b, c, d, e, f, g] = bytes;
    let random = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    // A cast to an integer saturates: no ratio is below nothing, and none above all.
    random < (ratio * (1_u64 << RANDOM_BITS) as f64) as u64
}
