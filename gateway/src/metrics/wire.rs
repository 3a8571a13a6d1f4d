//! Sockets, handshakes, frames and the memory they take: what every worker counts.

use std::fmt;
use std::time::UNIX_EPOCH;

use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use tidegate_protocol::cause::CloseCause;
use tidegate_wire::decode::State;

use super::page::Page;
use super::stats::DurationTotal;
use crate::ending::{HandshakeOutcome, Stage};
use crate::net::tls::Certificates;

impl Page<'_, '_> {
    pub(super) fn connections(&mut self) -> fmt::Result {
        self.gauges(
            "connections_active",
            "Open connections",
            None,
            "transport",
            &[("plain", self.sum(|stats| &stats.open_plain)), ("tls", self.sum(|stats| &stats.open_tls))],
        )?;
        self.gauges(
            "connections",
            "Connections by state, from accept to close",
            None,
            "state",
            &[
                ("new", self.sum(|stats| &stats.handshaking)),
                ("open", self.sum(|stats| &stats.open_plain) + self.sum(|stats| &stats.open_tls)),
                ("closing", self.sum(|stats| &stats.closing)),
            ],
        )?;
        let ended =
            CloseCause::ALL.map(|cause| (cause.row().name, self.sum_at(|s| &s.closed[..], cause as usize)));
        self.counters("connections_closed", "Open connections that ended, by cause", None, "cause", &ended)?;
        self.connection_durations()?;
        let states =
            State::ALL.map(|state| (state.name(), self.sum_at(|s| &s.parser_states[..], state as usize)));
        self.gauges(
            "parser_state",
            "Connections by the state of their frame parser",
            None,
            "state",
            &states,
        )?;
        self.counter("connections_accepted", "Sockets accepted", |stats| &stats.accepted)?;
        self.counter(
            "connections_dropped",
            "Sockets closed at accept without an answer, far over limits.connections",
            |stats| &stats.accept_dropped,
        )?;
        self.counter("accept_pauses", "Pauses of a listener for want of descriptors or memory", |stats| {
            &stats.accept_pauses
        })?;
        self.counter("accept_errors", "Sockets lost between accept and the event loop", |stats| {
            &stats.accept_errors
        })
    }

    fn connection_durations(&mut self) -> fmt::Result {
        let (name, help) = ("connection_duration", "Life of an open connection");
        let mut descriptor =
            self.encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for cause in CloseCause::ALL {
            let mut total = DurationTotal::default();
            self.node
                .stats
                .iter()
                .for_each(|stats| stats.connection_durations[cause as usize].add_to(&mut total));
            let labels = [("cause", cause.row().name)];
            let mut family = descriptor.encode_family(&labels)?;
            family.encode_histogram::<NoLabelSet>(total.sum_s, total.count(), &total.buckets, None)?;
        }
        Ok(())
    }

    pub(super) fn handshakes(&mut self) -> fmt::Result {
        let outcomes = HandshakeOutcome::ALL
            .map(|outcome| (outcome.name(), self.sum_at(|stats| &stats.handshakes[..], outcome as usize)));
        self.counters("handshakes", "Handshakes by how they ended", None, "outcome", &outcomes)?;
        let reaped = Stage::ALL
            .map(|stage| (stage.name(), self.sum_at(|stats| &stats.handshakes_reaped[..], stage as usize)));
        self.counters(
            "handshakes_reaped",
            "Handshakes over limits.handshake_timeout",
            None,
            "stage",
            &reaped,
        )?;
        let mut total = DurationTotal::default();
        self.node.stats.iter().for_each(|stats| stats.handshake_durations.add_to(&mut total));
        self.histogram("handshake_duration", "From accept to 101", &total)?;
        let http = self.node.http.in_use() as u64;
        self.gauge("http_requests", "Plain HTTP requests on the client port in progress", None, http)?;
        let addresses = self.node.addresses.addresses() as u64;
        self.gauge("client_addresses", "Addresses counted for limits.connections_per_ip", None, addresses)
    }

    pub(super) fn messages(&mut self) -> fmt::Result {
        let messages =
            [("in", self.sum(|stats| &stats.messages_in)), ("out", self.sum(|stats| &stats.messages_out))];
        self.counters("messages", "Messages received and sent", None, "direction", &messages)?;
        let bytes = [
            ("in", self.sum(|stats| &stats.message_bytes_in)),
            ("out", self.sum(|stats| &stats.message_bytes_out)),
        ];
        self.counters(
            "message",
            "Payload received, and payload with its frame sent",
            Some(&Unit::Bytes),
            "direction",
            &bytes,
        )?;
        self.counter("pings_sent", "Pings to quiet clients", |stats| &stats.pings_sent)?;
        self.counter("reads_paused", "Times an echo client that does not read was no longer read", |stats| {
            &stats.reads_paused
        })
    }

    pub(super) fn memory(&mut self) -> fmt::Result {
        let outbox = self.sum(|stats| &stats.outbox_bytes);
        self.gauge("outbox", "Bytes that clients have not taken yet", Some(&Unit::Bytes), outbox)?;
        let pool = [
            ("in_use", self.sum(|stats| &stats.pool_in_use_bytes)),
            ("free", self.sum(|stats| &stats.pool_free_bytes)),
        ];
        self.gauges(
            "buffer_pool",
            "Buffers by use; limits.pool_bytes bounds those in use",
            Some(&Unit::Bytes),
            "state",
            &pool,
        )?;
        self.counter("buffer_allocations", "Buffers that the pool had to allocate", |stats| {
            &stats.pool_allocations
        })?;
        self.counter("buffer_refusals", "Buffers refused because the pool was at its bound", |stats| {
            &stats.pool_refusals
        })
    }

    pub(super) fn workers(&mut self) -> fmt::Result {
        self.gauge("workers", "Worker threads", None, self.node.stats.len() as u64)?;
        let mut total = DurationTotal::default();
        self.node.stats.iter().for_each(|stats| stats.turns.add_to(&mut total));
        self.histogram(
            "turn_duration",
            "Turns of the workers' loops: all large ones, a sixteenth of the small; every socket of the worker waits for one",
            &total,
        )?;
        self.counter("sockets_handed_over", "Accepted sockets given to a less loaded worker", |stats| {
            &stats.handed_over
        })?;
        self.counter("mailbox_waits", "Times a worker waited for another one's full mailbox", |stats| {
            &stats.mail_waits
        })
    }

    pub(super) fn certificate(&mut self, certificates: &Certificates) -> fmt::Result {
        let reloads = [("reloaded", certificates.reloaded_total()), ("failed", certificates.failed_total())];
        self.counters(
            "certificate_reloads",
            "Looks at changed certificate files",
            None,
            "outcome",
            &reloads,
        )?;
        let expiry = certificates.not_after().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let expiry = expiry.map_or(0, |since_epoch| since_epoch.as_secs());
        self.gauge(
            "certificate_expiry_timestamp",
            "When the certificate ends; 0: unknown",
            Some(&Unit::Seconds),
            expiry,
        )
    }
}
