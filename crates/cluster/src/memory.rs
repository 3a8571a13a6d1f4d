//! Everything a cluster shares, in the memory of one process: the embedded default, and the measure for the others.
//!
//! Every answer is ready at its first poll. Every map has a bound, a counter of what the bound did, and no background
//! task: what has ended is no longer seen at once, and its memory comes back with [`Memory::sweep`] or when room is needed.

mod budget;
mod bus;
pub(crate) mod count;
mod directory;
mod documents;
mod history;
mod idempotency;
mod leadership;
mod leases;
pub(crate) mod lru;
mod presence;
mod sessions;
pub(crate) mod shards;
mod sticky;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod users;
mod window;

use std::sync::Arc;

use crate::clock::Clock;

pub use budget::{BudgetConfig, BudgetStats, MemoryBudget};
pub use bus::{AttachError, BusConfig, BusStats, MemoryBus, MemoryNetwork};
pub use directory::{DirectoryConfig, DirectoryStats, MemoryDirectory};
pub use documents::MemoryDocuments;
pub use history::{HistoryConfig, HistoryStats, MemoryHistory};
pub use idempotency::{IdempotencyConfig, IdempotencyStats, MemoryIdempotency};
pub use leadership::MemoryLeadership;
pub use presence::{MemoryPresence, PresenceConfig, PresenceStats};
pub use sessions::{MemorySessions, SessionsConfig, SessionsStats};
pub use sticky::{MemoryStickyRoutes, StickyConfig, StickyStats};

/// One of each. Clones share them.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Where nodes of this process meet.
    pub network: MemoryNetwork,
    /// [`SessionStore`](crate::SessionStore).
    pub sessions: Arc<MemorySessions>,
    /// [`History`](crate::History).
    pub history: Arc<MemoryHistory>,
    /// [`Idempotency`](crate::Idempotency).
    pub idempotency: Arc<MemoryIdempotency>,
    /// [`Presence`](crate::Presence).
    pub presence: Arc<MemoryPresence>,
    /// [`Directory`](crate::Directory).
    pub directory: Arc<MemoryDirectory>,
    /// [`StickyRoutes`](crate::StickyRoutes).
    pub sticky_routes: Arc<MemoryStickyRoutes>,
    /// [`Budget`](crate::Budget).
    pub budget: Arc<MemoryBudget>,
}

/// The bounds of all of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryConfig {
    /// Of the bus.
    pub bus: BusConfig,
    /// Of the sessions.
    pub sessions: SessionsConfig,
    /// Of the histories.
    pub history: HistoryConfig,
    /// Of the keys without a history.
    pub idempotency: IdempotencyConfig,
    /// Of the members.
    pub presence: PresenceConfig,
    /// Of the routes.
    pub directory: DirectoryConfig,
    /// Of the sticky routes.
    pub sticky_routes: StickyConfig,
    /// Of the budgets.
    pub budget: BudgetConfig,
}

/// What all of it holds now and has done since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MemoryStats {
    /// Of the bus.
    pub bus: BusStats,
    /// Of the sessions.
    pub sessions: SessionsStats,
    /// Of the histories.
    pub history: HistoryStats,
    /// Of the keys without a history.
    pub idempotency: IdempotencyStats,
    /// Of the members.
    pub presence: PresenceStats,
    /// Of the routes.
    pub directory: DirectoryStats,
    /// Of the sticky routes.
    pub sticky_routes: StickyStats,
    /// Of the budgets.
    pub budget: BudgetStats,
}

impl Memory {
    /// Empty ones. `epoch_seed` is random and different in each process: it keeps epochs from repeating.
    pub fn new(config: &MemoryConfig, clock: &Clock, epoch_seed: u64) -> Self {
        Self {
            network: MemoryNetwork::new(config.bus),
            sessions: Arc::new(MemorySessions::new(config.sessions, clock.clone())),
            history: Arc::new(MemoryHistory::new(config.history, clock.clone(), epoch_seed)),
            idempotency: Arc::new(MemoryIdempotency::new(config.idempotency, clock.clone())),
            presence: Arc::new(MemoryPresence::new(config.presence, clock.clone())),
            directory: Arc::new(MemoryDirectory::new(config.directory, clock.clone())),
            sticky_routes: Arc::new(MemoryStickyRoutes::new(config.sticky_routes, clock.clone())),
            budget: Arc::new(MemoryBudget::new(config.budget, clock.clone())),
        }
    }

    /// Gives back the memory of what has ended. To be called every second or so, from a thread that may take a few
    /// milliseconds; each lock on the way is held for a part of them.
    pub fn sweep(&self) {
        self.sessions.sweep();
        self.history.sweep();
        self.idempotency.sweep();
        self.directory.sweep();
        self.sticky_routes.sweep();
    }

    /// The books, for a metrics endpoint.
    pub fn stats(&self) -> MemoryStats {
        MemoryStats {
            bus: self.network.stats(),
            sessions: self.sessions.stats(),
            history: self.history.stats(),
            idempotency: self.idempotency.stats(),
            presence: self.presence.stats(),
            directory: self.directory.stats(),
            sticky_routes: self.sticky_routes.stats(),
            budget: self.budget.stats(),
        }
    }
}
