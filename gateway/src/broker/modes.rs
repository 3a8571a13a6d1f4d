//! The degraded modes of a node: what it does without while a server cannot be reached.
//!
//! | Mode | What goes on | What does not |
//! |---|---|---|
//! | `store_down` | live messages of channels without history; sessions that are there, and new ones, written when it is back | publishing to channels with history, resuming |
//! | `store_slow` | everything, later | |
//! | `bus_down` | publishing to channels with history, which other nodes read from it | publishing to channels without |
//! | `bus_slow` | everything, later | |
//! | `version_skew` | everything: nodes of neighbouring versions understand each other | what only the newer ones know |

use std::sync::atomic::Ordering;

use tidegate_cluster::State;

use super::Broker;
use super::outside::{Outside, Store};

/// What a node does without.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    StoreDown,
    StoreSlow,
    BusDown,
    BusSlow,
    VersionSkew,
}

impl Mode {
    pub(crate) const ALL: [Self; 5] =
        [Self::StoreDown, Self::StoreSlow, Self::BusDown, Self::BusSlow, Self::VersionSkew];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::StoreDown => "store_down",
            Self::StoreSlow => "store_slow",
            Self::BusDown => "bus_down",
            Self::BusSlow => "bus_slow",
            Self::VersionSkew => "version_skew",
        }
    }
}

impl Outside {
    /// The modes that its servers put this node in; none: they answer.
    pub(crate) fn modes(&self) -> Vec<Mode> {
        let store = match &self.store {
            Store::Memory(_) => State::Up,
            Store::Redis(redis) => *redis.client.state().borrow(),
        };
        let bus = self.nats.as_ref().map_or(State::Up, |bus| *bus.state().borrow());
        let of = |state, down, slow| match state {
            State::Up => None,
            State::Slow => Some(slow),
            State::Down { .. } => Some(down),
        };
        let modes = [of(store, Mode::StoreDown, Mode::StoreSlow), of(bus, Mode::BusDown, Mode::BusSlow)];
        modes.into_iter().flatten().collect()
    }

    /// What a server, or the way to it, was last heard to complain about.
    fn last_fault(&self, mode: Mode) -> Option<String> {
        match (mode, &self.store) {
            (Mode::StoreDown | Mode::StoreSlow, Store::Redis(redis)) => redis.client.last_error(),
            (Mode::StoreDown | Mode::StoreSlow, Store::Memory(_)) => None,
            (Mode::BusDown | Mode::BusSlow, _) => self.nats.as_ref()?.last_fault(),
            (Mode::VersionSkew, _) => Some("nodes of several versions serve together".to_owned()),
        }
    }
}

impl Broker {
    /// The modes that this node is in; none: everything is as it should be.
    pub(crate) fn modes(&self) -> Vec<Mode> {
        let mut modes = self.outside.modes();
        if self.has_skew.load(Ordering::Relaxed) {
            modes.push(Mode::VersionSkew);
        }
        modes
    }

    /// Logs what changed since `before`, and returns the modes of now.
    pub(super) fn note_modes(&self, before: &[Mode]) -> Vec<Mode> {
        let now = self.modes();
        for &mode in now.iter().filter(|mode| !before.contains(mode)) {
            self.stats.modes_entered[mode as usize].fetch_add(1, Ordering::Relaxed);
            let fault = self.outside.last_fault(mode).unwrap_or_default();
            tracing::warn!(mode = mode.name(), fault, "degraded: still serving");
        }
        for mode in before.iter().filter(|mode| !now.contains(mode)) {
            tracing::info!(mode = mode.name(), "no longer degraded");
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tidegate_cluster::directory::NodeRecord;
    use tidegate_protocol::id::NodeName;
    use tidegate_protocol::time::Millis;

    use super::*;
    use crate::node::testing::node;

    #[test]
    fn a_node_of_another_version_is_told_of_as_long_as_it_is_there() {
        let node = node(1, &[]);
        let broker = &node.broker;
        let announce = |version: &str| {
            let record = NodeRecord {
                name: NodeName::parse("other").unwrap(),
                phase: "serving".into(),
                version: version.into(),
                connections: 0,
                capacity: 1,
                load_permille: 0,
                started_at: Millis::new(0),
                admin: None,
            };
            let lease = broker.outside.places.announce(record, Duration::from_secs(60));
            let _ = lease.now_or_never().unwrap().unwrap();
            broker.compare_versions().now_or_never().unwrap();
        };

        announce(env!("CARGO_PKG_VERSION"));
        assert_eq!(broker.modes(), []);
        announce("0.0.1");
        assert_eq!(broker.note_modes(&[]), [Mode::VersionSkew]);
        assert_eq!(broker.stats.modes_entered[Mode::VersionSkew as usize].load(Ordering::Relaxed), 1);
        announce(env!("CARGO_PKG_VERSION"));
        assert_eq!(broker.note_modes(&[Mode::VersionSkew]), []);
    }
}
