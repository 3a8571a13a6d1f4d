//! Sessions that were sent away: awaited on other nodes, seen there, or given up.
//!
//! Place in the data path: workers add a session when its connection ends by a drain; the drain's task looks into the
//! store, some sessions at a time, until each has a newer fence: somebody has claimed it since. Without a store that
//! nodes share there is nothing to await, and nothing is kept.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use tidegate_cluster::Fence;
use tidegate_cluster::idempotency::{IdempotencyKey, Scope, Use};
use tidegate_protocol::drain::OperationId;
use tidegate_protocol::id::SessionId;

use crate::broker::outside::Outside;

/// Sessions awaited at the same time; of more, it is not known what became of them, and they count as lost.
const AWAITED_MAX: usize = 100_000;
/// Sessions looked for in one go, and how many of them at the same time.
const LOOKS_MAX: usize = 512;
const LOOKS_AT_ONCE: usize = 64;
/// How long it is remembered by which operation a session was sent away.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Whose key that is, where the store tells used keys apart by their publishers. No user's name has a space in front.
const REMEMBERER: &str = " drain";

/// The sessions of this node that drains have sent away.
#[derive(Debug)]
pub(crate) struct Displaced {
    is_shared: bool,
    awaited: Mutex<VecDeque<Awaited>>,
    /// Those that are being looked for.
    under_way: AtomicUsize,
    /// Times that all were given up: whoever was being looked for then is not awaited again.
    era: AtomicU64,
    resumed: AtomicU64,
    lost: AtomicU64,
    repeats: AtomicU64,
}

/// What became of sessions since the process began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Outcomes {
    pub(crate) resumed: u64,
    pub(crate) lost: u64,
    /// Sessions that the same operation had sent away before.
    pub(crate) repeats: u64,
}

#[derive(Clone, Copy, Debug)]
struct Awaited {
    session: SessionId,
    /// Under which it was here; its next place has a newer one.
    fence: Fence,
    since: Instant,
    /// Whether it was noted that the operation has sent it away.
    is_noted: bool,
}

impl Displaced {
    pub(super) fn new(is_shared: bool) -> Self {
        Self {
            is_shared,
            awaited: Mutex::default(),
            under_way: AtomicUsize::new(0),
            era: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
        }
    }

    pub(super) fn add(&self, session: SessionId, fence: Fence, since: Instant) {
        if !self.is_shared {
            return;
        }
        let mut awaited = self.lock();
        if awaited.len() >= AWAITED_MAX {
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            awaited.push_back(Awaited { session, fence, since, is_noted: false });
        }
    }

    /// Sessions that are awaited.
    pub(crate) fn len(&self) -> usize {
        let awaited = self.lock();
        awaited.len() + self.under_way.load(Ordering::Acquire)
    }

    pub(crate) fn outcomes(&self) -> Outcomes {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Outcomes { resumed: read(&self.resumed), lost: read(&self.lost), repeats: read(&self.repeats) }
    }

    /// Gives up on all that are awaited.
    pub(super) fn give_up(&self) {
        self.era.fetch_add(1, Ordering::AcqRel);
        let given_up = self.lock().drain(..).count();
        self.lost.fetch_add(given_up as u64, Ordering::Relaxed);
    }

    /// Looks for some of them; those that are nowhere after `patience` are given up. `op`: what sends them away.
    pub(super) async fn look(&self, outside: &Outside, op: Option<&OperationId>, patience: Duration) {
        let era = self.era.load(Ordering::Acquire);
        let batch = self.take_batch();
        let under_way = batch.len();
        stream::iter(batch)
            .for_each_concurrent(LOOKS_AT_ONCE, |mut awaited| async move {
                if !awaited.is_noted
                    && let Some(op) = op
                {
                    awaited.is_noted = true;
                    self.note(outside, awaited.session, op).await;
                }
                self.look_for(outside, awaited, patience, era).await;
            })
            .await;
        self.under_way.fetch_sub(under_way, Ordering::AcqRel);
    }

    fn take_batch(&self) -> Vec<Awaited> {
        let mut awaited = self.lock();
        let count = awaited.len().min(LOOKS_MAX);
        self.under_way.fetch_add(count, Ordering::AcqRel);
        awaited.drain(..count).collect()
    }

    async fn look_for(&self, outside: &Outside, awaited: Awaited, patience: Duration, era: u64) {
        // The record, not the route: whoever has come back and is gone again has come back.
        let found = outside.sessions.get(awaited.session).await;
        let is_elsewhere = matches!(found, Ok(Some(view)) if view.fence > awaited.fence);
        if is_elsewhere {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        } else if awaited.since.elapsed() >= patience || self.era.load(Ordering::Acquire) != era {
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            self.lock().push_back(awaited);
        }
    }

    /// Notes in the store that the operation has sent the session away, and counts it if it had before.
    async fn note(&self, outside: &Outside, session: SessionId, op: &OperationId) {
        let key = IdempotencyKey { publisher: REMEMBERER, key: op.as_str(), window: REMEMBERED };
        if matches!(outside.idempotency.claim(Scope::Session(session), key).await, Ok(Use::Again)) {
            self.repeats.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%session, %op, "a session was sent away by the same operation before");
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Awaited>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: usize) -> SessionId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        SessionId::from_bytes(bytes)
    }

    #[test]
    fn as_many_as_the_bound_are_awaited_and_one_more_is_lost() {
        let (displaced, now) = (Displaced::new(true), Instant::now());
        (0..AWAITED_MAX).for_each(|number| displaced.add(session(number), Fence::FIRST, now));
        assert_eq!((displaced.len(), displaced.outcomes().lost), (AWAITED_MAX, 0));

        displaced.add(session(AWAITED_MAX), Fence::FIRST, now);

        assert_eq!((displaced.len(), displaced.outcomes().lost), (AWAITED_MAX, 1));
        displaced.give_up();
        assert_eq!((displaced.len(), displaced.outcomes().lost), (0, AWAITED_MAX as u64 + 1));
    }

    #[test]
    fn a_node_that_is_alone_awaits_nobody() {
        let displaced = Displaced::new(false);
        displaced.add(session(1), Fence::FIRST, Instant::now());
        assert_eq!(displaced.len(), 0);
    }
}
