//! Nodes, clients and a control plane that lose each other, second by second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_control_plane::index::{Fleet, NodeEntry, Seen};
use tidegate_control_plane::model::{
    Command, ConditionKind, Desired, Millis, Mode, OnLoss, Operation, Spec, StepPhase, Target,
};
use tidegate_control_plane::plan::{self, Action, BudgetConfig, Operations, PlanConfig, Planner};
use tidegate_protocol::drain::{DrainOrder, OperationId};

use crate::node::Node;
use crate::random::Random;

/// A client on its way from one node to another.
struct Away {
    client: u32,
    from: Arc<str>,
    from_started_at: Millis,
    since: Millis,
    back_at: Millis,
    is_given_up: bool,
    /// The plan could have left it where it was.
    is_optional: bool,
}

/// See the module's own words.
pub(crate) struct World {
    random: Random,
    now: Millis,
    nodes: Vec<Node>,
    away: Vec<Away>,
    /// Names of processes that come back, and when.
    restarts: Vec<(Millis, Arc<str>)>,
    config: PlanConfig,
    fleet: Fleet,
    planner: Planner,
    epoch: u64,
    leaderless_until: Millis,
    is_leaderless: bool,
    pub(crate) operations: Operations,
    pub(crate) finished: Vec<Operation>,
    /// Which operation moved a client last: a rollout that steers must not do it twice.
    moved_by: BTreeMap<u32, BTreeSet<OperationId>>,
    asked: u64,
    pub(crate) figures: Figures,
    pub(crate) is_loud: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) node_seconds: u64,
    pub(crate) moved: u64,
    pub(crate) burst: u64,
    pub(crate) stranded: u64,
    pub(crate) elections: u64,
    pub(crate) highest_use: f64,
    pub(crate) seconds_full: u64,
}

const SECOND: Duration = Duration::from_secs(1);
const GIVE_UP: Duration = Duration::from_secs(20);

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let now = Millis::new(1_000_000_000);
        let config = PlanConfig {
            budget: BudgetConfig {
                max_rate: random.between(40, 300) as f64,
                max_displaced: random.between(50, 1_000),
                ..BudgetConfig::default()
            },
            ..PlanConfig::default()
        };
        let mut nodes: Vec<_> =
            (0..random.between(3, 7)).map(|n| Node::new(format!("gw-{n}").into(), now)).collect();
        let clients = random.between(100, 2_500) as u32;
        for client in 0..clients {
            let one = random.between(0, nodes.len() as u64) as usize;
            nodes[one].clients.push(client);
        }
        Self {
            planner: Planner::new(config.clone(), 1, now),
            random,
            now,
            nodes,
            away: Vec::new(),
            restarts: Vec::new(),
            config,
            fleet: Fleet::new(),
            epoch: 1,
            leaderless_until: now,
            is_leaderless: false,
            operations: Operations::new(),
            finished: Vec::new(),
            moved_by: BTreeMap::new(),
            asked: 0,
            figures: Figures::default(),
            is_loud: false,
        }
    }

    /// One second; faults and new requests only while it is not `calm`.
    pub(crate) fn second(&mut self, calm: bool) -> Result<(), String> {
        self.now = self.now + SECOND;
        if !calm {
            self.ask();
            self.harm();
        }
        self.restart();
        self.lead()?;
        self.let_nodes_live()?;
        self.bring_clients_back();
        self.figures.node_seconds += self.nodes.len() as u64;
        Ok(())
    }

    /// Whether everything that was asked for is over, or says what it waits for.
    pub(crate) fn check_end(&self) -> Result<(), String> {
        for operation in self.operations.values() {
            let is_held = |kind| operation.condition(kind).is_some_and(|held| !held.reason.is_empty());
            if !is_held(ConditionKind::Blocked) && !is_held(ConditionKind::Paused) {
                let steps: Vec<_> =
                    operation.steps.iter().map(|step| (&step.node, step.phase, step.remaining)).collect();
                let (id, state, conditions) = (&operation.id, operation.state, &operation.conditions);
                return Err(format!("{id} is {state} and does not say why: {steps:?}, {conditions:?}"));
            }
        }
        Ok(())
    }

    fn ask(&mut self) {
        if self.random.once_in(25) && !self.nodes.is_empty() {
            self.asked += 1;
            let body = self.body();
            let spec = Spec::parse(&body).unwrap_or_else(|error| panic!("{body}: {error}"));
            let id = OperationId::parse(&format!("op-{}", self.asked)).expect("plain characters");
            match plan::accept(
                &self.fleet,
                &self.operations,
                &self.config,
                id.clone(),
                spec,
                "someone",
                self.now,
            ) {
                Ok(operation) => {
                    self.say(|| format!("asked {id}: {body}"));
                    self.operations.insert(id, operation);
                }
                Err(refused) => self.say(|| format!("refused {body}: {refused}")),
            }
        }
        if self.random.once_in(15) {
            let ids: Vec<_> = self.operations.keys().cloned().collect();
            let commands = [Command::Pause, Command::Resume, Command::Abort, Command::Force, Command::Resume];
            let (Some(id), command) = (self.random.pick(&ids).cloned(), self.random.one_of(&commands)) else {
                return;
            };
            let operation = self.operations.get_mut(&id).expect("it was just listed");
            let answer = plan::command(operation, command, self.now);
            self.say(|| format!("{command:?} {id}: {answer:?}"));
        }
    }

    fn body(&mut self) -> serde_json::Value {
        let names: Vec<_> = self.nodes.iter().map(|node| node.name.to_string()).collect();
        let some: Vec<_> = names.iter().filter(|_| self.random.once_in(2)).collect();
        let mut body = match self.random.between(0, 6) {
            0 => serde_json::json!({"kind": "rebalance"}),
            1 => serde_json::json!({"kind": "rollout", "mode": "steer", "targets": {"pods": some}}),
            2 => serde_json::json!({"kind": "rollout", "maxParallel": self.random.between(1, 3)}),
            3 => {
                let left = (names.len() as u64).saturating_sub(self.random.between(1, 3)).max(1);
                serde_json::json!({"kind": "rollout", "target": "scaleDown", "replicas": left})
            }
            _ => {
                serde_json::json!({"kind": "drain", "targets": {"pods": if some.is_empty() { names.iter().take(1).collect() } else { some }}})
            }
        };
        let losses = ["continue", "pause", "resume-serving"];
        body["onCoordinatorLoss"] = self.random.one_of(&losses).into();
        if self.random.once_in(4) {
            body["deadline"] = self.random.between(20, 200).into();
            body["onDeadline"] = self.random.one_of(&["burst", "pause", "abort"]).into();
        }
        if self.random.once_in(3) {
            body["maxRate"] = self.random.between(5, 100).into();
        }
        let may_choose = body["kind"] != "rebalance" && body["target"] != "scaleDown";
        if may_choose && self.random.once_in(3) {
            body["then"] = self.random.one_of(&["hold", "uncordon", "evict"]).into();
            body["soak"] = self.random.between(0, 5).into();
        }
        body
    }

    fn harm(&mut self) {
        let now = self.now;
        let one = self.random.between(0, self.nodes.len().max(1) as u64) as usize;
        let Some(node) = self.nodes.get_mut(one) else { return };
        match self.random.between(0, 200) {
            0 => self.kill(one),
            1..4 => {
                let killed_at = now + SECOND * self.random.between(30, 150) as u32;
                node.signal(now, killed_at);
            }
            4..8 => node.silent_until = now + SECOND * self.random.between(1, 15) as u32,
            8 => {
                self.leaderless_until = now + SECOND * self.random.between(2, 25) as u32;
                self.is_leaderless = true;
            }
            9..11 => {
                let count = self.random.between(1, 100) as usize;
                let keep = node.clients.len().saturating_sub(count);
                node.clients.truncate(keep);
            }
            _ => {}
        }
    }

    /// A process ends with whoever is on it.
    fn kill(&mut self, one: usize) {
        let node = self.nodes.swap_remove(one);
        self.say(|| format!("{} ends with {} clients", node.name, node.clients.len()));
        self.figures.stranded += node.clients.len() as u64;
        for client in &node.clients {
            self.leave(*client, Arc::clone(&node.name), node.started_at, false);
        }
        let comes_back = !self.random.once_in(4);
        if comes_back || self.nodes.len() < 2 {
            let at = self.now + SECOND * self.random.between(1, 20) as u32;
            self.restarts.push((at, node.name));
        }
    }

    fn restart(&mut self) {
        let due: Vec<_> = self.restarts.extract_if(.., |(at, _)| *at <= self.now).collect();
        for (_, name) in due {
            self.nodes.push(Node::new(name, self.now));
        }
        // Someone replaces what waits to be replaced.
        for operation in self.operations.values() {
            for step in operation.steps.iter().filter(|step| step.phase == StepPhase::Replacing) {
                let same =
                    |node: &&mut Node| node.name == step.node && node.started_at == step.node_started_at;
                if let Some(node) = self.nodes.iter_mut().find(same)
                    && self.random.once_in(10)
                {
                    node.signal(self.now, self.now + SECOND * 30);
                }
            }
        }
    }

    fn lead(&mut self) -> Result<(), String> {
        if self.now < self.leaderless_until {
            return Ok(());
        }
        if std::mem::take(&mut self.is_leaderless) {
            self.epoch += 1;
            self.figures.elections += 1;
            self.fleet = Fleet::new();
            self.planner = Planner::new(self.config.clone(), self.epoch, self.now);
        }
        let entry = |node: &Node| {
            let (version, started_at) = ("1".into(), node.started_at);
            let (connections, capacity) = (node.clients.len() as u64, node.report.capacity);
            let phase = node.report.phase.clone();
            (
                Arc::clone(&node.name),
                NodeEntry { version, started_at, connections, capacity, phase, admin: None },
            )
        };
        self.fleet.handle(Seen::Directory(self.nodes.iter().map(entry).collect()), self.now);
        for node in &mut self.nodes {
            node.refresh();
            node.report.deadline_in = node.deadline().map(|at| at.since(self.now).as_secs_f64());
            let seen = match self.now < node.silent_until {
                true => Seen::Silence(Arc::clone(&node.name)),
                false => Seen::Report(node.report.clone()),
            };
            self.fleet.handle(seen, self.now);
        }
        let actions = self.planner.tick(&self.fleet, &mut self.operations, self.now);
        for action in actions {
            match action {
                Action::Order { node, order } => self.push(&node, &order)?,
                Action::Event { op, reason, message, .. } => {
                    self.say(|| format!("{op}: {reason}: {message}"))
                }
                Action::Persist { .. }
                | Action::Evict { .. }
                | Action::Detach { .. }
                | Action::Scale { .. }
                | Action::DeletionCost { .. }
                | Action::Block { .. } => {}
            }
        }
        let over: Vec<_> =
            self.operations.extract_if(.., |_, operation| operation.state.is_terminal()).collect();
        self.finished.extend(over.into_iter().map(|(_, operation)| operation));
        Ok(())
    }

    fn push(&mut self, name: &Arc<str>, order: &DrainOrder) -> Result<(), String> {
        let now = self.now;
        let Some(node) = self.nodes.iter_mut().find(|node| node.name == *name) else { return Ok(()) };
        if now < node.silent_until {
            return Ok(());
        }
        match node.handle_order(order, now) {
            Ok(()) | Err("owned" | "shutting_down") => Ok(()),
            Err(why) => Err(format!("{name} refuses {order:?}: {why}")),
        }
    }

    fn let_nodes_live(&mut self) -> Result<(), String> {
        let draining =
            self.nodes.iter().filter(|node| node.report.phase.as_str() != "serving").count().max(1);
        let share = self.config.budget.max_rate / draining as f64;
        let mut paced = 0;
        let mut dead = Vec::new();
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            let sent = node.live(share, self.now);
            let (name, started_at, op) = (Arc::clone(&node.name), node.started_at, node.report.op.clone());
            // One that hears nothing new goes on with what it heard last.
            let is_led =
                node.rate().is_finite() && self.now >= node.silent_until && self.now >= self.leaderless_until;
            let is_due = node
                .signalled
                .is_some_and(|(_, at)| self.now >= at || node.report.phase.as_str() == "drained");
            let is_signalled = node.signalled.is_some();
            let has_deadline = is_signalled || op.as_ref().is_some_and(|op| self.has_deadline(op));
            self.figures.moved += sent.clients.len() as u64;
            match sent.bursts {
                true if !has_deadline => {
                    return Err(format!("{name} bursts for {op:?}, which has no deadline"));
                }
                true => self.figures.burst += sent.clients.len() as u64,
                false => paced += sent.clients.len(),
            }
            for client in sent.clients {
                // One that ends by itself does not wait until the others take in nobody.
                if let Some(op) = op.as_ref().filter(|_| !is_signalled) {
                    self.note_move(client, op)?;
                }
                self.leave(client, Arc::clone(&name), started_at, is_led && !has_deadline);
            }
            if is_due {
                dead.push(name);
            }
        }
        for name in dead {
            let at = self.nodes.iter().position(|node| node.name == name).expect("it was just there");
            self.kill(at);
        }
        self.check_pace(paced)?;
        self.check_window()
    }

    /// As many are away as may be, of those that the plan could have kept.
    fn check_window(&self) -> Result<(), String> {
        let max = self.config.budget.max_displaced;
        let away = self.away.iter().filter(|away| away.is_optional && !away.is_given_up).count();
        if away as f64 > max as f64 * 1.1 + self.nodes.len() as f64 {
            return Err(format!("{away} sessions are away, and at most {max} may be"));
        }
        Ok(())
    }

    fn check_pace(&mut self, paced: usize) -> Result<(), String> {
        let max = self.config.budget.max_rate;
        self.figures.highest_use = self.figures.highest_use.max(paced as f64 / max);
        self.figures.seconds_full += u64::from(paced as f64 > 0.9 * max);
        // Whole clients: each node may round up by one.
        let most = max * 1.1 + self.nodes.len() as f64;
        if paced as f64 > most {
            let lines = self.nodes.iter().map(|node| {
                let left = self.now.since(node.silent_until).as_secs();
                format!(
                    "\n{} {} rate {} silent {left} {:?}",
                    node.name,
                    node.report.phase,
                    node.rate(),
                    node.signalled
                )
            });
            let nodes: String = lines.collect();
            return Err(format!(
                "{paced} clients were sent away in a second, and the budget is {max}:{nodes}"
            ));
        }
        Ok(())
    }

    fn has_deadline(&self, op: &OperationId) -> bool {
        let all = self.operations.values().chain(&self.finished);
        all.filter(|operation| operation.id == *op).any(|operation| operation.deadline_at.is_some())
    }

    /// A rollout that steers or scales down, and a rebalance, move nobody twice.
    fn note_move(&mut self, client: u32, op: &OperationId) -> Result<(), String> {
        let is_first = self.moved_by.entry(client).or_default().insert(op.clone());
        let Some(operation) = self.operations.get(op) else { return Ok(()) };
        let once = match &operation.spec {
            Spec::Rebalance(_) => true,
            Spec::Rollout(rollout) => rollout.mode == Mode::Steer || rollout.target == Target::ScaleDown,
            Spec::Drain(_) => false,
        };
        // A node that serves again because it was left alone takes in clients that were moved already.
        let reopens = operation.spec.common().on_coordinator_loss == OnLoss::ResumeServing;
        match is_first || !once || reopens || operation.desired == Desired::Abort {
            true => Ok(()),
            false => Err(format!("client {client} is moved twice by {op}")),
        }
    }

    fn leave(&mut self, client: u32, from: Arc<str>, from_started_at: Millis, is_optional: bool) {
        let slow = self.random.once_in(50);
        let takes = if slow { self.random.between(10, 60) } else { self.random.between(0, 4) };
        let back_at = self.now + SECOND * takes as u32;
        self.away.push(Away {
            client,
            from,
            from_started_at,
            since: self.now,
            back_at,
            is_given_up: false,
            is_optional,
        });
    }

    fn bring_clients_back(&mut self) {
        let ready: Vec<_> = (0..self.nodes.len()).filter(|&one| self.nodes[one].takes_clients()).collect();
        let mut still = Vec::new();
        for mut away in std::mem::take(&mut self.away) {
            let is_back = away.back_at <= self.now;
            let landed = if is_back { self.random.pick(&ready).copied() } else { None };
            if let Some(at) = landed {
                self.nodes[at].clients.push(away.client);
            }
            let from = |node: &&mut Node| node.name == away.from && node.started_at == away.from_started_at;
            let gives_up = !away.is_given_up && self.now.since(away.since) >= GIVE_UP;
            if let Some(node) = self.nodes.iter_mut().find(from) {
                let report = &mut node.report;
                let had = report.displaced;
                if !away.is_given_up && (landed.is_some() || gives_up) {
                    report.displaced = had.saturating_sub(1);
                    *(if landed.is_some() { &mut report.resumed } else { &mut report.lost }) += had.min(1);
                }
            }
            away.is_given_up |= gives_up;
            if landed.is_none() {
                still.push(away);
            }
        }
        self.away = still;
        for node in &mut self.nodes {
            node.refresh();
        }
    }

    #[expect(clippy::print_stdout, reason = "a seed that runs alone tells what happens")]
    fn say(&self, what: impl FnOnce() -> String) {
        if self.is_loud {
            println!("{:>6} {}", self.now.count() / 1_000 - 1_000_000, what());
        }
    }
}
