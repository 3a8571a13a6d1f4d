//! What async-nats tells about the connection, outside of its messages.

use std::sync::PoisonError;

use async_nats::{Event, ServerError};

use crate::bus::Loss;

use super::{FAULTY, Shared};

impl Shared {
    /// Called by a task of async-nats', one event after the other.
    pub(super) fn handle_event(&self, event: &Event) {
        match event {
            Event::Connected | Event::Disconnected | Event::Closed => self.changed.notify_one(),
            // The connection ends soon, and another server takes over.
            Event::LameDuckMode | Event::Draining => {}
            // A tap's queue was full before its waker was in place.
            Event::SlowConsumer(_) => {
                self.counts.slow_consumer.add(1);
                self.sink.lose(Loss::Unknown);
            }
            Event::ServerError(ServerError::Other(text)) => self.handle_complaint(text),
            Event::ServerError(error) => self.note_fault(error.to_string()),
            Event::ClientError(error) => self.note_fault(error.to_string()),
        }
    }

    fn handle_complaint(&self, text: &str) {
        self.note_fault(text.to_owned());
        let lower = text.to_ascii_lowercase();
        // The server closes the connection next; what it had for us is reported as lost after the reconnect.
        if lower.contains("slow consumer") {
            self.counts.slow_consumer.add(1);
        }
        if !lower.starts_with("permissions violation") {
            return;
        }
        self.counts.denied.add(1);
        let subject = quoted(text).unwrap_or_default();
        if !lower.contains("for subscription") {
            return;
        }
        if let Some(channel) = self.config.prefix.channel_of(subject)
            && self.interest.deny(&channel, FAULTY)
        {
            self.sink.lose(Loss::Channel(channel));
        }
    }

    fn note_fault(&self, text: String) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

/// The subject in `Permissions Violation for Subscription to "SUBJECT"`.
fn quoted(text: &str) -> Option<&str> {
    text.split_once('"')?.1.split_once('"').map(|(subject, _)| subject)
}
