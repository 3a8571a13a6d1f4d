//! Clients that send numbered messages and check that each comes back: the body of the echo scenario, and the well-behaved
//! neighbours of the offenders in others.
//!
//! Closed loop: each client keeps `depth` messages in flight. Open loop: messages are due on a schedule, spread over the clients in
//! turn, and a message's time of issue is when it was *due*, whether it could be sent then or not.

use std::collections::{BTreeMap, VecDeque};

use tidegate_wire::frame::OpCode;

use crate::clock::Nanos;
use crate::engine::{Commands, Ending, Lane};
use crate::latency::Latency;
use crate::payload::Template;
use crate::report::Faults;
use crate::schedule::Schedule;

/// The clients in lanes 0 to `count`.
pub(super) struct EchoClients {
    clients: Vec<Client>,
    template: Template,
    opcode: OpCode,
    depth: u64,
    schedule: Option<Schedule>,
    /// Messages of the schedule given to a client so far.
    assigned: u64,
    /// How many more may be sent.
    budget: u64,
    open: usize,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Sent on connections that have ended since: their answers never come.
    lost: u64,
    /// How much later than due the open loop sent.
    pub(super) lag: Latency,
    pub(super) endings: BTreeMap<String, u64>,
    pub(super) faults: Faults,
}

/// What the clients send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages {
    pub(crate) size_bytes: usize,
    pub(crate) opcode: OpCode,
    /// Most messages in flight on one connection.
    pub(crate) depth: u64,
}

/// One connection. Its message number `sent` carries that number; answers come in order.
#[derive(Debug, Default)]
struct Client {
    open: bool,
    assigned: u64,
    sent: u64,
    received: u64,
    /// When those in flight were issued.
    issued_at: VecDeque<Nanos>,
}

impl EchoClients {
    pub(super) fn new(count: usize, messages: Messages) -> Self {
        let mut clients = Vec::new();
        clients.resize_with(count, Client::default);
        Self {
            clients,
            template: Template::new(messages.size_bytes),
            opcode: messages.opcode,
            depth: messages.depth,
            schedule: None,
            assigned: 0,
            budget: u64::MAX,
            open: 0,
            sent: 0,
            received: 0,
            lost: 0,
            lag: Latency::new(),
            endings: BTreeMap::new(),
            faults: Faults::default(),
        }
    }

    /// Begins to send: at `rate` messages a second over all, or as fast as answers come.
    pub(super) fn begin(&mut self, rate: Option<u64>, now: Nanos, out: &mut Commands) {
        match rate {
            Some(rate) => self.schedule = Some(Schedule::new(now, rate)),
            None => (0..self.clients.len()).for_each(|lane| self.fill(lane, now, out)),
        }
    }

    /// How many more messages may be sent from now on.
    pub(super) fn set_budget(&mut self, messages: u64) {
        self.budget = messages;
    }

    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.sent - self.received - self.lost
    }

    pub(super) fn is_anyone_open(&self) -> bool {
        self.open > 0
    }

    /// Gives each client the messages that are due on it. Says when the next one is.
    pub(super) fn assign_due(&mut self, now: Nanos, out: &mut Commands) -> Nanos {
        let Some(schedule) = self.schedule else { return Nanos(u64::MAX) };
        if self.budget == 0 {
            return Nanos(u64::MAX);
        }
        let due = schedule.due_count(now);
        while self.assigned < due {
            let lane = usize::try_from(self.assigned % self.clients.len() as u64)
                .expect("the remainder of a division by a usize is one");
            self.assigned += 1;
            self.clients[lane].assigned += 1;
            self.fill(lane, now, out);
        }
        schedule.due_at(self.assigned)
    }

    pub(super) fn handle_open(&mut self, lane: Lane) {
        self.clients[lane].open = true;
        self.open += 1;
    }

    /// Checks an answer and sends what may follow it. Gives the time the message was issued.
    pub(super) fn handle_message(
        &mut self,
        lane: Lane,
        message: &[u8],
        now: Nanos,
        out: &mut Commands,
    ) -> Option<Nanos> {
        let client = &mut self.clients[lane];
        let number = client.received;
        let Some(issued_at) = client.issued_at.pop_front() else {
            self.faults.add(|| format!("connection {lane}: a message that was never sent"));
            return None;
        };
        client.received += 1;
        self.received += 1;
        if let Err(mismatch) = self.template.check(number, message) {
            self.faults.add(|| format!("connection {lane}, message {number}: {mismatch}"));
        }
        self.fill(lane, now, out);
        Some(issued_at)
    }

    /// No client of these is expected to end before the run does.
    pub(super) fn handle_end(&mut self, lane: Lane, ending: &Ending) {
        *self.endings.entry(ending.to_string()).or_default() += 1;
        self.faults.add(|| format!("connection {lane}: {ending}"));
        let client = &mut self.clients[lane];
        if client.open {
            client.open = false;
            self.open -= 1;
            self.lost += client.sent - client.received;
        }
    }

    /// Sends nothing more. What was due and could not be sent is a fault; `record` gets when each of it was due, because leaving
    /// it out would hide a stall.
    pub(super) fn stop(&mut self, mut record: impl FnMut(Nanos)) {
        let backlog_counts = self.budget > 0;
        self.budget = 0;
        let (Some(schedule), true) = (self.schedule, backlog_counts) else { return };
        let mut unsent = 0_u64;
        for (lane, client) in self.clients.iter().enumerate() {
            for index in client.sent..client.assigned {
                record(self.due_at(&schedule, lane, index));
                unsent += 1;
            }
        }
        if unsent > 0 {
            let depth = self.depth;
            self.faults
                .add(|| format!("{unsent} messages were due while {depth} were in flight before them"));
        }
    }

    /// The run is over. What has no answer is a fault; `record` gets when each of it was issued.
    pub(super) fn settle(&mut self, record: impl FnMut(Nanos)) {
        let unanswered: usize = self.clients.iter().map(|client| client.issued_at.len()).sum();
        self.clients.iter().flat_map(|client| &client.issued_at).copied().for_each(record);
        if unanswered > 0 {
            self.faults.add(|| format!("{unanswered} messages were not answered"));
        }
    }

    /// Sends on `lane` as much as its depth, the schedule and the budget allow.
    fn fill(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        while self.budget > 0 {
            let client = &self.clients[lane];
            if !client.open || client.sent - client.received >= self.depth {
                return;
            }
            let issued_at = match &self.schedule {
                None => now,
                Some(_) if client.sent == client.assigned => return,
                Some(schedule) => {
                    let due_at = self.due_at(schedule, lane, client.sent);
                    self.lag.record(now.since(due_at));
                    due_at
                }
            };
            let client = &mut self.clients[lane];
            out.send(lane, self.opcode, self.template.stamp(client.sent));
            client.sent += 1;
            client.issued_at.push_back(issued_at);
            self.sent += 1;
            self.budget -= 1;
        }
    }

    /// Message `index` of this client, as the schedule counts over all clients.
    fn due_at(&self, schedule: &Schedule, lane: Lane, index: u64) -> Nanos {
        schedule.due_at(index * self.clients.len() as u64 + lane as u64)
    }
}
