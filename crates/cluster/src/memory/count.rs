//! Numbers that several threads count in: totals that only grow, and levels with a bound.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A total.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// How much there is of something.
#[derive(Debug, Default)]
pub(crate) struct Level(AtomicUsize);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        // A counter orders nothing: whoever reads it wants a figure, not a moment.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The value before, unique to the caller.
    pub(crate) fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Level {
    /// Moves from one share of it to another.
    pub(crate) fn replace(&self, before: usize, after: usize) {
        match after.checked_sub(before) {
            Some(more) => self.0.fetch_add(more, Ordering::Relaxed),
            None => self.0.fetch_sub(before - after, Ordering::Relaxed),
        };
    }

    /// Takes one, unless there are `max` already.
    pub(crate) fn try_take(&self, max: usize) -> bool {
        let take = |level| (level < max).then_some(level + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Gives some back.
    pub(crate) fn give(&self, count: usize) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
