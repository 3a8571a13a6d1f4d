//! Fan-out: what one member of a channel publishes must reach every member, itself too, once and in order.
//!
//! A publication is done when all members have it; `depth` of them are in flight, shared by the publishers in turn. Its payload
//! carries the publisher and that publisher's count.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Common;
use super::echo_clients::Messages;
use super::opening::Opener;
use super::window::{Bounds, Standing, Window};
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Endpoint, Engine, Lane, Load, Setup, Wake};
use crate::failure::Failure;
use crate::latency::Latency;
use crate::payload::{self, STAMP_BYTES, Template};
use crate::report::{Faults, Report, per_second};
use crate::schedule::Schedule;
use crate::target::Target;

/// A fan-out run.
#[derive(Clone, Debug)]
pub(crate) struct FanoutPlan {
    pub(crate) common: Common,
    /// More nodes of the same cluster: the members take turns over all of them.
    pub(crate) other_nodes: Vec<Target>,
    /// Members of the channel, publishers included.
    pub(crate) subscribers: usize,
    /// How many of the members publish.
    pub(crate) publishers: usize,
    /// `depth` counts publications of all publishers together.
    pub(crate) messages: Messages,
    /// Publications a second; `None`: closed loop.
    pub(crate) rate: Option<u64>,
    pub(crate) bounds: Bounds,
}

/// Expected counts are kept for each member and publisher: 4 bytes each.
const PAIRS_MAX: usize = 64 << 20;
/// A publication's number: publisher above, its count below.
const COUNT_BITS: u32 = 48;

/// Runs it to the end.
pub(crate) fn run(plan: FanoutPlan) -> Result<Report, Failure> {
    let usage = |message: String| Err(Failure::Usage(message));
    if plan.messages.size_bytes < STAMP_BYTES {
        return usage(format!("--size must be at least {STAMP_BYTES}: a publication carries its number"));
    }
    if plan.publishers > plan.subscribers {
        return usage("--publishers are subscribers too: there cannot be more of them".to_owned());
    }
    if plan.publishers.saturating_mul(plan.subscribers) > PAIRS_MAX {
        return usage(format!("--publishers times --subscribers must be at most {PAIRS_MAX}"));
    }
    let mut engine = Engine::new(Setup {
        endpoints: plan.endpoints(),
        sources: plan.common.sources,
        lanes: plan.subscribers,
        message_bytes_max: plan.messages.size_bytes,
        progress: plan.common.progress,
    })?;
    let mut fanout = Fanout::new(plan);
    engine.run(&mut fanout)?;
    Ok(fanout.report())
}

struct Fanout {
    opener: Opener,
    window: Window,
    schedule: Option<Schedule>,
    template: Template,
    publishers: Vec<Publisher>,
    /// Next expected count, by member and publisher.
    expected: Vec<u32>,
    published: u64,
    done: u64,
    delivered: u64,
    budget: u64,
    delivery: Latency,
    publication: Latency,
    endings: BTreeMap<String, u64>,
    faults: Faults,
    plan: FanoutPlan,
}

/// One publishing member.
#[derive(Debug, Default)]
struct Publisher {
    count: u64,
    /// Its publications that somebody has not got yet, oldest first; the newest has number `count - 1`.
    outstanding: VecDeque<Outstanding>,
}

#[derive(Debug)]
struct Outstanding {
    issued_at: Nanos,
    missing: usize,
}

impl FanoutPlan {
    fn endpoints(&self) -> Vec<Endpoint> {
        let first = self.common.channel_endpoint();
        let others = self.other_nodes.iter().map(|node| Endpoint { target: node.clone(), ..first.clone() });
        std::iter::once(first.clone()).chain(others).collect()
    }
}

impl Fanout {
    fn new(plan: FanoutPlan) -> Self {
        let mut publishers = Vec::new();
        publishers.resize_with(plan.publishers, Publisher::default);
        Self {
            opener: Opener::new(0..plan.subscribers, Dial::default(), plan.common.target.to_string())
                .spread(1 + plan.other_nodes.len()),
            window: Window::new(plan.bounds, plan.common.pid),
            schedule: None,
            template: Template::new(plan.messages.size_bytes),
            publishers,
            expected: vec![0; plan.publishers * plan.subscribers],
            published: 0,
            done: 0,
            delivered: 0,
            budget: u64::MAX,
            delivery: Latency::new(),
            publication: Latency::new(),
            endings: BTreeMap::new(),
            faults: Faults::default(),
            plan,
        }
    }

    /// Publishes as much as depth, schedule and budget allow. Says when the next one is due.
    fn publish(&mut self, now: Nanos, out: &mut Commands) -> Nanos {
        while self.budget > 0 && self.published - self.done < self.plan.messages.depth {
            let issued_at = self.schedule.map_or(now, |schedule| schedule.due_at(self.published));
            if issued_at > now {
                return issued_at;
            }
            let turn = self.published % self.publishers.len() as u64;
            let lane = usize::try_from(turn).expect("the remainder of a division by a usize is one");
            let publisher = &mut self.publishers[lane];
            let number = turn << COUNT_BITS | publisher.count;
            publisher.count += 1;
            publisher.outstanding.push_back(Outstanding { issued_at, missing: self.plan.subscribers });
            out.send(lane, self.plan.messages.opcode, self.template.stamp(number));
            self.published += 1;
            self.budget -= 1;
        }
        Nanos(u64::MAX)
    }

    fn deliver(&mut self, lane: Lane, number: u64, now: Nanos) -> Result<(), &'static str> {
        let index = usize::try_from(number >> COUNT_BITS).unwrap_or(usize::MAX);
        let count = number & ((1 << COUNT_BITS) - 1);
        let publisher = self.publishers.get_mut(index).ok_or("from a publisher that does not exist")?;
        let expected = &mut self.expected[lane * self.plan.publishers + index];
        if count != u64::from(*expected) {
            let earlier = count < u64::from(*expected);
            return Err(if earlier { "twice or out of order" } else { "after a gap" });
        }
        let oldest = publisher.count - publisher.outstanding.len() as u64;
        let outstanding = count
            .checked_sub(oldest)
            .and_then(|position| publisher.outstanding.get_mut(usize::try_from(position).ok()?))
            .ok_or("that was never published")?;
        *expected = expected.checked_add(1).ok_or("beyond what can be counted")?;
        outstanding.missing -= 1;
        let issued_at = outstanding.issued_at;
        let covered = self.window.covers(issued_at);
        if covered {
            self.delivery.record(now.since(issued_at));
        }
        if outstanding.missing == 0 {
            self.done += 1;
            if covered {
                self.publication.record(now.since(issued_at));
            }
        }
        while publisher.outstanding.front().is_some_and(|oldest| oldest.missing == 0) {
            publisher.outstanding.pop_front();
        }
        Ok(())
    }

    fn advance(&mut self, now: Nanos) -> Result<(), Failure> {
        let was_measuring = self.window.is_measuring();
        let issued = if was_measuring { self.window.count_max() - self.budget } else { 0 };
        let standing = Standing { units: self.delivered, issued, in_flight: self.published - self.done };
        self.window.advance(now, standing)?;
        if self.window.is_measuring() && !was_measuring {
            self.budget = self.window.count_max();
        }
        if was_measuring && !self.window.is_measuring() {
            self.record_overdue(now);
            self.budget = 0;
        }
        Ok(())
    }

    /// What was due and is not published yet has waited until now at least.
    fn record_overdue(&mut self, now: Nanos) {
        let Some(schedule) = self.schedule else { return };
        let due = schedule.due_count(now).min(self.published.saturating_add(self.budget));
        for number in self.published..due {
            let due_at = schedule.due_at(number);
            if self.window.covers(due_at) {
                self.publication.record(now.since(due_at));
            }
        }
        let depth = self.plan.messages.depth;
        if due > self.published && self.published - self.done >= depth {
            let late = due - self.published;
            self.faults.add(|| format!("{late} publications were due while {depth} were in flight"));
        }
    }

    fn settle(&mut self) {
        let now = Nanos::now();
        let outstanding = self.publishers.iter().flat_map(|publisher| &publisher.outstanding);
        let mut missing = 0;
        for publication in outstanding {
            missing += publication.missing;
            if self.window.covers(publication.issued_at) {
                self.publication.record(now.since(publication.issued_at));
            }
        }
        if missing > 0 {
            self.faults.add(|| format!("{missing} deliveries are missing"));
        }
    }

    fn report(mut self) -> Report {
        self.settle();
        Report {
            scenario: "fanout",
            url: self.plan.common.target.to_string(),
            verdict: self.faults.verdict(),
            measured_seconds: Duration::from_nanos(self.window.nanoseconds()).as_secs_f64(),
            unit: "delivery",
            units: self.window.units(),
            units_per_second: per_second(self.window.units(), self.window.nanoseconds()),
            counts: BTreeMap::from([
                ("subscribers", self.opener.open() as u64),
                ("published", self.published),
                ("delivered", self.delivered),
            ]),
            latencies: vec![self.delivery.summary("delivery"), self.publication.summary("to the last one")],
            server: self.window.server(),
            derived: BTreeMap::new(),
            endings: self.endings,
            details: BTreeMap::new(),
            conclusion: None,
            faults: self.faults,
        }
    }
}

impl Load for Fanout {
    fn handle_open(&mut self, _lane: Lane, _now: Nanos, out: &mut Commands) {
        self.opener.handle_open(out);
    }

    fn handle_message(&mut self, lane: Lane, message: &[u8], now: Nanos, out: &mut Commands) {
        self.delivered += 1;
        let Some(number) = payload::number_of(message) else {
            self.faults.add(|| format!("member {lane}: a message without a number"));
            return;
        };
        if let Err(mismatch) = self.template.check(number, message) {
            self.faults.add(|| format!("member {lane}, publication {number:x}: {mismatch}"));
        }
        if let Err(fault) = self.deliver(lane, number, now) {
            self.faults.add(|| format!("member {lane}: publication {number:x} came {fault}"));
        }
        self.publish(now, out);
    }

    fn handle_end(&mut self, lane: Lane, ending: Ending, _now: Nanos, _out: &mut Commands) {
        if !self.opener.handle_end(&ending) {
            self.faults.add(|| format!("member {lane}: {ending}"));
            *self.endings.entry(ending.to_string()).or_default() += 1;
        }
    }

    fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Wake, Failure> {
        self.opener.begin(out);
        self.opener.check()?;
        if self.opener.is_complete() && self.window.is_opening() {
            self.window.begin(now);
            self.schedule = self.plan.rate.map(|rate| Schedule::new(now, rate));
        }
        self.advance(now)?;
        // With a member gone no publication is ever complete: what was measured until then is all there is.
        if self.window.is_done() || !self.endings.is_empty() {
            return Ok(Wake::Done);
        }
        let next = if self.window.is_issuing() { self.publish(now, out) } else { Nanos(u64::MAX) };
        Ok(Wake::At(next.min(self.window.due_at())))
    }

    fn progress(&self) -> String {
        format!(
            "{}: {} subscribers, {} published, {} delivered, {} faults",
            self.window.phase_name(),
            self.opener.open(),
            self.published,
            self.delivered,
            self.faults.count
        )
    }
}
