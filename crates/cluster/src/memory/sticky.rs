//! [`StickyRoutes`] in memory.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_protocol::time::Millis;

use crate::answer::{Answer, ready};
use crate::clock::Clock;
use crate::sticky::StickyRoutes;

use super::lru::LruMap;
use super::shards::lock;

/// Sticky routes of this process.
#[derive(Debug)]
pub struct MemoryStickyRoutes {
    config: StickyConfig,
    clock: Clock,
    table: Mutex<Table>,
}

/// The bound of a [`MemoryStickyRoutes`].
#[derive(Clone, Copy, Debug)]
pub struct StickyConfig {
    /// Most routes; one more drops the one used longest ago.
    pub routes_max: usize,
}

/// What a [`MemoryStickyRoutes`] holds now and has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StickyStats {
    /// Routes.
    pub routes: usize,
    /// Routes dropped before their time, for lack of room.
    pub evicted_total: u64,
}

#[derive(Debug, Default)]
struct Table {
    routes: LruMap<Arc<str>, Sticky>,
    uses: u64,
    evicted_total: u64,
}

#[derive(Debug)]
struct Sticky {
    backend: Arc<str>,
    ends_at: Millis,
}

impl Default for StickyConfig {
    fn default() -> Self {
        Self { routes_max: 100_000 }
    }
}

impl MemoryStickyRoutes {
    /// No routes.
    pub fn new(config: StickyConfig, clock: Clock) -> Self {
        Self { config, clock, table: Mutex::default() }
    }

    /// What it holds and has done.
    pub fn stats(&self) -> StickyStats {
        let table = lock(&self.table);
        StickyStats { routes: table.routes.len(), evicted_total: table.evicted_total }
    }

    /// Gives back the memory of routes past their time.
    pub fn sweep(&self) {
        let now = self.clock.now();
        lock(&self.table).routes.retain(|_, sticky| sticky.ends_at > now);
    }
}

impl StickyRoutes for MemoryStickyRoutes {
    fn get(&self, key: &str) -> Answer<Option<Arc<str>>> {
        let now = self.clock.now();
        let backend = lock(&self.table).live(key, now).map(|sticky| Arc::clone(&sticky.backend));
        ready(Ok(backend))
    }

    fn claim(&self, key: &str, backend: Arc<str>, ttl: Duration) -> Answer<Arc<str>> {
        let now = self.clock.now();
        let mut table = lock(&self.table);
        if let Some(sticky) = table.live(key, now) {
            return ready(Ok(Arc::clone(&sticky.backend)));
        }
        table.insert(key, Arc::clone(&backend), now + ttl, self.config.routes_max);
        ready(Ok(backend))
    }

    fn put(&self, key: &str, backend: Arc<str>, ttl: Duration) -> Answer<()> {
        let now = self.clock.now();
        lock(&self.table).insert(key, backend, now + ttl, self.config.routes_max);
        ready(Ok(()))
    }

    fn touch(&self, key: &str, ttl: Duration) -> Answer<bool> {
        let now = self.clock.now();
        let mut table = lock(&self.table);
        let sticky = table.live(key, now);
        let is_there = sticky.is_some();
        if let Some(sticky) = sticky {
            sticky.ends_at = now + ttl;
        }
        ready(Ok(is_there))
    }

    fn remove(&self, key: &str) -> Answer<bool> {
        let now = self.clock.now();
        let removed = lock(&self.table).routes.remove(key);
        ready(Ok(removed.is_some_and(|(_, sticky)| sticky.ends_at > now)))
    }
}

impl Table {
    /// Uses a route that has not ended.
    fn live(&mut self, key: &str, now: Millis) -> Option<&mut Sticky> {
        self.uses += 1;
        self.routes.get_mut(key, self.uses).filter(|sticky| sticky.ends_at > now)
    }

    fn insert(&mut self, key: &str, backend: Arc<str>, ends_at: Millis, routes_max: usize) {
        self.uses += 1;
        self.routes.insert(key.into(), Sticky { backend, ends_at }, self.uses);
        while self.routes.len() > routes_max {
            self.routes.pop_oldest();
            self.evicted_total += 1;
        }
    }
}
