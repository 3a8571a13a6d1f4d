//! What `GET /debug/connections` shows of one connection.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use serde::Serialize;
use tidegate_protocol::drain::{SLOW_ADDRESSES_MAX, SlowAddress};

use super::Worker;
use super::wheel::start_of;
use crate::connection::{Connection, Phase};

/// One connection, described.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectionView {
    id: u64,
    worker: usize,
    peer: String,
    state: &'static str,
    /// What is being waited for: handshake stage or parser state.
    step: &'static str,
    route: Option<u16>,
    age_ms: u64,
    quiet_ms: u128,
    outbox_bytes: usize,
    pings_unanswered: u8,
}

impl Worker {
    /// Describes up to `limit` connections, the oldest slots first.
    pub(super) fn describe(&self, limit: usize) -> Vec<ConnectionView> {
        let now = Instant::now();
        self.connections.iter().take(limit).map(|(_, connection)| self.view(connection, now)).collect()
    }

    /// The addresses that hold most handshakes open, as many as a report names.
    pub(super) fn slow_addresses(&self) -> Vec<SlowAddress> {
        let mut counts: HashMap<IpAddr, u64> = HashMap::new();
        for (_, connection) in &self.connections {
            if matches!(connection.phase, Phase::Handshaking(_)) {
                *counts.entry(network_of(connection.peer.ip())).or_default() += 1;
            }
        }
        let mut slow: Vec<_> = counts.into_iter().collect();
        slow.sort_unstable_by_key(|&(address, count)| (Reverse(count), address));
        slow.truncate(SLOW_ADDRESSES_MAX);
        let name = |address: IpAddr| match address {
            IpAddr::V4(_) => address.to_string(),
            IpAddr::V6(_) => format!("{address}/64"),
        };
        slow.into_iter()
            .map(|(address, handshaking)| SlowAddress { address: name(address).into(), handshaking })
            .collect()
    }

    fn view(&self, connection: &Connection, now: Instant) -> ConnectionView {
        let (state, step) = match &connection.phase {
            Phase::Handshaking(handshake) => ("new", handshake.stage.name()),
            Phase::Open(_) => ("open", connection.decoder.state().name()),
            Phase::Closing(_) => ("closing", connection.decoder.state().name()),
        };
        let age = now.saturating_duration_since(connection.accepted_at);
        ConnectionView {
            id: connection.id,
            worker: self.index,
            peer: connection.peer.to_string(),
            state,
            step,
            route: matches!(connection.phase, Phase::Open(_)).then_some(connection.route),
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            quiet_ms: start_of(self.now.saturating_sub(connection.seen)).as_millis(),
            outbox_bytes: connection.outbox.len(),
            pings_unanswered: connection.pings_unanswered,
        }
    }
}

/// What counts as one client: an address, or the /64 of an IPv6 one.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}
