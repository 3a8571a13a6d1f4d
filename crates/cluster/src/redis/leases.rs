//! Leases of nodes: what the nodes hold is held under one, and leads nowhere when it has ended.
//!
//! Place in the data path: [`presence`](super::presence) and [`directory`](super::directory) have leases of their own, each
//! in one slot, with one hash that has a field a node. What is held names the tenure it is held under, a number that each
//! lease gets when it starts: readers learn which tenures live in the round trip in which they read.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use fred::types::{Key, Value};
use tidegate_protocol::id::NodeName;
use tidegate_protocol::time::whole_ms;

use crate::answer::Answer;
use crate::directory::Lease;

use super::client::RedisClient;
use super::random;
use super::script::{Args, Fields, Script, bytes};
use super::stats::Operation;

/// One lease of one node, from its start to its end. Random.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Tenure([u8; 8]);

/// The leases of one kind.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    client: RedisClient,
    scripts: &'static LeaseScripts,
    nodes_max: usize,
}

/// The steps, counted as what they are part of.
#[derive(Debug)]
pub(super) struct LeaseScripts {
    /// In the braces of the keys.
    pub(super) tag: &'static str,
    pub(super) renew: Script,
    pub(super) end: Script,
    pub(super) holder: Script,
    pub(super) live: Script,
    pub(super) nodes: Script,
    pub(super) ended: Script,
    pub(super) forget: Script,
}

macro_rules! step {
    ($operation:expr, $file:literal) => {
        Script::lua($operation, concat!(include_str!("leases/lease.lua"), include_str!($file)))
    };
}

impl LeaseScripts {
    pub(super) const fn new(
        tag: &'static str,
        renewing: Operation,
        holding: Operation,
        reading: Operation,
    ) -> Self {
        Self {
            tag,
            renew: step!(renewing, "leases/renew.lua"),
            end: step!(renewing, "leases/end.lua"),
            holder: step!(holding, "leases/holder.lua"),
            live: step!(reading, "leases/live.lua"),
            nodes: step!(reading, "leases/nodes.lua"),
            ended: step!(renewing, "leases/ended.lua"),
            forget: Script::command(renewing, "ZREM"),
        }
    }
}

impl Tenure {
    pub(super) const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// In keys of what is held under it: bytes that mean nothing in a key's name.
    pub(super) fn hex(self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.0))
    }
}

impl Leases {
    pub(super) fn new(client: RedisClient, scripts: &'static LeaseScripts, nodes_max: usize) -> Self {
        Self { client, scripts, nodes_max }
    }

    /// Starts or renews a lease.
    pub(super) fn renew(&self, node: &NodeName, ttl: Duration, about: &[u8]) -> Answer<Lease> {
        let part = self.scripts.renew.operation.part();
        let args = Args::new()
            .text(node.as_str())
            .number(whole_ms(ttl).clamp(1, TTL_MAX_MS))
            .bytes(&random().to_be_bytes())
            .bytes(about)
            .number(self.nodes_max as u64);
        let renewed = self.client.call(&self.scripts.renew, self.keys(), args, |value| match value {
            Value::Integer(1) => Some(Some(Lease::Kept)),
            Value::Integer(0) => Some(Some(Lease::New)),
            Value::Integer(-1) => Some(None),
            _ => None,
        });
        Box::pin(async move { renewed.await?.ok_or(part.full()) })
    }

    /// Ends a lease now.
    pub(super) fn end(&self, node: &NodeName) -> Answer<()> {
        self.client.call(&self.scripts.end, self.keys(), Args::new().text(node.as_str()), |_| Some(()))
    }

    /// Under which tenure a node can hold something now.
    pub(super) fn of(&self, node: &NodeName) -> Answer<Option<Tenure>> {
        let args = Args::new().text(node.as_str());
        self.client.call(&self.scripts.holder, self.keys(), args, |value| match value {
            Value::Null => Some(None),
            tenure => Some(Some(Tenure::decode(&bytes(tenure)?)?)),
        })
    }

    /// Every tenure that has not ended.
    pub(super) fn live(&self) -> Answer<HashSet<Tenure>> {
        self.client.call(&self.scripts.live, self.keys(), Args::new(), |value| {
            tenures(value).map(HashSet::from_iter)
        })
    }

    /// What every node with a lease says of itself.
    pub(super) fn about_all(&self) -> Answer<Vec<Bytes>> {
        self.client.call(&self.scripts.nodes, self.keys(), Args::new(), |value| {
            let mut fields = Fields::of(value)?;
            (0..fields.len()).map(|_| fields.bytes()).collect()
        })
    }

    /// Tenures that ended and may have left something: at most `limit`, the first to end first.
    pub(super) fn ended(&self, limit: usize) -> Answer<Vec<Tenure>> {
        let args = Args::new().number(limit as u64);
        self.client.call(&self.scripts.ended, self.keys(), args, tenures)
    }

    /// Nothing is left of this one.
    pub(super) fn forget(&self, tenure: Tenure) -> Answer<()> {
        let args = Args::new().bytes(tenure.as_bytes());
        self.client.call(&self.scripts.forget, vec![self.ended_key()], args, |_| Some(()))
    }

    /// Where the tenures that have ended are listed, by when.
    pub(super) fn ended_key(&self) -> Key {
        self.client.key(format_args!("{{{}}}:e", self.scripts.tag))
    }

    fn keys(&self) -> Vec<Key> {
        vec![self.client.key(format_args!("{{{}}}", self.scripts.tag)), self.ended_key()]
    }
}

fn tenures(value: Value) -> Option<Vec<Tenure>> {
    let mut fields = Fields::of(value)?;
    (0..fields.len()).map(|_| Tenure::decode(&fields.bytes()?)).collect()
}

/// Ten years.
const TTL_MAX_MS: u64 = 10 * 365 * 24 * 3_600_000;
