//! The records and what finds them: by id, by user, and by the time they end.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Bound;
use std::time::Duration;

use tidegate_protocol::id::{ResumeSecret, SessionId};
use tidegate_protocol::time::Millis;

use crate::fence::Fence;
use crate::sessions::{
    Attachment, Changes, Created, Filter, NewSession, Resume, Resumed, SessionView, Subject, Written,
};

use super::super::users::UserIndex;
use super::record::Record;
use super::revocations::Revocations;
use super::{SessionsConfig, SessionsStats};

#[derive(Debug)]
pub(super) struct Table {
    config: SessionsConfig,
    records: BTreeMap<SessionId, Box<Record>>,
    users: UserIndex,
    /// Detached sessions by the time they end: the first one makes room when it is needed.
    detached: BTreeSet<(Millis, SessionId)>,
    /// Where the walk over attached sessions goes on.
    walked_to: Option<SessionId>,
    revocations: Revocations,
    /// The totals; what there is now is counted when asked.
    stats: SessionsStats,
}

impl Table {
    pub(super) fn new(config: SessionsConfig) -> Self {
        Self {
            config,
            records: BTreeMap::new(),
            users: UserIndex::default(),
            detached: BTreeSet::new(),
            walked_to: None,
            revocations: Revocations::default(),
            stats: SessionsStats::default(),
        }
    }

    pub(super) fn stats(&self) -> SessionsStats {
        SessionsStats {
            attached: self.records.len() - self.detached.len(),
            detached: self.detached.len(),
            revocations: self.revocations.len(),
            ..self.stats
        }
    }

    /// `None` where there is no room.
    pub(super) fn create(&mut self, session: NewSession, now: Millis) -> Option<Created> {
        let (id, identity) = (session.session, &session.identity);
        if self.revocations.covers(id, &identity.user, identity.token_id.as_deref(), now) {
            return Some(Created::Revoked);
        }
        if self.live(id, now).is_some() {
            return Some(Created::Taken);
        }
        // One of the same name may lie here that has ended.
        self.drop_record(id);
        if self.records.len() >= self.config.sessions_max && !self.make_room(now) {
            self.stats.refused_total += 1;
            return None;
        }
        let fence = session.fence;
        let record = Record::new(session, now);
        self.users.insert(record.user(), id);
        self.records.insert(id, Box::new(record));
        Some(Created::Owned(fence))
    }

    pub(super) fn resume(&mut self, resume: Resume, now: Millis) -> Resumed {
        let id = resume.session;
        // Compared in any case, so that the time it takes does not tell whether the session exists.
        let no_secret = ResumeSecret::from_bytes([0; 16]);
        let record = self.live(id, now);
        let is_right = resume.secret == *record.map_or(&no_secret, Record::secret);
        let is_right = is_right && !self.revocations.covers_session(id, now);
        let Some(record) = record.filter(|_| is_right) else {
            self.stats.not_resumable_total += 1;
            return Resumed::NotResumable;
        };
        if self.revocations.covers(id, record.user(), record.token_id(), now) {
            return Resumed::Revoked;
        }
        let was_attached = record.attachment == Attachment::Attached;
        self.renew(id, now + resume.ttl, Attachment::Attached);
        self.stats.resumed_total += 1;
        let record = self.records.get_mut(&id).expect("it was found above");
        let owner = mem::replace(&mut record.node, resume.node);
        record.fence = record.fence.next();
        Resumed::Owned(Box::new(record.resumption(was_attached.then_some(owner))))
    }

    /// `None` where there is no room for the subscriptions.
    pub(super) fn save(
        &mut self,
        id: SessionId,
        fence: Fence,
        changes: Changes,
        now: Millis,
    ) -> Option<Written> {
        let written = self.check(id, fence, now);
        if written == Written::Saved {
            let ends_at = now + changes.ttl;
            let record = self.records.get_mut(&id).expect("it was checked above");
            let attachment = record.attachment;
            if !record.try_apply(changes, self.config.subscriptions_max) {
                self.stats.refused_total += 1;
                return None;
            }
            self.renew(id, ends_at, attachment);
        }
        Some(written)
    }

    pub(super) fn touch(&mut self, id: SessionId, fence: Fence, ttl: Duration, now: Millis) -> Written {
        let written = self.check(id, fence, now);
        if written == Written::Saved {
            let attachment = self.records[&id].attachment;
            self.renew(id, now + ttl, attachment);
        }
        written
    }

    pub(super) fn detach(&mut self, id: SessionId, fence: Fence, ttl: Duration, now: Millis) -> Written {
        let written = self.check(id, fence, now);
        if written == Written::Saved {
            self.renew(id, now + ttl, Attachment::Detached);
        }
        written
    }

    pub(super) fn end(&mut self, id: SessionId, fence: Fence, now: Millis) -> Written {
        let written = self.check(id, fence, now);
        if written == Written::Saved {
            self.drop_record(id);
        }
        written
    }

    pub(super) fn remove(&mut self, id: SessionId, now: Millis) -> bool {
        let is_there = self.live(id, now).is_some();
        self.drop_record(id);
        is_there
    }

    pub(super) fn view(&self, id: SessionId, now: Millis) -> Option<SessionView> {
        self.live(id, now).map(|record| record.view(id))
    }

    /// Adds at most `limit` of the next `steps_max` sessions. The last one looked at; `None` at the end.
    pub(super) fn step(
        &self,
        filter: Filter<'_>,
        after: Option<SessionId>,
        now: Millis,
        limit: usize,
        steps_max: usize,
        sessions: &mut Vec<SessionView>,
    ) -> Option<SessionId> {
        match filter {
            Filter::User(user) if !user.is_empty() => {
                let ids = self.users.candidates(user, after);
                self.collect(ids, filter, now, limit, steps_max, sessions)
            }
            Filter::All | Filter::Node(_) | Filter::User(_) => {
                let ids = self.ids_after(after);
                self.collect(ids, filter, now, limit, steps_max, sessions)
            }
        }
    }

    /// `None` where there is no room.
    pub(super) fn revoke(&mut self, subject: Subject, until: Millis, now: Millis) -> Option<()> {
        let fits = self.revocations.try_insert(subject, until, now, self.config.revocations_max);
        if !fits {
            self.stats.refused_total += 1;
        }
        fits.then_some(())
    }

    pub(super) fn is_revoked(
        &self,
        session: SessionId,
        user: &str,
        token_id: Option<&str>,
        now: Millis,
    ) -> bool {
        self.revocations.covers(session, user, token_id, now)
    }

    /// Drops at most `max` detached sessions past their time; how many it were.
    pub(super) fn expire_detached(&mut self, now: Millis, max: usize) -> usize {
        (0..max).take_while(|_| self.expire_one_detached(now)).count()
    }

    /// Looks at the next `max` sessions, and drops those that their node neither wrote nor let go. There are some only
    /// where a node died, so no order by their end is kept: the walk comes round in its time.
    pub(super) fn expire_attached(&mut self, now: Millis, max: usize) {
        let walk: Vec<_> = self.ids_after(self.walked_to).take(max).collect();
        self.walked_to = walk.last().copied().filter(|_| walk.len() == max);
        for id in walk {
            if self.live(id, now).is_none() {
                self.drop_record(id);
                self.stats.expired_total += 1;
            }
        }
    }

    pub(super) fn expire_revocations(&mut self, now: Millis) {
        self.revocations.expire(now);
    }

    /// Drops the detached session that ends next, or has ended.
    fn make_room(&mut self, now: Millis) -> bool {
        if self.expire_one_detached(now) {
            return true;
        }
        let next = self.detached.first().map(|(_, id)| *id);
        if let Some(id) = next {
            self.drop_record(id);
            self.stats.evicted_total += 1;
        }
        next.is_some()
    }

    fn expire_one_detached(&mut self, now: Millis) -> bool {
        let ended = self.detached.first().filter(|(ends_at, _)| *ends_at <= now).map(|(_, id)| *id);
        if let Some(id) = ended {
            self.drop_record(id);
            self.stats.expired_total += 1;
        }
        ended.is_some()
    }

    fn ids_after(&self, after: Option<SessionId>) -> impl Iterator<Item = SessionId> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.records.range((start, Bound::Unbounded)).map(|(id, _)| *id)
    }

    fn collect(
        &self,
        ids: impl Iterator<Item = SessionId>,
        filter: Filter<'_>,
        now: Millis,
        limit: usize,
        steps_max: usize,
        sessions: &mut Vec<SessionView>,
    ) -> Option<SessionId> {
        let full = sessions.len() + limit;
        for (at, id) in ids.enumerate() {
            let is_wanted = |record: &&Record| match filter {
                Filter::All => true,
                Filter::User(user) => **record.user() == *user,
                Filter::Node(node) => record.node == *node,
            };
            sessions.extend(self.live(id, now).filter(is_wanted).map(|record| record.view(id)));
            if at + 1 == steps_max || sessions.len() == full {
                return Some(id);
            }
        }
        None
    }

    /// A record that has not ended. One that has may still lie here until it is swept.
    fn live(&self, id: SessionId, now: Millis) -> Option<&Record> {
        self.records.get(&id).map(Box::as_ref).filter(|record| record.ends_at > now)
    }

    fn check(&mut self, id: SessionId, fence: Fence, now: Millis) -> Written {
        match self.live(id, now) {
            None => Written::Gone,
            Some(record) if record.fence == fence => Written::Saved,
            Some(_) => {
                self.stats.fenced_total += 1;
                Written::Fenced
            }
        }
    }

    fn renew(&mut self, id: SessionId, ends_at: Millis, attachment: Attachment) {
        let Some(record) = self.records.get_mut(&id) else { return };
        let ended_at = mem::replace(&mut record.ends_at, ends_at);
        if mem::replace(&mut record.attachment, attachment) == Attachment::Detached {
            self.detached.remove(&(ended_at, id));
        }
        if attachment == Attachment::Detached {
            self.detached.insert((ends_at, id));
        }
    }

    fn drop_record(&mut self, id: SessionId) {
        let Some(record) = self.records.remove(&id) else { return };
        self.users.remove(record.user(), id);
        if record.attachment == Attachment::Detached {
            self.detached.remove(&(record.ends_at, id));
        }
    }
}
