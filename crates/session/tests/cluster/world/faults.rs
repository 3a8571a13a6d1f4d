//! What goes wrong.

use super::{BEGIN, Cuts, Happening, Host, Input, SNAPSHOT_EVERY, World, policy};
use crate::node::Node;
use crate::store::Store;
use crate::{CHANNELS, Mutation};

/// States of the store that are remembered.
const SNAPSHOTS: usize = 20;
/// A process that stood still for longer than its lease, in milliseconds, gives its sessions up.
const LEASE_MS: u64 = 3_000;

impl World {
    pub(super) fn fault(&mut self) {
        let node = self.random.below(self.hosts.len() as u64) as usize;
        let span = 200 + self.random.below(4_000);
        match self.random.below(20) {
            0 | 1 => self.crash(node, span),
            2..=4 => {
                let longer = 3_000 * self.random.below(2);
                self.pause(node, span + longer);
            }
            5..=7 => self.cut_bus(node, span),
            8 | 9 => self.cut_store(node, span),
            10 => {
                self.summary.count("store slow", 1);
                self.plan.store_slow_until = self.now + span;
            }
            11 => self.restart_bus(),
            12 | 13 => self.set_back(),
            14 => self.flush(),
            15 | 16 => self.cut_client(),
            _ => self.abandon_connection(),
        }
    }

    /// `kill -9`, or the machine is gone: clients are told, or not.
    fn crash(&mut self, node: usize, span: u64) {
        // What only this node has seen of a store that was set back meanwhile would be known to nobody.
        let host = &self.hosts[node];
        if !host.is_up || self.hosts.iter().any(|host| host.node.is_sweeping) {
            return;
        }
        self.trace(|| format!("node {node} crashes for {span}"));
        self.summary.count("crash", 1);
        let is_silent = self.random.percent(30);
        let life = self.hosts[node].life;
        let wires: Vec<_> = self
            .wires
            .iter_mut()
            .filter(|(_, wire)| wire.node == node && wire.life == life)
            .map(|(number, wire)| {
                wire.is_cut |= is_silent;
                *number
            })
            .collect();
        for wire in wires {
            self.send_to_client(wire, life, super::Sent::Gone);
        }
        let host = &mut self.hosts[node];
        (host.is_up, host.paused_at) = (false, None);
        host.life += 1;
        host.backlog.clear();
        host.interest.clear();
        self.later(self.now + span, Happening::Restart { node });
    }

    pub(super) fn restart(&mut self, node: usize) {
        if self.hosts[node].is_up {
            return;
        }
        let fresh = Node::new(node, self.now, policy(), self.mutation);
        let Host { life, cut, .. } = self.hosts[node];
        self.hosts[node] = Host { life, cut, ..Host::new(fresh) };
        self.start_timers(node);
    }

    /// SIGSTOP.
    fn pause(&mut self, node: usize, span: u64) {
        let host = &mut self.hosts[node];
        if !host.is_up || host.paused_at.is_some() {
            return;
        }
        self.summary.count("pause", 1);
        host.paused_at = Some(self.now);
        self.trace(|| format!("node {node} stands still for {span}"));
        self.later(self.now + span, Happening::Continue { node });
    }

    /// SIGCONT: everything that came meanwhile is there at once.
    pub(super) fn go_on(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let Some(paused_at) = host.paused_at.take() else { return };
        let backlog = std::mem::take(&mut host.backlog);
        if self.now - paused_at > LEASE_MS {
            self.summary.count("stood still", 1);
            self.turn(node, Node::give_up_sessions);
        }
        for happening in backlog {
            self.later(self.now, happening);
        }
    }

    fn cut_bus(&mut self, node: usize, span: u64) {
        self.summary.count("bus cut", 1);
        let (until, direction) = (self.now + span, self.random.below(3));
        self.trace(|| format!("node {node} is cut from the bus for {span}, {direction}"));
        let cut = &mut self.hosts[node].cut;
        if direction != 0 {
            cut.to_bus = until;
        }
        if direction != 1 {
            cut.from_bus = until;
        }
        let at = until + 1 + self.random.below(300);
        let life = self.hosts[node].life;
        self.later(at, Happening::Node { node, life, input: Input::ListenToAll });
    }

    fn cut_store(&mut self, node: usize, span: u64) {
        self.summary.count("store cut", 1);
        let (until, direction) = (self.now + span, self.random.below(3));
        self.trace(|| format!("node {node} is cut from the store for {span}, {direction}"));
        let cut = &mut self.hosts[node].cut;
        if direction != 0 {
            cut.to_store = until;
        }
        if direction != 1 {
            cut.from_store = until;
        }
    }

    fn restart_bus(&mut self) {
        self.summary.count("bus restarted", 1);
        self.trace(|| "the bus is restarted".into());
        for node in 0..self.hosts.len() {
            self.hosts[node].interest.clear();
            let at = self.now + 50 + self.random.below(1_000);
            let life = self.hosts[node].life;
            self.later(at, Happening::Node { node, life, input: Input::ListenToAll });
        }
    }

    pub(super) fn take_snapshot(&mut self) {
        self.snapshots.push_back((self.now, self.store.clone()));
        if self.snapshots.len() > SNAPSHOTS {
            self.snapshots.pop_front();
        }
        self.later(self.now + SNAPSHOT_EVERY, Happening::Snapshot);
    }

    /// A replica that lagged is promoted, or a server comes back with what its disk had.
    fn set_back(&mut self) {
        let at = self.random.below(self.snapshots.len() as u64) as usize;
        let Some((then, store)) = self.snapshots.get(at).cloned() else { return };
        self.snapshots.truncate(at + 1);
        self.summary.count("fork", 1);
        let back_to = then - BEGIN;
        self.trace(|| format!("the store is set back to {back_to}"));
        self.replace_store(store);
    }

    fn flush(&mut self) {
        self.summary.count("flush", 1);
        self.trace(|| "the store is emptied".into());
        self.snapshots.clear();
        self.replace_store(Store::default());
        self.take_snapshot();
    }

    fn replace_store(&mut self, mut store: Store) {
        self.truth.set_back();
        if self.mutation == Mutation::KeysOutliveEntries {
            store.keep_keys_of(&self.store);
        }
        let before = std::mem::replace(&mut self.store, store);
        self.waive_what_nobody_knows(&before);
        for node in 0..self.hosts.len() {
            let at = self.now + 10 + self.random.below(300);
            let host = &mut self.hosts[node];
            host.node.is_sweeping = host.is_up;
            let life = host.life;
            self.later(at, Happening::Node { node, life, input: Input::Sweep });
        }
    }

    /// What was lost and seen by no node that is left cannot be told by anyone: the client that has it is the only witness,
    /// and positions carry no tags.
    fn waive_what_nobody_knows(&mut self, before: &Store) {
        for channel in 0..CHANNELS.len() {
            let (Some(before), Some(now)) = (before.head(channel), self.store.head(channel)) else {
                continue;
            };
            let lost_some =
                before.position.epoch == now.position.epoch && before.position.offset > now.position.offset;
            let is_known = self.hosts.iter().filter(|host| host.is_up).any(|host| {
                let known = host.node.known.get(channel).map(|known| known.position);
                known.is_some_and(|known| {
                    known.epoch == now.position.epoch && known.offset > now.position.offset
                })
            });
            if lost_some && !is_known {
                self.summary.count("unknowable", 1);
                for client in &mut self.clients {
                    if let Some(view) = client.views.get_mut(&channel) {
                        view.waive();
                    }
                }
            }
        }
    }

    fn cut_client(&mut self) {
        let client = self.random.below(self.clients.len() as u64) as usize;
        let Some(link) = &self.clients[client].link else { return };
        let wire = link.connection;
        if self.random.percent(50) {
            self.summary.count("connection cut", 1);
            return self.drop_link(client, true);
        }
        self.summary.count("connection cut silently", 1);
        self.trace(|| format!("client {client} is cut off silently"));
        if let Some(wire) = self.wires.get_mut(&wire) {
            wire.is_cut = true;
        }
    }

    /// A client comes back on another connection and leaves the old one open.
    fn abandon_connection(&mut self) {
        let client = self.random.below(self.clients.len() as u64) as usize;
        let client = &mut self.clients[client];
        let Some(link) = client.link.as_ref().filter(|link| link.is_ready) else { return };
        self.summary.count("connection abandoned", 1);
        let wire = link.connection;
        client.former.insert(wire);
        client.lose(self.now, 0);
    }

    /// Nothing goes wrong any more.
    pub(super) fn heal(&mut self) {
        self.trace(|| "everything is well from here on".into());
        self.plan.bus_drops = 0;
        self.plan.bus_doubles = 0;
        self.plan.bus_delay_max = 20;
        self.plan.store_delay_max = 20;
        self.plan.store_slow_until = 0;
        for node in 0..self.hosts.len() {
            self.hosts[node].cut = Cuts::default();
            self.go_on(node);
            self.restart(node);
            let life = self.hosts[node].life;
            let at = self.now + self.random.below(300);
            self.later(at, Happening::Node { node, life, input: Input::ListenToAll });
        }
    }
}
