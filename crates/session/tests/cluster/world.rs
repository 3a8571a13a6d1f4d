//! Virtual time: what happens when, and what is checked in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tidegate_session::Policy;

use crate::client::Client;
use crate::node::{Answer, Call, Node, Publication};
use crate::random::Random;
use crate::store::Store;
use crate::summary::Summary;
use crate::truth::Truth;
use crate::{CHANNELS, Checked, Mutation};

use self::network::Wire;

mod acts;
mod end;
mod faults;
mod network;

const NODES: usize = 3;
const CLIENTS: usize = 4;
/// Virtual times of a run, in milliseconds.
const BEGIN: u64 = 1_000_000;
const LAST_FAULT: u64 = BEGIN + 8_000;
const CLIENT_TICK: u64 = 100;
const SNAPSHOT_EVERY: u64 = 150;

#[derive(Debug)]
pub(crate) struct World {
    random: Random,
    mutation: Mutation,
    plan: Plan,
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    store: Store,
    /// The store as it was, the oldest first.
    snapshots: VecDeque<(u64, Store)>,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    wires: BTreeMap<u64, Wire>,
    last_wire: u64,
    last_number: u64,
    /// Numbers from here on were published when all was well again.
    final_numbers: Option<u64>,
    truth: Truth,
    summary: Summary,
    /// What happened, where someone wants to read it.
    told: Option<Vec<String>>,
}

/// How much goes wrong in this run, in percent and milliseconds.
#[derive(Clone, Copy, Debug)]
struct Plan {
    bus_drops: u64,
    bus_doubles: u64,
    bus_delay_max: u64,
    store_delay_max: u64,
    store_slow_until: u64,
    entries_max: usize,
    publishes: u64,
}

/// What a node runs on.
#[derive(Debug)]
struct Host {
    node: Node,
    /// Which start of the node this is: what was meant for an earlier one is lost.
    life: u64,
    is_up: bool,
    paused_at: Option<u64>,
    /// What waits until the process goes on.
    backlog: Vec<Happening>,
    wake_at: Option<u64>,
    /// Channels that the bus carries to it.
    interest: BTreeSet<usize>,
    cut: Cuts,
}

/// Until when what does not come through.
#[derive(Clone, Copy, Debug, Default)]
struct Cuts {
    to_bus: u64,
    from_bus: u64,
    to_store: u64,
    from_store: u64,
}

#[derive(Clone, Debug)]
enum Happening {
    Step,
    Fault,
    Snapshot,
    ClientTick(usize),
    ToClient { wire: u64, what: Sent },
    Store { node: usize, life: u64, question: u64, call: Call },
    Node { node: usize, life: u64, input: Input },
    Continue { node: usize },
    Restart { node: usize },
}

/// What happens to a node.
#[derive(Clone, Debug)]
enum Input {
    Wire { wire: u64, what: Sent },
    Answer { question: u64, answer: Option<Answer> },
    Publication(Publication),
    TakenOver { session: tidegate_protocol::id::SessionId, fence: u64 },
    Sweep,
    ListenToAll,
    Look,
    Upkeep,
    Wake,
}

/// What goes over a connection.
#[derive(Clone, Debug)]
enum Sent {
    Open,
    Text(String),
    Gone,
}

impl World {
    pub(crate) fn new(seed: u64, mutation: Mutation) -> Self {
        let mut random = Random::new(seed);
        let is_calm = seed.is_multiple_of(8);
        let mut at_most = |most: u64| if is_calm { 0 } else { random.below(most) };
        let plan = Plan {
            bus_drops: at_most(20),
            bus_doubles: at_most(20),
            bus_delay_max: 1 + at_most(300),
            store_delay_max: 2 + at_most(40),
            store_slow_until: 0,
            entries_max: if is_calm { 1_000 } else { 4 + at_most(60) as usize },
            publishes: 10 + at_most(50),
        };
        let mut world = Self {
            random,
            mutation,
            plan,
            now: BEGIN,
            order: 0,
            queue: BTreeMap::new(),
            store: Store::default(),
            snapshots: VecDeque::new(),
            hosts: Vec::new(),
            clients: Vec::new(),
            wires: BTreeMap::new(),
            last_wire: 0,
            last_number: 0,
            final_numbers: None,
            truth: Truth::default(),
            summary: Summary::default(),
            told: None,
        };
        world.begin(is_calm);
        world
    }

    /// Keeps what happens, a line each.
    pub(crate) fn telling(self) -> Self {
        Self { told: Some(Vec::new()), ..self }
    }

    pub(crate) fn told(&self) -> &[String] {
        self.told.as_deref().unwrap_or_default()
    }

    fn begin(&mut self, is_calm: bool) {
        for index in 0..NODES {
            let node = Node::new(index, self.now, policy(), self.mutation);
            self.hosts.push(Host::new(node));
            self.start_timers(index);
        }
        for index in 0..CLIENTS {
            let wanted = (0..CHANNELS.len()).filter(|_| self.random.percent(80)).collect();
            let at = self.now + self.random.below(500);
            self.clients.push(Client::new(index, wanted, at));
            self.later(at, Happening::ClientTick(index));
        }
        self.later(self.now + 50, Happening::Step);
        self.later(self.now + 20, Happening::Snapshot);
        let faults = if is_calm { 0 } else { 1 + self.random.below(8) };
        for _ in 0..faults {
            let at = BEGIN + 500 + self.random.below(LAST_FAULT - BEGIN - 500);
            self.later(at, Happening::Fault);
        }
    }

    fn run_until(&mut self, end: u64) -> Checked {
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at >= end {
                break;
            }
            self.now = at;
            let happening = entry.remove();
            self.happen(happening)?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Step => self.step(),
            Happening::Fault => self.fault(),
            Happening::Snapshot => self.take_snapshot(),
            Happening::ClientTick(client) => self.tick(client),
            Happening::ToClient { wire, what } => return self.reach_client(wire, &what),
            Happening::Store { node, life, question, call } => {
                return self.reach_store(node, life, question, call);
            }
            Happening::Node { node, life, input } => self.reach_node(node, life, input),
            Happening::Continue { node } => self.go_on(node),
            Happening::Restart { node } => self.restart(node),
        }
        Ok(())
    }

    /// Something reaches a node: at once, when it goes on, or never.
    fn reach_node(&mut self, node: usize, life: u64, input: Input) {
        let host = &mut self.hosts[node];
        if !host.is_up || host.life != life {
            return;
        }
        if host.paused_at.is_some() {
            host.backlog.push(Happening::Node { node, life, input });
            return;
        }
        self.trace(|| format!("node {node}: {input:?}"));
        match input {
            Input::Wire { wire, what } => self.reach_node_by_wire(node, wire, what),
            Input::Answer { question, answer } => {
                self.turn(node, |node| node.handle_answer(question, answer));
            }
            Input::Publication(publication) => self.turn(node, |node| node.receive(publication)),
            Input::TakenOver { session, fence } => {
                self.turn(node, |node| node.close_below(session, fence));
            }
            Input::Sweep => self.turn(node, Node::sweep),
            Input::ListenToAll => self.turn(node, Node::listen_to_all),
            Input::Look => {
                let at = self.now + 250 + self.random.below(500);
                self.later(at, Happening::Node { node, life, input: Input::Look });
                self.turn(node, Node::look);
            }
            Input::Upkeep => {
                self.later(self.now + 1_000, Happening::Node { node, life, input: Input::Upkeep });
                self.turn(node, Node::upkeep);
            }
            Input::Wake => {
                self.hosts[node].wake_at = None;
                self.turn(node, Node::handle_wake);
            }
        }
    }

    /// Lets a node do something, and does what it wants done.
    fn turn(&mut self, node: usize, input: impl FnOnce(&mut Node)) {
        let now = self.now;
        let acts = self.hosts[node].node.turn(now, input);
        for act in acts {
            self.act(node, act);
        }
        let host = &mut self.hosts[node];
        let Some(deadline) = host.node.deadline().map(|at| at.max(now + 1)) else { return };
        if host.wake_at.is_none_or(|at| deadline < at) {
            host.wake_at = Some(deadline);
            let life = host.life;
            self.later(deadline, Happening::Node { node, life, input: Input::Wake });
        }
    }

    fn start_timers(&mut self, node: usize) {
        let life = self.hosts[node].life;
        for input in [Input::Look, Input::Upkeep] {
            let at = self.now + self.random.below(1_000);
            self.later(at, Happening::Node { node, life, input });
        }
    }

    fn later(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((at, self.order), happening);
    }

    fn trace(&mut self, what: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(format!("{:>6} {}", self.now - BEGIN, what()));
        }
    }
}

impl Host {
    fn new(node: Node) -> Self {
        Self {
            node,
            life: 0,
            is_up: true,
            paused_at: None,
            backlog: Vec::new(),
            wake_at: None,
            interest: BTreeSet::new(),
            cut: Cuts::default(),
        }
    }
}

fn policy() -> Policy {
    Policy {
        connect_timeout: Duration::from_secs(5),
        messages: None,
        bytes: None,
        ping_interval: Duration::from_secs(2),
        pings_missed: 1,
        gate_messages_max: 8,
        ..Policy::default()
    }
}
