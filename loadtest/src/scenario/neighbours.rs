//! The well-behaved clients beside offenders: what they notice of them.
//!
//! Open-loop echo in the first lanes, timed without the offenders (before) and then with them (during); the two 99th percentiles
//! are the verdict. How late this client itself was to send is shown beside them: on a busy machine that is part of both.

use std::collections::BTreeMap;
use std::time::Duration;

use super::echo_clients::{EchoClients, Messages};
use super::opening::Opener;
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Lane};
use crate::failure::Failure;
use crate::kernel::KernelLosses;
use crate::latency::{Latency, LatencySummary, WorstOfHundreds};
use crate::report::Faults;

/// Who they are and how long each part takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeighbourPlan {
    pub(crate) count: usize,
    pub(crate) messages: Messages,
    /// Messages a second over all of them.
    pub(crate) rate: u64,
    pub(crate) warmup: Duration,
    /// Length of the part without offenders.
    pub(crate) baseline: Duration,
    /// Most that p99 with offenders may be, as a multiple of p99 without.
    pub(crate) p99_ratio_max: Option<f64>,
}

/// The clients in lanes 0 to `plan.count`.
pub(super) struct Neighbours {
    plan: NeighbourPlan,
    opener: Opener,
    clients: EchoClients,
    part: Part,
    without: Latency,
    with: Latency,
    hundreds_without: WorstOfHundreds,
    hundreds_with: WorstOfHundreds,
    lag_without: Latency,
    /// When the offenders came.
    kernel_before: KernelLosses,
}

/// Which part of the run a message belongs to, by when it was due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Opening,
    WarmUp { until: Nanos },
    Without { from: Nanos, until: Nanos },
    With { from: Nanos },
}

impl Neighbours {
    pub(super) fn new(plan: NeighbourPlan, url: String) -> Self {
        Self {
            opener: Opener::new(0..plan.count, Dial::default(), url),
            clients: EchoClients::new(plan.count, plan.messages),
            part: Part::Opening,
            without: Latency::new(),
            with: Latency::new(),
            hundreds_without: WorstOfHundreds::new(),
            hundreds_with: WorstOfHundreds::new(),
            lag_without: Latency::new(),
            kernel_before: KernelLosses::default(),
            plan,
        }
    }

    pub(super) fn owns(&self, lane: Lane) -> bool {
        lane < self.plan.count
    }

    /// The baseline has been measured: the offenders may come.
    pub(super) fn is_beset(&self) -> bool {
        matches!(self.part, Part::With { .. })
    }

    pub(super) fn handle_open(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        self.clients.handle_open(lane);
        self.opener.handle_open(out);
        if self.opener.is_complete() {
            self.clients.begin(Some(self.plan.rate), now, out);
            self.part = Part::WarmUp { until: now + self.plan.warmup };
        }
    }

    pub(super) fn handle_message(&mut self, lane: Lane, message: &[u8], now: Nanos, out: &mut Commands) {
        if let Some(issued_at) = self.clients.handle_message(lane, message, now, out) {
            self.record(issued_at, now);
        }
    }

    pub(super) fn handle_end(&mut self, lane: Lane, ending: &Ending) {
        if !self.opener.handle_end(ending) {
            self.clients.handle_end(lane, ending);
        }
    }

    /// Sends what is due and moves on to the next part. Says when there is more to do.
    pub(super) fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Nanos, Failure> {
        self.opener.begin(out);
        self.opener.check()?;
        self.part = match self.part {
            Part::WarmUp { until } if now >= until => {
                self.clients.lag = Latency::new();
                Part::Without { from: until, until: until + self.plan.baseline }
            }
            Part::Without { until, .. } if now >= until => {
                self.kernel_before = KernelLosses::read();
                self.lag_without = std::mem::replace(&mut self.clients.lag, Latency::new());
                Part::With { from: until }
            }
            part @ (Part::Opening | Part::WarmUp { .. } | Part::Without { .. } | Part::With { .. }) => part,
        };
        let next_part = match self.part {
            Part::WarmUp { until } | Part::Without { until, .. } => until,
            Part::Opening | Part::With { .. } => Nanos(u64::MAX),
        };
        Ok(self.clients.assign_due(now, out).min(next_part))
    }

    /// Nothing is sent any more; answers may still come.
    pub(super) fn stop(&mut self, now: Nanos) {
        let mut overdue = Vec::new();
        self.clients.stop(|due_at| overdue.push(due_at));
        overdue.into_iter().for_each(|due_at| self.record(due_at, now));
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.clients.in_flight()
    }

    /// The run is over: latencies, ratio and what was wrong.
    pub(super) fn conclude(mut self) -> Conclusion {
        let now = Nanos::now();
        let mut unanswered = Vec::new();
        self.clients.settle(|issued_at| unanswered.push(issued_at));
        unanswered.into_iter().for_each(|issued_at| self.record(issued_at, now));

        let without = self.without.summary("without offenders");
        let with = self.with.summary("with offenders");
        let hundreds_without = self.hundreds_without.summary("worst of 100, without");
        let hundreds_with = self.hundreds_with.summary("worst of 100, with");
        let ratio = |with: f64, without: f64| if without > 0.0 { with / without } else { 0.0 };
        let p99_ratio = ratio(with.p99_us, without.p99_us);
        let typical = ratio(hundreds_with.p50_us, hundreds_without.p50_us);
        let mut faults = self.clients.faults;
        if let Some(max) = self.plan.p99_ratio_max
            && p99_ratio > max
        {
            faults.add(|| format!("p99 beside offenders is {p99_ratio:.2} x p99 without, more than {max}"));
        }
        let mut counts = BTreeMap::from([
            ("well-behaved", self.plan.count as u64),
            ("sent", self.clients.sent),
            ("received", self.clients.received),
        ]);
        counts.extend(KernelLosses::read().since(self.kernel_before));
        Conclusion {
            counts,
            latencies: vec![
                without,
                with,
                hundreds_without,
                hundreds_with,
                self.lag_without.summary("late here, without"),
                self.clients.lag.summary("late here, with"),
            ],
            derived: BTreeMap::from([("p99_ratio", p99_ratio), ("p99_ratio_typical", typical)]),
            faults,
        }
    }

    fn record(&mut self, issued_at: Nanos, now: Nanos) {
        let is_with = match self.part {
            // Due before the offenders came, answered beside them: not theirs.
            Part::With { from } => issued_at >= from,
            Part::Without { from, until } if from <= issued_at && issued_at < until => false,
            Part::Opening | Part::WarmUp { .. } | Part::Without { .. } => return,
        };
        let (latency, hundreds) = match is_with {
            true => (&mut self.with, &mut self.hundreds_with),
            false => (&mut self.without, &mut self.hundreds_without),
        };
        let taken = now.since(issued_at);
        hundreds.record(taken);
        latency.record(taken);
    }
}

/// What the well-behaved clients found.
pub(super) struct Conclusion {
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) latencies: Vec<LatencySummary>,
    pub(super) derived: BTreeMap<&'static str, f64>,
    pub(super) faults: Faults,
}
