//! Locks, and one state split over several by name, so that threads with different channels seldom meet.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A power of two, some times the workers of a large node.
const SHARD_COUNT: usize = 32;

#[derive(Debug)]
pub(crate) struct Shards<T> {
    shards: Box<[Mutex<T>]>,
    hasher: RandomState,
}

impl<T: Default> Shards<T> {
    pub(crate) fn new() -> Self {
        let shards = (0..SHARD_COUNT).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new() }
    }

    pub(crate) fn lock(&self, name: &str) -> MutexGuard<'_, T> {
        lock(&self.shards[self.hasher.hash_one(name) as usize % SHARD_COUNT])
    }

    /// For keys that are random numbers already.
    pub(crate) fn lock_nth(&self, number: usize) -> MutexGuard<'_, T> {
        lock(&self.shards[number % SHARD_COUNT])
    }

    /// Every shard, one lock after the other.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.shards.iter().map(lock)
    }

    /// The share of a bound that each shard gets.
    pub(crate) const fn share(bound: usize) -> usize {
        bound.div_ceil(SHARD_COUNT)
    }
}

/// A thread that panicked while it held a lock has left a state that is sound, if not what it meant: every step here
/// keeps the memory safe and the bounds, and one lost entry is better than a node that answers nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
