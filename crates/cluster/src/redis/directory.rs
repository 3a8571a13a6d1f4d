//! [`Directory`] in Redis: the nodes in one slot, each session's route in a slot of its own.
//!
//! Place in the data path: a message for one session or user asks here where they are. A route names the tenure of its
//! node; who locates reads routes and living tenures in one round trip, so a dead node's routes lead nowhere from the
//! moment its lease ends. Their memory comes back bit by bit, with every announcement of any node.
//!
//! | Key | Holds |
//! |---|---|
//! | `{d}`, `{d}:e` | nodes and leases; tenures that have ended |
//! | `{s:SID}:d` | a session's route |
//! | `{u:USER}:d` | routes of a user's sessions, by when they were registered |
//! | `{dt:TENURE}` | routes of a tenure |
//!
//! The last two name a route by session, tenure and fence: taking one out cannot take out its successor. They are
//! written along with the route, in no order, so who finds an entry without its route leaves it alone for a minute.

mod record;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Key, Value};
use futures_util::future::{join, join_all, join3};
use tidegate_protocol::id::{NodeName, SessionId};

use crate::answer::{Answer, Part, Reason, Unavailable};
use crate::clock::Clock;
use crate::directory::{Directory, Lease, NodeRecord, Registered, Registration, Route, Target};
use crate::fence::Fence;
use crate::memory::count::Counter;

use super::client::RedisClient;
use super::leases::{LeaseScripts, Leases, Tenure};
use super::script::{Args, Script, bytes, number};
use super::stats::Operation;

use self::record::{Entry, Held};

/// Nodes and routes of a cluster.
#[derive(Debug)]
pub struct RedisDirectory(Arc<Shared>);

/// The bounds of a [`RedisDirectory`]. How many routes there are is bounded by the server's memory.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryConfig {
    /// Most nodes with a lease.
    pub nodes_max: usize,
    /// Most routes of one user that are looked at; the oldest are not found.
    pub user_routes_max: usize,
}

/// What a [`RedisDirectory`] has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DirectoryStats {
    /// Routes of dead nodes dropped here.
    pub dropped_total: u64,
    /// Registrations refused since their node had no lease.
    pub unleased_total: u64,
}

#[derive(Debug)]
struct Shared {
    client: RedisClient,
    config: DirectoryConfig,
    clock: Clock,
    leases: Leases,
    dropped: Counter,
    unleased: Counter,
}

impl Default for DirectoryConfig {
    fn default() -> Self {
        Self { nodes_max: 1_000, user_routes_max: 10_000 }
    }
}

impl RedisDirectory {
    /// The directory that the server holds, seen from one node. `clock` shows Unix time, about as the other nodes' do.
    pub fn new(client: RedisClient, config: DirectoryConfig, clock: Clock) -> Self {
        let leases = Leases::new(client.clone(), &LEASES, config.nodes_max);
        Self(Arc::new(Shared {
            client,
            config,
            clock,
            leases,
            dropped: Counter::default(),
            unleased: Counter::default(),
        }))
    }

    /// Drops some routes of the node that died first and has left any, at most a thousand; `None`: nothing is left of any.
    /// The number counts entries that were looked at, those of routes that had moved on among them.
    pub fn sweep(&self) -> Answer<Option<usize>> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move { shared.sweep().await })
    }

    /// What it has done.
    pub fn stats(&self) -> DirectoryStats {
        DirectoryStats { dropped_total: self.0.dropped.total(), unleased_total: self.0.unleased.total() }
    }
}

impl Directory for RedisDirectory {
    fn announce(&self, node: NodeRecord, ttl: Duration) -> Answer<Lease> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move {
            let lease = shared.leases.renew(&node.name, ttl, &record::encode(&node)).await?;
            // Memory that does not come back now comes back with the next announcement.
            _ = shared.sweep().await;
            Ok(lease)
        })
    }

    fn withdraw(&self, node: &NodeName) -> Answer<()> {
        self.0.leases.end(node)
    }

    fn nodes(&self) -> Answer<Vec<NodeRecord>> {
        let about = self.0.leases.about_all();
        Box::pin(async move {
            let decoded: Option<Vec<_>> = about.await?.iter().map(|about| record::decode(about)).collect();
            let mut nodes = decoded.ok_or(faulty())?;
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(nodes)
        })
    }

    fn register(&self, registration: Registration) -> Answer<Registered> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move { shared.register(registration).await })
    }

    fn unregister(&self, session: SessionId, fence: Fence) -> Answer<bool> {
        let shared = Arc::clone(&self.0);
        self.0.client.enter(async move {
            let mark = fence.number().to_be_bytes();
            let held = shared.drop_route(session, Held::FENCE_AT, &mark, &UNREGISTER).await?;
            if let Some(held) = &held {
                shared.take_out(session, held).await?;
            }
            Ok(held.is_some())
        })
    }

    fn locate(&self, target: Target<'_>, limit: usize) -> Answer<Vec<Route>> {
        let shared = Arc::clone(&self.0);
        match target {
            Target::User("") => crate::answer::ready(Ok(Vec::new())),
            Target::User(user) => {
                let user = user.to_owned();
                self.0.client.enter(async move { shared.locate_user(&user, limit).await })
            }
            Target::Session(session) => {
                self.0.client.enter(async move { shared.locate_session(session, limit).await })
            }
        }
    }
}

impl Shared {
    /// Two round trips: the node's tenure, then the route with its entries. Should the lease end in between, the route
    /// leads nowhere like any other of that node.
    async fn register(&self, registration: Registration) -> Result<Registered, Unavailable> {
        let Registration { session, user, node, fence } = registration;
        let Some(tenure) = self.leases.of(&node).await? else {
            self.unleased.add(1);
            return Ok(Registered::NoLease);
        };
        let entry = Entry { session, tenure, fence };
        let held = Held { tenure, fence, node, user };
        let args = Args::new().number(fence.number()).bytes(&held.encode());
        let registered =
            self.client.call(&REGISTER, vec![self.route_key(session)], args, |value| match value {
                Value::Integer(1) => Some(Registered::Known),
                Value::Integer(0) => Some(Registered::Fenced),
                _ => None,
            });
        let by_user = async {
            if held.user.is_empty() {
                return Ok(());
            }
            let args = Args::new().number(self.clock.now().count()).bytes(&entry.encode());
            self.client.call(&ADD_TO_USER, vec![self.user_key(&held.user)], args, |value| done(&value)).await
        };
        let args = Args::new().bytes(&entry.encode());
        let by_tenure =
            self.client.call(&ADD_TO_TENURE, vec![self.tenure_key(tenure)], args, |value| done(&value));
        let (registered, by_user, by_tenure) = join3(registered, by_user, by_tenure).await;
        let registered = registered?;
        by_user.and(by_tenure)?;
        Ok(registered)
    }

    async fn locate_session(&self, session: SessionId, limit: usize) -> Result<Vec<Route>, Unavailable> {
        let (held, live) = join(self.route(session), self.leases.live()).await;
        let (held, live) = (held?, live?);
        let route = held.filter(|held| live.contains(&held.tenure)).map(|held| held.into_route(session));
        Ok(route.into_iter().take(limit).collect())
    }

    async fn locate_user(&self, user: &str, limit: usize) -> Result<Vec<Route>, Unavailable> {
        let last = format!("-{}", self.config.user_routes_max);
        let args = Args::new().text(last).text("-1").text("WITHSCORES");
        let entries = self.client.call(&OF_USER, vec![self.user_key(user)], args, record::entries);
        let (entries, live) = join(entries, self.leases.live()).await;
        let (mut entries, live) = (entries?, live?);
        entries.sort_by_key(|(entry, _)| entry.session);

        let (mut routes, mut settled) = (Vec::new(), Args::new());
        let mut at = 0;
        while routes.len() < limit && at < entries.len() {
            let end = entries.len().min(at + (limit - routes.len()).clamp(LOOKED_AT_MIN, LOOKED_AT_MAX));
            let part = &entries[at..end];
            at = end;
            let found = join_all(part.iter().map(|(entry, _)| self.route(entry.session))).await;
            for ((entry, registered_at), held) in part.iter().zip(found) {
                let held = held?.filter(|held| *held.user == *user && entry.is_of(held));
                match held {
                    // More than were asked for: this part was looked up at once.
                    Some(_) if routes.len() == limit => {}
                    Some(held) if live.contains(&held.tenure) => routes.push(held.into_route(entry.session)),
                    // Of a dead node: goes with the rest of what that left.
                    Some(_) => {}
                    None if self.clock.now().since(*registered_at) > GRACE => {
                        settled = settled.bytes(&entry.encode())
                    }
                    None => {}
                }
            }
        }
        if settled.size_bytes() > 0 {
            self.client
                .call(&REMOVE_FROM_USER, vec![self.user_key(user)], settled, |value| done(&value))
                .await?;
        }
        Ok(routes)
    }

    fn route(&self, session: SessionId) -> Answer<Option<Held>> {
        self.client.call(&ROUTE, vec![self.route_key(session)], Args::new(), held)
    }

    /// Takes a route away if the mark is in its place.
    fn drop_route(
        &self,
        session: SessionId,
        mark_at: u64,
        mark: &[u8; 8],
        script: &'static Script,
    ) -> Answer<Option<Held>> {
        let args = Args::new().number(mark_at).bytes(mark);
        self.client.call(script, vec![self.route_key(session)], args, held)
    }

    /// Takes the entries of a route out that is gone.
    async fn take_out(&self, session: SessionId, held: &Held) -> Result<(), Unavailable> {
        let entry = Entry { session, tenure: held.tenure, fence: held.fence };
        let args = || Args::new().bytes(&entry.encode());
        let by_user = self
            .client
            .call(&REMOVE_FROM_USER, vec![self.user_key(&held.user)], args(), |value| done(&value));
        let tenure = vec![self.tenure_key(held.tenure)];
        let (by_user, by_tenure) =
            join(by_user, self.client.call(&REMOVE_FROM_TENURE, tenure, args(), |value| done(&value))).await;
        by_user.and(by_tenure)
    }

    fn route_key(&self, session: SessionId) -> Key {
        self.client.key(format_args!("{{s:{session}}}:d"))
    }

    fn user_key(&self, user: &str) -> Key {
        self.client.key(format_args!("{{u:{user}}}:d"))
    }

    fn tenure_key(&self, tenure: Tenure) -> Key {
        self.client.key(format_args!("{{dt:{}}}", tenure.hex()))
    }
}

fn held(value: Value) -> Option<Option<Held>> {
    match value {
        Value::Null => Some(None),
        route => Held::decode(&bytes(route)?).map(Some),
    }
}

fn done(value: &Value) -> Option<()> {
    number(value).map(drop)
}

fn faulty() -> Unavailable {
    Unavailable { part: Part::Directory, reason: Reason::Faulty }
}

/// Longer than any call is under way, and clocks differ.
const GRACE: Duration = Duration::from_secs(60);
/// Routes looked up in one round trip.
const LOOKED_AT_MIN: usize = 16;
const LOOKED_AT_MAX: usize = 512;

static LEASES: LeaseScripts = LeaseScripts::new(
    "d",
    Operation::DirectoryAnnounce,
    Operation::DirectoryRegister,
    Operation::DirectoryLocate,
);
static REGISTER: Script = Script::lua(Operation::DirectoryRegister, include_str!("directory/register.lua"));
static UNREGISTER: Script =
    Script::lua(Operation::DirectoryUnregister, include_str!("directory/unregister.lua"));
static ROUTE: Script = Script::command(Operation::DirectoryLocate, "GET");
static OF_USER: Script = Script::command(Operation::DirectoryLocate, "ZRANGE");
static ADD_TO_USER: Script = Script::command(Operation::DirectoryRegister, "ZADD");
static ADD_TO_TENURE: Script = Script::command(Operation::DirectoryRegister, "SADD");
static REMOVE_FROM_USER: Script = Script::command(Operation::DirectoryUnregister, "ZREM");
static REMOVE_FROM_TENURE: Script = Script::command(Operation::DirectoryUnregister, "SREM");
