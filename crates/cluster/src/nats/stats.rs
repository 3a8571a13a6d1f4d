//! What an end of the bus counts.

use std::time::Duration;

use crate::memory::count::Counter;

/// What a [`NatsBus`](super::NatsBus) holds now and has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NatsStats {
    /// Channels with a subject subscribed, those included that are about to be left.
    pub channels: usize,
    /// Messages that wait to be sent.
    pub queued: usize,
    /// Bytes of them.
    pub queued_bytes: usize,
    /// Messages that are on their way: publications, direct ones and broadcasts.
    pub published_total: u64,
    /// NATS messages that they went in.
    pub batches_total: u64,
    /// Bytes of them, without subjects and headers.
    pub published_bytes_total: u64,
    /// Messages handed to the receiver.
    pub received_total: u64,
    /// Bytes of them.
    pub received_bytes_total: u64,
    /// Messages for channels that are about to be left.
    pub unwanted_total: u64,
    /// NATS messages on our subjects that no node of ours can have sent.
    pub malformed_total: u64,
    /// Messages refused because the servers could not be reached.
    pub refused_down_total: u64,
    /// Messages and subscriptions refused for lack of room.
    pub refused_full_total: u64,
    /// Messages refused because the server takes none of that size.
    pub oversized_total: u64,
    /// Subjects that the server does not let this node use.
    pub denied_total: u64,
    /// Connections made after one was lost.
    pub reconnects_total: u64,
    /// Times that this end, or its connection in the server's view, was too slow for what came.
    pub slow_consumer_total: u64,
    /// Marks that came back.
    pub marks_total: u64,
    /// Marks that did not come back in time.
    pub marks_missed_total: u64,
    /// How long the marks that came back took, summed.
    pub marks_time_total: Duration,
    /// Largest message that the server takes, bytes with headers.
    pub message_bytes_max: usize,
}

/// The totals.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) published: Counter,
    pub(super) batches: Counter,
    pub(super) published_bytes: Counter,
    pub(super) received: Counter,
    pub(super) received_bytes: Counter,
    pub(super) unwanted: Counter,
    pub(super) malformed: Counter,
    pub(super) refused_down: Counter,
    pub(super) refused_full: Counter,
    pub(super) oversized: Counter,
    pub(super) denied: Counter,
    pub(super) reconnects: Counter,
    pub(super) slow_consumer: Counter,
    pub(super) marks: Counter,
    pub(super) marks_missed: Counter,
    pub(super) marks_time_us: Counter,
}

impl Counts {
    /// The totals so far; levels are the caller's to fill in.
    pub(super) fn read(&self) -> NatsStats {
        NatsStats {
            published_total: self.published.total(),
            batches_total: self.batches.total(),
            published_bytes_total: self.published_bytes.total(),
            received_total: self.received.total(),
            received_bytes_total: self.received_bytes.total(),
            unwanted_total: self.unwanted.total(),
            malformed_total: self.malformed.total(),
            refused_down_total: self.refused_down.total(),
            refused_full_total: self.refused_full.total(),
            oversized_total: self.oversized.total(),
            denied_total: self.denied.total(),
            reconnects_total: self.reconnects.total(),
            slow_consumer_total: self.slow_consumer.total(),
            marks_total: self.marks.total(),
            marks_missed_total: self.marks_missed.total(),
            marks_time_total: Duration::from_micros(self.marks_time_us.total()),
            ..NatsStats::default()
        }
    }
}
