//! Verify: does every message come once and in order, also to those whose connection breaks?
//!
//! Publishers send numbered messages to some channels, each until it is acknowledged; subscribers check what comes. Connections
//! are cut at random and come back to their sessions; subscribers stop reading for a while. On channels with history nothing may
//! be missing at the end, on others only what was published while the subscriber was away. Native dialect only.
//!
//! | Module | Part |
//! |---|---|
//! | `clients` | speaks the dialect for all, and brings back who was cut |
//! | `feed`, `stream` | what a subscriber may expect of a channel |
//! | `publisher`, `session` | what is in flight; what a client comes back with |
//! | `mischief` | faults by our own hand |
//! | `storm` | another script: all are cut, and come back at once |

mod clients;
mod feed;
mod mischief;
mod publisher;
mod session;
mod storm;
mod stream;
mod tally;

use std::time::Duration;

use self::clients::{Cast, Clients, Standing, Step};
pub(crate) use self::mischief::MischiefPlan;
use self::mischief::{Deed, Mischief};
pub(crate) use self::storm::{StormPlan, run as run_storm};
use self::tally::Tally;
use super::Common;
use super::opening::Opener;
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Endpoint, Engine, Lane, Load, Setup, Speech, Wake};
use crate::failure::Failure;
use crate::latency::LatencySummary;
use crate::native::Native;
use crate::payload::STAMP_BYTES;
use crate::procfs::Snapshot;
use crate::random;
use crate::report::{Report, ServerUse, per_second};

/// A verification.
#[derive(Clone, Debug)]
pub(crate) struct VerifyPlan {
    pub(crate) common: Common,
    pub(crate) native: Native,
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) channels: usize,
    /// Channels of each subscriber.
    pub(crate) subscriptions: usize,
    pub(crate) size_bytes: usize,
    /// Messages a second over all publishers.
    pub(crate) rate: u64,
    /// How long messages are sent.
    pub(crate) duration: Duration,
    /// Most messages.
    pub(crate) count: u64,
    pub(crate) mischief: MischiefPlan,
    /// Nothing has come for this long: what is missing will not come.
    pub(crate) settle: Duration,
}

/// How long answers and messages may take that are outstanding when no more is sent.
const DRAIN: Duration = Duration::from_secs(10);
/// How long all clients may take to connect.
const OPENING: Duration = Duration::from_secs(60);
/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Runs it to the end.
pub(crate) fn run(plan: VerifyPlan) -> Result<Report, Failure> {
    let cast = plan.cast()?;
    let mut engine = engine(&plan.common, &cast)?;
    let mut verify = Verify {
        opener: Opener::new(0..cast.lanes(), Dial::default(), plan.common.target.to_string()),
        clients: Clients::new(&cast),
        part: Part::Opening { until: Nanos::now() + OPENING },
        before: None,
        plan,
    };
    engine.run(&mut verify)?;
    verify.report()
}

struct Verify {
    plan: VerifyPlan,
    opener: Opener,
    clients: Clients,
    part: Part,
    before: Option<Snapshot>,
}

#[derive(Debug)]
enum Part {
    Opening { until: Nanos },
    Sending { from: Nanos, until: Nanos, mischief: Mischief },
    Draining { from: Nanos, stopped_at: Nanos },
}

impl VerifyPlan {
    fn cast(&self) -> Result<Cast, Failure> {
        let usage = |message: String| Err(Failure::Usage(message));
        if self.size_bytes < STAMP_BYTES {
            return usage(format!("--size must be at least {STAMP_BYTES}: a message carries its number"));
        }
        if self.subscriptions > self.channels {
            return usage("--subscriptions of a subscriber cannot be more than --channels".to_owned());
        }
        Ok(Cast {
            native: self.native.clone(),
            publishers: self.publishers,
            subscribers: self.subscribers,
            channels: self.channels,
            subscriptions: self.subscriptions,
            size_bytes: self.size_bytes,
            run: random::seed()?,
            seed: self.mischief.seed,
        })
    }
}

impl Cast {
    fn lanes(&self) -> usize {
        self.publishers + self.subscribers
    }
}

fn engine(common: &Common, cast: &Cast) -> Result<Engine, Failure> {
    Engine::new(Setup {
        endpoints: vec![Endpoint { target: common.target.clone(), speech: Speech::Objects }],
        sources: common.sources,
        lanes: cast.lanes(),
        message_bytes_max: cast.size_bytes,
        progress: common.progress,
    })
}

impl Verify {
    fn begin(&mut self, now: Nanos) -> Result<(), Failure> {
        self.before = self.plan.common.pid.map(Snapshot::read).transpose()?;
        self.clients.begin(self.plan.rate, now);
        let mischief = Mischief::new(self.plan.mischief, now);
        self.part = Part::Sending { from: now, until: now + self.plan.duration, mischief };
        Ok(())
    }

    fn do_mischief(&mut self, now: Nanos, out: &mut Commands) -> Nanos {
        let Part::Sending { mischief, .. } = &mut self.part else { return Nanos(u64::MAX) };
        while let Some((deed, whom)) = mischief.next_deed(self.clients.lanes(), now) {
            match deed {
                // Whoever is away already stays so.
                _ if !self.clients.is_up(whom) => {}
                Deed::Cut { goodbye, away } => self.clients.cut(whom, goodbye, Some(now + away), out),
                // Publishers read answers only.
                Deed::Stall { .. } if whom < self.plan.publishers => {}
                Deed::Stall { length } => self.clients.stall(whom, now + length, out),
            }
        }
        mischief.due_at()
    }

    fn is_drained(&self, stopped_at: Nanos, now: Nanos) -> bool {
        let quiet_since = self.clients.heard_at.max(stopped_at);
        match self.clients.standing() {
            Standing::Complete => true,
            Standing::Answered => now >= quiet_since + self.plan.settle,
            Standing::Busy => now >= stopped_at + DRAIN,
        }
    }

    fn report(mut self) -> Result<Report, Failure> {
        self.clients.settle();
        let measured_ns = match self.part {
            Part::Draining { from, stopped_at } => stopped_at.since(from),
            Part::Opening { .. } | Part::Sending { .. } => 0,
        };
        let mut report = report(&self.plan.common, self.clients.tally, measured_ns, self.before.as_ref())?;
        let seed = self.plan.mischief.seed;
        report.conclusion = report.conclusion.map(|words| format!("{words} Seed {seed}."));
        Ok(report)
    }
}

/// The report of either script; the server's CPU time is taken until now.
fn report(
    common: &Common,
    tally: Tally,
    measured_ns: u64,
    before: Option<&Snapshot>,
) -> Result<Report, Failure> {
    let after = common.pid.map(Snapshot::read).transpose()?;
    let server =
        before.zip(after.as_ref()).map(|(before, after)| ServerUse::between(before, after, tally.delivered));
    let latencies: Vec<LatencySummary> = [
        (&tally.delivery, "due to delivery"),
        (&tally.acknowledgement, "due to acknowledgement"),
        (&tally.resume, "time to resume"),
        (&tally.catch_up, "time to catch up"),
    ]
    .map(|(latency, name)| latency.summary(name))
    .into_iter()
    .filter(|summary| summary.count > 0)
    .collect();
    Ok(Report {
        scenario: "verify",
        url: common.target.to_string(),
        verdict: tally.faults.verdict(),
        measured_seconds: Duration::from_nanos(measured_ns).as_secs_f64(),
        unit: "delivery",
        units: tally.delivered,
        units_per_second: per_second(tally.delivered, measured_ns),
        counts: tally.counts(),
        latencies,
        server,
        derived: std::collections::BTreeMap::new(),
        conclusion: Some(tally.conclusion()),
        endings: tally.endings,
        faults: tally.faults,
    })
}

impl Load for Verify {
    fn handle_open(&mut self, lane: Lane, _now: Nanos, out: &mut Commands) {
        self.clients.handle_open(lane, out);
    }

    fn handle_message(&mut self, lane: Lane, message: &[u8], now: Nanos, out: &mut Commands) {
        if self.clients.handle_message(lane, message, now, out) == Step::Entered && !self.opener.is_complete()
        {
            self.opener.handle_open(out);
        }
    }

    fn handle_end(&mut self, lane: Lane, ending: Ending, now: Nanos, _out: &mut Commands) {
        if self.opener.is_complete() {
            self.clients.handle_end(lane, &ending, now);
        } else {
            self.opener.handle_end(&self.clients.take_refusal().map_or(ending, Ending::Rejected));
        }
    }

    fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Wake, Failure> {
        let next = self.clients.run_errands(now, out).min(self.do_mischief(now, out));
        match self.part {
            Part::Opening { until } => {
                self.opener.begin(out);
                self.opener.check_until(until, now)?;
                if !self.opener.is_complete() {
                    return Ok(Wake::At(until));
                }
                self.begin(now)?;
                Ok(Wake::At(now))
            }
            Part::Sending { from, until, .. } => {
                if now >= until || self.clients.assigned() >= self.plan.count {
                    self.part = Part::Draining { from, stopped_at: now };
                    return Ok(Wake::At(now));
                }
                let due_at = self.clients.publish_due(self.plan.count, now, out);
                Ok(Wake::At(next.min(due_at).min(until)))
            }
            Part::Draining { stopped_at, .. } if self.is_drained(stopped_at, now) => Ok(Wake::Done),
            Part::Draining { .. } => Ok(Wake::At(next.min(now + LOOK))),
        }
    }

    fn progress(&self) -> String {
        let part = match self.part {
            Part::Opening { .. } => "opening",
            Part::Sending { .. } => "sending",
            Part::Draining { .. } => "waiting for the last messages",
        };
        format!("{part}: {} connected, {}", self.opener.open(), self.clients.tally.progress())
    }
}
