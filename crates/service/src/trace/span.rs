//! One piece of work of a sampled trace, from its start to its end.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{Event, Link, SpanId, SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::Source;
use super::parent::TraceParent;
use super::queue::Queue;

/// Events that one span keeps; of more, only their number.
pub const EVENTS_MAX: usize = 128;
/// Links that one span keeps; of more, only their number.
pub const LINKS_MAX: usize = 32;
/// Bytes of a text that an attribute keeps.
pub const TEXT_BYTES_MAX: usize = 1024;

/// A piece of work under way, or nothing where it is not sampled. It ends when it is dropped, on whatever thread.
#[derive(Default)]
#[must_use = "a span ends when it is dropped"]
pub struct Span(Option<Box<Open>>);

struct Open {
    data: SpanData,
    own: TraceParent,
    queue: Arc<Queue>,
}

impl Span {
    /// Nothing: what an unsampled piece of work has.
    pub fn none() -> Self {
        Self(None)
    }

    pub(super) fn open(
        source: &Source,
        own: TraceParent,
        parent: Option<TraceParent>,
        kind: SpanKind,
        name: Cow<'static, str>,
        start_time: SystemTime,
    ) -> Self {
        let data = SpanData {
            span_context: own.context(false),
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| parent.span_id()),
            // Servers and consumers are called by others; the rest goes on with what this process began.
            parent_span_is_remote: parent.is_some() && matches!(kind, SpanKind::Server | SpanKind::Consumer),
            span_kind: kind,
            name,
            start_time,
            end_time: start_time,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: source.scope.clone(),
        };
        Self(Some(Box::new(Open { data, own, queue: Arc::clone(&source.queue) })))
    }

    /// Whether anything said here is kept: ask before working out what to say.
    pub fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// What a child of this span names as its parent; `None` where nothing is sampled.
    pub fn context(&self) -> Option<TraceParent> {
        self.0.as_ref().map(|open| open.own)
    }

    /// Gives it another name, once more is known.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.0 {
            open.data.name = name.into();
        }
    }

    /// Says something about the work. A long text is cut at [`TEXT_BYTES_MAX`].
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.0 {
            open.data.attributes.push(attribute(key, value.into()));
        }
    }

    /// Something that happened during the work, now. One more than [`EVENTS_MAX`] is only counted.
    pub fn event(&mut self, name: &'static str, attributes: impl IntoIterator<Item = (&'static str, Value)>) {
        let Some(open) = &mut self.0 else { return };
        let events = &mut open.data.events;
        if events.events.len() == EVENTS_MAX {
            events.dropped_count += 1;
            return;
        }
        let attributes = attributes.into_iter().map(|(key, value)| attribute(key, value)).collect();
        events.events.push(Event::new(name, SystemTime::now(), attributes, 0));
    }

    /// Points at a span that this one has to do with and is no child of. One more than [`LINKS_MAX`] is only counted.
    pub fn link(&mut self, other: TraceParent) {
        let Some(open) = &mut self.0 else { return };
        let links = &mut open.data.links;
        if links.links.len() == LINKS_MAX {
            links.dropped_count += 1;
            return;
        }
        links.links.push(Link::new(other.context(true), Vec::new(), 0));
    }

    /// The work failed.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.0 {
            open.data.status = Status::error(why);
        }
    }

    /// Ends the work now; dropping it says the same without a word.
    pub fn end(self) {}

    /// Ends the work at another time than now.
    pub fn end_at(mut self, end: SystemTime) {
        if let Some(open) = self.0.take() {
            open.finish(end);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.finish(SystemTime::now());
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.context().map(|own| own.to_string())).finish()
    }
}

impl Open {
    fn finish(self, end: SystemTime) {
        let Self { mut data, queue, .. } = self;
        // A clock that was set back must not make a span end before it began.
        data.end_time = end.max(data.start_time);
        queue.push(data);
    }
}

fn attribute(key: &'static str, value: Value) -> KeyValue {
    let value = match value {
        Value::String(text) if text.as_str().len() > TEXT_BYTES_MAX => {
            let text = text.as_str();
            text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned().into()
        }
        value => value,
    };
    KeyValue::new(key, value)
}
