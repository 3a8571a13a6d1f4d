//! The last fault is over: everything has to be well again soon, and stay so.

use super::{LAST_FAULT, World};
use crate::summary::Summary;
use crate::{CHANNELS, Checked};

/// When what was broken is whole again, in milliseconds.
const HEALED: u64 = LAST_FAULT + 1_000;
/// How long it may take until nobody notices any more that something was broken: a client finds out after 4 s that its
/// connection is dead, a node after as much; 6 s is the life of a session without its node.
const SETTLED: u64 = HEALED + 15_000;
/// How long a message may take then.
const DONE: u64 = SETTLED + 1_500;

impl World {
    /// Lets everything happen, and checks what is left.
    pub(crate) fn run(&mut self) -> Checked<Summary> {
        self.run_until(HEALED)?;
        self.heal();
        self.run_until(SETTLED)?;
        self.check_all("settled")?;
        self.final_numbers = Some(self.last_number + 1);
        for client in 0..self.clients.len() {
            for channel in 0..CHANNELS.len() {
                self.publish(client, channel);
            }
        }
        self.run_until(DONE)?;
        self.check_all("done")?;
        self.check_live()?;
        for client in &self.clients {
            self.summary.count_client(&client.counts);
            let told_late = client.views.values().map(|view| view.told_late).sum();
            self.summary.count("told late", told_late);
        }
        Ok(self.summary.clone())
    }

    fn check_all(&mut self, when: &str) -> Checked {
        let heads: Vec<_> = (0..CHANNELS.len()).map(|channel| self.head_of(channel)).collect();
        for client in &self.clients {
            let index = client.index;
            if client.link.as_ref().is_none_or(|link| !link.is_ready) {
                return Err(format!("{when}: client {index} is not connected"));
            }
            if !client.unanswered.is_empty() {
                return Err(format!("{when}: client {index} waits for answers to {:?}", client.unanswered));
            }
            // Of one that was cut silently, the client cannot know.
            if let Some(open) = client.former.iter().find(|wire| !self.wires[wire].is_cut) {
                return Err(format!("{when}: connection {open} of client {index} is open"));
            }
            for &channel in &client.wanted {
                let name = CHANNELS[channel];
                let view = client.views.get(&channel).filter(|view| view.is_subscribed);
                let Some(view) = view else {
                    return Err(format!("{when}: client {index} is not subscribed to {name}"));
                };
                if view.position != Some(heads[channel]) {
                    let at = view.position;
                    return Err(format!(
                        "{when}: client {index} is at {at:?} of {name}, not {:?}",
                        heads[channel]
                    ));
                }
                view.settle(channel, &self.truth)
                    .map_err(|fault| format!("{when}: client {index}: {fault}"))?;
            }
        }
        self.check_nodes(when)
    }

    /// Each connection on a node is one that a client uses, under the fence that its session has.
    fn check_nodes(&mut self, when: &str) -> Checked {
        for host in &self.hosts {
            let node = host.node.index;
            for (session, connection, hold) in host.node.holds() {
                let used = self.clients.iter().filter_map(|client| client.link.as_ref());
                if !used.map(|link| link.connection).any(|used| used == connection) {
                    return Err(format!(
                        "{when}: node {node} keeps connection {connection}, which nobody uses"
                    ));
                }
                let owner = self.store.sessions.hold(session, self.now);
                if owner.is_some_and(|owner| owner.fence > hold.fence) {
                    return Err(format!(
                        "{when}: node {node} serves {session:?} under {hold:?}, not {owner:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nobody is being caught up any more.
    fn check_live(&self) -> Checked {
        for client in &self.clients {
            let connection = client.link.as_ref().map_or(0, |link| link.connection);
            let host = &self.hosts[self.wires[&connection].node];
            for &channel in &client.wanted {
                if !host.node.is_live(connection, channel) {
                    let (index, name) = (client.index, CHANNELS[channel]);
                    return Err(format!("client {index} is still being caught up on {name}"));
                }
            }
        }
        Ok(())
    }
}
