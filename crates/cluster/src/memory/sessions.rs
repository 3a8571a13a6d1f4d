//! [`SessionStore`] in memory.
//!
//! One lock: it is taken when a client comes or goes and when its positions are saved, not for each message. Records lie
//! apart from the maps that find them, so that growing a map copies ids only.

mod record;
mod revocations;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Mutex;
use std::time::Duration;

use tidegate_protocol::id::SessionId;
use tidegate_protocol::time::Millis;

use crate::answer::{Answer, Part, ready};
use crate::clock::Clock;
use crate::fence::Fence;
use crate::sessions::{
    Changes, Created, Filter, NewSession, Resume, Resumed, SessionPage, SessionStore, SessionView, Subject,
    Written,
};

use super::shards::lock;

use self::table::Table;

/// Sessions of the clients of this process.
#[derive(Debug)]
pub struct MemorySessions {
    clock: Clock,
    table: Mutex<Table>,
}

/// The bounds of a [`MemorySessions`].
#[derive(Clone, Copy, Debug)]
pub struct SessionsConfig {
    /// Most sessions, attached and detached. With room for those who were cut off, it is above the connections there
    /// may be.
    pub sessions_max: usize,
    /// Most subscriptions of one session.
    pub subscriptions_max: usize,
    /// Most revocations that have not ended.
    pub revocations_max: usize,
}

/// What a [`MemorySessions`] holds now and has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SessionsStats {
    /// Sessions with a connection.
    pub attached: usize,
    /// Sessions whose client may come back.
    pub detached: usize,
    /// Revocations that have not ended, or not been swept.
    pub revocations: usize,
    /// Sessions that were taken over by a new connection.
    pub resumed_total: u64,
    /// Resumes with an unknown id or a wrong secret.
    pub not_resumable_total: u64,
    /// Writes of owners whose time was over.
    pub fenced_total: u64,
    /// Sessions whose time to live passed.
    pub expired_total: u64,
    /// Detached sessions dropped before their time, for lack of room.
    pub evicted_total: u64,
    /// Sessions, subscriptions and revocations refused for lack of room.
    pub refused_total: u64,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { sessions_max: 250_000, subscriptions_max: 1_000, revocations_max: 100_000 }
    }
}

impl MemorySessions {
    /// An empty store.
    pub fn new(config: SessionsConfig, clock: Clock) -> Self {
        Self { clock, table: Mutex::new(Table::new(config)) }
    }

    /// What it holds and has done.
    pub fn stats(&self) -> SessionsStats {
        lock(&self.table).stats()
    }

    /// Gives back the memory of detached sessions and of revocations past their time, and goes on with a walk over the
    /// attached ones: of those, 2,048 are looked at each time.
    pub fn sweep(&self) {
        let now = self.clock.now();
        while lock(&self.table).expire_detached(now, STEP_MAX) == STEP_MAX {}
        for _ in 0..WALK_STEPS {
            lock(&self.table).expire_attached(now, STEP_MAX);
        }
        lock(&self.table).expire_revocations(now);
    }

    /// Walks over sessions in steps, so that other threads get their turn at the lock.
    fn page(&self, filter: Filter<'_>, mut after: Option<SessionId>, limit: usize) -> SessionPage {
        let now = self.clock.now();
        let mut sessions = Vec::new();
        loop {
            if sessions.len() == limit {
                let next = sessions.last().map_or(after, |last: &SessionView| Some(last.session));
                return SessionPage { sessions, next };
            }
            let room = limit - sessions.len();
            match lock(&self.table).step(filter, after, now, room, STEP_MAX, &mut sessions) {
                Some(last_seen) => after = Some(last_seen),
                None => return SessionPage { sessions, next: None },
            }
        }
    }
}

impl SessionStore for MemorySessions {
    fn create(&self, session: NewSession) -> Answer<Created> {
        let now = self.clock.now();
        ready(lock(&self.table).create(session, now).ok_or(Part::Sessions.full()))
    }

    fn resume(&self, resume: Resume) -> Answer<Resumed> {
        let now = self.clock.now();
        ready(Ok(lock(&self.table).resume(resume, now)))
    }

    fn save(&self, session: SessionId, fence: Fence, changes: Changes) -> Answer<Written> {
        let now = self.clock.now();
        ready(lock(&self.table).save(session, fence, changes, now).ok_or(Part::Sessions.full()))
    }

    fn touch(&self, held: &[(SessionId, Fence)], ttl: Duration) -> Answer<Vec<SessionId>> {
        let now = self.clock.now();
        let mut lost = Vec::new();
        for part in held.chunks(STEP_MAX) {
            let mut table = lock(&self.table);
            let fails =
                |(session, fence): &&(_, _)| table.touch(*session, *fence, ttl, now) != Written::Saved;
            lost.extend(part.iter().filter(fails).map(|(session, _)| *session));
        }
        ready(Ok(lost))
    }

    fn detach(&self, session: SessionId, fence: Fence, ttl: Duration) -> Answer<Written> {
        let now = self.clock.now();
        ready(Ok(lock(&self.table).detach(session, fence, ttl, now)))
    }

    fn end(&self, session: SessionId, fence: Fence) -> Answer<Written> {
        let now = self.clock.now();
        ready(Ok(lock(&self.table).end(session, fence, now)))
    }

    fn remove(&self, session: SessionId) -> Answer<bool> {
        let now = self.clock.now();
        ready(Ok(lock(&self.table).remove(session, now)))
    }

    fn get(&self, session: SessionId) -> Answer<Option<SessionView>> {
        let now = self.clock.now();
        ready(Ok(lock(&self.table).view(session, now)))
    }

    fn list(&self, filter: Filter<'_>, after: Option<SessionId>, limit: usize) -> Answer<SessionPage> {
        ready(Ok(self.page(filter, after, limit)))
    }

    fn revoke(&self, subject: Subject, until: Millis) -> Answer<()> {
        let now = self.clock.now();
        ready(lock(&self.table).revoke(subject, until, now).ok_or(Part::Sessions.full()))
    }

    fn is_revoked(&self, session: SessionId, user: &str, token_id: Option<&str>) -> Answer<bool> {
        let now = self.clock.now();
        ready(Ok(lock(&self.table).is_revoked(session, user, token_id, now)))
    }
}

/// Sessions looked at under one hold of the lock: about 50 µs.
const STEP_MAX: usize = 256;
/// Holds of the lock for which a sweep walks over attached sessions.
const WALK_STEPS: usize = 8;
