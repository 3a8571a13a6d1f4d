//! [`SessionStore`] in Redis: one hash a session, which its time to live ends.
//!
//! Place in the data path: a claim is what a storm of resumes is made of, and takes one round trip. With it goes the
//! question whether anybody at all is revoked; only where somebody is, user and token of the claimed record are looked up
//! in a second one. They are asked after the claim, since only the record knows them, and a revocation that was complete
//! before the claim is seen. Whoever is refused then has lost the session to nobody: its owner before is fenced.
//!
//! A claim that times out is given back by a step behind it on the same connection: it may come about later than that of the
//! connection with which the client went elsewhere.
//!
//! | Call | Round trips | Commands |
//! |---|---|---|
//! | create | 1 | 4: record, two indexes, whether the token is revoked |
//! | resume | 1, or 2 where somebody is revoked | 3, or 5 |
//! | save, detach | 1 | 1 |
//! | end | 2 | 3 |
//! | touch | 3 to 5 a thousand sessions | 1 a session, and 5 a thousand; now and then 1 more for what is looked up |
//!
//! An idle session with claims, one subscription and its route takes about 1.2 kB of the server's memory, 400 bytes of
//! them its record (`tests/cluster/redis_store_cost.rs`).
//!
//! Indexes by user and by node lie in slots of their own. They are written along, in the same round trip, and say where
//! to look: whoever reads them believes the records only.

mod index;
mod list;
mod record;
mod revoked;
mod write;

pub(super) use write::EVERYDAY;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::time::Millis;

use crate::answer::Answer;
use crate::clock::Clock;
use crate::fence::Fence;
use crate::memory::count::Counter;
use crate::sessions::{
    Changes, Created, Filter, NewSession, Resume, Resumed, SessionPage, SessionStore, SessionView, Subject,
    Written,
};

use super::client::RedisClient;
use super::random;

/// Sessions of a cluster.
#[derive(Debug)]
pub struct RedisSessions(Arc<Shared>);

/// The bounds of a [`RedisSessions`]. How many sessions there are is bounded by the server's memory.
#[derive(Clone, Copy, Debug)]
pub struct SessionsConfig {
    /// Most subscriptions of one session.
    pub subscriptions_max: usize,
    /// Most sessions that are found by one user; those seen longest ago are not listed any more.
    pub user_sessions_max: usize,
}

/// What a [`RedisSessions`] has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SessionsStats {
    /// Sessions that were taken over by a new connection.
    pub resumed_total: u64,
    /// Resumes with an unknown id or a wrong secret.
    pub not_resumable_total: u64,
    /// Writes of owners whose time was over.
    pub fenced_total: u64,
    /// Writes to sessions that were gone.
    pub gone_total: u64,
    /// Saves refused for their number of subscriptions.
    pub refused_total: u64,
    /// Entries taken out of a node's index because their session had ended or moved.
    pub unlisted_total: u64,
}

/// What calls under way hold as well.
#[derive(Debug)]
struct Shared {
    client: RedisClient,
    config: SessionsConfig,
    clock: Clock,
    /// Marks what this process owns: fences can be given out again by a server that was set back, this cannot.
    owner: [u8; 8],
    /// The node whose sessions these are. Known from the first of them.
    home: OnceLock<NodeName>,
    /// When that node was put on the list of those that have an index.
    listed_at: Mutex<Option<Millis>>,
    /// How far the walk over that node's index has come.
    walked_to: Mutex<Option<SessionId>>,
    /// Until when somebody is revoked, as far as this node has seen: Unix ms.
    revoked_until: Mutex<Millis>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    resumed: Counter,
    not_resumable: Counter,
    fenced: Counter,
    gone: Counter,
    refused: Counter,
    unlisted: Counter,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { subscriptions_max: 1_000, user_sessions_max: 10_000 }
    }
}

impl RedisSessions {
    /// The sessions that the server holds, seen from one node. `clock` shows Unix time, about as the other nodes' do.
    pub fn new(client: RedisClient, config: SessionsConfig, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            client,
            config,
            clock,
            owner: random().to_be_bytes(),
            home: OnceLock::new(),
            listed_at: Mutex::default(),
            walked_to: Mutex::default(),
            revoked_until: Mutex::default(),
            counts: Counts::default(),
        }))
    }

    /// What it has done.
    pub fn stats(&self) -> SessionsStats {
        let counts = &self.0.counts;
        SessionsStats {
            resumed_total: counts.resumed.total(),
            not_resumable_total: counts.not_resumable.total(),
            fenced_total: counts.fenced.total(),
            gone_total: counts.gone.total(),
            refused_total: counts.refused.total(),
            unlisted_total: counts.unlisted.total(),
        }
    }
}

impl SessionStore for RedisSessions {
    fn create(&self, session: NewSession) -> Answer<Created> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move { shared.create(session).await })
    }

    fn resume(&self, resume: Resume) -> Answer<Resumed> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move { shared.resume(resume).await })
    }

    fn save(&self, session: SessionId, fence: Fence, changes: Changes) -> Answer<Written> {
        self.0.save(session, fence, &changes)
    }

    fn touch(&self, held: &[(SessionId, Fence)], ttl: Duration) -> Answer<Vec<SessionId>> {
        let (shared, held) = (Arc::clone(&self.0), held.to_vec());
        self.0.client.enter(async move { shared.touch(held, ttl).await })
    }

    fn detach(&self, session: SessionId, fence: Fence, ttl: Duration) -> Answer<Written> {
        self.0.detach(session, fence, ttl)
    }

    fn end(&self, session: SessionId, fence: Fence) -> Answer<Written> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move { shared.end(session, fence).await })
    }

    fn remove(&self, session: SessionId) -> Answer<bool> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move { shared.remove(session).await })
    }

    fn get(&self, session: SessionId) -> Answer<Option<SessionView>> {
        self.0.view(session)
    }

    fn list(&self, filter: Filter<'_>, after: Option<SessionId>, limit: usize) -> Answer<SessionPage> {
        let (shared, wanted) = (Arc::clone(&self.0), list::Wanted::from(filter));
        self.0.client.enter(async move { shared.list(wanted, after, limit).await })
    }

    fn revoke(&self, subject: Subject, until: Millis) -> Answer<()> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move { shared.revoke(subject, until).await })
    }

    fn is_revoked(&self, session: SessionId, user: &str, token_id: Option<&str>) -> Answer<bool> {
        let (shared, user, token_id) = (Arc::clone(&self.0), user.to_owned(), token_id.map(str::to_owned));
        self.0
            .client
            .enter(async move { shared.is_any_revoked(Some(session), &user, token_id.as_deref()).await })
    }
}

/// A time to live as Redis takes it. Longer ones make no difference: whatever lives so long is renewed before.
fn ttl_ms(ttl: Duration) -> u64 {
    tidegate_protocol::time::whole_ms(ttl).clamp(1, TTL_MAX_MS)
}

/// Ten years.
const TTL_MAX_MS: u64 = 10 * 365 * 24 * 3_600_000;
