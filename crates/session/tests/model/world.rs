//! Virtual time: who does what next, and what goes wrong.

use std::collections::BTreeMap;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::{self, Command, Request};
use tidegate_protocol::event;
use tidegate_protocol::id::SessionId;
use tidegate_protocol::position::Position;
use tidegate_protocol::time::Millis;
use tidegate_session::Delivery;

use crate::client::{Asked, Checked, Client, Reaction};
use crate::history::{Channel, Publication};
use crate::node::{Answer, Connection, Fault, Item};
use crate::random::Random;
use crate::summary::Summary;

mod acts;
mod outside;

/// Steps of one run, each an act of the client, a publisher or the operator.
const STEPS: u64 = 250;

/// A way in which a driver or a session could be broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mutation {
    None,
    /// Live messages do not wait for the replay.
    BypassedGate,
    /// The history is never asked a second time.
    NoSecondReading,
    /// The first replayed message is missing.
    ShortReplay,
    /// The first replayed message comes twice.
    RepeatedReplay,
    /// A command is answered twice.
    TwoReplies,
}

#[derive(Debug)]
pub(crate) struct World {
    random: Random,
    faults: Faults,
    mutation: Mutation,
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    channels: Vec<Channel>,
    connection: Option<Connection>,
    connections: u64,
    client: Client,
    saved: Option<Saved>,
    summary: Summary,
    /// What happened, where someone wants to read it.
    told: Option<Vec<String>>,
    is_ending: bool,
}

/// How likely what is, in percent, and how late the outside is, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Faults {
    edge: u64,
    refusals: u64,
    history: u64,
    cuts: u64,
    delay_ms_max: u64,
    gate_messages_max: usize,
    token_ms: Option<u64>,
}

#[derive(Debug)]
enum Happening {
    Step,
    Fanout { channel: usize, publication: Publication },
    Answer { connection: u64, answer: Answer },
}

/// A session in the store.
#[derive(Clone, Debug)]
struct Saved {
    id: SessionId,
    expires_at: Option<Millis>,
    subscriptions: Vec<(ChannelName, Option<Position>)>,
}

impl Mutation {
    pub(crate) const BROKEN: [Self; 5] = [
        Self::BypassedGate,
        Self::NoSecondReading,
        Self::ShortReplay,
        Self::RepeatedReplay,
        Self::TwoReplies,
    ];
}

impl World {
    pub(crate) fn new(seed: u64, mutation: Mutation) -> Self {
        let mut random = Random::new(seed);
        let is_calm = seed.is_multiple_of(4);
        let worst = |random: &mut Random, percent| if is_calm { 0 } else { random.below(percent) };
        let faults = Faults {
            edge: random.below(70),
            refusals: worst(&mut random, 20),
            history: worst(&mut random, 6),
            cuts: random.below(12),
            delay_ms_max: 1 + random.below(200),
            gate_messages_max: if is_calm { 1000 } else { 1 + random.below(8) as usize },
            token_ms: (!is_calm && random.percent(50)).then(|| 2_000 + random.below(60_000)),
        };
        let channels = [("a", true), ("b", true), ("c:d", true), ("plain", false)];
        Self {
            random,
            faults,
            mutation,
            now: 1_000_000,
            order: 0,
            queue: BTreeMap::new(),
            channels: channels.map(|(name, has_history)| Channel::new(name, has_history)).into(),
            connection: None,
            connections: 0,
            client: Client::new(is_calm),
            saved: None,
            summary: Summary::default(),
            told: None,
            is_ending: false,
        }
    }

    /// Keeps what happens, a line each.
    pub(crate) fn telling(self) -> Self {
        Self { told: Some(Vec::new()), ..self }
    }

    pub(crate) fn told(&self) -> &[String] {
        self.told.as_deref().unwrap_or_default()
    }

    /// Lets the steps happen, then everything that is outstanding, and compares what the client has with what there is.
    pub(crate) fn run(&mut self) -> Checked<Summary> {
        let mut at = self.now;
        for _ in 0..STEPS {
            at += self.random.below(120);
            self.later(at, Happening::Step);
        }
        self.run_queue()?;
        self.end()?;
        let client = &self.client;
        self.summary.connections = self.connections;
        self.summary.resumed = client.resumed;
        self.summary.received = client.received;
        self.summary.recovered = client.recovered;
        self.summary.not_recovered = client.not_recovered;
        self.summary.gaps = client.gaps;
        self.summary.errors = client.errors;
        Ok(self.summary.clone())
    }

    fn run_queue(&mut self) -> Checked {
        loop {
            let deadline = self.connection.as_ref().and_then(|connection| connection.session.deadline());
            let due = self.queue.first_key_value().map(|((at, _), _)| *at);
            match (due, deadline) {
                (None, _) => return Ok(()),
                (Some(due), Some(deadline)) if deadline.count() < due => {
                    self.now = self.now.max(deadline.count());
                    self.timeout()?;
                }
                (Some(_), _) => {
                    let Some(((at, _), happening)) = self.queue.pop_first() else { return Ok(()) };
                    self.now = self.now.max(at);
                    self.happen(happening)?;
                }
            }
        }
    }

    /// No faults any more: whoever is not connected comes back, and everyone publishes once more.
    fn end(&mut self) -> Checked {
        self.is_ending = true;
        let token_may_end = self.faults.token_ms.is_some();
        self.faults = Faults { edge: 0, refusals: 0, history: 0, cuts: 0, token_ms: None, ..self.faults };
        self.read_wire(true)?;
        if token_may_end || self.random.percent(30) {
            self.hang_up(None);
        }
        if let Some(saved) = &mut self.saved {
            saved.expires_at = None;
        }
        for _ in 0..3 {
            self.read_wire(true)?;
            if self.connection.is_none() {
                self.connect()?;
            }
            self.run_queue()?;
        }
        for channel in 0..self.channels.len() {
            self.publish(channel);
        }
        self.run_queue()?;
        self.read_wire(true)?;

        let Some(connection) = &self.connection else { return Err("not connected in the end".into()) };
        if !self.client.is_ready {
            return Err("not ready in the end".into());
        }
        if !self.client.outstanding.is_empty() {
            return Err(format!("never answered: {:?}", self.client.outstanding));
        }
        for (name, view) in &self.client.subscriptions {
            let channel = self.channels.iter().find(|channel| channel.name == name).expect("one of ours");
            if view.position != channel.head() {
                return Err(format!("{name} ended at {:?}, not at {:?}", view.position, channel.head()));
            }
            if !channel.has_history && view.number != Some(channel.newest()) {
                return Err(format!("{name} ended at {:?}, not at {}", view.number, channel.newest()));
            }
            if connection.session.subscription(name) != Some(Delivery::Live) {
                return Err(format!("{name} is still {:?}", connection.session.subscription(name)));
            }
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Step => self.step()?,
            Happening::Fanout { channel, publication } => self.fan_out(channel, publication),
            Happening::Answer { connection: number, answer } => {
                self.trace(|| format!("answer {answer:?}"));
                if self.connection.as_ref().is_some_and(|open| open.number == number) {
                    self.answer(answer);
                }
            }
        }
        self.settle()
    }

    fn send(&mut self, asked: Option<Asked>, command: Command<'_>) -> Checked {
        let id = asked.map(|asked| self.client.new_id(asked));
        let mut object = Vec::new();
        command::append(&mut object, &Request { id, command });
        let object = String::from_utf8(object).expect("objects are JSON");
        self.trace(|| format!("client: {object}"));
        let now = Millis::new(self.now);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.session.handle_traffic(now);
        let effect = connection.command(self.now, &object);
        if let Some(effect) = effect {
            self.perform(effect);
        }
        self.settle()
    }

    /// Does what a driver does after each call, until there is nothing left; then the client reads.
    fn settle(&mut self) -> Checked {
        while let Some(connection) = &mut self.connection {
            if let Some(effect) = connection.session.poll_effect() {
                self.perform(effect);
            } else if let Some(answer) = connection.ready.pop_front() {
                self.answer(answer);
            } else if let Some(object) = connection.session.poll_held() {
                if let Some(effect) = connection.command(self.now, &object) {
                    self.perform(effect);
                }
            } else {
                break;
            }
        }
        let reads = self.random.percent(80);
        self.read_wire(reads)
    }

    fn timeout(&mut self) -> Checked {
        if let Some(connection) = &mut self.connection {
            connection.call(self.now, |session, cx| session.handle_timeout(cx));
        }
        self.settle()
    }

    /// The client takes what was written to its socket.
    fn read_wire(&mut self, reads: bool) -> Checked {
        while let Some(connection) = &mut self.connection {
            if connection.closes > 1 {
                return Err("closed twice".into());
            }
            let is_closed = connection.closes == 1;
            if !reads && !is_closed {
                return Ok(());
            }
            let item = connection.wire.pop_front();
            self.trace(|| format!("read {item:?}"));
            match item {
                Some(Item::Object(object)) => {
                    let event = event::parse(&object).map_err(|error| format!("{object}: {error}"))?;
                    let reaction = self.client.receive(&event, &self.channels)?;
                    self.react(reaction)?;
                }
                Some(Item::Unannounced(channel)) => {
                    if !self.client.subscriptions.contains_key(&channel) {
                        self.client.unannounced.insert(channel);
                    }
                }
                None if is_closed => {
                    if !self.client.is_closing {
                        return Err("closed without `closing`".into());
                    }
                    self.hang_up(None);
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn react(&mut self, reaction: Reaction) -> Checked {
        match reaction {
            Reaction::None => Ok(()),
            // A client that is silent once in a while is asked again.
            Reaction::Pong if self.random.percent(80) => self.send(None, Command::Pong),
            Reaction::Refresh if self.random.percent(80) => {
                let asked = Asked::Other { name: "refresh" };
                self.send(Some(asked), Command::Refresh { token: "new".into() })
            }
            Reaction::Reconnect if self.random.percent(50) => self.cut(),
            Reaction::Pong | Reaction::Refresh | Reaction::Reconnect => Ok(()),
        }
    }

    fn publish(&mut self, channel: usize) {
        let publication = self.channels[channel].publish();
        let delay = self.random.below(self.faults.delay_ms_max);
        let at = (self.now + delay).max(self.channels[channel].fanned_out_at);
        self.channels[channel].fanned_out_at = at;
        self.later(at, Happening::Fanout { channel, publication });
    }

    fn fan_out(&mut self, channel: usize, publication: Publication) {
        self.trace(|| format!("fan-out {} {:?}", channel, publication.position));
        let fault = if self.mutation == Mutation::BypassedGate {
            Fault::Bypass
        } else if self.random.percent(self.faults.edge) {
            self.summary.edge_faults += 1;
            *self.random.pick(&[Fault::Drop, Fault::Drop, Fault::Duplicate, Fault::Late])
        } else {
            Fault::None
        };
        let name = self.channels[channel].name;
        if let Some(connection) = &mut self.connection {
            connection.deliver(self.now, name, publication, fault);
        }
    }

    fn later(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((at, self.order), happening);
    }

    fn trace(&mut self, what: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(format!("{:>8} {}", self.now, what()));
        }
    }
}
