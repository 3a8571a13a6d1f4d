//! Burst: many publications into one channel, some of whose subscribers do not read.
//!
//! Whoever reads must get all of them, in order; the others may be closed or fed with gaps, but may not make the server's memory
//! grow without end: it is read before, all the while, and once everything has been delivered. The first reader publishes too.
//! Native dialect only.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidegate_wire::frame::OpCode;

use super::Common;
use super::opening::Opener;
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Engine, Lane, Load, Setup, SocketSize, Wake};
use crate::failure::Failure;
use crate::latency::Latency;
use crate::payload::{self, STAMP_BYTES, Template};
use crate::procfs::{Snapshot, resident_bytes};
use crate::report::{Faults, Report, ServerUse, per_second};

/// A burst.
#[derive(Clone, Debug)]
pub(crate) struct BurstPlan {
    pub(crate) common: Common,
    /// Subscribers that read; the first of them publishes.
    pub(crate) readers: usize,
    /// Subscribers that do not.
    pub(crate) idlers: usize,
    /// Publications.
    pub(crate) count: u64,
    pub(crate) size_bytes: usize,
    /// Publications that not every reader has got yet.
    pub(crate) depth: u64,
    /// Nothing has come for this long: what is missing will not come.
    pub(crate) patience: Duration,
}

/// The lane that publishes; it reads, too.
const PUBLISHER: Lane = 0;
/// How long all clients may take to connect.
const OPENING: Duration = Duration::from_secs(60);
/// How often the server's memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Between the last delivery and the last look, so that the server can give memory back.
const SETTLE: Duration = Duration::from_secs(1);

/// Runs it to the end.
pub(crate) fn run(plan: BurstPlan) -> Result<Report, Failure> {
    if plan.size_bytes < STAMP_BYTES {
        let words = format!("--size must be at least {STAMP_BYTES}: a publication carries its number");
        return Err(Failure::Usage(words));
    }
    let mut engine = Engine::new(Setup {
        endpoints: vec![plan.common.channel_endpoint()],
        sources: plan.common.sources,
        lanes: plan.readers + plan.idlers,
        message_bytes_max: plan.size_bytes,
        progress: plan.common.progress,
    })?;
    let url = plan.common.target.to_string();
    let small = Dial { socket: SocketSize::Small, ..Dial::default() };
    let mut burst = Burst {
        readers: Opener::new(0..plan.readers, Dial::default(), url.clone()),
        idlers: Opener::new(plan.readers..plan.readers + plan.idlers, small, url),
        part: Part::Opening { until: Nanos::now() + OPENING },
        template: Template::new(plan.size_bytes),
        expected: vec![0; plan.readers],
        outstanding: VecDeque::new(),
        published: 0,
        delivered: 0,
        heard_at: Nanos(0),
        look_at: Nanos(0),
        memory: Memory::default(),
        before: None,
        server: None,
        span_ns: 0,
        delivery: Latency::new(),
        endings: BTreeMap::new(),
        faults: Faults::default(),
        plan,
    };
    engine.run(&mut burst)?;
    Ok(burst.report())
}

struct Burst {
    plan: BurstPlan,
    readers: Opener,
    idlers: Opener,
    part: Part,
    template: Template,
    /// The number that is due, by reader.
    expected: Vec<u64>,
    /// Publications that some reader has not got; the newest has number `published - 1`.
    outstanding: VecDeque<Outstanding>,
    published: u64,
    delivered: u64,
    heard_at: Nanos,
    look_at: Nanos,
    memory: Memory,
    before: Option<Snapshot>,
    server: Option<ServerUse>,
    span_ns: u64,
    delivery: Latency,
    endings: BTreeMap<String, u64>,
    faults: Faults,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Opening { until: Nanos },
    Publishing { from: Nanos },
    Settling { until: Nanos },
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    sent_at: Nanos,
    missing: usize,
}

/// Resident bytes of the server.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    before: u64,
    peak: u64,
    after: u64,
}

impl Burst {
    fn begin(&mut self, now: Nanos) -> Result<(), Failure> {
        self.before = self.plan.common.pid.map(Snapshot::read).transpose()?;
        self.memory.before = self.before.as_ref().map_or(0, |before| before.memory.resident_bytes);
        self.heard_at = now;
        self.part = Part::Publishing { from: now };
        Ok(())
    }

    fn publish(&mut self, now: Nanos, out: &mut Commands) {
        while self.published < self.plan.count && (self.outstanding.len() as u64) < self.plan.depth {
            out.send(PUBLISHER, OpCode::Text, self.template.stamp(self.published));
            self.outstanding.push_back(Outstanding { sent_at: now, missing: self.plan.readers });
            self.published += 1;
        }
    }

    fn deliver(&mut self, reader: usize, number: u64, now: Nanos) -> Result<(), &'static str> {
        let expected = &mut self.expected[reader];
        if number != *expected {
            return Err(if number < *expected { "twice or out of order" } else { "after a gap" });
        }
        let oldest = self.published - self.outstanding.len() as u64;
        let outstanding = number
            .checked_sub(oldest)
            .and_then(|position| self.outstanding.get_mut(usize::try_from(position).ok()?))
            .ok_or("that was never published")?;
        *expected += 1;
        outstanding.missing -= 1;
        self.delivery.record(now.since(outstanding.sent_at));
        while self.outstanding.front().is_some_and(|oldest| oldest.missing == 0) {
            self.outstanding.pop_front();
        }
        Ok(())
    }

    /// Notes the server's memory, now and then. Says when the next time is.
    fn look(&mut self, now: Nanos) -> Result<Nanos, Failure> {
        if now >= self.look_at {
            self.look_at = now + LOOK;
            if let Some(pid) = self.plan.common.pid {
                self.memory.after = resident_bytes(pid)?;
                self.memory.peak = self.memory.peak.max(self.memory.after);
            }
        }
        Ok(self.look_at)
    }

    fn is_over(&self, now: Nanos) -> bool {
        let complete = self.published == self.plan.count && self.outstanding.is_empty();
        complete || now >= self.heard_at + self.plan.patience
    }

    /// Everything is delivered, or will never be: the idlers read what there is, to learn how the server ended them.
    fn settle(&mut self, from: Nanos, now: Nanos, out: &mut Commands) -> Result<(), Failure> {
        self.span_ns = now.since(from);
        let after = self.plan.common.pid.map(Snapshot::read).transpose()?;
        self.server = self
            .before
            .as_ref()
            .zip(after.as_ref())
            .map(|(before, after)| ServerUse::between(before, after, self.delivered));
        for lane in self.plan.readers..self.plan.readers + self.plan.idlers {
            out.resume_reading(lane);
        }
        self.part = Part::Settling { until: now + SETTLE };
        Ok(())
    }

    fn report(mut self) -> Report {
        let complete = self.expected.iter().filter(|got| **got == self.plan.count).count();
        let (readers, count) = (self.plan.readers, self.plan.count);
        for (reader, got) in self.expected.iter().enumerate() {
            let got = *got;
            if got < count {
                self.faults.add(|| format!("reader {reader} got {got} of {count} in order"));
            }
        }
        let mut derived = BTreeMap::new();
        let mut words = format!("{complete} of {readers} readers got all of {count} publications in order");
        if self.plan.common.pid.is_some() {
            let Memory { before, peak, after } = self.memory;
            let [before, peak, after] = [before, peak, after].map(mebibytes);
            derived = BTreeMap::from([
                ("memory before, MiB", before),
                ("memory at its peak, MiB", peak),
                ("memory after, MiB", after),
            ]);
            words +=
                &format!("; the server held {before:.0} MiB before, {peak:.0} at most, {after:.0} after");
        }
        Report {
            scenario: "burst",
            url: self.plan.common.target.to_string(),
            verdict: self.faults.verdict(),
            measured_seconds: Duration::from_nanos(self.span_ns).as_secs_f64(),
            unit: "delivery",
            units: self.delivered,
            units_per_second: per_second(self.delivered, self.span_ns),
            counts: BTreeMap::from([
                ("readers", readers as u64),
                ("readers that got all", complete as u64),
                ("not reading", self.plan.idlers as u64),
                ("published", self.published),
                ("delivered to readers", self.delivered),
            ]),
            latencies: vec![self.delivery.summary("delivery")],
            server: self.server,
            derived,
            endings: self.endings,
            details: BTreeMap::new(),
            conclusion: Some(format!("{words}.")),
            faults: self.faults,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the memory of a machine is far below 2^53 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Load for Burst {
    fn handle_open(&mut self, lane: Lane, _now: Nanos, out: &mut Commands) {
        if lane < self.plan.readers {
            self.readers.handle_open(out);
        } else {
            out.pause_reading(lane);
            self.idlers.handle_open(out);
        }
    }

    fn handle_message(&mut self, lane: Lane, message: &[u8], now: Nanos, out: &mut Commands) {
        if lane >= self.plan.readers {
            return;
        }
        self.heard_at = now;
        self.delivered += 1;
        let Some(number) = payload::number_of(message) else {
            return self.faults.add(|| format!("reader {lane}: a message without a number"));
        };
        if let Err(mismatch) = self.template.check(number, message) {
            self.faults.add(|| format!("reader {lane}, publication {number}: {mismatch}"));
        }
        if let Err(fault) = self.deliver(lane, number, now) {
            self.faults.add(|| format!("reader {lane}: publication {number} came {fault}"));
        }
        self.publish(now, out);
    }

    fn handle_end(&mut self, lane: Lane, ending: Ending, _now: Nanos, _out: &mut Commands) {
        let opener = if lane < self.plan.readers { &mut self.readers } else { &mut self.idlers };
        if opener.handle_end(&ending) {
            return;
        }
        *self.endings.entry(ending.to_string()).or_default() += 1;
        if lane < self.plan.readers {
            self.faults.add(|| format!("reader {lane}: {ending}"));
        }
    }

    fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Wake, Failure> {
        let look_at = self.look(now)?;
        match self.part {
            Part::Opening { until } => {
                for opener in [&mut self.readers, &mut self.idlers] {
                    opener.begin(out);
                    opener.check_until(until, now)?;
                }
                if self.readers.is_complete() && self.idlers.is_complete() {
                    self.begin(now)?;
                }
            }
            Part::Publishing { from } if self.is_over(now) => self.settle(from, now, out)?,
            Part::Publishing { .. } => self.publish(now, out),
            Part::Settling { until } if now >= until => {
                // What they hold now is what remains.
                self.look_at = now;
                self.look(now)?;
                return Ok(Wake::Done);
            }
            Part::Settling { .. } => {}
        }
        Ok(Wake::At(look_at))
    }

    fn progress(&self) -> String {
        let open = self.readers.open() + self.idlers.open();
        let Self { published, delivered, .. } = self;
        format!(
            "{open} connected, {published} published, {delivered} delivered, {} faults",
            self.faults.count
        )
    }
}
