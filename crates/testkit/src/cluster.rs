//! Several gateways that serve as one, with a Redis and a NATS server of their own.
//!
//! Each part can be broken on purpose: the servers are fields, nodes are killed by their number.

use std::ops::Index;

use crate::gateway::{Builder, Gateway};
use crate::servers::{Haproxy, NatsServer, ProxyProtocol, RedisServer};

/// Nodes `node-0`, `node-1`… with the servers that they share. Dropping it kills all of them.
pub struct Cluster {
    /// The store of all nodes.
    pub redis: RedisServer,
    /// The bus between them.
    pub nats: NatsServer,
    nodes: Vec<Gateway>,
}

impl Cluster {
    /// Starts `count` nodes, each as `builder` prepares it, with a Redis that keeps what it has acknowledged.
    #[track_caller]
    pub fn of(count: usize, builder: impl Fn() -> Builder) -> Self {
        Self::on(RedisServer::builder().appendonly().start(), NatsServer::start(), count, builder)
    }

    /// Starts `count` nodes on these servers.
    #[track_caller]
    pub fn on(redis: RedisServer, nats: NatsServer, count: usize, builder: impl Fn() -> Builder) -> Self {
        let mut cluster = Self { redis, nats, nodes: Vec::with_capacity(count) };
        for number in 0..count {
            let builder = builder().set("node.replicas", &count.to_string());
            cluster.nodes.push(cluster.join(number, builder).start());
        }
        cluster
    }

    /// Gives a gateway that was not started yet this cluster's servers, and the name of the node with this number.
    #[must_use]
    pub fn join(&self, number: usize, builder: Builder) -> Builder {
        builder
            .set("node.name", &Self::name(number))
            .set("store.url", &self.redis.url())
            .set("bus.url", &self.nats.url())
    }

    /// What a node is called.
    pub fn name(number: usize) -> String {
        format!("node-{number}")
    }

    /// All nodes, those that were killed among them.
    pub fn nodes(&self) -> &[Gateway] {
        &self.nodes
    }

    /// Kills a node without a warning to anyone, and waits until it is gone.
    #[track_caller]
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].kill();
        self.nodes[number].wait_exit();
    }

    /// Waits until a node has ended that was told to, and says with which code.
    #[track_caller]
    pub fn wait_exit(&mut self, number: usize) -> Option<i32> {
        self.nodes[number].wait_exit().code()
    }

    /// A balancer in front of all nodes, which tells them nothing of the clients.
    #[track_caller]
    pub fn balancer(&self) -> Haproxy {
        Haproxy::start(self.nodes.iter().map(|node| node.client().port()), ProxyProtocol::Off)
    }

    /// Waits until every node is, or is not, in a degraded mode.
    #[track_caller]
    pub fn await_mode(&self, mode: &str, is_in_it: bool) {
        for node in &self.nodes {
            node.await_metric("tidegate_degraded", &[("mode", mode)], f64::from(u8::from(is_in_it)));
        }
    }
}

impl Index<usize> for Cluster {
    type Output = Gateway;

    fn index(&self, number: usize) -> &Gateway {
        &self.nodes[number]
    }
}
