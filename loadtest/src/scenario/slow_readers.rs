//! Slow readers: clients that never read, beside well-behaved ones.
//!
//! Two kinds. On an echo path an offender sends and does not take the answers: the server should stop reading from it. On a
//! channel path an offender only subscribes, and one more client, the feeder, publishes to the channel: the server should
//! close the offender, and the feeder, who reads, should get everything. At the end the offenders read what there is, so that a close
//! frame behind a full window is found, and each is counted by how it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_wire::frame::OpCode;

use super::Common;
use super::neighbours::{NeighbourPlan, Neighbours};
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Endpoint, Engine, Lane, Load, Setup, SocketSize, Wake};
use crate::failure::Failure;
use crate::native::{Channels, Dialect};
use crate::payload::{self, STAMP_BYTES, Template};
use crate::procfs::Snapshot;
use crate::report::{Faults, Report, ServerUse, per_second};
use crate::schedule::Schedule;

/// A slow-readers run.
#[derive(Clone, Debug)]
pub(crate) struct SlowReadersPlan {
    pub(crate) common: Common,
    pub(crate) neighbours: NeighbourPlan,
    pub(crate) offenders: usize,
    /// The path of the channel that the offenders join; in the native dialect its name. `None`: they echo.
    pub(crate) offender_channel: Option<String>,
    /// Size of the messages that are not read.
    pub(crate) offender_size_bytes: usize,
    /// Echo: messages a second that all offenders send together. Channel: messages a second that the feeder publishes.
    pub(crate) offender_rate: u64,
    /// Offenders that connect a second.
    pub(crate) connect_rate: u64,
    /// Length of the part with offenders.
    pub(crate) duration: Duration,
}

/// What the offenders do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Offence {
    /// They send messages and do not take the echoes.
    Echo,
    /// They subscribe and do not take the publications.
    Channel,
}

/// How long reading out the offenders and the last answers may take.
const DRAIN: Duration = Duration::from_secs(10);
/// Offenders that get nothing more for this long have read all there is.
const QUIET: Duration = Duration::from_secs(1);
/// Most that one offender sends: enough for any outbox that has a bound worth the name.
const SENT_BYTES_MAX: u64 = 16 << 20;

/// Runs it to the end.
pub(crate) fn run(plan: SlowReadersPlan) -> Result<Report, Failure> {
    if plan.offender_size_bytes < STAMP_BYTES {
        return Err(Failure::Usage(format!("--offender-size must be at least {STAMP_BYTES}")));
    }
    let target = &plan.common.target;
    let mut engine = Engine::new(Setup {
        endpoints: vec![plan.common.echo_endpoint(), plan.offender_endpoint()],
        sources: plan.common.sources,
        lanes: plan.neighbours.count + plan.offenders + 1,
        message_bytes_max: plan.neighbours.messages.size_bytes.max(plan.offender_size_bytes),
        progress: plan.common.progress,
    })?;
    let mut offenders = Vec::new();
    offenders.resize_with(plan.offenders, Offender::default);
    let mut slow = SlowReaders {
        neighbours: Neighbours::new(plan.neighbours, target.to_string()),
        first: plan.neighbours.count,
        feeder: plan.neighbours.count + plan.offenders,
        fed: Fed::default(),
        offenders,
        template: Template::new(plan.offender_size_bytes),
        attack: None,
        drain_until: None,
        reads_out: false,
        offender_heard_at: Nanos(0),
        dialled: 0,
        turns: 0,
        sent: 0,
        open: 0,
        blocked: 0,
        before: None,
        after: None,
        measured_ns: 0,
        endings: BTreeMap::new(),
        faults: Faults::default(),
        plan,
    };
    engine.run(&mut slow)?;
    Ok(slow.report())
}

struct SlowReaders {
    plan: SlowReadersPlan,
    neighbours: Neighbours,
    /// Lane of the first offender.
    first: Lane,
    /// Lane of the client that publishes to the channel.
    feeder: Lane,
    fed: Fed,
    offenders: Vec<Offender>,
    template: Template,
    attack: Option<Attack>,
    drain_until: Option<Nanos>,
    /// Whether the offenders have begun to read.
    reads_out: bool,
    /// When an offender last got a message or ended.
    offender_heard_at: Nanos,
    dialled: usize,
    /// Messages of the schedule that have had their turn.
    turns: u64,
    sent: u64,
    open: usize,
    blocked: usize,
    before: Option<Snapshot>,
    after: Option<Snapshot>,
    measured_ns: u64,
    endings: BTreeMap<String, u64>,
    faults: Faults,
}

/// The part with offenders.
#[derive(Clone, Copy, Debug)]
struct Attack {
    from: Nanos,
    until: Nanos,
    dials: Schedule,
    messages: Schedule,
}

#[derive(Clone, Copy, Debug, Default)]
struct Offender {
    open: bool,
    blocked: bool,
    sent: u64,
}

/// The feeder's own subscription.
#[derive(Clone, Copy, Debug, Default)]
struct Fed {
    open: bool,
    received: u64,
}

impl SlowReadersPlan {
    fn offence(&self) -> Offence {
        if self.offender_channel.is_some() { Offence::Channel } else { Offence::Echo }
    }

    fn offender_endpoint(&self) -> Endpoint {
        let Some(channel) = &self.offender_channel else { return self.common.echo_endpoint() };
        match self.common.dialect {
            Dialect::Raw => {
                let target = self.common.target.with_path(channel);
                Endpoint { target, ..self.common.channel_endpoint() }
            }
            Dialect::Native(_) => self.common.endpoint(|_| Channels::Shared(channel.as_str().into())),
        }
    }
}

impl SlowReaders {
    fn begin_attack(&mut self, now: Nanos, out: &mut Commands) -> Result<Attack, Failure> {
        self.before = self.snapshot()?;
        if self.plan.offence() == Offence::Channel {
            out.dial(self.feeder, Dial { target: 1, ..Dial::default() });
        }
        Ok(Attack {
            from: now,
            until: now + self.plan.duration,
            dials: Schedule::new(now, self.plan.connect_rate),
            messages: Schedule::new(now, self.plan.offender_rate),
        })
    }

    /// Connects who is due and sends what is due. Says when there is more to do.
    fn drive(&mut self, attack: &Attack, now: Nanos, out: &mut Commands) -> Nanos {
        let dials_due = usize::try_from(attack.dials.due_count(now)).unwrap_or(usize::MAX);
        while self.dialled < dials_due.min(self.offenders.len()) {
            let dial = Dial { target: 1, socket: SocketSize::Small, ..Dial::default() };
            out.dial(self.first + self.dialled, dial);
            self.dialled += 1;
        }
        let due = attack.messages.due_count(now);
        while self.turns < due {
            match self.plan.offence() {
                Offence::Echo => self.send_from_offender(out),
                Offence::Channel => self.feed(out),
            }
            self.turns += 1;
        }
        let next_dial = if self.dialled < self.offenders.len() {
            attack.dials.due_at(self.dialled as u64)
        } else {
            Nanos(u64::MAX)
        };
        next_dial.min(attack.messages.due_at(self.turns)).min(attack.until)
    }

    fn send_from_offender(&mut self, out: &mut Commands) {
        let turn = self.turns % self.offenders.len() as u64;
        let index = usize::try_from(turn).expect("the remainder of a division by a usize is one");
        let offender = &mut self.offenders[index];
        let may_send = offender.sent * (self.plan.offender_size_bytes as u64) < SENT_BYTES_MAX;
        if offender.open && !offender.blocked && may_send {
            out.send(self.first + index, OpCode::Binary, self.template.stamp(offender.sent));
            offender.sent += 1;
            self.sent += 1;
        }
    }

    fn feed(&mut self, out: &mut Commands) {
        if self.fed.open {
            out.send(self.feeder, OpCode::Binary, self.template.stamp(self.sent));
            self.sent += 1;
        }
    }

    /// Nobody sends any more.
    fn end_attack(&mut self, attack: &Attack, now: Nanos) -> Result<(), Failure> {
        self.after = self.snapshot()?;
        self.measured_ns = now.since(attack.from);
        self.neighbours.stop(now);
        self.drain_until = Some(now + DRAIN);
        self.offender_heard_at = now;
        Ok(())
    }

    /// The offenders read what there is. That keeps this client busy, so the well-behaved have had their answers.
    fn read_out(&mut self, now: Nanos, out: &mut Commands) {
        self.reads_out = true;
        self.offender_heard_at = now;
        for (index, offender) in self.offenders.iter().enumerate() {
            if offender.open {
                out.resume_reading(self.first + index);
            }
        }
    }

    /// When reading out is over, should nothing more come.
    fn drained_at(&self, until: Nanos) -> Nanos {
        let fed = self.plan.offence() == Offence::Echo || self.fed.received == self.sent;
        match (self.neighbours.in_flight() == 0 && fed, self.open) {
            (true, 0) => Nanos(0),
            (true, _) => until.min(self.offender_heard_at + QUIET),
            (false, _) => until,
        }
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, Failure> {
        self.plan.common.pid.map(Snapshot::read).transpose()
    }

    fn report(mut self) -> Report {
        if self.open > 0 {
            self.endings.insert("still open".to_owned(), self.open as u64);
        }
        let conclusion = self.neighbours.conclude();
        let mut counts = conclusion.counts;
        counts.insert("unread messages sent", self.sent);
        counts.insert("offenders blocked", self.blocked as u64);
        let mut faults = conclusion.faults;
        self.faults.first.into_iter().for_each(|fault| faults.add(|| fault));
        if self.plan.offence() == Offence::Channel && self.fed.received != self.sent {
            let (sent, received) = (self.sent, self.fed.received);
            faults.add(|| format!("the feeder reads, but got {received} of its {sent} publications"));
        }
        let units = self.plan.offenders as u64;
        let server = self
            .before
            .as_ref()
            .zip(self.after.as_ref())
            .map(|(before, after)| ServerUse::between(before, after, units));
        Report {
            scenario: "slow-readers",
            url: self.plan.common.target.to_string(),
            verdict: faults.verdict(),
            measured_seconds: Duration::from_nanos(self.measured_ns).as_secs_f64(),
            unit: "offender",
            units,
            units_per_second: per_second(units, self.measured_ns),
            counts,
            latencies: conclusion.latencies,
            server,
            derived: conclusion.derived,
            endings: self.endings,
            details: BTreeMap::new(),
            conclusion: None,
            faults,
        }
    }
}

impl Load for SlowReaders {
    fn handle_open(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        if self.neighbours.owns(lane) {
            self.neighbours.handle_open(lane, now, out);
        } else if lane == self.feeder {
            self.fed.open = true;
        } else {
            self.offenders[lane - self.first].open = true;
            self.open += 1;
            out.pause_reading(lane);
        }
    }

    fn handle_message(&mut self, lane: Lane, message: &[u8], now: Nanos, out: &mut Commands) {
        if self.neighbours.owns(lane) {
            self.neighbours.handle_message(lane, message, now, out);
        } else if lane == self.feeder {
            if payload::number_of(message) != Some(self.fed.received) {
                let expected = self.fed.received;
                self.faults.add(|| format!("the feeder did not get publication {expected} when it was due"));
            }
            self.fed.received += 1;
        } else {
            self.offender_heard_at = now;
        }
    }

    fn handle_blocked(&mut self, lane: Lane) {
        if let Some(offender) = lane.checked_sub(self.first).and_then(|index| self.offenders.get_mut(index))
            && !std::mem::replace(&mut offender.blocked, true)
        {
            self.blocked += 1;
        }
    }

    fn handle_unblocked(&mut self, lane: Lane) {
        if let Some(offender) = lane.checked_sub(self.first).and_then(|index| self.offenders.get_mut(index))
            && std::mem::replace(&mut offender.blocked, false)
            && self.drain_until.is_none()
        {
            self.blocked -= 1;
        }
    }

    fn handle_end(&mut self, lane: Lane, ending: Ending, now: Nanos, _out: &mut Commands) {
        if self.neighbours.owns(lane) {
            self.neighbours.handle_end(lane, &ending);
        } else if lane == self.feeder {
            self.fed.open = false;
            self.faults.add(|| format!("the feeder, who reads: {ending}"));
        } else {
            self.offender_heard_at = now;
            let offender = &mut self.offenders[lane - self.first];
            if std::mem::replace(&mut offender.open, false) {
                self.open -= 1;
            }
            *self.endings.entry(ending.to_string()).or_default() += 1;
        }
    }

    fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Wake, Failure> {
        let mut next = self.neighbours.handle_time(now, out)?;
        if let Some(until) = self.drain_until {
            if !self.reads_out && (self.neighbours.in_flight() == 0 || now >= until) {
                self.read_out(now, out);
            }
            let over_at = self.drained_at(until);
            return Ok(if now >= over_at { Wake::Done } else { Wake::At(over_at) });
        }
        if self.attack.is_none() && self.neighbours.is_beset() {
            self.attack = Some(self.begin_attack(now, out)?);
        }
        if let Some(attack) = self.attack {
            if now >= attack.until {
                self.end_attack(&attack, now)?;
                return Ok(Wake::At(now));
            }
            next = next.min(self.drive(&attack, now, out));
        }
        Ok(Wake::At(next))
    }

    fn progress(&self) -> String {
        let part = match (self.drain_until, self.neighbours.is_beset()) {
            (Some(_), _) => "reading out the offenders",
            (None, true) => "with offenders",
            (None, false) => "without offenders",
        };
        format!(
            "{part}: {} offenders connected, {} still open, {} blocked",
            self.dialled, self.open, self.blocked
        )
    }
}
