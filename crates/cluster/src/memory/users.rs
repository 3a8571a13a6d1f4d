//! Sessions by user, for the stores that keep the user's name with the session.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;

use tidegate_protocol::id::SessionId;

/// An index by the hash of the name: half the bytes of one by the name itself. Whoever asks compares the names of what it
/// gets, since two may have the same hash. Sessions of nobody (an empty name) are not in it: nobody looks for them.
#[derive(Debug, Default)]
pub(super) struct UserIndex {
    sessions: BTreeSet<(u64, SessionId)>,
    hasher: RandomState,
}

impl UserIndex {
    pub(super) fn insert(&mut self, user: &str, session: SessionId) {
        if !user.is_empty() {
            self.sessions.insert((self.hasher.hash_one(user), session));
        }
    }

    pub(super) fn remove(&mut self, user: &str, session: SessionId) {
        self.sessions.remove(&(self.hasher.hash_one(user), session));
    }

    /// Sessions that may be the user's, in order, those after `after`.
    pub(super) fn candidates(&self, user: &str, after: Option<SessionId>) -> impl Iterator<Item = SessionId> {
        let hash = self.hasher.hash_one(user);
        let start = match after {
            Some(after) => Bound::Excluded((hash, after)),
            None => Bound::Included((hash, SessionId::from_bytes([0; 16]))),
        };
        self.sessions
            .range((start, Bound::Unbounded))
            .take_while(move |(other, _)| *other == hash)
            .map(|(_, session)| *session)
    }
}
