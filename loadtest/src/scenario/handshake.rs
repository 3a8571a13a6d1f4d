//! Handshakes: connect, upgrade, say goodbye, again, with a fixed number under way.
//!
//! A unit is one whole cycle, until the server has closed TCP. Latency is from the call of `connect` (open loop: from when it was
//! due) to the verified 101 answer; in the native dialect to the reply to `connect`, with no subscription.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Common;
use super::window::{Bounds, Standing, Window};
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Engine, Goodbye, Lane, Load, Setup, Wake};
use crate::failure::Failure;
use crate::latency::Latency;
use crate::native::Channels;
use crate::report::{Faults, Report, per_second};
use crate::schedule::Schedule;

/// A handshake run.
#[derive(Clone, Debug)]
pub(crate) struct HandshakePlan {
    pub(crate) common: Common,
    /// Cycles under way at a time.
    pub(crate) concurrency: usize,
    /// Handshakes a second; `None`: as fast as they end.
    pub(crate) rate: Option<u64>,
    pub(crate) goodbye: Goodbye,
    pub(crate) bounds: Bounds,
}

/// A server that fails this often without one success is not going to be measured.
const HOPELESS: u64 = 100;

/// Runs it to the end.
pub(crate) fn run(plan: HandshakePlan) -> Result<Report, Failure> {
    let mut engine = Engine::new(Setup {
        endpoints: vec![plan.common.endpoint(|_| Channels::None)],
        sources: plan.common.sources,
        lanes: plan.concurrency,
        message_bytes_max: 125,
        progress: plan.common.progress,
    })?;
    let mut handshakes = Handshakes {
        window: Window::new(plan.bounds, plan.common.pid),
        schedule: None,
        free: (0..plan.concurrency).rev().collect(),
        started_at: vec![Nanos(0); plan.concurrency],
        budget: u64::MAX,
        begun: 0,
        upgraded: 0,
        ended: 0,
        latency: Latency::new(),
        endings: BTreeMap::new(),
        faults: Faults::default(),
        plan,
    };
    engine.run(&mut handshakes)?;
    Ok(handshakes.report())
}

struct Handshakes {
    window: Window,
    schedule: Option<Schedule>,
    free: Vec<Lane>,
    /// When the cycle in each lane was issued.
    started_at: Vec<Nanos>,
    budget: u64,
    begun: u64,
    upgraded: u64,
    ended: u64,
    latency: Latency,
    endings: BTreeMap<String, u64>,
    faults: Faults,
    plan: HandshakePlan,
}

impl Handshakes {
    /// Begins as many cycles as lanes, schedule and budget allow. Says when the next one is due.
    fn begin_cycles(&mut self, now: Nanos, out: &mut Commands) -> Nanos {
        while self.budget > 0
            && self.window.is_issuing()
            && let Some(&lane) = self.free.last()
        {
            let issued_at = self.schedule.map_or(now, |schedule| schedule.due_at(self.begun));
            if issued_at > now {
                return issued_at;
            }
            self.free.pop();
            self.started_at[lane] = issued_at;
            self.begun += 1;
            self.budget -= 1;
            out.dial(lane, Dial::default());
        }
        Nanos(u64::MAX)
    }

    /// What was due and had no free lane has waited until now at least.
    fn record_overdue(&mut self, now: Nanos) {
        let Some(schedule) = self.schedule else { return };
        let due = schedule.due_count(now).min(self.begun.saturating_add(self.budget));
        for due_at in (self.begun..due).map(|number| schedule.due_at(number)) {
            if self.window.covers(due_at) {
                self.latency.record(now.since(due_at));
            }
        }
        if due > self.begun && self.free.is_empty() {
            let late = due - self.begun;
            let lanes = self.plan.concurrency;
            self.faults.add(|| format!("{late} handshakes were due while {lanes} were under way"));
        }
    }

    fn is_expected(&self, ending: &Ending) -> bool {
        match self.plan.goodbye {
            Goodbye::Frame => *ending == Ending::Closed { code: 1000 },
            Goodbye::Return => *ending == Ending::Closed { code: 4000 },
            Goodbye::Fin | Goodbye::Reset => *ending == Ending::Ours,
        }
    }

    fn report(self) -> Report {
        Report {
            scenario: "handshake",
            url: self.plan.common.target.to_string(),
            verdict: self.faults.verdict(),
            measured_seconds: Duration::from_nanos(self.window.nanoseconds()).as_secs_f64(),
            unit: "handshake",
            units: self.window.units(),
            units_per_second: per_second(self.window.units(), self.window.nanoseconds()),
            counts: BTreeMap::from([
                ("begun", self.begun),
                ("upgraded", self.upgraded),
                ("ended", self.ended),
            ]),
            latencies: vec![self.latency.summary("handshake")],
            server: self.window.server(),
            derived: BTreeMap::new(),
            endings: self.endings,
            details: BTreeMap::new(),
            conclusion: None,
            faults: self.faults,
        }
    }
}

impl Load for Handshakes {
    fn handle_open(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        self.upgraded += 1;
        let started_at = self.started_at[lane];
        if self.window.covers(started_at) {
            self.latency.record(now.since(started_at));
        }
        out.close(lane, self.plan.goodbye);
    }

    fn handle_message(&mut self, lane: Lane, message: &[u8], _now: Nanos, _out: &mut Commands) {
        self.faults.add(|| format!("lane {lane}: an unasked message of {} bytes", message.len()));
    }

    fn handle_end(&mut self, lane: Lane, ending: Ending, _now: Nanos, _out: &mut Commands) {
        self.ended += 1;
        self.free.push(lane);
        if !self.is_expected(&ending) {
            self.faults.add(|| format!("lane {lane}: {ending}"));
        }
        *self.endings.entry(ending.to_string()).or_default() += 1;
    }

    fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Wake, Failure> {
        if self.begun == 0 {
            self.window.begin(now);
            self.schedule = self.plan.rate.map(|rate| Schedule::new(now, rate));
        }
        if self.upgraded == 0 && self.ended >= HOPELESS {
            return Err(Failure::Open {
                opened: 0,
                wanted: self.plan.concurrency,
                url: self.plan.common.target.to_string(),
                reason: self.faults.first.first().cloned().unwrap_or_default(),
            });
        }
        let was_measuring = self.window.is_measuring();
        let issued = if was_measuring { self.window.count_max() - self.budget } else { 0 };
        let standing = Standing { units: self.ended, issued, in_flight: self.begun - self.ended };
        self.window.advance(now, standing)?;
        if self.window.is_measuring() && !was_measuring {
            self.budget = self.window.count_max();
        }
        if was_measuring && !self.window.is_measuring() {
            self.record_overdue(now);
            self.budget = 0;
        }
        if self.window.is_done() {
            return Ok(Wake::Done);
        }
        let next = self.begin_cycles(now, out);
        Ok(Wake::At(next.min(self.window.due_at())))
    }

    fn progress(&self) -> String {
        format!(
            "{}: {} handshakes, {} connections ended, {} faults",
            self.window.phase_name(),
            self.upgraded,
            self.ended,
            self.faults.count
        )
    }
}
