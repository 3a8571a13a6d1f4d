//! The degraded modes of a node: what it does without while a server cannot be reached.
//!
//! | Mode | What goes on | What does not |
//! |---|---|---|
//! | `store_down` | live messages of channels without history; sessions that are there | publishing to channels with history, resuming |
//! | `store_slow` | everything, later | |
//! | `bus_down` | publishing to channels with history, which other nodes read from it | publishing to channels without |
//! | `bus_slow` | everything, later | |

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
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::StoreDown, Self::StoreSlow, Self::BusDown, Self::BusSlow];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::StoreDown => "store_down",
            Self::StoreSlow => "store_slow",
            Self::BusDown => "bus_down",
            Self::BusSlow => "bus_slow",
        }
    }
}

impl Outside {
    /// The modes that this node is in; none: everything is there.
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
        }
    }
}

impl Broker {
    /// Logs what changed since `before`, and returns the modes of now.
    pub(super) fn note_modes(&self, before: &[Mode]) -> Vec<Mode> {
        let now = self.outside.modes();
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
