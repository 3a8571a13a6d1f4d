//! The spans of a gateway: what is traced, whose child it is, and what it says.
//!
//! Place in the data path: beside it. Whoever does one of these pieces of work gets a span from here and drops it when
//! the work is done. A sampled message is one trace: publish → store append → bus publish → on each node bus receive →
//! fan-out. Names and attributes follow OpenTelemetry's semantic conventions; channels appear as their namespace only, and
//! no query, token or payload appears at all. `docs/tracing.md` has the list.

#[cfg(test)]
mod tests;
mod upgrade;

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_protocol::channel::namespace_of;
use tidegate_protocol::id::SessionId;
use tidegate_service::trace::{Span, SpanKind, TraceParent, TraceStats, Tracer, Value};

pub(crate) use self::upgrade::{Arrival, accepted, refused};

/// Makes the spans of one node. Cheap to clone; where tracing is off, each call is one look at an `Option`.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    tracer: Tracer,
    /// `db.system.name`: what keeps histories.
    store: &'static str,
    /// `messaging.system`: what carries messages between nodes.
    bus: &'static str,
}

/// A piece of work on a message, and what those who go on with the message name as its parent.
#[derive(Debug)]
#[must_use = "the span ends when this is dropped"]
pub(crate) struct Traced {
    pub(crate) span: Span,
    /// `traceparent` to hand on; `None` where the message is not sampled.
    pub(crate) trace: Option<Arc<str>>,
}

/// What is done with a message (semantic conventions, messaging): our word for it, and theirs.
#[derive(Clone, Copy)]
struct Operation {
    name: &'static str,
    kind: &'static str,
}

const PUBLISH: Operation = Operation { name: "publish", kind: "send" };
const SEND: Operation = Operation { name: "send", kind: "send" };
const RECEIVE: Operation = Operation { name: "receive", kind: "receive" };
const FAN_OUT: Operation = Operation { name: "fan-out", kind: "process" };

/// The delivery of one publication on one node, shared by its workers; nothing where it is not sampled.
#[derive(Debug, Default)]
pub(crate) struct FanOut(Option<Box<Mutex<Span>>>);

impl Spans {
    /// Spans that name these systems as the store and the bus.
    pub(crate) fn new(tracer: Tracer, store: &'static str, bus: &'static str) -> Self {
        Self { tracer, store, bus }
    }

    /// What became of the spans so far.
    pub(crate) fn stats(&self) -> TraceStats {
        self.tracer.stats()
    }

    /// A publication, from the command or call to its answer. `trace`: the client's `traceparent`. `upgrade`: the
    /// connection it came over.
    pub(crate) fn publish(&self, channel: &str, trace: Option<&str>, upgrade: Option<TraceParent>) -> Traced {
        if !self.tracer.is_on() {
            return Traced::passed_on(trace);
        }
        let parent = trace.and_then(TraceParent::parse);
        let mut span = self.message(SpanKind::Server, PUBLISH, "tidegate", channel, parent);
        upgrade.into_iter().for_each(|upgrade| span.link(upgrade));
        Traced::by(span)
    }

    /// The call that gives a publication its offset. `trace`: of [`publish`](Self::publish).
    pub(crate) fn store_append(&self, channel: &str, trace: Option<&str>) -> Span {
        let Some(parent) = self.sampled(trace) else { return Span::none() };
        let mut span =
            self.tracer.start(SpanKind::Client, format!("append {}", template(channel)), Some(parent));
        span.set("db.system.name", self.store);
        span.set("db.operation.name", "append");
        span
    }

    /// Handing a publication to the bus. `trace`: of [`publish`](Self::publish); what this returns rides in the node
    /// message, so that receivers are children of this span.
    pub(crate) fn bus_publish(&self, channel: &str, trace: Option<&str>) -> Traced {
        self.below(SpanKind::Producer, SEND, channel, trace)
    }

    /// A publication's arrival from the bus, up to its place in the workers' mailboxes. `trace`: of the node message.
    pub(crate) fn bus_receive(&self, channel: &str, trace: Option<&str>) -> Traced {
        self.below(SpanKind::Consumer, RECEIVE, channel, trace)
    }

    /// A node's delivery of a publication, from the first worker to the last: it goes with the publication, and ends
    /// when the last worker lets go of that. `trace`: of [`bus_receive`](Self::bus_receive), or of
    /// [`publish`](Self::publish) on a node that is alone.
    pub(crate) fn fan_out(&self, channel: &str, trace: Option<&str>) -> FanOut {
        let span = self.below(SpanKind::Internal, FAN_OUT, channel, trace).span;
        FanOut(span.is_recording().then(|| Box::new(Mutex::new(span))))
    }

    /// A session's return: `connect` with a session, from the command to its reply, linked to the connection it comes over.
    pub(crate) fn resume(&self, session: SessionId, upgrade: Option<TraceParent>) -> Span {
        if !self.tracer.is_on() {
            return Span::none();
        }
        let mut span = self.tracer.start(SpanKind::Server, "resume", None);
        if span.is_recording() {
            span.set("session.id", session.to_string());
            upgrade.into_iter().for_each(|upgrade| span.link(upgrade));
        }
        span
    }

    /// A drain, from its first phase to its end; always kept. `trace`: of the operation that it is a part of.
    pub(crate) fn drain(&self, trace: Option<&str>) -> Span {
        self.tracer.start_always(SpanKind::Internal, "drain", trace.and_then(TraceParent::parse))
    }

    /// A span below one that is sampled, and nothing below anything else: what no publisher decided to trace is not
    /// traced from the middle on.
    fn below(&self, kind: SpanKind, operation: Operation, channel: &str, trace: Option<&str>) -> Traced {
        if !self.tracer.is_on() {
            return Traced::passed_on(trace);
        }
        let Some(parent) = self.sampled(trace) else { return Traced::none() };
        Traced::by(self.message(kind, operation, self.bus, channel, Some(parent)))
    }

    fn message(
        &self,
        kind: SpanKind,
        operation: Operation,
        system: &'static str,
        channel: &str,
        parent: Option<TraceParent>,
    ) -> Span {
        let mut span = self.tracer.start(kind, operation.name, parent);
        if span.is_recording() {
            let template = template(channel);
            span.rename(format!("{} {template}", operation.name));
            span.set("messaging.system", system);
            span.set("messaging.operation.name", operation.name);
            span.set("messaging.operation.type", operation.kind);
            span.set("messaging.destination.template", template);
        }
        span
    }

    fn sampled(&self, trace: Option<&str>) -> Option<TraceParent> {
        if !self.tracer.is_on() {
            return None;
        }
        trace.and_then(TraceParent::parse).filter(TraceParent::is_sampled)
    }
}

impl Traced {
    fn none() -> Self {
        Self { span: Span::none(), trace: None }
    }

    fn by(span: Span) -> Self {
        let trace = span.context().map(|own| own.to_string().into());
        Self { span, trace }
    }

    /// Where this node makes no spans, others may: the client's own context goes on if it is sampled.
    fn passed_on(trace: Option<&str>) -> Self {
        let is_sampled = |text: &&str| TraceParent::parse(text).is_some_and(|parent| parent.is_sampled());
        Self { span: Span::none(), trace: trace.filter(is_sampled).map(Into::into) }
    }
}

impl FanOut {
    /// A worker passed the publication on to this many of its subscribers: one event, and no span a socket.
    pub(crate) fn batch(&self, worker: usize, receivers: usize, object_bytes: usize) {
        let Some(span) = &self.0 else { return };
        let count = |number: usize| Value::I64(i64::try_from(number).unwrap_or(i64::MAX));
        let attributes = [
            ("tidegate.worker", count(worker)),
            ("tidegate.receivers", count(receivers)),
            ("messaging.message.body.size", count(object_bytes)),
        ];
        // An event is whole or not there, whatever panicked meanwhile.
        span.lock().unwrap_or_else(PoisonError::into_inner).event("batch", attributes);
    }
}

/// A channel without what makes it one of millions: names of spans are few.
fn template(channel: &str) -> String {
    format!("{}:*", namespace_of(channel))
}
