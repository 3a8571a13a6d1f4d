//! What lies between: clients' connections, the bus, the way to the store.

use tidegate_protocol::command::{StartFrom, objects};
use tidegate_protocol::event::{self, Event};
use tidegate_protocol::position::Position;

use super::{Happening, Input, Sent, World};
use crate::known::Measure;
use crate::node::{Act, Answer, Call, Publication};
use crate::store::Terms;
use crate::{Checked, Mutation};

/// A node waits so long for an answer of the store or the bus, in milliseconds.
const DEADLINE_MS: u64 = 1_000;

/// A connection between a client and a node: in order, or cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub(super) client: usize,
    pub(super) node: usize,
    pub(super) life: u64,
    /// Nothing comes through any more, and nobody is told.
    pub(super) is_cut: bool,
    to_node_at: u64,
    to_client_at: u64,
}

impl Wire {
    pub(super) fn new(client: usize, node: usize, life: u64) -> Self {
        Self { client, node, life, is_cut: false, to_node_at: 0, to_client_at: 0 }
    }
}

impl World {
    /// Does what a node wants done outside.
    pub(super) fn act(&mut self, node: usize, act: Act) {
        self.trace(|| format!("node {node} wants {act:?}"));
        let life = self.hosts[node].life;
        match act {
            Act::Ask { question, call } => self.ask_store(node, question, call),
            Act::Listen { question, channel } => self.listen(node, question, channel),
            Act::Unlisten { channel } => {
                self.hosts[node].interest.remove(&channel);
            }
            Act::Publish(publication) => self.publish_on_bus(node, publication),
            Act::TellTakenOver { node: to, session, fence } => {
                if self.comes_through_bus(node, to) {
                    let at = self.now + 1 + self.random.below(self.plan.bus_delay_max);
                    let life = self.hosts[to].life;
                    let input = Input::TakenOver { session, fence };
                    self.later(at, Happening::Node { node: to, life, input });
                }
            }
            Act::Write { connection, objects } => self.send_to_client(connection, life, Sent::Text(objects)),
            Act::HangUp { connection } => self.send_to_client(connection, life, Sent::Gone),
        }
    }

    fn ask_store(&mut self, node: usize, question: u64, call: Call) {
        let life = self.hosts[node].life;
        let input = Input::Answer { question, answer: None };
        self.later(self.now + DEADLINE_MS, Happening::Node { node, life, input });
        if self.hosts[node].cut.to_store > self.now {
            return;
        }
        let at = self.now + self.store_delay();
        self.later(at, Happening::Store { node, life, question, call });
    }

    /// A question has reached the store; it is carried out even if the node that asked is gone.
    pub(super) fn reach_store(&mut self, node: usize, life: u64, question: u64, call: Call) -> Checked {
        self.trace(|| format!("store, for node {node}: {call:?}"));
        let terms = self.terms();
        let answer = match call {
            Call::Append { channel, number, known } => {
                let appended = self.store.append(channel, number, known, terms);
                let Position { offset, .. } = appended.position;
                match appended.link {
                    Some(link) => self.truth.append(channel, number, appended.position, link, self.now),
                    None if self.store.has(channel, number, offset) => {}
                    None => return Err(format!("number {number} is taken for another one")),
                }
                Answer::Appended(appended)
            }
            Call::Read { channel, from, known } => Answer::Page(self.store.read(channel, from, known, terms)),
            Call::Heads(asked) => Answer::Heads(self.store.heads(&asked, terms)),
            Call::Create { session, secret, by } => {
                self.store.sessions.create(session, secret, by, node, self.now);
                Answer::Created
            }
            Call::Resume { session, secret, owner } => {
                Answer::Resumed(self.store.sessions.resume(session, &secret, owner, node, self.now))
            }
            Call::Write { session, by, write } => {
                Answer::Written(self.store.sessions.write(session, by, node, write, terms))
            }
            Call::Hold(session) => Answer::Hold(self.store.sessions.hold(session, self.now)),
        };
        if let Some(violation) = self.store.sessions.violation.take() {
            return Err(violation);
        }
        if self.hosts[node].cut.from_store <= self.now {
            let at = self.now + self.store_delay();
            self.answer(node, life, at, question, answer);
        }
        Ok(())
    }

    fn answer(&mut self, node: usize, life: u64, at: u64, question: u64, answer: Answer) {
        let input = Input::Answer { question, answer: Some(answer) };
        self.later(at, Happening::Node { node, life, input });
    }

    fn store_delay(&mut self) -> u64 {
        let most = if self.plan.store_slow_until > self.now { 900 } else { self.plan.store_delay_max };
        1 + self.random.below(most)
    }

    pub(super) fn terms(&mut self) -> Terms {
        let random = self.random.below(u64::MAX);
        Terms { now: self.now, random, entries_max: self.plan.entries_max, mutation: self.mutation }
    }

    fn listen(&mut self, node: usize, question: u64, channel: usize) {
        let life = self.hosts[node].life;
        let (is_cut, at) = (self.is_cut_from_bus(node), self.now + 1 + self.random.below(20));
        if is_cut {
            let input = Input::Answer { question, answer: None };
            return self.later(at, Happening::Node { node, life, input });
        }
        self.hosts[node].interest.insert(channel);
        self.answer(node, life, at, question, Answer::Listening);
    }

    fn publish_on_bus(&mut self, node: usize, publication: Publication) {
        // What cannot be sent is in the history, and this node's subscribers get it now. Nobody may have noticed yet.
        if self.hosts[node].cut.to_bus > self.now && self.random.percent(50) {
            return self.turn(node, |node| node.distribute(publication));
        }
        for to in 0..self.hosts.len() {
            if !self.hosts[to].interest.contains(&publication.channel) || !self.comes_through_bus(node, to) {
                continue;
            }
            let copies = match () {
                () if self.random.percent(self.plan.bus_drops) => {
                    self.summary.count("bus dropped", 1);
                    0
                }
                () if self.random.percent(self.plan.bus_doubles) => {
                    self.summary.count("bus doubled", 1);
                    2
                }
                () => 1,
            };
            for _ in 0..copies {
                let at = self.now + 1 + self.random.below(self.plan.bus_delay_max);
                let (life, input) = (self.hosts[to].life, Input::Publication(publication));
                self.later(at, Happening::Node { node: to, life, input });
            }
        }
    }

    fn comes_through_bus(&self, from: usize, to: usize) -> bool {
        self.hosts[from].cut.to_bus <= self.now && self.hosts[to].cut.from_bus <= self.now
    }

    fn is_cut_from_bus(&self, node: usize) -> bool {
        let cut = self.hosts[node].cut;
        cut.to_bus > self.now || cut.from_bus > self.now
    }

    pub(super) fn send_to_node(&mut self, wire: u64, what: Sent) {
        let delay = 1 + self.random.below(30);
        let Some(open) = self.wires.get_mut(&wire) else { return };
        open.to_node_at = open.to_node_at.max(self.now + delay);
        let (at, node, life) = (open.to_node_at, open.node, open.life);
        self.later(at, Happening::Node { node, life, input: Input::Wire { wire, what } });
    }

    pub(super) fn send_to_client(&mut self, wire: u64, life: u64, what: Sent) {
        let delay = 1 + self.random.below(30);
        let Some(open) = self.wires.get_mut(&wire).filter(|open| open.life == life) else { return };
        open.to_client_at = open.to_client_at.max(self.now + delay);
        let at = open.to_client_at;
        self.later(at, Happening::ToClient { wire, what });
    }

    pub(super) fn reach_node_by_wire(&mut self, node: usize, wire: u64, what: Sent) {
        let Some(open) = self.wires.get(&wire).filter(|open| !open.is_cut) else { return };
        let client = open.client;
        match what {
            Sent::Open => self.turn(node, |node| node.accept(wire, client)),
            Sent::Text(text) => self.turn(node, |node| node.handle_text(wire, &text)),
            Sent::Gone => self.turn(node, |node| node.handle_gone(wire)),
        }
    }

    pub(super) fn reach_client(&mut self, wire: u64, what: &Sent) -> Checked {
        let Some(open) = self.wires.get(&wire).filter(|open| !open.is_cut) else { return Ok(()) };
        let client = open.client;
        if self.clients[client].former.contains(&wire) {
            return self.reach_former(client, wire, what);
        }
        if self.clients[client].link.as_ref().is_none_or(|link| link.connection != wire) {
            return Ok(());
        }
        self.trace(|| format!("client {client} on {wire}: {what:?}"));
        let Sent::Text(text) = what else {
            self.drop_link(client, false);
            return Ok(());
        };
        for object in objects(text) {
            let parsed = event::parse(object).map_err(|error| format!("{object}: {error}"))?;
            let reaction =
                self.clients[client].receive(&parsed, &mut self.truth, self.now).map_err(|violation| {
                    format!("client {client} at {}: {violation}", self.now - super::BEGIN)
                })?;
            for text in reaction.send {
                self.send_to_node(wire, Sent::Text(text));
            }
            for wire in std::mem::take(&mut self.clients[client].forgotten) {
                self.send_to_node(wire, Sent::Gone);
            }
            if reaction.hang_up {
                self.drop_link(client, true);
                return Ok(());
            }
        }
        Ok(())
    }

    /// A connection that its client left open when it came back on another one.
    fn reach_former(&mut self, client: usize, wire: u64, what: &Sent) -> Checked {
        let Sent::Text(text) = what else {
            self.clients[client].former.remove(&wire);
            return Ok(());
        };
        for object in objects(text) {
            match event::parse(object).map_err(|error| format!("{object}: {error}"))? {
                Event::Ping => self.send_to_node(wire, Sent::Text("{}".into())),
                Event::Message(message) if self.final_numbers.is_some() => {
                    return Err(format!("{message:?} came on a connection that lost its session long ago"));
                }
                Event::Closing(_) => {
                    self.clients[client].former.remove(&wire);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The client's end of its connection is closed.
    pub(super) fn drop_link(&mut self, client: usize, is_told: bool) {
        let jitter = self.random.below(10_000);
        let Some(link) = &self.clients[client].link else { return };
        let wire = link.connection;
        self.clients[client].lose(self.now, jitter);
        if is_told {
            self.send_to_node(wire, Sent::Gone);
        }
    }

    /// Where a subscription would begin now, for whoever compares in the end.
    pub(super) fn head_of(&mut self, channel: usize) -> Position {
        let terms = self.terms();
        self.store
            .read(
                channel,
                StartFrom::Live,
                Measure { seen: None, sent: None },
                Terms { mutation: Mutation::None, ..terms },
            )
            .head
            .position
    }
}
