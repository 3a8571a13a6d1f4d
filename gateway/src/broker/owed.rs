//! What the store is owed: what could not be written while it was down, and sessions that it has forgotten.
//!
//! Place in the data path: beside it. Sessions live in the memory of their worker meanwhile, those without a connection
//! in here; upkeep pays when the store answers. Bounded: of what does not fit, a new session is refused, and a client
//! that was gone comes back to a session that is not there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tidegate_cluster::Fence;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::SessionId;

use super::standing::Standing;

/// Sessions that something is owed for.
#[derive(Debug)]
pub(crate) struct Owed {
    sessions_max: usize,
    sessions: Mutex<HashMap<SessionId, Debt>>,
    refused: AtomicU64,
}

/// What the store has to be told of a session.
#[derive(Debug)]
pub(crate) enum Debt {
    /// It has a connection here, whose worker knows all of it but the channels that were left.
    Attached { left: Vec<ChannelName> },
    /// Its connection is gone, and its client may come back.
    Detached(Box<Departed>),
    /// It is over.
    Ended { fence: Fence },
}

/// A session without a connection.
#[derive(Debug)]
pub(crate) struct Departed {
    pub(crate) standing: Standing,
    pub(crate) since: Instant,
}

/// Channels remembered as left by one session; a store that does not hear of more keeps them until the session ends.
const LEFT_MAX: usize = 1_000;

impl Owed {
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self { sessions_max, sessions: Mutex::default(), refused: AtomicU64::new(0) }
    }

    /// Notes that the store lacks something of a session that has a connection. False: there is no room for it.
    pub(super) fn attached(&self, session: SessionId, unsubscribed: &[ChannelName]) -> bool {
        let mut debts = self.lock();
        if let Some(Debt::Attached { left }) = debts.get_mut(&session) {
            for channel in unsubscribed {
                if left.len() < LEFT_MAX && !left.contains(channel) {
                    left.push(channel.clone());
                }
            }
            return true;
        }
        self.put(&mut debts, session, Debt::Attached { left: unsubscribed.to_vec() })
    }

    /// Keeps a session whose connection is gone.
    pub(super) fn detached(&self, departed: Departed) {
        let session = departed.standing.session;
        self.put(&mut self.lock(), session, Debt::Detached(Box::new(departed)));
    }

    /// Notes that a session is over.
    pub(super) fn ended(&self, session: SessionId, fence: Fence) {
        self.put(&mut self.lock(), session, Debt::Ended { fence });
    }

    /// What was noted of a session, which is not owed any more.
    pub(super) fn settle(&self, session: SessionId) -> Option<Debt> {
        self.lock().remove(&session)
    }

    /// Takes at most `max` debts, to be paid or noted again.
    pub(super) fn take(&self, max: usize) -> Vec<(SessionId, Debt)> {
        let mut debts = self.lock();
        let sessions: Vec<_> = debts.keys().take(max).copied().collect();
        sessions.into_iter().filter_map(|session| debts.remove_entry(&session)).collect()
    }

    /// Sessions that something is owed for.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Sessions that there was no room for.
    pub(crate) fn refused_total(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn put(&self, debts: &mut HashMap<SessionId, Debt>, session: SessionId, debt: Debt) -> bool {
        if debts.len() >= self.sessions_max && !debts.contains_key(&session) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        debts.insert(session, debt);
        true
    }

    /// Each operation leaves the books consistent, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Debt>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    #[test]
    fn one_more_session_than_fits_is_refused_and_counted() {
        let owed = Owed::new(2);
        assert!(owed.attached(session(1), &[]) && owed.attached(session(2), &[]));
        assert!(!owed.attached(session(3), &[]));
        assert!(owed.attached(session(2), &[]), "it is in already");
        assert_eq!((owed.len(), owed.refused_total()), (2, 1));
        assert_eq!(owed.take(9).len(), 2);
        assert!(owed.attached(session(3), &[]));
    }

    #[test]
    fn channels_that_were_left_are_kept_once_until_they_are_written() {
        let owed = Owed::new(1);
        owed.attached(session(1), &[channel("a")]);
        owed.attached(session(1), &[channel("b"), channel("a")]);
        let Some(Debt::Attached { left }) = owed.settle(session(1)) else { panic!("it is owed") };
        assert_eq!(left, [channel("a"), channel("b")]);
        assert_eq!(owed.len(), 0);
    }
}
