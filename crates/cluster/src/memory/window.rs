//! Keys used within their window, each with what its first use gave.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use tidegate_protocol::time::Millis;

use crate::idempotency::{IdempotencyKey, Scope};

#[cfg(test)]
mod tests;

/// A key as a number: 128 bits of two keyed hashes, so that a key of 64 bytes costs 16 and nobody can make two collide.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    low: RandomState,
    high: RandomState,
}

#[derive(Debug)]
pub(super) struct Window<T> {
    first_uses: HashMap<u128, FirstUse<T>>,
    /// In order of use, which is the order of ending as long as windows are equally long. One that was released is still
    /// in here until its time comes.
    order: VecDeque<(u128, Millis)>,
}

#[derive(Debug)]
struct FirstUse<T> {
    value: T,
    ends_at: Millis,
}

impl Fingerprints {
    pub(super) fn of(&self, scope: Scope<'_>, key: IdempotencyKey<'_>) -> u128 {
        let named = (scope, key.publisher, key.key);
        u128::from(self.low.hash_one(named)) | u128::from(self.high.hash_one(named)) << 64
    }
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { first_uses: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T: Copy> Window<T> {
    /// Bytes that one key costs, about: the map at two thirds full, and the queue.
    pub(super) const KEY_BYTES: usize =
        (size_of::<(u128, FirstUse<T>)>() + 1) * 3 / 2 + size_of::<(u128, Millis)>();

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn get(&self, key: u128, now: Millis) -> Option<T> {
        self.first_uses.get(&key).filter(|first| first.ends_at > now).map(|first| first.value)
    }

    /// Remembers a first use; returns how many keys were forgotten before their time to stay within `max`.
    pub(super) fn insert(&mut self, key: u128, value: T, ends_at: Millis, now: Millis, max: usize) -> u64 {
        self.expire(now);
        let mut forgotten = 0;
        while self.order.len() >= max && self.drop_oldest() {
            forgotten += 1;
        }
        if max > 0 {
            self.first_uses.insert(key, FirstUse { value, ends_at });
            self.order.push_back((key, ends_at));
        }
        forgotten
    }

    pub(super) fn remove(&mut self, key: u128) {
        self.first_uses.remove(&key);
    }

    /// Forgets what has ended.
    pub(super) fn expire(&mut self, now: Millis) {
        while self.order.front().is_some_and(|(_, ends_at)| *ends_at <= now) {
            self.drop_oldest();
        }
        if self.order.is_empty() && self.order.capacity() > 0 {
            *self = Self::default();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((key, ends_at)) = self.order.pop_front() else { return false };
        // A key that was released and used again has another place further back.
        if self.first_uses.get(&key).is_some_and(|first| first.ends_at == ends_at) {
            self.first_uses.remove(&key);
        }
        true
    }
}
