//! What finds sessions by user and by node, and how it is kept small.
//!
//! | Key | Holds |
//! |---|---|
//! | `{u:USER}:s` | sessions of a user, by the time their entry ends; renewed with the record, long before that |
//! | `{n:NODE}:s` | sessions that a node has or had last, by id |
//! | `{n}` | nodes that have such an index, by when they said so last: Unix ms |
//!
//! A node's index is walked a bit each time that its sessions are renewed: entries of sessions that ended or moved are
//! taken out, and those that it holds are put in again, should they be missing.

use std::collections::HashSet;
use std::time::Duration;

use fred::types::{Key, Value};
use futures_util::future::{join, join_all, join3};
use tidegate_protocol::id::{ID_BYTES, NodeName, SessionId};

use crate::answer::Unavailable;
use crate::fence::Fence;
use crate::memory::shards::lock;
use crate::redis::script::{Args, Fields, Script, bytes, number, text};
use crate::redis::stats::Operation;

use super::write::{FENCED, GONE, SAVED};
use super::{Shared, ttl_ms};

/// What a renewal says.
enum Touched {
    Kept,
    /// Kept, and it is time to renew the entry of this user.
    Due(String),
    /// What `owned` says of it.
    Lost(i64),
}

impl Shared {
    /// Where some of a cluster's servers answer and others do not, what they say of those that are lost is passed on;
    /// the others are asked again with the next renewal, before their time ends.
    pub(super) async fn touch(
        &self,
        held: Vec<(SessionId, Fence)>,
        ttl: Duration,
    ) -> Result<Vec<SessionId>, Unavailable> {
        let (mut lost, mut result) = (Vec::new(), Ok(()));
        for part in held.chunks(TOUCHED_AT_ONCE) {
            let touched = join_all(part.iter().map(|(id, fence)| self.touch_one(*id, *fence, ttl))).await;
            let (mut kept, mut due) = (HashSet::new(), Vec::new());
            for ((id, _), touched) in part.iter().zip(touched) {
                match touched {
                    Ok(Touched::Kept) => drop(kept.insert(*id)),
                    Ok(Touched::Due(user)) => {
                        kept.insert(*id);
                        due.push((*id, user));
                    }
                    Ok(Touched::Lost(state)) => {
                        _ = self.written(state)?;
                        lost.push(*id);
                    }
                    Err(unavailable) => result = Err(unavailable),
                }
            }
            // Indexes can wait: what goes wrong with them is made good the next time.
            join_all(due.iter().map(|(id, user)| self.list_for_user(*id, user, ttl))).await;
            _ = self.tidy_home(&kept, ttl).await;
        }
        if lost.is_empty() { result.map(|()| lost) } else { Ok(lost) }
    }

    /// Puts a session into its user's index; whether they are revoked. Nobody in particular has no index.
    pub(super) async fn list_for_user(
        &self,
        id: SessionId,
        user: &str,
        ttl: Duration,
    ) -> Result<bool, Unavailable> {
        if user.is_empty() {
            return self.is_user_revoked(user).await;
        }
        let keys = vec![self.user_index_key(user), self.user_revocation_key(user)];
        let most = self.config.user_sessions_max as u64;
        let args = Args::new().bytes(id.as_bytes()).number(entry_ms(ttl)).number(most);
        self.client.call(&LIST_FOR_USER, keys, args, |value| Some(number(&value)? == 0)).await
    }

    /// Puts a session into a node's index; whether it was not there. What goes wrong is made good by the next renewal.
    pub(super) async fn list_for_node(&self, id: SessionId, node: &NodeName, ttl: Duration) -> bool {
        let home = self.home.get_or_init(|| node.clone());
        let args = Args::new().number(0).bytes(id.as_bytes());
        let listed =
            self.client.call(&ZADD, vec![self.node_index_key(node.as_str())], args, |value| number(&value));
        // Other nodes than one's own come from tests and tools: their word is not taken for granted.
        if node == home && !self.is_listing_due() {
            return listed.await.is_ok_and(|added| added > 0);
        }
        let (listed, _) = join(listed, self.list_node(node, ttl)).await;
        listed.is_ok_and(|added| added > 0)
    }

    /// Takes a session that could not be claimed out of the index again: whoever guesses ids fills no memory. Nobody
    /// waits for it, so it takes as long to refuse a session that exists as one that does not.
    pub(super) fn unlist_unclaimed(&self, id: SessionId, node: &NodeName) {
        let key = self.node_index_key(node.as_str());
        let taken_out =
            self.client.call(&ZREM, vec![key], Args::new().bytes(id.as_bytes()), |value| done(&value));
        self.client.runtime().spawn(taken_out);
    }

    /// Takes a session that has ended out of its indexes. Where that fails readers pass it over.
    pub(super) async fn unlist(&self, id: SessionId, user: &str, node: &str) {
        let take_out =
            |key| self.client.call(&ZREM, vec![key], Args::new().bytes(id.as_bytes()), |value| done(&value));
        _ = join(take_out(self.user_index_key(user)), take_out(self.node_index_key(node))).await;
    }

    pub(super) fn user_index_key(&self, user: &str) -> Key {
        self.client.key(format_args!("{{u:{user}}}:s"))
    }

    pub(super) fn node_index_key(&self, node: &str) -> Key {
        self.client.key(format_args!("{{n:{node}}}:s"))
    }

    pub(super) fn nodes_key(&self) -> Key {
        self.client.key("{n}")
    }

    async fn touch_one(&self, id: SessionId, fence: Fence, ttl: Duration) -> Result<Touched, Unavailable> {
        let args = self.owned(fence).number(ttl_ms(ttl)).number(entry_ms(ttl) / 2);
        let decode = |value| match value {
            Value::Integer(SAVED) => Some(Touched::Kept),
            Value::Integer(state @ (FENCED | GONE)) => Some(Touched::Lost(state)),
            user => Some(Touched::Due(text(user)?.to_string())),
        };
        self.client.call(&TOUCH, vec![self.record_key(id)], args, decode).await
    }

    /// Puts what this node holds into its index, and takes out what it had.
    async fn tidy_home(&self, held: &HashSet<SessionId>, ttl: Duration) -> Result<(), Unavailable> {
        let Some(home) = self.home.get() else { return Ok(()) };
        let key = self.node_index_key(home.as_str());
        if !held.is_empty() {
            let args = held.iter().fold(Args::new(), |args, id| args.number(0).bytes(id.as_bytes()));
            self.client.call(&ZADD, vec![key.clone()], args, |value| done(&value)).await?;
            self.list_node(home, ttl).await?;
        }

        let from = *lock(&self.walked_to);
        let steps = (held.len() / 8).clamp(WALKED_MIN, WALKED_MAX);
        let walked = self.ids_after(home.as_str(), from, steps).await?;
        *lock(&self.walked_to) = walked.last().copied().filter(|_| walked.len() == steps);
        let doubtful: Vec<_> = walked.into_iter().filter(|id| !held.contains(id)).collect();
        let nodes = join_all(doubtful.iter().map(|id| self.node_of(*id))).await;
        let mut args = Args::new();
        let mut gone = 0;
        for (id, node) in doubtful.iter().zip(nodes) {
            if node?.as_deref() != Some(home.as_str()) {
                args = args.bytes(id.as_bytes());
                gone += 1;
            }
        }
        if gone > 0 {
            self.client.call(&ZREM, vec![key], args, |value| done(&value)).await?;
            self.counts.unlisted.add(gone);
        }
        Ok(())
    }

    /// At most `limit` entries of a node's index, by id.
    pub(super) async fn ids_after(
        &self,
        node: &str,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, Unavailable> {
        let args = Args::new();
        let args = match after {
            Some(id) => args.bytes(&[b"(", &id.as_bytes()[..]].concat()),
            None => args.text("-"),
        };
        let args = args.text("+").text("LIMIT").number(0).number(limit as u64);
        self.client.call(&ZRANGEBYLEX, vec![self.node_index_key(node)], args, ids).await
    }

    async fn node_of(&self, id: SessionId) -> Result<Option<String>, Unavailable> {
        let decode = |value| match value {
            Value::Null => Some(None),
            name => Some(Some(text(name)?.to_string())),
        };
        self.client.call(&HGET, vec![self.record_key(id)], Args::new().text("n"), decode).await
    }

    /// Says that a node has an index, and lets that index live on: longer than any record in it.
    async fn list_node(&self, node: &NodeName, ttl: Duration) -> Result<(), Unavailable> {
        let now = self.clock.now().count();
        let args = Args::new().number(now).text(node.as_str());
        let listed = self.client.call(&ZADD, vec![self.nodes_key()], args, |value| done(&value));
        let index = vec![self.node_index_key(node.as_str())];
        let renewed =
            self.client.call(&PEXPIRE, index, Args::new().number(entry_ms(ttl)), |value| done(&value));
        // Nodes whose index has ended by now.
        let long_ago = Args::new().text("-inf").number(now.saturating_sub(entry_ms(ttl)));
        let trimmed =
            self.client.call(&ZREMRANGEBYSCORE, vec![self.nodes_key()], long_ago, |value| done(&value));
        let (listed, renewed, trimmed) = join3(listed, renewed, trimmed).await;
        listed.and(renewed).and(trimmed)
    }

    /// Whether this node said so last a while ago.
    fn is_listing_due(&self) -> bool {
        let now = self.clock.now();
        let mut listed_at = lock(&self.listed_at);
        let is_due = listed_at.is_none_or(|at| now.since(at) >= LISTED_EVERY);
        if is_due {
            *listed_at = Some(now);
        }
        is_due
    }
}

/// How long an entry of an index stays that nobody renews, in ms.
pub(super) fn entry_ms(ttl: Duration) -> u64 {
    ttl_ms(ttl).saturating_mul(2).max(ENTRY_MIN_MS)
}

/// Session ids of an answer.
pub(super) fn ids(value: Value) -> Option<Vec<SessionId>> {
    let mut fields = Fields::of(value)?;
    let mut ids = Vec::with_capacity(fields.len());
    while fields.len() > 0 {
        let id: [u8; ID_BYTES] = bytes(fields.value()?)?.as_ref().try_into().ok()?;
        ids.push(SessionId::from_bytes(id));
    }
    Some(ids)
}

fn done(value: &Value) -> Option<()> {
    number(value).map(drop)
}

/// A day: entries are renewed at half of it.
const ENTRY_MIN_MS: u64 = 24 * 3_600_000;
/// Sessions renewed with one round trip.
const TOUCHED_AT_ONCE: usize = 1_000;
/// Entries of the index looked at with a part of renewed sessions, an eighth of it: looking costs as much as renewing.
const WALKED_MIN: usize = 64;
const WALKED_MAX: usize = 1_000;
const LISTED_EVERY: Duration = Duration::from_secs(60);

pub(super) static TOUCH: Script =
    Script::lua(Operation::SessionsTouch, concat!(include_str!("owner.lua"), include_str!("touch.lua")));
static LIST_FOR_USER: Script = Script::lua(Operation::Index, include_str!("index.lua"));
static HGET: Script = Script::command(Operation::Index, "HGET");
static PEXPIRE: Script = Script::command(Operation::Index, "PEXPIRE");
static ZADD: Script = Script::command(Operation::Index, "ZADD");
static ZRANGEBYLEX: Script = Script::command(Operation::Index, "ZRANGEBYLEX");
static ZREM: Script = Script::command(Operation::Index, "ZREM");
static ZREMRANGEBYSCORE: Script = Script::command(Operation::Index, "ZREMRANGEBYSCORE");
