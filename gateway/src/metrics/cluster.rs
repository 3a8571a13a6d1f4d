//! The servers that nodes share: what they were asked, how they answered, and what this node does without.

use std::fmt;
use std::time::Duration;

use tidegate_cluster::nats::NatsStats;
use tidegate_cluster::redis::{Outcome, Stats};

use super::admission::read;
use super::page::Page;
use crate::broker::modes::Mode;
use crate::broker::outside::Store;

impl Page<'_, '_> {
    pub(super) fn cluster(&mut self) -> fmt::Result {
        let broker = &self.node.broker;
        let (outside, stats) = (&broker.outside, &broker.stats);
        let modes = broker.modes();
        self.gauges(
            "degraded",
            "1 for what this node does without while a server cannot be reached; it still serves",
            None,
            "mode",
            &Mode::ALL.map(|mode| (mode.name(), u64::from(modes.contains(&mode)))),
        )?;
        self.counters(
            "degradations",
            "Times a degraded mode was entered",
            None,
            "mode",
            &Mode::ALL.map(|mode| (mode.name(), read(&stats.modes_entered[mode as usize]))),
        )?;
        let stored = read(&stats.stored_only);
        self.counter_of(
            "publications_stored_only",
            "Publications that other nodes had to find in the history, since the bus did not take them",
            stored,
        )?;
        let unheard = read(&stats.unheard);
        self.counter_of("channels_unheard", "Subscriptions made while the bus could not be asked", unheard)?;
        let undecodable = read(&stats.undecodable);
        self.counter_of(
            "node_messages_unreadable",
            "Messages of other nodes that cannot be read",
            undecodable,
        )?;
        self.gauge(
            "store_owed",
            "Sessions and absences to be written when the store is back",
            None,
            (broker.owed.len() + broker.attendance.owed()) as u64,
        )?;
        self.counter_of(
            "store_owed_refused",
            "Sessions and absences that there was no room for while the store was down",
            broker.owed.refused_total() + broker.attendance.refused_total(),
        )?;
        let forgotten = read(&stats.sessions_forgotten);
        self.counter_of(
            "sessions_forgotten",
            "Sessions with a connection that the store had forgotten, and was told again",
            forgotten,
        )?;
        let (reads, served) = broker.tails.counts();
        self.counters(
            "tail_reads",
            "Readings of what came after a position of a channel, and requests that they served",
            None,
            "kind",
            &[("read", reads), ("served", served)],
        )?;
        let inbox = outside.ingress.inbox.stats();
        self.counters(
            "bus_inbox",
            "Messages from the bus, by whether there was room for them; what is lost is looked for in histories",
            None,
            "outcome",
            &[("received", inbox.received_total), ("overflowed", inbox.overflowed_total), ("lost", inbox.lost_total)],
        )?;
        if let Store::Redis(redis) = &outside.store {
            self.redis(&redis.client.stats())?;
        }
        outside.nats.as_ref().map_or(Ok(()), |bus| self.bus(&bus.stats()))
    }

    fn redis(&mut self, stats: &Stats) -> fmt::Result {
        let calls: Vec<_> = stats
            .calls
            .iter()
            .flat_map(|each| {
                Outcome::ALL.map(|outcome| {
                    ([each.operation.as_str(), outcome.as_str()], each.outcomes[outcome as usize])
                })
            })
            .collect();
        self.counters_by("store_calls", "Calls of the store", ["operation", "outcome"], &calls)?;
        let times: Vec<_> =
            stats.calls.iter().map(|each| (each.operation.as_str(), micros(each.latency_sum))).collect();
        self.counters(
            "store_call_microseconds",
            "Time that answered calls of the store took together",
            None,
            "operation",
            &times,
        )?;
        self.gauge("store_calls_in_flight", "Calls without an answer yet", None, stats.in_flight as u64)?;
        self.counter_of("store_reconnects", "Connections to the store made again", stats.reconnects_total)?;
        self.counter_of("store_breaker_openings", "Times calls began to be refused", stats.opened_total)?;
        self.counters(
            "store_traffic_bytes",
            "Bytes of calls of the store and their answers",
            None,
            "direction",
            &[("out", stats.sent_bytes_total), ("in", stats.received_bytes_total)],
        )
    }

    fn bus(&mut self, stats: &NatsStats) -> fmt::Result {
        self.gauge("bus_channels", "Channels listened to on the bus", None, stats.channels as u64)?;
        self.gauge("bus_queue", "Messages that wait to be sent", None, stats.queued as u64)?;
        self.counters(
            "bus_messages",
            "Messages between nodes; `batches`: the NATS messages that those sent went in",
            None,
            "kind",
            &[
                ("sent", stats.published_total),
                ("batches", stats.batches_total),
                ("received", stats.received_total),
                ("unwanted", stats.unwanted_total),
                ("malformed", stats.malformed_total),
            ],
        )?;
        self.counters(
            "bus_traffic_bytes",
            "Bytes of messages between nodes",
            None,
            "direction",
            &[("out", stats.published_bytes_total), ("in", stats.received_bytes_total)],
        )?;
        self.counters(
            "bus_refusals",
            "Messages that the bus did not take",
            None,
            "reason",
            &[
                ("down", stats.refused_down_total),
                ("full", stats.refused_full_total),
                ("oversized", stats.oversized_total),
                ("denied", stats.denied_total),
            ],
        )?;
        self.counter_of("bus_reconnects", "Connections to the bus made again", stats.reconnects_total)?;
        self.counter_of(
            "bus_slow_consumer",
            "Times this node was too slow for what came",
            stats.slow_consumer_total,
        )
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
