//! Drains: where the node stands, how many clients it has still to send away, and what became of those that went.

use std::fmt;
use std::time::{Instant, SystemTime};

use super::page::Page;
use crate::drain::machine::Phase;

impl Page<'_, '_> {
    pub(super) fn drain(&mut self) -> fmt::Result {
        let (node, drain) = (self.node, &self.node.drain);
        let phase = drain.phase();
        let phases = Phase::ALL.map(|one| (one.name(), u64::from(one == phase)));
        self.gauges("drain_phase", "1 for the phase that the node is in", None, "phase", &phases)?;
        let remaining = if phase == Phase::Serving { 0 } else { node.open_connections() };
        self.gauge(
            "drain_connections_remaining",
            "Open connections that are to be sent away",
            None,
            remaining,
        )?;
        self.gauge(
            "drain_deadline_timestamp_seconds",
            "When everyone is to be gone, as Unix time; 0: there is no drain",
            None,
            drain.deadline().map_or(0, unix_seconds),
        )?;
        let counts = drain.counts(&node.stats);
        self.counters(
            "drain_closed",
            "Clients that drains have sent away: gone when told, closed in pace, closed in a hurry",
            None,
            "how",
            &[("left", counts.left), ("closed", counts.closed), ("forced", counts.forced)],
        )?;
        let displaced = drain.displaced.len() as u64;
        self.gauge("displaced_sessions", "Sessions sent away and awaited on other nodes", None, displaced)?;
        self.counters(
            "drain_sessions",
            "What became of sessions that were sent away",
            None,
            "outcome",
            &[("resumed", counts.resumed), ("lost", counts.lost)],
        )?;
        self.counter_of(
            "drain_repeat_displacements",
            "Sessions sent away that the same operation had sent away from another node",
            counts.repeats,
        )?;
        self.gauge("order_epoch", "Highest epoch of an order of the control plane", None, drain.epoch())?;
        let blocked = drain.blocked.len(Instant::now()) as u64;
        self.gauge("blocked_addresses", "Addresses and networks refused by order", None, blocked)?;
        self.counter_of(
            "blocked_handshakes",
            "Clients refused since their address is",
            drain.blocked.refused(),
        )
    }
}

fn unix_seconds(at: Instant) -> u64 {
    let left = at.saturating_duration_since(Instant::now());
    (SystemTime::now() + left).duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
