//! What the node keeps in its own memory for sessions, histories, presence and keys, and what had to make room.

use std::fmt;

use prometheus_client::registry::Unit;

use super::page::Page;

impl Page<'_, '_> {
    pub(super) fn stores(&mut self) -> fmt::Result {
        let stats = self.node.broker.outside.stats();
        let (sessions, history, presence) = (stats.sessions, stats.history, stats.presence);
        let kept = |count: usize| count as u64;
        self.gauges(
            "store_entries",
            "What is kept in the memory of this node",
            None,
            "kind",
            &[
                ("session_attached", kept(sessions.attached)),
                ("session_detached", kept(sessions.detached)),
                ("revocation", kept(sessions.revocations)),
                ("history_channel", kept(history.streams)),
                ("idempotency_key", kept(stats.idempotency.keys)),
                ("presence_channel", kept(presence.channels)),
                ("presence_member", kept(presence.members)),
                ("route", kept(stats.directory.routes)),
            ],
        )?;
        self.gauge("history", "Bytes of all histories", Some(&Unit::Bytes), kept(history.bytes))?;
        self.counter_of("history_appends", "Publications that got an offset", history.appended_total)?;
        let misses = history.lost_total;
        self.counter_of("history_misses", "Reads from a position that was no longer kept", misses)?;
        let duplicates = history.duplicates_total + stats.idempotency.duplicates_total;
        self.counter_of(
            "idempotent_repeats",
            "Messages that were recognised by their key as sent before",
            duplicates,
        )?;
        self.counters(
            "store_evictions",
            "What was dropped before its time to make room; a limit of `[store]` is too low",
            None,
            "kind",
            &[
                ("session_detached", sessions.evicted_total),
                ("history_channel", history.streams_evicted_total),
                ("history_entry", history.entries_evicted_total),
                ("history_key", history.keys_evicted_total),
                ("idempotency_key", stats.idempotency.evicted_total),
            ],
        )?;
        self.counters(
            "store_refusals",
            "What found no room",
            None,
            "kind",
            &[
                ("session", sessions.refused_total),
                ("presence_member", presence.refused_total),
                ("route", stats.directory.refused_total),
            ],
        )?;
        self.counter_of(
            "presence_ghosts",
            "Members removed because their node was gone",
            presence.reaped_total,
        )
    }
}
