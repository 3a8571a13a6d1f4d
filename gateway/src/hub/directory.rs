//! The channels of a node and which of its workers have members: what the workers' hubs share.
//!
//! Its lock is taken when a channel gets its first member on a worker or loses its last, never for a message.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most workers of a node: their interest is a bit each.
pub(crate) const WORKERS_MAX: usize = 64;

/// A channel that some worker of the node has members of.
#[derive(Debug)]
pub(crate) struct ChannelEntry {
    pub(crate) name: Arc<str>,
    /// A bit for each worker with members.
    interest: AtomicU64,
}

impl ChannelEntry {
    /// Workers other than `worker` that have members now.
    pub(crate) fn other_workers(&self, worker: usize) -> impl Iterator<Item = usize> + use<> {
        let interest = self.interest.load(Ordering::Acquire) & !(1 << worker);
        (0..WORKERS_MAX).filter(move |other| interest & (1 << other) != 0)
    }
}

/// All channels of the node.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    channels: Mutex<HashMap<Arc<str>, Arc<ChannelEntry>>>,
}

impl Directory {
    /// Notes that `worker` has members of `name` from now on.
    pub(crate) fn join(&self, name: &str, worker: usize) -> Arc<ChannelEntry> {
        let mut channels = self.lock();
        let entry = match channels.get(name) {
            Some(entry) => Arc::clone(entry),
            None => {
                let name: Arc<str> = name.into();
                let entry = Arc::new(ChannelEntry { name: Arc::clone(&name), interest: AtomicU64::new(0) });
                channels.insert(name, Arc::clone(&entry));
                entry
            }
        };
        entry.interest.fetch_or(1 << worker, Ordering::AcqRel);
        entry
    }

    /// Notes that `worker` has no members any more; forgets a channel that nobody has.
    pub(crate) fn leave(&self, entry: &ChannelEntry, worker: usize) {
        let mut channels = self.lock();
        let left = entry.interest.fetch_and(!(1 << worker), Ordering::AcqRel) & !(1 << worker);
        if left == 0 {
            channels.remove(&entry.name);
        }
    }

    /// Channels with members anywhere on the node.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The map is consistent after each single operation, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<ChannelEntry>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
