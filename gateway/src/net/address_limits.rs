//! Node-wide limits at the door: connections per client address, and handshakes per second.
//!
//! Place in the data path: asked right after `accept` (or after the PROXY header, which names the real client), before
//! a byte of the handshake is parsed. Shared by all workers; touched only when a connection begins and when it ends.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Locks are spread over this many maps, so that workers that accept at the same moment seldom meet.
const SHARDS: usize = 64;

/// Counts the open connections of each client address.
///
/// An IPv6 client counts by its /64, the smallest network a site is given: an address each would be no limit at all.
/// Only addresses with open connections have an entry, so the maps hold at most as many as the node holds
/// connections.
#[derive(Debug)]
pub(crate) struct AddressLimits {
    per_address_max: u64,
    /// Chooses the shard and hashes within it; seeded, so that clients cannot aim at one shard.
    hasher: RandomState,
    shards: Box<[Mutex<Counts>]>,
}

type Counts = HashMap<Network, u32, RandomState>;

/// What counts as one client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Network {
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
}

/// The address already has as many connections as it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AddressFull {
    /// How many it has.
    pub open: u64,
}

/// One connection's share of its address's limit; dropping it gives the share back.
#[derive(Debug)]
#[must_use = "the connection stops counting when this is dropped"]
pub(crate) struct AddressPermit {
    /// `None`: the limit is off and there is nothing to give back.
    limits: Option<Arc<AddressLimits>>,
    network: Network,
}

impl AddressLimits {
    /// Allows `per_address_max` open connections for each address; 0 switches the limit (and its locks) off.
    pub(crate) fn new(per_address_max: u64) -> Arc<Self> {
        let hasher = RandomState::new();
        let shards = (0..SHARDS).map(|_| Mutex::new(Counts::with_hasher(hasher.clone()))).collect();
        Arc::new(Self { per_address_max, hasher, shards })
    }

    /// Counts one more connection of `address`.
    pub(crate) fn try_acquire(self: &Arc<Self>, address: IpAddr) -> Result<AddressPermit, AddressFull> {
        let network = Network::of(address);
        if self.per_address_max == 0 {
            return Ok(AddressPermit { limits: None, network });
        }

        let mut counts = self.lock(network);
        let count = counts.entry(network).or_insert(0);
        // A count of zero never stays behind: the limit is at least 1, so a fresh entry is always taken.
        if u64::from(*count) >= self.per_address_max || *count == u32::MAX {
            return Err(AddressFull { open: u64::from(*count) });
        }
        *count += 1;
        Ok(AddressPermit { limits: Some(Arc::clone(self)), network })
    }

    /// How many addresses have open connections (0 while the limit is off).
    pub(crate) fn addresses(&self) -> usize {
        self.shards.iter().map(|shard| lock_ignoring_poison(shard).len()).sum()
    }

    fn release(&self, network: Network) {
        let mut counts = self.lock(network);
        let Some(count) = counts.get_mut(&network) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        counts.remove(&network);
        // A flood from many addresses must not leave its table behind.
        if counts.capacity() > 64 && counts.len() * 8 < counts.capacity() {
            let keep = counts.len() * 2;
            counts.shrink_to(keep);
        }
    }

    fn lock(&self, network: Network) -> MutexGuard<'_, Counts> {
        // The high half: the maps use the low bits (and the top seven) of the same hash.
        let shard = (self.hasher.hash_one(network) >> 32) % SHARDS as u64;
        let shard = usize::try_from(shard).expect("below SHARDS");
        lock_ignoring_poison(&self.shards[shard])
    }
}

/// No code can panic between a map's two states, so a poisoned lock still guards a sound one.
fn lock_ignoring_poison(shard: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => Self::V6(*v6.octets().first_chunk().expect("16 octets hold 8")),
        }
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        if let Some(limits) = &self.limits {
            limits.release(self.network);
        }
    }
}

/// Node-wide limit of handshakes per second with a burst of one second's worth: GCRA over one atomic.
#[derive(Debug)]
pub(crate) struct HandshakeRate {
    origin: Instant,
    /// Time between two handshakes at the full rate, in nanoseconds.
    interval_ns: u64,
    /// How far the schedule may run ahead of the clock, in nanoseconds.
    ahead_ns_max: u64,
    /// When the next handshake would be exactly on schedule, in nanoseconds after `origin`.
    due_ns: AtomicU64,
}

/// Whether a handshake may begin now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum RateVerdict {
    /// Go on.
    Admit,
    /// Refuse with this `Retry-After`.
    Defer {
        /// Seconds until the rate allows one again, rounded up, at least 1.
        retry_after_s: u32,
    },
}

impl HandshakeRate {
    /// Allows `per_second` handshakes a second on this node. No limit is no `HandshakeRate` at all.
    pub(crate) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        const SECOND_NS: u64 = 1_000_000_000;

        let interval_ns = (SECOND_NS / u64::from(per_second.get())).max(1);
        let ahead_ns_max = interval_ns * u64::from(per_second.get() - 1);
        Self { origin: now, interval_ns, ahead_ns_max, due_ns: AtomicU64::new(0) }
    }

    /// How many handshakes could begin now, one after the other, without waiting.
    pub(crate) fn free(&self, now: Instant) -> u64 {
        let ahead_ns = self.due_ns.load(Ordering::Relaxed).saturating_sub(self.nanoseconds(now));
        self.ahead_ns_max.checked_sub(ahead_ns).map_or(0, |left_ns| left_ns / self.interval_ns + 1)
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes one handshake from the schedule. A refused one leaves the schedule as it is, so that a flood cannot lock
    /// everyone out.
    pub(crate) fn try_take(&self, now: Instant) -> RateVerdict {
        let now_ns = self.nanoseconds(now);
        let taken = self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due_ns| {
            let due_ns = due_ns.max(now_ns);
            (due_ns - now_ns <= self.ahead_ns_max).then(|| due_ns.saturating_add(self.interval_ns))
        });
        match taken {
            Ok(_) => RateVerdict::Admit,
            Err(due_ns) => {
                let wait =
                    Duration::from_nanos(due_ns.saturating_sub(now_ns).saturating_sub(self.ahead_ns_max));
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                RateVerdict::Defer { retry_after_s: u32::try_from(seconds.max(1)).unwrap_or(u32::MAX) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
