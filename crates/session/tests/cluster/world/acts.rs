//! What clients and their applications do, of their own accord.

use super::network::Wire;
use super::{CLIENT_TICK, Happening, LAST_FAULT, Sent, World};

impl World {
    /// Someone publishes, subscribes or leaves.
    pub(super) fn step(&mut self) {
        if self.now >= LAST_FAULT {
            return;
        }
        let at = self.now + 20 + self.random.below(120);
        self.later(at, Happening::Step);
        let client = self.random.below(self.clients.len() as u64) as usize;
        let channel = *self.random.pick(&[0, 1]);
        if self.random.percent(self.plan.publishes) {
            for _ in 0..=self.random.below(3) {
                self.publish(client, channel);
            }
        }
        if self.random.percent(2) {
            self.summary.count("unsubscribed", u64::from(self.clients[client].wanted.contains(&channel)));
            let text = self.clients[client].toggle(channel);
            self.send(client, text);
        }
    }

    pub(super) fn publish(&mut self, client: usize, channel: usize) {
        self.last_number += 1;
        let texts = self.clients[client].publish(channel, self.last_number, self.now);
        self.send(client, texts);
    }

    /// A client looks at its clocks.
    pub(super) fn tick(&mut self, client: usize) {
        self.later(self.now + CLIENT_TICK, Happening::ClientTick(client));
        if self.clients[client].link.is_none() {
            if self.clients[client].connect_at <= self.now {
                self.connect(client);
            }
            return;
        }
        let reaction = self.clients[client].pass_time(self.now);
        self.send(client, reaction.send);
        if reaction.hang_up {
            self.drop_link(client, true);
        }
    }

    /// Through the balancer, to any node.
    fn connect(&mut self, client: usize) {
        let node = self.random.below(self.hosts.len() as u64) as usize;
        if !self.hosts[node].is_up {
            return;
        }
        self.last_wire += 1;
        let wire = self.last_wire;
        self.wires.insert(wire, Wire::new(client, node, self.hosts[node].life));
        self.send_to_node(wire, Sent::Open);
        let connect = self.clients[client].open(wire, self.now);
        self.trace(|| format!("client {client} connects to node {node} by {wire}: {connect}"));
        self.send_to_node(wire, Sent::Text(connect));
    }

    fn send(&mut self, client: usize, texts: impl IntoIterator<Item = String>) {
        let Some(wire) = self.clients[client].link.as_ref().map(|link| link.connection) else { return };
        for text in texts {
            self.trace(|| format!("client {client} by {wire}: {text}"));
            self.send_to_node(wire, Sent::Text(text));
        }
    }
}
