//! Who may have no session for a while.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_protocol::id::SessionId;
use tidegate_protocol::time::Millis;

use crate::sessions::Subject;

/// Ends of revocations by what they name.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    users: HashMap<Arc<str>, Millis>,
    tokens: HashMap<Arc<str>, Millis>,
    sessions: HashMap<SessionId, Millis>,
}

impl Revocations {
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.tokens.len() + self.sessions.len()
    }

    /// Adds one or moves its end away, unless that would make more than `max`; those that have ended make room.
    pub(super) fn try_insert(&mut self, subject: Subject, until: Millis, now: Millis, max: usize) -> bool {
        if self.len() >= max && !self.knows(&subject) {
            self.expire(now);
            if self.len() >= max {
                return false;
            }
        }
        let end = match subject {
            Subject::User(user) => self.users.entry(user).or_default(),
            Subject::Token(token_id) => self.tokens.entry(token_id).or_default(),
            Subject::Session(session) => self.sessions.entry(session).or_default(),
        };
        *end = until.max(*end);
        true
    }

    pub(super) fn covers(&self, session: SessionId, user: &str, token_id: Option<&str>, now: Millis) -> bool {
        let ends = [self.users.get(user), token_id.and_then(|token_id| self.tokens.get(token_id))];
        ends.into_iter().flatten().any(|end| *end > now) || self.covers_session(session, now)
    }

    pub(super) fn covers_session(&self, session: SessionId, now: Millis) -> bool {
        self.sessions.get(&session).is_some_and(|end| *end > now)
    }

    pub(super) fn expire(&mut self, now: Millis) {
        self.users.retain(|_, end| *end > now);
        self.tokens.retain(|_, end| *end > now);
        self.sessions.retain(|_, end| *end > now);
    }

    fn knows(&self, subject: &Subject) -> bool {
        match subject {
            Subject::User(user) => self.users.contains_key(user),
            Subject::Token(token_id) => self.tokens.contains_key(token_id),
            Subject::Session(session) => self.sessions.contains_key(session),
        }
    }
}
