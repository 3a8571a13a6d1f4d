//! Quotas that several connections share: those of one user, and those of one client address.
//!
//! Place in the data path: a connection gets its [`Share`] when it knows who it is, and asks it for each message. The
//! workers that a user's connections live on share one schedule through two atomics; a map is locked only when a
//! connection begins or ends.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::quota::Verdict;
use tidegate_protocol::time::Millis;

use crate::config::shares::{AddressLimits, UserLimits};

/// Locks are spread over this many maps, so that workers that take a client at the same moment seldom meet.
const SHARDS: usize = 64;
/// Entries of a shard without a connection that are kept because their owner is ahead of its schedule: leaving and
/// coming back is no way to a fresh quota.
const ABSENT_MAX: usize = 1024;
const NS_PER_SECOND: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// The quotas of all users, or of all addresses, with a connection to this node. All times are monotonic.
#[derive(Debug)]
pub(crate) struct SharedQuotas<K> {
    rules: Arc<Rules>,
    hasher: RandomState,
    shards: Box<[Mutex<Shard<K>>]>,
}

/// One connection's part in the quota of its address; dropping it gives it back. The default is a part in no quota:
/// nothing is limited. One word, for every connection has one.
#[derive(Debug, Default)]
#[must_use = "the connection stops counting when this is dropped"]
pub(crate) struct Share {
    /// `None`: nothing is limited.
    quota: Option<Arc<Owner>>,
}

/// One connection's part in the quota of its user, in which its subscriptions count too.
#[derive(Debug, Default)]
#[must_use = "the connection stops counting when this is dropped"]
pub(crate) struct UserShare {
    share: Share,
    subscriptions: u32,
}

/// How much is refused.
#[derive(Debug, Default)]
pub(crate) struct QuotaStats {
    pub(crate) connections_refused: AtomicU64,
    pub(crate) subscriptions_refused: AtomicU64,
    pub(crate) messages_refused: AtomicU64,
    /// Owners that were forgotten while ahead of their schedule, because there were too many.
    pub(crate) evicted: AtomicU64,
}

#[derive(Debug)]
struct Shard<K> {
    owners: HashMap<K, Arc<Owner>, RandomState>,
    /// Length at which absent owners are looked for; grows with the map, so that looking costs each entry little.
    sweep_at: usize,
}

/// Whom the connections have in common.
#[derive(Debug)]
struct Owner {
    rules: Arc<Rules>,
    connections: AtomicU32,
    subscriptions: AtomicU32,
    messages: Schedule,
    bytes: Schedule,
}

#[derive(Debug)]
struct Rules {
    /// What the owner is called in refusals.
    owner: &'static str,
    connections_max: Option<u32>,
    subscriptions_max: Option<u32>,
    messages: Option<Rate>,
    bytes: Option<Rate>,
    stats: QuotaStats,
}

/// Units a second, with a burst of one second's worth.
#[derive(Clone, Copy, Debug)]
struct Rate {
    interval_ns: u64,
    burst_ns: u64,
}

/// GCRA over one atomic: when the next unit would be exactly on schedule.
#[derive(Debug, Default)]
struct Schedule {
    due_ns: AtomicU64,
}

impl SharedQuotas<Arc<str>> {
    /// The quotas of users.
    pub(crate) fn of_users(limits: &UserLimits) -> Self {
        Self::new(Rules {
            owner: "user",
            connections_max: limit(limits.connections),
            subscriptions_max: limit(limits.subscriptions),
            messages: Rate::new(limits.messages_per_second),
            bytes: Rate::new(limits.bytes_per_second),
            stats: QuotaStats::default(),
        })
    }

    /// A share for one more connection of `user`; refused when it has as many as it may.
    pub(crate) fn try_join(&self, user: Arc<str>, now: Millis) -> Result<UserShare, ErrorBody> {
        let share = self.join_up_to(self.rules.connections_max, user, now).map_err(|max| {
            self.rules.stats.connections_refused.fetch_add(1, Ordering::Relaxed);
            let owner = self.rules.owner;
            let message = format!("this {owner} has {max} connections, which is the most on one node");
            ErrorBody::new(ErrorCode::Limit, message)
        })?;
        Ok(UserShare { share, subscriptions: 0 })
    }

    /// A share for a connection that takes the place of one that is about to close: for that moment there may be one too
    /// many.
    pub(crate) fn join(&self, user: Arc<str>, now: Millis) -> UserShare {
        let share = self.join_up_to(None, user, now).unwrap_or_default();
        UserShare { share, subscriptions: 0 }
    }
}

impl SharedQuotas<IpAddr> {
    /// The quotas of addresses.
    pub(crate) fn of_addresses(limits: &AddressLimits) -> Self {
        Self::new(Rules {
            owner: "address",
            connections_max: None,
            subscriptions_max: None,
            messages: Rate::new(limits.messages_per_second),
            bytes: Rate::new(limits.bytes_per_second),
            stats: QuotaStats::default(),
        })
    }

    /// A share for one more connection of `address`.
    pub(crate) fn join(&self, address: IpAddr, now: Millis) -> Share {
        self.join_up_to(None, network(address), now).unwrap_or_default()
    }
}

/// What counts as one client address: an IPv4 address, or an IPv6 network of 64 bits, the smallest a site is given.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

impl<K: Eq + Hash> SharedQuotas<K> {
    fn new(rules: Rules) -> Self {
        let hasher = RandomState::new();
        let shard = || Shard { owners: HashMap::with_hasher(hasher.clone()), sweep_at: ABSENT_MAX };
        let shards = (0..SHARDS).map(|_| Mutex::new(shard())).collect();
        Self { rules: Arc::new(rules), hasher, shards }
    }

    pub(crate) fn stats(&self) -> &QuotaStats {
        &self.rules.stats
    }

    /// How many users or addresses are known.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).owners.len()).sum()
    }

    /// The error is the number that is reached.
    fn join_up_to(&self, max: Option<u32>, key: K, now: Millis) -> Result<Share, u32> {
        if self.rules.are_none() {
            return Ok(Share::default());
        }
        // The high half: the maps use the low bits (and the top seven) of the same hash.
        let shard = (self.hasher.hash_one(&key) >> 32) % SHARDS as u64;
        let mut shard = lock(&self.shards[usize::try_from(shard).expect("below SHARDS")]);
        if shard.owners.len() >= shard.sweep_at {
            self.rules.stats.evicted.fetch_add(shard.sweep(now), Ordering::Relaxed);
        }
        let new = || Arc::new(Owner::new(Arc::clone(&self.rules)));
        let owner = Arc::clone(shard.owners.entry(key).or_insert_with(new));
        // Under the lock, so that a sweep sees either no owner or one with a connection.
        take_one(&owner.connections, max)?;
        Ok(Share { quota: Some(owner) })
    }
}

impl Share {
    /// Takes one message of `bytes` from the quota.
    pub(crate) fn try_send(&self, bytes: usize, now: Millis) -> Verdict {
        let Some(owner) = &self.quota else { return Verdict::Admit };
        let verdict = owner.try_send(bytes, now);
        if verdict != Verdict::Admit {
            owner.rules.stats.messages_refused.fetch_add(1, Ordering::Relaxed);
        }
        verdict
    }
}

impl UserShare {
    /// Takes one message of `bytes` from the quota.
    pub(crate) fn try_send(&self, bytes: usize, now: Millis) -> Verdict {
        self.share.try_send(bytes, now)
    }

    /// Counts one more subscription.
    pub(crate) fn try_subscribe(&mut self) -> Result<(), ErrorBody> {
        let Some(owner) = &self.share.quota else { return Ok(()) };
        take_one(&owner.subscriptions, owner.rules.subscriptions_max).map_err(|max| {
            owner.rules.stats.subscriptions_refused.fetch_add(1, Ordering::Relaxed);
            let name = owner.rules.owner;
            let message = format!("this {name} has {max} subscriptions, which is the most on one node");
            ErrorBody::new(ErrorCode::Limit, message)
        })?;
        self.subscriptions += 1;
        Ok(())
    }

    /// Counts one more subscription, whatever the bound: the client had it before, or did not ask for it.
    pub(crate) fn subscribe(&mut self) {
        let Some(owner) = &self.share.quota else { return };
        owner.subscriptions.fetch_add(1, Ordering::Relaxed);
        self.subscriptions += 1;
    }

    /// Counts one subscription less. Called once for each that was counted.
    pub(crate) fn unsubscribe(&mut self) {
        let Some(owner) = self.share.quota.as_ref().filter(|_| self.subscriptions > 0) else { return };
        self.subscriptions -= 1;
        owner.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(owner) = &self.quota {
            owner.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for UserShare {
    fn drop(&mut self) {
        if let Some(owner) = &self.share.quota {
            owner.subscriptions.fetch_sub(self.subscriptions, Ordering::Relaxed);
        }
    }
}

impl<K: Eq + Hash> Shard<K> {
    /// Forgets owners without a connection: those on schedule, and of the others the surplus, whose number it returns.
    fn sweep(&mut self, now: Millis) -> u64 {
        let now_ns = now.count().saturating_mul(NS_PER_MS);
        let (mut absent, mut evicted) = (0, 0);
        self.owners.retain(|_, owner| {
            if owner.connections.load(Ordering::Relaxed) > 0 {
                return true;
            }
            if owner.is_on_schedule(now_ns) {
                return false;
            }
            absent += 1;
            let is_surplus = absent > ABSENT_MAX / 2;
            evicted += u64::from(is_surplus);
            !is_surplus
        });
        let kept = self.owners.len().saturating_mul(2);
        self.owners.shrink_to(kept);
        self.sweep_at = kept.max(ABSENT_MAX);
        evicted
    }
}

impl Owner {
    fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            connections: AtomicU32::new(0),
            subscriptions: AtomicU32::new(0),
            messages: Schedule::default(),
            bytes: Schedule::default(),
        }
    }

    fn try_send(&self, bytes: usize, now: Millis) -> Verdict {
        let now_ns = now.count().saturating_mul(NS_PER_MS);
        // Looked at first and taken last: a message that is refused for its bytes costs its sender nothing.
        if let Some(rate) = &self.rules.bytes
            && let Err(retry_after) = self.bytes.look(rate, now_ns)
        {
            return Verdict::Defer { retry_after };
        }
        if let Some(rate) = &self.rules.messages
            && let Err(retry_after) = self.messages.take(rate, 1, now_ns)
        {
            return Verdict::Defer { retry_after };
        }
        if let Some(rate) = &self.rules.bytes {
            self.bytes.advance(rate, bytes as u64, now_ns);
        }
        Verdict::Admit
    }

    fn is_on_schedule(&self, now_ns: u64) -> bool {
        let due = |schedule: &Schedule| schedule.due_ns.load(Ordering::Relaxed);
        due(&self.messages) <= now_ns && due(&self.bytes) <= now_ns
    }
}

impl Rules {
    const fn are_none(&self) -> bool {
        self.connections_max.is_none()
            && self.subscriptions_max.is_none()
            && self.messages.is_none()
            && self.bytes.is_none()
    }
}

impl Rate {
    fn new(per_second: u32) -> Option<Self> {
        let per_second = u64::from(NonZeroU32::new(per_second)?.get());
        let interval_ns = (NS_PER_SECOND / per_second).max(1);
        Some(Self { interval_ns, burst_ns: interval_ns * (per_second - 1) })
    }
}

impl Schedule {
    /// Whether one unit would be admitted; else when.
    fn look(&self, rate: &Rate, now_ns: u64) -> Result<(), Duration> {
        rate.judge(self.due_ns.load(Ordering::Relaxed), now_ns)
    }

    /// Takes `units` if one unit is admitted. What is refused moves nothing: a flood cannot lock its sender out.
    fn take(&self, rate: &Rate, units: u64, now_ns: u64) -> Result<(), Duration> {
        let taken = self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due_ns| {
            rate.judge(due_ns, now_ns).ok().map(|()| rate.after(due_ns, units, now_ns))
        });
        match taken {
            Ok(_) => Ok(()),
            Err(due_ns) => rate.judge(due_ns, now_ns),
        }
    }

    /// Takes `units`, admitted or not.
    fn advance(&self, rate: &Rate, units: u64, now_ns: u64) {
        let after = |due_ns| Some(rate.after(due_ns, units, now_ns));
        // Never an error: there is always a value after this one.
        let _ = self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
    }
}

impl Rate {
    fn judge(&self, due_ns: u64, now_ns: u64) -> Result<(), Duration> {
        let ahead_ns = due_ns.saturating_sub(now_ns);
        if ahead_ns <= self.burst_ns {
            return Ok(());
        }
        Err(Duration::from_millis((ahead_ns - self.burst_ns).div_ceil(NS_PER_MS)))
    }

    const fn after(&self, due_ns: u64, units: u64, now_ns: u64) -> u64 {
        let start_ns = if due_ns > now_ns { due_ns } else { now_ns };
        start_ns.saturating_add(self.interval_ns.saturating_mul(units))
    }
}

/// Adds one unless `max` is reached, which is the error.
fn take_one(counter: &AtomicU32, max: Option<u32>) -> Result<(), u32> {
    let max = max.unwrap_or(u32::MAX);
    let taken =
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then(|| count + 1));
    taken.map(drop).map_err(|_| max)
}

/// 0 in the configuration is no limit.
fn limit(configured: u32) -> Option<u32> {
    Some(configured).filter(|max| *max > 0)
}

/// No code can panic between a map's two states, so a poisoned lock still guards a sound one.
fn lock<K>(shard: &Mutex<Shard<K>>) -> MutexGuard<'_, Shard<K>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
