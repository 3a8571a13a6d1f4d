//! [`Idempotency`] in memory.

#[cfg(test)]
mod tests;

use tidegate_protocol::time::Millis;

use crate::answer::{Answer, ready};
use crate::clock::Clock;
use crate::idempotency::{Idempotency, IdempotencyKey, Scope, Use};

use super::count::Counter;
use super::shards::Shards;
use super::window::{Fingerprints, Window};

/// Keys of messages without a history.
#[derive(Debug)]
pub struct MemoryIdempotency {
    keys_max: usize,
    clock: Clock,
    fingerprints: Fingerprints,
    shards: Shards<Window<()>>,
    duplicates_total: Counter,
    evicted_total: Counter,
}

/// The bound of a [`MemoryIdempotency`].
#[derive(Clone, Copy, Debug)]
pub struct IdempotencyConfig {
    /// Most keys, rounded up to a multiple of 32; one more drops the oldest of its part.
    pub keys_max: usize,
}

/// What a [`MemoryIdempotency`] holds now and has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct IdempotencyStats {
    /// Keys within their window.
    pub keys: usize,
    /// Messages that were recognised as sent before.
    pub duplicates_total: u64,
    /// Keys dropped before their window ended, for lack of room.
    pub evicted_total: u64,
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self { keys_max: 131_072 }
    }
}

impl MemoryIdempotency {
    /// An empty store.
    pub fn new(config: IdempotencyConfig, clock: Clock) -> Self {
        Self {
            keys_max: Shards::<Window<()>>::share(config.keys_max),
            clock,
            fingerprints: Fingerprints::default(),
            shards: Shards::new(),
            duplicates_total: Counter::default(),
            evicted_total: Counter::default(),
        }
    }

    /// What it holds and has done.
    pub fn stats(&self) -> IdempotencyStats {
        IdempotencyStats {
            keys: self.shards.each().map(|window| window.len()).sum(),
            duplicates_total: self.duplicates_total.total(),
            evicted_total: self.evicted_total.total(),
        }
    }

    /// Gives back the memory of keys whose window has ended.
    pub fn sweep(&self) {
        let now = self.clock.now();
        self.shards.each().for_each(|mut window| window.expire(now));
    }

    fn use_key(&self, fingerprint: u128, ends_at: Millis, now: Millis) -> Use {
        let mut window = self.shards.lock_nth(fingerprint as usize);
        if window.get(fingerprint, now).is_some() {
            self.duplicates_total.add(1);
            return Use::Again;
        }
        self.evicted_total.add(window.insert(fingerprint, (), ends_at, now, self.keys_max));
        Use::First
    }
}

impl Idempotency for MemoryIdempotency {
    fn claim(&self, scope: Scope<'_>, key: IdempotencyKey<'_>) -> Answer<Use> {
        let now = self.clock.now();
        let fingerprint = self.fingerprints.of(scope, key);
        ready(Ok(self.use_key(fingerprint, now + key.window, now)))
    }

    fn release(&self, scope: Scope<'_>, key: IdempotencyKey<'_>) -> Answer<()> {
        let fingerprint = self.fingerprints.of(scope, key);
        self.shards.lock_nth(fingerprint as usize).remove(fingerprint);
        ready(Ok(()))
    }
}
