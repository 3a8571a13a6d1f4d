//! [`Presence`] in Redis: the seats of a channel in one slot, the leases of the nodes in another.
//!
//! Place in the data path: a seat names the tenure of its holder. Who lists members reads the channel and the living
//! tenures in one round trip, and leaves out the others: a ghost is hidden from the moment its node's lease ends, whether
//! somebody has reaped it or not.
//!
//! | Key | Holds |
//! |---|---|
//! | `{p}`, `{p}:e` | leases by node; tenures that have ended |
//! | `{p:CHANNEL}:m` | seats by session |
//! | `{p:CHANNEL}:t` | tenure and session of each seat, in order: how many a tenure has, and which |
//! | `{pt:TENURE}` | channels with seats of a tenure, by when someone joined there last |
//!
//! The index of a tenure's channels is written along with a join and tidied by its node; a channel that is missing in it
//! is put in again by whoever lists the channel and finds ghosts.

mod reap;
mod seat;

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Key, Value};
use futures_util::future::join;
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::id::{NodeName, SessionId};

use crate::answer::{Answer, Part, Reason, Unavailable};
use crate::clock::Clock;
use crate::directory::Lease;
use crate::fence::Fence;
use crate::memory::count::Counter;
use crate::presence::{Ghost, Holder, Joined, Member, Members, Presence};

use super::client::RedisClient;
use super::leases::{LeaseScripts, Leases, Tenure};
use super::script::{Args, Fields, Script, bytes};
use super::stats::Operation;

/// Members of the channels of a cluster.
#[derive(Debug)]
pub struct RedisPresence(Arc<Shared>);

/// The bounds of a [`RedisPresence`]. How many members there are in all is bounded by the server's memory.
#[derive(Clone, Copy, Debug)]
pub struct PresenceConfig {
    /// Most members of one channel.
    pub channel_members_max: usize,
    /// Most nodes with a lease.
    pub nodes_max: usize,
}

/// What a [`RedisPresence`] has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PresenceStats {
    /// Ghosts handed out here.
    pub reaped_total: u64,
    /// Joins refused for lack of room.
    pub refused_total: u64,
    /// Joins refused since their node had no lease.
    pub unleased_total: u64,
    /// Ghosts found where nobody would have reaped them, and put right.
    pub strays_total: u64,
}

#[derive(Debug)]
struct Shared {
    client: RedisClient,
    config: PresenceConfig,
    leases: Leases,
    /// Compared with itself only.
    clock: Clock,
    reaped: Counter,
    refused: Counter,
    unleased: Counter,
    strays: Counter,
}

/// The seats that one tenure has in a channel: how many, and the first of them.
struct Page {
    tenure: Tenure,
    total: usize,
    members: Vec<Member>,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self { channel_members_max: 10_000, nodes_max: 1_000 }
    }
}

impl RedisPresence {
    /// The members that the server holds, seen from one node. `clock` runs with real time.
    pub fn new(client: RedisClient, config: PresenceConfig, clock: Clock) -> Self {
        let leases = Leases::new(client.clone(), &LEASES, config.nodes_max);
        Self(Arc::new(Shared {
            client,
            config,
            leases,
            clock,
            reaped: Counter::default(),
            refused: Counter::default(),
            unleased: Counter::default(),
            strays: Counter::default(),
        }))
    }

    /// What it has done.
    pub fn stats(&self) -> PresenceStats {
        PresenceStats {
            reaped_total: self.0.reaped.total(),
            refused_total: self.0.refused.total(),
            unleased_total: self.0.unleased.total(),
            strays_total: self.0.strays.total(),
        }
    }
}

impl Presence for RedisPresence {
    fn touch(&self, node: &NodeName, ttl: Duration) -> Answer<Lease> {
        let (shared, node) = (Arc::clone(&self.0), node.clone());
        self.0.client.enter(async move {
            let lease = shared.leases.renew(&node, ttl, b"").await?;
            // What cannot be tidied now is tidied the next time.
            _ = shared.tidy_index(&node).await;
            Ok(lease)
        })
    }

    fn join(&self, channel: &Channel<'_>, member: Member, holder: Holder) -> Answer<Joined> {
        let (shared, channel) = (Arc::clone(&self.0), ChannelName::from(channel));
        self.0.client.enter(async move { shared.join(&channel, member, holder).await })
    }

    fn leave(&self, channel: &Channel<'_>, session: SessionId, fence: Fence) -> Answer<Option<Member>> {
        let args = Args::new().bytes(session.as_bytes()).number(fence.number());
        let decode = move |value| match value {
            Value::Null => Some(None),
            seat => seat::decode(session, &bytes(seat)?).map(Some),
        };
        self.0.client.call(&LEAVE, self.0.channel_keys(channel.as_str()), args, decode)
    }

    fn list(&self, channel: &Channel<'_>, after: Option<SessionId>, limit: usize) -> Answer<Members> {
        let (shared, channel) = (Arc::clone(&self.0), ChannelName::from(channel));
        self.0.client.enter(async move { shared.list(&channel, after, limit).await })
    }

    fn reap(&self, limit: usize) -> Answer<Vec<Ghost>> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move { shared.reap(limit).await })
    }
}

impl Shared {
    /// Two round trips: the node's tenure, then the seat. Should the lease end in between, the new member is a ghost like
    /// any other of that node.
    async fn join(
        &self,
        channel: &ChannelName,
        member: Member,
        holder: Holder,
    ) -> Result<Joined, Unavailable> {
        let Some(tenure) = self.leases.of(&holder.node).await? else {
            self.unleased.add(1);
            return Ok(Joined::NoLease);
        };
        let args = Args::new()
            .bytes(member.session.as_bytes())
            .bytes(tenure.as_bytes())
            .number(holder.fence.number())
            .bytes(&seat::encode_who(&member))
            .bytes(&seat::encode_info(member.info.as_deref()))
            .number(self.config.channel_members_max as u64);
        let seated =
            self.client.call(&JOIN, self.channel_keys(channel.as_str()), args, |value| match value {
                Value::Integer(1) => Some(Joined::New),
                Value::Integer(0) => Some(Joined::Kept),
                Value::Integer(-1) => Some(Joined::Fenced),
                Value::Integer(-2) => Some(Joined::Full),
                _ => None,
            });
        let (seated, indexed) = join(seated, self.index(tenure, channel, self.clock.now())).await;
        let seated = seated?;
        indexed?;
        if seated == Joined::Full {
            self.refused.add(1);
        }
        Ok(seated)
    }

    async fn list(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Members, Unavailable> {
        let after = after.as_ref().map_or(&[][..], |session| session.as_bytes());
        let args = Args::new().bytes(after).number(limit as u64);
        let pages = self.client.call(&PAGE, self.channel_keys(channel.as_str()), args, pages);
        let (pages, live) = join(pages, self.leases.live()).await;
        let (pages, live) = (pages?, live?);

        let (mut members, mut total) = (Vec::new(), 0);
        let mut strays = Vec::new();
        for page in pages {
            if live.contains(&page.tenure) {
                total += page.total;
                members.extend(page.members);
            } else {
                strays.push(page.tenure);
            }
        }
        self.report_strays(channel, &strays).await;
        members.sort_by_key(|member| member.session);
        members.truncate(limit);
        Ok(Members { members, total })
    }

    fn channel_keys(&self, channel: &str) -> Vec<Key> {
        ["m", "t"].map(|kind| self.client.key(format_args!("{{p:{channel}}}:{kind}"))).into()
    }

    fn tenure_key(&self, tenure: Tenure) -> Key {
        self.client.key(format_args!("{{pt:{}}}", tenure.hex()))
    }
}

fn pages(value: Value) -> Option<Vec<Page>> {
    let mut fields = Fields::of(value)?;
    let mut pages = Vec::with_capacity(fields.len() / 3);
    while fields.len() > 0 {
        let tenure = Tenure::decode(&fields.bytes()?)?;
        let total = usize::try_from(fields.number()?).ok()?;
        pages.push(Page { tenure, total, members: seat::decode_all(fields.list()?)? });
    }
    Some(pages)
}

fn faulty() -> Unavailable {
    Unavailable { part: Part::Presence, reason: Reason::Faulty }
}

static LEASES: LeaseScripts =
    LeaseScripts::new("p", Operation::PresenceTouch, Operation::PresenceJoin, Operation::PresenceList);
static JOIN: Script = Script::lua(Operation::PresenceJoin, include_str!("presence/join.lua"));
static LEAVE: Script = Script::lua(Operation::PresenceLeave, include_str!("presence/leave.lua"));
static PAGE: Script = Script::lua(Operation::PresenceList, include_str!("presence/page.lua"));
