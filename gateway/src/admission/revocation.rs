//! Who may not come back: users, sessions and tokens that the server API has revoked.
//!
//! Place in the data path: asked at `connect`, `refresh` and resume. Whoever revokes also closes the sockets that are
//! open; this keeps them from opening again while their tokens last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use thiserror::Error;
use tidegate_protocol::id::SessionId;
use tidegate_protocol::time::Millis;

/// What is revoked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Revoked {
    /// All tokens of this user that were made before the revocation; a new one is good again.
    User(Arc<str>),
    /// This session: it cannot be resumed.
    Session(SessionId),
    /// The token with this `jti`.
    Token(Arc<str>),
}

/// Who asks to come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials<'a> {
    pub(crate) user: &'a Arc<str>,
    pub(crate) session: Option<SessionId>,
    pub(crate) token_id: Option<&'a Arc<str>>,
    /// Unix time of the token's `iat`; without one it counts as older than any revocation.
    pub(crate) issued_at: Option<Millis>,
}

/// What is revoked on this node. All times are Unix time.
#[derive(Debug)]
pub(crate) struct Revocations {
    entries: RwLock<HashMap<Revoked, Entry>>,
    /// Length of the map: while it is zero nothing is locked.
    len: AtomicUsize,
    entries_max: usize,
    stats: RevocationStats,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    revoked_at: Millis,
    /// When every token that it concerns has ended by itself.
    until: Millis,
}

/// What revocations did so far.
#[derive(Debug, Default)]
pub(crate) struct RevocationStats {
    pub(crate) added: AtomicU64,
    /// Not taken, because there were too many.
    pub(crate) refused: AtomicU64,
    /// Clients that were kept out.
    pub(crate) hits: AtomicU64,
}

/// There are too many revocations; none was forgotten to make room, for that would let somebody back in.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("there are {entries_max} revocations already; shorter ones free their place sooner")]
pub(crate) struct RevocationsFull {
    entries_max: usize,
}

impl Revocations {
    /// Holds at most `entries_max` at a time.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            entries: RwLock::default(),
            len: AtomicUsize::new(0),
            entries_max,
            stats: RevocationStats::default(),
        }
    }

    pub(crate) fn stats(&self) -> &RevocationStats {
        &self.stats
    }

    /// How many there are, those included that have ended and were not yet removed.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Revokes from `now` until `until`; a revocation that is there already is never shortened.
    pub(crate) fn revoke(&self, what: Revoked, now: Millis, until: Millis) -> Result<(), RevocationsFull> {
        let mut entries = self.write();
        if !entries.contains_key(&what) && entries.len() >= self.entries_max {
            entries.retain(|_, entry| entry.until > now);
            if entries.len() >= self.entries_max {
                self.len.store(entries.len(), Ordering::Release);
                self.stats.refused.fetch_add(1, Ordering::Relaxed);
                return Err(RevocationsFull { entries_max: self.entries_max });
            }
        }
        let entry = entries.entry(what).or_insert(Entry { revoked_at: now, until });
        *entry = Entry { revoked_at: now.max(entry.revoked_at), until: until.max(entry.until) };
        self.len.store(entries.len(), Ordering::Release);
        self.stats.added.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether `credentials` are revoked, and by what.
    pub(crate) fn find(&self, credentials: Credentials<'_>, now: Millis) -> Option<Revoked> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let user = Some(Revoked::User(Arc::clone(credentials.user))).filter(|_| !credentials.user.is_empty());
        let session = credentials.session.map(Revoked::Session);
        let token = credentials.token_id.map(|id| Revoked::Token(Arc::clone(id)));
        let entries = self.read();
        let found = [user, session, token].into_iter().flatten().find(|what| {
            let Some(entry) = entries.get(what).filter(|entry| entry.until > now) else { return false };
            match what {
                Revoked::User(_) => {
                    credentials.issued_at.is_none_or(|issued_at| issued_at <= entry.revoked_at)
                }
                Revoked::Session(_) | Revoked::Token(_) => true,
            }
        });
        if found.is_some() {
            self.stats.hits.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Forgets what has ended; called now and then.
    pub(crate) fn remove_ended(&self, now: Millis) {
        if self.len() == 0 {
            return;
        }
        let mut entries = self.write();
        entries.retain(|_, entry| entry.until > now);
        let keep = entries.len().saturating_mul(2);
        entries.shrink_to(keep);
        self.len.store(entries.len(), Ordering::Release);
    }

    /// No code can panic between the map's two states, so a poisoned lock still guards a sound one.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<Revoked, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Revoked, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Millis {
        Millis::new(seconds * 1_000)
    }

    fn user(name: &str) -> Revoked {
        Revoked::User(name.into())
    }

    #[test]
    fn a_revoked_user_needs_a_token_made_later() {
        let revocations = Revocations::new(8);
        revocations.revoke(user("ann"), at(100), at(200)).unwrap();
        let ann: Arc<str> = "ann".into();
        let with = |issued_at| Credentials { user: &ann, session: None, token_id: None, issued_at };

        assert_eq!(revocations.find(with(Some(at(50))), at(101)), Some(user("ann")));
        assert_eq!(revocations.find(with(Some(at(100))), at(101)), Some(user("ann")));
        assert_eq!(revocations.find(with(None), at(101)), Some(user("ann")));
        assert_eq!(revocations.find(with(Some(at(101))), at(102)), None);
        assert_eq!(revocations.find(with(None), at(200)), None, "the revocation has ended");
        assert_eq!(revocations.stats().hits.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_session_and_a_token_are_revoked_whatever_their_age_and_nobody_else_is() {
        let revocations = Revocations::new(8);
        let (mine, other) = (SessionId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        let (bad, good): (Arc<str>, Arc<str>) = ("t-1".into(), "t-2".into());
        revocations.revoke(Revoked::Session(mine), at(1), at(9)).unwrap();
        revocations.revoke(Revoked::Token(Arc::clone(&bad)), at(1), at(9)).unwrap();
        let nobody: Arc<str> = "".into();
        let find = |session, token_id| {
            let credentials =
                Credentials { user: &nobody, session: Some(session), token_id, issued_at: Some(at(5)) };
            revocations.find(credentials, at(6))
        };

        assert_eq!(find(mine, None), Some(Revoked::Session(mine)));
        assert_eq!(find(other, Some(&bad)), Some(Revoked::Token(Arc::clone(&bad))));
        assert_eq!(find(other, Some(&good)), None);
    }

    #[test]
    fn a_second_revocation_never_shortens_the_first() {
        let revocations = Revocations::new(8);
        let ann: Arc<str> = "ann".into();
        revocations.revoke(user("ann"), at(10), at(100)).unwrap();
        revocations.revoke(user("ann"), at(20), at(50)).unwrap();

        let credentials = Credentials { user: &ann, session: None, token_id: None, issued_at: Some(at(15)) };
        assert!(revocations.find(credentials, at(60)).is_some());
        assert_eq!(revocations.len(), 1);
    }

    #[test]
    fn at_the_bound_ended_ones_make_room_and_living_ones_stay() {
        let revocations = Revocations::new(2);
        revocations.revoke(user("a"), at(1), at(10)).unwrap();
        revocations.revoke(user("b"), at(1), at(20)).unwrap();

        assert!(revocations.revoke(user("c"), at(5), at(30)).is_err());
        assert_eq!(revocations.stats().refused.load(Ordering::Relaxed), 1);
        revocations.revoke(user("b"), at(5), at(30)).unwrap();
        revocations.revoke(user("c"), at(10), at(30)).unwrap();
        assert_eq!(revocations.len(), 2);
        revocations.remove_ended(at(30));
        assert_eq!(revocations.len(), 0);
    }
}
