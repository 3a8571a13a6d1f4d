//! The channels of a node and which of its workers have members: what the workers' hubs share.
//!
//! Its lock is taken when a channel gets its first member on a worker or loses its last, never for a message.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most workers of a node: their interest is a bit each.
pub(crate) const WORKERS_MAX: usize = 64;

/// Whose channels: those of different dialects have nothing in common, even by the same name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Realm {
    /// Of the raw dialect: messages are opaque.
    Raw,
    /// Of the native dialect.
    Native,
}

/// A channel that some worker of the node has members of.
#[derive(Debug)]
pub(crate) struct ChannelEntry {
    pub(crate) realm: Realm,
    pub(crate) name: Arc<str>,
    /// A bit for each worker with members.
    interest: AtomicU64,
    /// Subscriptions on all workers.
    subscribers: AtomicU64,
}

impl ChannelEntry {
    pub(super) fn count_in(&self) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_out(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Subscriptions on this node.
    pub(crate) fn subscribers(&self) -> u64 {
        self.subscribers.load(Ordering::Relaxed)
    }

    /// Workers that have members now.
    pub(crate) fn workers(&self) -> impl Iterator<Item = usize> + use<> {
        let interest = self.interest.load(Ordering::Acquire);
        (0..WORKERS_MAX).filter(move |worker| interest & (1 << worker) != 0)
    }

    /// Workers other than `worker` that have members now.
    pub(crate) fn other_workers(&self, worker: usize) -> impl Iterator<Item = usize> + use<> {
        self.workers().filter(move |&other| other != worker)
    }
}

/// All channels of the node.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    realms: Mutex<[BTreeMap<Arc<str>, Arc<ChannelEntry>>; 2]>,
    keeps_departed: AtomicBool,
    departed: Mutex<HashSet<Arc<str>>>,
}

impl Directory {
    /// Notes that `worker` has members of `name` from now on.
    pub(crate) fn join(&self, realm: Realm, name: &str, worker: usize) -> Arc<ChannelEntry> {
        let channels = &mut self.lock()[realm as usize];
        let entry = match channels.get(name) {
            Some(entry) => Arc::clone(entry),
            None => {
                let name: Arc<str> = name.into();
                let entry = Arc::new(ChannelEntry {
                    realm,
                    name: Arc::clone(&name),
                    interest: AtomicU64::new(0),
                    subscribers: AtomicU64::new(0),
                });
                channels.insert(name, Arc::clone(&entry));
                entry
            }
        };
        entry.interest.fetch_or(1 << worker, Ordering::AcqRel);
        entry
    }

    /// Notes that `worker` has no members any more; forgets a channel that nobody has.
    pub(crate) fn leave(&self, entry: &ChannelEntry, worker: usize) {
        let channels = &mut self.lock()[entry.realm as usize];
        let left = entry.interest.fetch_and(!(1 << worker), Ordering::AcqRel) & !(1 << worker);
        if left == 0 {
            channels.remove(&entry.name);
            if entry.realm == Realm::Native && self.keeps_departed.load(Ordering::Relaxed) {
                lock(&self.departed).insert(Arc::clone(&entry.name));
            }
        }
    }

    /// Remembers channels that lost their last member on the node, for [`Directory::take_departed`].
    pub(crate) fn keep_departed(&self) {
        self.keeps_departed.store(true, Ordering::Relaxed);
    }

    /// Channels that lost their last member since the last call. Some may have got a new one.
    pub(crate) fn take_departed(&self) -> HashSet<Arc<str>> {
        std::mem::take(&mut *lock(&self.departed))
    }

    /// The channel of this name, if it has members anywhere on the node.
    pub(crate) fn find(&self, realm: Realm, name: &str) -> Option<Arc<ChannelEntry>> {
        self.lock()[realm as usize].get(name).cloned()
    }

    /// Channels whose names begin with `prefix` and come after `after`, by name, at most `limit`.
    pub(crate) fn list(
        &self,
        realm: Realm,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<ChannelEntry>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let realms = self.lock();
        let behind = realms[realm as usize].range::<str, _>((from, Bound::Unbounded));
        let matching = behind.map(|(_, entry)| entry).take_while(|entry| entry.name.starts_with(prefix));
        matching.take(limit).cloned().collect()
    }

    /// Channels with members anywhere on the node.
    pub(crate) fn len(&self) -> usize {
        self.lock().iter().map(BTreeMap::len).sum()
    }

    /// Each map is consistent after each single operation, so a panic elsewhere does not spoil them.
    fn lock(&self) -> MutexGuard<'_, [BTreeMap<Arc<str>, Arc<ChannelEntry>>; 2]> {
        lock(&self.realms)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
