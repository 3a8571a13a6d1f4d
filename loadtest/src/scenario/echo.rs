//! Echo: every message must come back unchanged, in order, on the connection it was sent on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Common;
use super::echo_clients::{EchoClients, Messages};
use super::opening::Opener;
use super::window::{Bounds, Standing, Window};
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Engine, Lane, Load, Setup, Wake};
use crate::failure::Failure;
use crate::latency::Latency;
use crate::report::{Report, per_second};

/// An echo run.
#[derive(Clone, Debug)]
pub(crate) struct EchoPlan {
    pub(crate) common: Common,
    pub(crate) connections: usize,
    pub(crate) messages: Messages,
    /// Messages a second over all connections; `None`: closed loop.
    pub(crate) rate: Option<u64>,
    pub(crate) bounds: Bounds,
}

/// Runs it to the end.
pub(crate) fn run(plan: EchoPlan) -> Result<Report, Failure> {
    let mut engine = Engine::new(Setup {
        endpoints: vec![plan.common.echo_endpoint()],
        sources: plan.common.sources,
        lanes: plan.connections,
        message_bytes_max: plan.messages.size_bytes,
        progress: plan.common.progress,
    })?;
    let mut echo = Echo {
        opener: Opener::new(0..plan.connections, Dial::default(), plan.common.target.to_string()),
        window: Window::new(plan.bounds, plan.common.pid),
        clients: EchoClients::new(plan.connections, plan.messages),
        round_trip: Latency::new(),
        plan,
    };
    engine.run(&mut echo)?;
    Ok(echo.report())
}

struct Echo {
    plan: EchoPlan,
    opener: Opener,
    window: Window,
    clients: EchoClients,
    round_trip: Latency,
}

impl Echo {
    /// Moves the window on, and lets the clients send what its part of the run allows.
    fn advance(&mut self, now: Nanos) -> Result<(), Failure> {
        let was_issuing = self.window.is_issuing();
        let was_measuring = self.window.is_measuring();
        let issued = if was_measuring { self.window.count_max() - self.clients.budget() } else { 0 };
        let standing = Standing { units: self.clients.received, issued, in_flight: self.clients.in_flight() };
        self.window.advance(now, standing)?;
        if self.window.is_measuring() && !was_measuring {
            self.clients.set_budget(self.window.count_max());
            self.clients.lag = Latency::new();
        }
        if was_issuing && !self.window.is_issuing() {
            self.clients.stop(recorder(&self.window, &mut self.round_trip, now));
        }
        Ok(())
    }

    fn report(mut self) -> Report {
        self.clients.settle(recorder(&self.window, &mut self.round_trip, Nanos::now()));
        let mut latencies = vec![self.round_trip.summary("echo")];
        if self.plan.rate.is_some() {
            latencies.push(self.clients.lag.summary("sent after due"));
        }
        Report {
            scenario: "echo",
            url: self.plan.common.target.to_string(),
            verdict: self.clients.faults.verdict(),
            measured_seconds: Duration::from_nanos(self.window.nanoseconds()).as_secs_f64(),
            unit: "message",
            units: self.window.units(),
            units_per_second: per_second(self.window.units(), self.window.nanoseconds()),
            counts: BTreeMap::from([
                ("connections", self.opener.open() as u64),
                ("sent", self.clients.sent),
                ("received", self.clients.received),
            ]),
            latencies,
            server: self.window.server(),
            derived: BTreeMap::new(),
            endings: self.clients.endings,
            details: BTreeMap::new(),
            conclusion: None,
            faults: self.clients.faults,
        }
    }
}

/// Records the latency so far of messages that were issued, or due, in the measured part.
fn recorder(window: &Window, latency: &mut Latency, now: Nanos) -> impl FnMut(Nanos) {
    move |issued_at| {
        if window.covers(issued_at) {
            latency.record(now.since(issued_at));
        }
    }
}

impl Load for Echo {
    fn handle_open(&mut self, lane: Lane, _now: Nanos, out: &mut Commands) {
        self.clients.handle_open(lane);
        self.opener.handle_open(out);
    }

    fn handle_message(&mut self, lane: Lane, message: &[u8], now: Nanos, out: &mut Commands) {
        let issued_at = self.clients.handle_message(lane, message, now, out);
        issued_at.into_iter().for_each(recorder(&self.window, &mut self.round_trip, now));
    }

    fn handle_end(&mut self, lane: Lane, ending: Ending, _now: Nanos, _out: &mut Commands) {
        if !self.opener.handle_end(&ending) {
            self.clients.handle_end(lane, &ending);
        }
    }

    fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Wake, Failure> {
        self.opener.begin(out);
        self.opener.check()?;
        if self.opener.is_complete() && self.window.is_opening() {
            self.window.begin(now);
            self.advance(now)?;
            self.clients.begin(self.plan.rate, now, out);
        }
        self.advance(now)?;
        let deserted = self.opener.is_complete() && !self.clients.is_anyone_open();
        if self.window.is_done() || deserted {
            return Ok(Wake::Done);
        }
        Ok(Wake::At(self.clients.assign_due(now, out).min(self.window.due_at())))
    }

    fn progress(&self) -> String {
        format!(
            "{}: {} connections, {} messages sent, {} received, {} faults",
            self.window.phase_name(),
            self.opener.open(),
            self.clients.sent,
            self.clients.received,
            self.clients.faults.count
        )
    }
}
