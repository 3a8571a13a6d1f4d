//! Verify: does every message come once and in order, also to those whose connection breaks?
//!
//! Publishers send numbered messages to some channels, each until it is acknowledged; subscribers check what comes. Connections
//! are cut at random and come back to their sessions; subscribers stop reading for a while. On channels with history nothing may
//! be missing at the end, on others only what was published while the subscriber was away. The server may be a cluster, and a
//! stage of our own processes, to which faults are done on a schedule. Native dialect only.
//!
//! | Module | Part |
//! |---|---|
//! | `clients` | speaks the dialect for all, and brings back who was cut |
//! | `feed`, `stream` | what a subscriber may expect of a channel |
//! | `publisher`, `session` | what is in flight; what a client comes back with |
//! | `mischief` | faults by our own hand |
//! | `tally`, `timeline`, `bounds` | what is counted, when, and how much of it may be |
//! | `storm` | another script: all are cut, and come back at once |

mod bounds;
mod clients;
mod feed;
mod mischief;
mod publisher;
mod session;
mod storm;
mod stream;
mod tally;
mod timeline;
mod told;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use self::bounds::Bound;
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
use crate::fault::Fault;
use crate::latency::LatencySummary;
use crate::native::Native;
use crate::payload::STAMP_BYTES;
use crate::procfs::Snapshot;
use crate::random;
use crate::report::{Report, ServerUse, Verdict, per_second};
use crate::stage::{Done, Stage, StagePlan, Stagehand, check as check_faults};
use crate::target::Target;

/// A verification.
#[derive(Clone, Debug)]
pub(crate) struct VerifyPlan {
    pub(crate) common: Common,
    pub(crate) native: Native,
    /// Nodes, or one load balancer; clients are spread over them. None: those of the stage.
    pub(crate) targets: Vec<Target>,
    /// The servers that are to be started.
    pub(crate) stage: Option<StagePlan>,
    /// The path of the native dialect on a stage.
    pub(crate) path: String,
    /// The folder of the stage's logs; `None`: another one each time, which is kept if something is wrong.
    pub(crate) logs: Option<PathBuf>,
    /// Where to write who runs and listens where.
    pub(crate) stage_file: Option<PathBuf>,
    /// Start gateways again that have ended well?
    pub(crate) respawns: bool,
    pub(crate) faults: Vec<Fault>,
    pub(crate) bounds: Vec<Bound>,
    /// How long those who are gone may count as present at the end; `None`: nobody asks.
    pub(crate) presence: Option<Duration>,
    /// Is the report to have a list of all seconds?
    pub(crate) timeline: bool,
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
    /// Nothing more is sent once this file is there.
    pub(crate) stop_file: Option<PathBuf>,
    /// Most messages.
    pub(crate) count: u64,
    pub(crate) mischief: MischiefPlan,
    /// Nothing has come for this long: what is missing will not come.
    pub(crate) settle: Duration,
}

/// How long answers and messages may take that are outstanding when no more is sent.
const DRAIN: Duration = Duration::from_secs(60);
/// How long all clients may take to connect.
const OPENING: Duration = Duration::from_secs(60);
/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// How often presence is asked for until it is right.
const ROLL_CALL: Duration = Duration::from_millis(500);

/// Runs it to the end.
pub(crate) fn run(mut plan: VerifyPlan) -> Result<Report, Failure> {
    plan.check()?;
    // Only a stage has logs: without one nothing is written, so that a read-only root file system will do.
    let folder = match (&plan.stage, &plan.logs) {
        (Some(_), None) => Some(tempfile::tempdir().map_err(Failure::system("making a folder for logs"))?),
        _ => None,
    };
    let logs = plan.logs.clone().or_else(|| Some(folder.as_ref()?.path().to_owned())).unwrap_or_default();
    let stage = match plan.start_stage(&logs) {
        Ok(stage) => stage,
        Err(failure) => {
            // It names a log in there.
            folder.map(TempDir::keep);
            return Err(failure);
        }
    };
    let cast = plan.cast()?;
    let mut engine = engine(&plan.common, &plan.targets, &cast)?;
    let mut verify = Verify {
        opener: opener(&plan.targets, &cast),
        clients: Clients::new(&cast),
        part: Part::Opening { until: Nanos::now() + OPENING },
        before: None,
        stage,
        hand: None,
        plan,
    };
    engine.run(&mut verify)?;
    let mut report = verify.report()?;
    if let (Verdict::Failed, Some(folder)) = (report.verdict, folder) {
        report.details.insert("logs", json!(folder.keep()));
    }
    Ok(report)
}

struct Verify {
    plan: VerifyPlan,
    opener: Opener,
    clients: Clients,
    part: Part,
    before: Option<Snapshot>,
    /// Until the first message is due.
    stage: Option<Stage>,
    /// From then on.
    hand: Option<Stagehand>,
}

#[derive(Debug)]
enum Part {
    Opening {
        until: Nanos,
    },
    Sending {
        from: Nanos,
        until: Nanos,
        mischief: Mischief,
    },
    Draining {
        from: Nanos,
        stopped_at: Nanos,
    },
    /// Who is present?
    RollCall {
        from: Nanos,
        stopped_at: Nanos,
        next_at: Nanos,
        until: Nanos,
    },
}

impl VerifyPlan {
    /// Does everything fit together?
    fn check(&self) -> Result<(), Failure> {
        check_faults(self.stage.as_ref(), &self.faults).map_err(Failure::Usage)?;
        match self.faults.iter().find(|fault| fault.ends_at() >= self.duration) {
            Some(fault) => Err(Failure::Usage(format!(
                "`{fault}`: it is not over when the last message is sent; let --duration be more than {:?}",
                fault.ends_at()
            ))),
            None => Ok(()),
        }
    }

    fn start_stage(&mut self, logs: &Path) -> Result<Option<Stage>, Failure> {
        let Some(plan) = &self.stage else { return Ok(None) };
        std::fs::create_dir_all(logs).map_err(|source| Failure::File { path: logs.to_owned(), source })?;
        let stage = Stage::start(plan, &self.faults, logs)?;
        let url = |address: &SocketAddr| format!("ws://{address}{}", self.path).parse();
        self.targets = stage.targets().iter().map(url).collect::<Result<_, _>>().map_err(Failure::Usage)?;
        Ok(Some(stage))
    }

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
            targets: self.targets.len(),
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

fn engine(common: &Common, targets: &[Target], cast: &Cast) -> Result<Engine, Failure> {
    let endpoint = |target: &Target| Endpoint { target: target.clone(), speech: Speech::Objects };
    Engine::new(Setup {
        endpoints: targets.iter().map(endpoint).collect(),
        sources: common.sources,
        lanes: cast.lanes(),
        message_bytes_max: cast.size_bytes,
        progress: common.progress,
    })
}

fn opener(targets: &[Target], cast: &Cast) -> Opener {
    Opener::new(0..cast.lanes(), Dial::default(), written(targets)).spread(targets.len())
}

/// All of them, for people.
fn written(targets: &[Target]) -> String {
    targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ")
}

impl Verify {
    fn begin(&mut self, now: Nanos) -> Result<(), Failure> {
        self.before = self.plan.common.pid.map(Snapshot::read).transpose()?;
        if let (Some(path), Some(stage)) = (&self.plan.stage_file, &self.stage) {
            // In one step: whoever waits for the file finds all of it.
            let half = path.with_extension("half");
            let written = std::fs::write(&half, stage.directory().to_string())
                .and_then(|()| std::fs::rename(&half, path));
            written.map_err(|source| Failure::File { path: path.clone(), source })?;
        }
        self.clients.begin(self.plan.rate, now);
        self.hand =
            self.stage.take().map(|stage| Stagehand::begin(stage, &self.plan.faults, self.plan.respawns));
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
                Deed::Cut { goodbye, away } => self.clients.cut(whom, goodbye, Some(now + away), now, out),
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

    /// Nothing more is expected, but the question who is present.
    fn end(&mut self, from: Nanos, stopped_at: Nanos, now: Nanos) -> Wake {
        let Some(within) = self.plan.presence else { return Wake::Done };
        self.part = Part::RollCall { from, stopped_at, next_at: now, until: now + within };
        Wake::At(now)
    }

    fn report(mut self) -> Result<Report, Failure> {
        self.clients.settle();
        let (Part::Draining { from, stopped_at } | Part::RollCall { from, stopped_at, .. }) = self.part
        else {
            unreachable!("only these parts end a run");
        };
        // Dropping the stage ends its processes: they are not needed any more.
        let done = self.hand.map(Stagehand::finish).transpose()?.map(|(_, done)| done).unwrap_or_default();
        let mut tally = self.clients.tally;
        let (schedule, caught_up_after) = schedule(&done, &mut tally);
        for violation in bounds::violations(&self.plan.bounds, &tally.counts(), &tally, caught_up_after) {
            tally.violations.push(violation);
        }
        let mut report = report(&self.plan.common, &tally, stopped_at.since(from), self.before.as_ref())?;
        report.url = written(&self.plan.targets);
        if !done.is_empty() {
            report.derived.insert("seconds_until_caught_up", caught_up_after.as_secs_f64());
            report.details.insert("schedule", Value::Array(schedule));
        }
        if self.plan.timeline {
            report.details.insert("timeline", json!(tally.timeline.seconds()));
        }
        let words = done.iter().map(|done| format!(" At {:.1} s: {}.", done.at_seconds, done.step));
        let seed = self.plan.mischief.seed;
        report.conclusion = report
            .conclusion
            .map(|conclusion| format!("{conclusion}{} Seed {seed}.", words.collect::<String>()));
        Ok(report)
    }
}

/// The steps as the report has them, and the longest time after one that healed something until no delivery was late.
fn schedule(done: &[Done], tally: &mut Tally) -> (Vec<Value>, Duration) {
    let mut longest = 0;
    let mut steps = Vec::new();
    for (at, step) in done.iter().enumerate() {
        if let Some(failure) = &step.failure {
            tally.violations.push(format!("`{}` could not be done: {failure}", step.fault));
        }
        let mut told = json!(step);
        if step.heals {
            let until = done.get(at + 1).map_or(Nanos(u64::MAX), |next| next.done_at);
            let late_ns = tally.timeline.late_after(step.done_at, until);
            longest = longest.max(late_ns);
            told["caught_up_after_seconds"] = json!(Duration::from_nanos(late_ns).as_secs_f64());
        }
        steps.push(told);
    }
    (steps, Duration::from_nanos(longest))
}

/// The report of either script; the server's CPU time is taken until now.
fn report(
    common: &Common,
    tally: &Tally,
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
        (&tally.resume_from_loss, "from loss to resume"),
        (&tally.catch_up, "time to catch up"),
    ]
    .map(|(latency, name)| latency.summary(name))
    .into_iter()
    .filter(|summary| summary.count > 0)
    .collect();
    let faults = tally.judged();
    Ok(Report {
        scenario: "verify",
        url: common.target.to_string(),
        verdict: faults.verdict(),
        measured_seconds: Duration::from_nanos(measured_ns).as_secs_f64(),
        unit: "delivery",
        units: tally.delivered,
        units_per_second: per_second(tally.delivered, measured_ns),
        counts: tally.counts(),
        latencies,
        server,
        derived: BTreeMap::new(),
        details: BTreeMap::new(),
        conclusion: Some(tally.conclusion()),
        endings: tally.endings.clone(),
        faults,
    })
}

impl Load for Verify {
    fn handle_open(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        self.clients.handle_open(lane, now, out);
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
                let is_stopped = self.plan.stop_file.as_ref().is_some_and(|file| file.exists());
                // What was due before the end is sent also when this process was late.
                let in_time = now.min(Nanos(until.0 - 1));
                let due_at = self.clients.publish_due(self.plan.count, in_time, out);
                if now >= until || is_stopped || self.clients.assigned() >= self.plan.count {
                    self.part = Part::Draining { from, stopped_at: now };
                    return Ok(Wake::At(now));
                }
                Ok(Wake::At(next.min(due_at).min(until)))
            }
            Part::Draining { from, stopped_at } if self.is_drained(stopped_at, now) => {
                Ok(self.end(from, stopped_at, now))
            }
            Part::Draining { .. } => Ok(Wake::At(next.min(now + LOOK))),
            Part::RollCall { until, .. } if now >= until => Ok(Wake::Done),
            Part::RollCall { from, stopped_at, next_at, until } => {
                if now >= next_at {
                    self.clients.call_roll(out);
                    self.part = Part::RollCall { from, stopped_at, next_at: now + ROLL_CALL, until };
                } else if self.clients.is_roll_right() {
                    return Ok(Wake::Done);
                }
                Ok(Wake::At(next.min(now + LOOK)))
            }
        }
    }

    fn progress(&self) -> String {
        let part = match self.part {
            Part::Opening { .. } => "opening",
            Part::Sending { .. } => "sending",
            Part::Draining { .. } => "waiting for the last messages",
            Part::RollCall { .. } => "asking who is present",
        };
        format!("{part}: {} connected, {}", self.opener.open(), self.clients.tally.progress())
    }
}
