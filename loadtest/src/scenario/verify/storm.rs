//! Resume storm: all sessions are cut at once, miss some messages on each channel, and come back at once.
//!
//! One publisher, whose connection stays. Timed from the first client that sets out until the last has got all it missed; the
//! server's CPU time is that of the same span.

use std::time::Duration;

use super::clients::{Cast, Clients, Step};
use super::{LOOK, OPENING, bounds, engine, opener, report, written};
use crate::clock::Nanos;
use crate::engine::{Commands, Ending, Goodbye, Lane, Load, Wake};
use crate::failure::Failure;
use crate::native::Native;
use crate::payload::STAMP_BYTES;
use crate::procfs::Snapshot;
use crate::random;
use crate::report::{Report, ServerUse};
use crate::scenario::Common;
use crate::scenario::opening::Opener;
use crate::target::Target;

/// A storm.
#[derive(Clone, Debug)]
pub(crate) struct StormPlan {
    pub(crate) common: Common,
    /// Nodes, or one load balancer.
    pub(crate) targets: Vec<Target>,
    pub(crate) native: Native,
    pub(crate) sessions: usize,
    /// Each session is on one of them.
    pub(crate) channels: usize,
    /// Messages published on each channel while all are away.
    pub(crate) missed: u64,
    pub(crate) size_bytes: usize,
    /// Messages a second, over all channels.
    pub(crate) rate: u64,
    /// Clients that are connecting at a time, so that the listener's queue does not overflow.
    pub(crate) at_a_time: usize,
    /// How long the server may take to notice that all are gone, and at the end to send too much.
    pub(crate) settle: Duration,
    pub(crate) seed: u64,
}

/// The publisher's lane; the sessions' follow.
const PUBLISHER: Lane = 0;
/// How long everybody may take to come back.
const RETURN: Duration = Duration::from_secs(120);

/// Runs it to the end.
pub(crate) fn run(plan: StormPlan) -> Result<Report, Failure> {
    if plan.size_bytes < STAMP_BYTES {
        return Err(Failure::Usage(format!(
            "--size must be at least {STAMP_BYTES}: a message carries its number"
        )));
    }
    let cast = Cast {
        native: plan.native.clone(),
        publishers: 1,
        subscribers: plan.sessions,
        channels: plan.channels,
        subscriptions: 1,
        targets: plan.targets.len(),
        size_bytes: plan.size_bytes,
        run: random::seed()?,
        seed: plan.seed,
    };
    let mut engine = engine(&plan.common, &plan.targets, &cast)?;
    let mut storm = Storm {
        opener: opener(&plan.targets, &cast),
        clients: Clients::new(&cast),
        part: Part::Opening { until: Nanos::now() + OPENING },
        next: PUBLISHER + 1,
        span_ns: 0,
        server: None,
        plan,
    };
    engine.run(&mut storm)?;
    storm.report()
}

struct Storm {
    plan: StormPlan,
    opener: Opener,
    clients: Clients,
    part: Part,
    /// The next lane to come back.
    next: Lane,
    /// From the first that set out to the last that had everything.
    span_ns: u64,
    server: Option<ServerUse>,
}

#[derive(Debug)]
enum Part {
    Opening {
        until: Nanos,
    },
    /// All are cut; the server takes notice.
    Resting {
        until: Nanos,
    },
    /// Nobody hears what is published.
    Publishing,
    Returning {
        from: Nanos,
        before: Option<Snapshot>,
    },
    /// What comes now is too much.
    Listening {
        until: Nanos,
    },
}

impl Storm {
    fn cut_all(&mut self, now: Nanos, out: &mut Commands) {
        for lane in PUBLISHER + 1..self.clients.lanes() {
            self.clients.cut(lane, Goodbye::Fin, None, now, out);
        }
        self.part = Part::Resting { until: now + self.plan.settle };
    }

    fn set_out(&mut self, count: usize, now: Nanos, out: &mut Commands) {
        let end = self.clients.lanes().min(self.next + count);
        for lane in self.next..end {
            self.clients.come_back(lane, now, out);
        }
        self.next = end;
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, Failure> {
        self.plan.common.pid.map(Snapshot::read).transpose()
    }

    /// All are back, or it has taken too long.
    fn arrive(&mut self, from: Nanos, before: Option<&Snapshot>, now: Nanos) -> Result<(), Failure> {
        let after = self.snapshot()?;
        self.span_ns = now.since(from);
        self.server = before
            .zip(after.as_ref())
            .map(|(before, after)| ServerUse::between(before, after, self.clients.caught_up as u64));
        self.part = Part::Listening { until: now + self.plan.settle };
        Ok(())
    }

    fn report(mut self) -> Result<Report, Failure> {
        self.clients.settle();
        let caught_up = self.clients.caught_up as u64;
        let counts = self.clients.tally.counts();
        self.clients.tally.violations = bounds::violations(&[], &counts, &self.clients.tally, Duration::ZERO);
        let mut report = report(&self.plan.common, &self.clients.tally, self.span_ns, None)?;
        report.url = written(&self.plan.targets);
        report.unit = "session";
        report.units = caught_up;
        report.units_per_second = crate::report::per_second(caught_up, self.span_ns);
        report.server = self.server;
        report.counts.insert("sessions", self.plan.sessions as u64);
        report.counts.insert("caught up", caught_up);
        report.derived.insert("seconds_until_all_recovered", report.measured_seconds);
        Ok(report)
    }
}

impl Load for Storm {
    fn handle_open(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        self.clients.handle_open(lane, now, out);
    }

    fn handle_message(&mut self, lane: Lane, message: &[u8], now: Nanos, out: &mut Commands) {
        if self.clients.handle_message(lane, message, now, out) == Step::Other {
            return;
        }
        match self.part {
            Part::Opening { .. } => self.opener.handle_open(out),
            Part::Returning { .. } => self.set_out(1, now, out),
            Part::Resting { .. } | Part::Publishing | Part::Listening { .. } => {}
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
        let errand_at = self.clients.run_errands(now, out);
        let published = self.plan.missed * self.plan.channels as u64;
        let next = match &self.part {
            Part::Opening { until } => {
                let until = *until;
                self.opener.begin(out);
                self.opener.check_until(until, now)?;
                if self.opener.is_complete() {
                    self.cut_all(now, out);
                    return Ok(Wake::At(now));
                }
                until
            }
            Part::Resting { until } if now >= *until => {
                self.clients.begin(self.plan.rate, now);
                self.part = Part::Publishing;
                now
            }
            Part::Resting { until } => *until,
            Part::Publishing if self.clients.is_answered(published) => {
                self.part = Part::Returning { from: now, before: self.snapshot()? };
                self.set_out(self.plan.at_a_time, now, out);
                now
            }
            Part::Publishing => self.clients.publish_due(published, now, out).min(now + LOOK),
            Part::Returning { from, before } => {
                let (from, before) = (*from, before.clone());
                if self.clients.caught_up == self.plan.sessions || now >= from + RETURN {
                    self.arrive(from, before.as_ref(), now)?;
                }
                now + LOOK
            }
            Part::Listening { until } if now >= *until => return Ok(Wake::Done),
            Part::Listening { until } => *until,
        };
        Ok(Wake::At(next.min(errand_at)))
    }

    fn progress(&self) -> String {
        let part = match self.part {
            Part::Opening { .. } => "opening",
            Part::Resting { .. } => "all cut",
            Part::Publishing => "publishing",
            Part::Returning { .. } => "returning",
            Part::Listening { .. } => "listening for more",
        };
        let caught_up = self.clients.caught_up;
        format!("{part}: {caught_up} of {} caught up, {}", self.plan.sessions, self.clients.tally.progress())
    }
}
