//! [`Directory`] in memory.
//!
//! One lock: it is taken when a session comes or goes and when a direct message is routed, not for each publication.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::time::Millis;

use crate::answer::{Answer, Part, ready};
use crate::clock::Clock;
use crate::directory::{Directory, Lease, NodeRecord, Registered, Registration, Route, Target};
use crate::fence::Fence;

use super::leases::{Leases, Live, Tenure};
use super::shards::lock;
use super::users::UserIndex;

/// Nodes of this process, and their sessions.
#[derive(Debug)]
pub struct MemoryDirectory {
    clock: Clock,
    table: Mutex<Table>,
}

/// The bounds of a [`MemoryDirectory`].
#[derive(Clone, Copy, Debug)]
pub struct DirectoryConfig {
    /// Most routes.
    pub routes_max: usize,
    /// Most nodes with a lease.
    pub nodes_max: usize,
}

/// What a [`MemoryDirectory`] holds now and has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DirectoryStats {
    /// Routes, those of dead nodes among them until they are swept.
    pub routes: usize,
    /// Nodes with a lease.
    pub nodes: usize,
    /// Routes dropped because their node's lease ended.
    pub dropped_total: u64,
    /// Routes and nodes refused for lack of room.
    pub refused_total: u64,
}

#[derive(Debug)]
struct Table {
    config: DirectoryConfig,
    leases: Leases<NodeRecord>,
    routes: BTreeMap<SessionId, Held>,
    users: UserIndex,
    dropped_total: u64,
    refused_total: u64,
}

/// Who has a session.
#[derive(Debug)]
struct Held {
    user: Arc<str>,
    fence: Fence,
    tenure: Tenure,
}

impl Default for DirectoryConfig {
    fn default() -> Self {
        Self { routes_max: 250_000, nodes_max: 1_000 }
    }
}

impl MemoryDirectory {
    /// No nodes, no routes.
    pub fn new(config: DirectoryConfig, clock: Clock) -> Self {
        let table = Table {
            config,
            leases: Leases::new(config.nodes_max),
            routes: BTreeMap::new(),
            users: UserIndex::default(),
            dropped_total: 0,
            refused_total: 0,
        };
        Self { clock, table: Mutex::new(table) }
    }

    /// What it holds and has done.
    pub fn stats(&self) -> DirectoryStats {
        let table = lock(&self.table);
        DirectoryStats {
            routes: table.routes.len(),
            nodes: table.leases.len(),
            dropped_total: table.dropped_total,
            refused_total: table.refused_total,
        }
    }

    /// Gives back the memory of routes whose node's lease has ended.
    pub fn sweep(&self) {
        let live = lock(&self.table).leases.live(self.clock.now());
        if live.is_all() {
            return;
        }
        let mut after = None;
        loop {
            after = lock(&self.table).sweep_step(&live, after);
            if after.is_none() {
                return;
            }
        }
    }
}

impl Directory for MemoryDirectory {
    fn announce(&self, node: NodeRecord, ttl: Duration) -> Answer<Lease> {
        let now = self.clock.now();
        ready(lock(&self.table).announce(node, ttl, now).ok_or(Part::Directory.full()))
    }

    fn withdraw(&self, node: &NodeName) -> Answer<()> {
        lock(&self.table).leases.end(node);
        ready(Ok(()))
    }

    fn nodes(&self) -> Answer<Vec<NodeRecord>> {
        let now = self.clock.now();
        let mut nodes: Vec<_> = lock(&self.table).leases.about_all(now).cloned().collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        ready(Ok(nodes))
    }

    fn register(&self, registration: Registration) -> Answer<Registered> {
        let now = self.clock.now();
        ready(lock(&self.table).register(registration, now).ok_or(Part::Directory.full()))
    }

    fn unregister(&self, session: SessionId, fence: Fence) -> Answer<bool> {
        ready(Ok(lock(&self.table).unregister(session, fence)))
    }

    fn locate(&self, target: Target<'_>, limit: usize) -> Answer<Vec<Route>> {
        let now = self.clock.now();
        ready(Ok(lock(&self.table).locate(target, limit, now)))
    }
}

impl Table {
    fn announce(&mut self, node: NodeRecord, ttl: Duration, now: Millis) -> Option<Lease> {
        let name = node.name.clone();
        let lease = self.leases.renew(&name, now + ttl, node, now);
        self.refused_total += u64::from(lease.is_none());
        lease
    }

    fn register(&mut self, registration: Registration, now: Millis) -> Option<Registered> {
        let Registration { session, user, node, fence } = registration;
        let Some(tenure) = self.leases.tenure(&node, now) else { return Some(Registered::NoLease) };
        if let Some(held) = self.routes.get_mut(&session) {
            if held.fence > fence {
                return Some(Registered::Fenced);
            }
            (held.fence, held.tenure) = (fence, tenure);
            return Some(Registered::Known);
        }
        if self.routes.len() >= self.config.routes_max {
            self.make_room(now);
            if self.routes.len() >= self.config.routes_max {
                self.refused_total += 1;
                return None;
            }
        }
        self.users.insert(&user, session);
        self.routes.insert(session, Held { user, fence, tenure });
        Some(Registered::Known)
    }

    fn unregister(&mut self, session: SessionId, fence: Fence) -> bool {
        let is_its = self.routes.get(&session).is_some_and(|held| held.fence == fence);
        if is_its {
            self.drop_route(session);
        }
        is_its
    }

    fn locate(&self, target: Target<'_>, limit: usize, now: Millis) -> Vec<Route> {
        match target {
            Target::Session(session) => self.route(session, now).into_iter().take(limit).collect(),
            Target::User(user) => {
                let is_theirs =
                    |session: &SessionId| self.routes.get(session).is_some_and(|held| *held.user == *user);
                let sessions = self.users.candidates(user, None).filter(is_theirs);
                sessions.filter_map(|session| self.route(session, now)).take(limit).collect()
            }
        }
    }

    fn route(&self, session: SessionId, now: Millis) -> Option<Route> {
        let held = self.routes.get(&session)?;
        let node = self.leases.node(held.tenure, now)?.clone();
        Some(Route { node, session, fence: held.fence })
    }

    /// Drops what dead nodes left, all of it at once: only a directory that is full comes here.
    #[cold]
    fn make_room(&mut self, now: Millis) {
        let live = self.leases.live(now);
        let mut after = None;
        while !live.is_all() {
            after = self.sweep_step(&live, after);
            if after.is_none() {
                return;
            }
        }
    }

    /// Looks at the next [`STEP_MAX`] routes; the last one looked at, `None` at the end.
    fn sweep_step(&mut self, live: &Live, after: Option<SessionId>) -> Option<SessionId> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut looked_at = self.routes.range((start, Bound::Unbounded)).take(STEP_MAX).peekable();
        let (mut dead, mut last) = (Vec::new(), None);
        looked_at.peek()?;
        for (session, held) in looked_at {
            last = Some(*session);
            if !live.has(held.tenure) {
                dead.push(*session);
            }
        }
        self.dropped_total += dead.len() as u64;
        dead.into_iter().for_each(|session| self.drop_route(session));
        last
    }

    fn drop_route(&mut self, session: SessionId) {
        if let Some(held) = self.routes.remove(&session) {
            self.users.remove(&held.user, session);
        }
    }
}

/// Routes looked at under one hold of the lock: some tens of microseconds.
const STEP_MAX: usize = 512;
