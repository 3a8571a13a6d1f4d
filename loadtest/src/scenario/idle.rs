//! Idle connections: what one costs the server in user-space memory.
//!
//! One connection is opened and closed first, so that what a server sets up at its first client is not charged to the others;
//! then memory is read, all connections are opened, and after a settling time memory is read again. Memory of the kernel's
//! sockets is not in these figures. In the native dialect each connection has one subscription.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Common;
use super::opening::Opener;
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Endpoint, Engine, Goodbye, Lane, Load, Setup, Wake};
use crate::failure::Failure;
use crate::procfs::Snapshot;
use crate::report::{Faults, Report, ServerUse, per_second};

/// An idle run.
#[derive(Clone, Debug)]
pub(crate) struct IdlePlan {
    pub(crate) common: Common,
    pub(crate) connections: usize,
    /// Native dialect: what they subscribe to.
    pub(crate) subscribe: Subscribe,
    /// Between the last handshake and the second reading of memory.
    pub(crate) settle: Duration,
    /// How long the connections are held open after that.
    pub(crate) hold: Duration,
}

/// What an idle client of the native dialect subscribes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Subscribe {
    /// All to the same channel: the cost is a session's and a subscription's.
    OneForAll,
    /// Each to a channel of its own: the cost is the channel's too.
    OwnEach,
}

/// Runs it to the end.
pub(crate) fn run(plan: IdlePlan) -> Result<Report, Failure> {
    let mut engine = Engine::new(Setup {
        endpoints: vec![plan.endpoint()],
        sources: plan.common.sources,
        lanes: plan.connections,
        message_bytes_max: 64 * 1024,
        progress: plan.common.progress,
    })?;
    let mut idle = Idle {
        opener: Opener::new(0..plan.connections, Dial::default(), plan.common.target.to_string()),
        stage: Stage::First { dialled: false },
        before: None,
        after: None,
        opening_from: Nanos(0),
        opening_ns: 0,
        endings: BTreeMap::new(),
        faults: Faults::default(),
        plan,
    };
    engine.run(&mut idle)?;
    Ok(idle.report())
}

struct Idle {
    plan: IdlePlan,
    opener: Opener,
    stage: Stage,
    before: Option<Snapshot>,
    after: Option<Snapshot>,
    opening_from: Nanos,
    opening_ns: u64,
    endings: BTreeMap<String, u64>,
    faults: Faults,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The connection that pays for what is set up once.
    First {
        dialled: bool,
    },
    /// It has ended: give the server a moment to let go of it.
    Resting {
        until: Nanos,
    },
    Opening,
    Settling {
        until: Nanos,
    },
    Holding {
        until: Nanos,
    },
}

/// How long the server gets to let go of the first connection.
const REST: Duration = Duration::from_millis(200);

impl IdlePlan {
    fn endpoint(&self) -> Endpoint {
        match self.subscribe {
            Subscribe::OneForAll => self.common.channel_endpoint(),
            Subscribe::OwnEach => self.common.echo_endpoint(),
        }
    }
}

impl Idle {
    fn snapshot(&self) -> Result<Option<Snapshot>, Failure> {
        self.plan.common.pid.map(Snapshot::read).transpose()
    }

    fn report(self) -> Report {
        let connections = self.plan.connections as u64;
        let server = self
            .before
            .as_ref()
            .zip(self.after.as_ref())
            .map(|(before, after)| ServerUse::between(before, after, connections));
        let mut derived = BTreeMap::new();
        if let Some(server) = &server {
            let per_connection = |after: u64, before: u64| growth(after, before) / count(connections);
            let (after, before) = (server.memory_after, server.memory_before);
            derived.insert(
                "private_bytes_per_connection",
                per_connection(after.private_bytes, before.private_bytes),
            );
            derived.insert(
                "resident_bytes_per_connection",
                per_connection(after.resident_bytes, before.resident_bytes),
            );
        }
        Report {
            scenario: "idle",
            url: self.plan.common.target.to_string(),
            verdict: self.faults.verdict(),
            measured_seconds: Duration::from_nanos(self.opening_ns).as_secs_f64(),
            unit: "connection",
            units: connections,
            units_per_second: per_second(connections, self.opening_ns),
            counts: BTreeMap::from([("connections", self.opener.open() as u64)]),
            latencies: Vec::new(),
            server,
            derived,
            endings: self.endings,
            details: BTreeMap::new(),
            conclusion: None,
            faults: self.faults,
        }
    }
}

/// Memory may shrink: a server can give pages back meanwhile.
fn growth(after: u64, before: u64) -> f64 {
    count(after) - count(before)
}

#[expect(clippy::cast_precision_loss, reason = "bytes and connections of one machine are far below 2^53")]
fn count(value: u64) -> f64 {
    value as f64
}

impl Load for Idle {
    fn handle_open(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        if matches!(self.stage, Stage::First { .. }) {
            out.close(lane, Goodbye::Frame);
            return;
        }
        self.opener.handle_open(out);
        if self.opener.is_complete() {
            self.opening_ns = now.since(self.opening_from);
            self.stage = Stage::Settling { until: now + self.plan.settle };
        }
    }

    fn handle_message(&mut self, lane: Lane, message: &[u8], _now: Nanos, _out: &mut Commands) {
        self.faults.add(|| format!("connection {lane}: an unasked message of {} bytes", message.len()));
    }

    fn handle_end(&mut self, lane: Lane, ending: Ending, now: Nanos, _out: &mut Commands) {
        match self.stage {
            Stage::First { .. } if matches!(ending, Ending::Closed { .. } | Ending::Eof | Ending::Reset) => {
                self.stage = Stage::Resting { until: now + REST };
            }
            // It never opened: so the opener, which knows how to say that, reports it.
            Stage::First { .. } => {
                self.opener.handle_end(&ending);
            }
            Stage::Resting { .. } | Stage::Opening | Stage::Settling { .. } | Stage::Holding { .. } => {
                if !self.opener.handle_end(&ending) {
                    self.faults.add(|| format!("connection {lane}: {ending}"));
                    *self.endings.entry(ending.to_string()).or_default() += 1;
                }
            }
        }
    }

    fn handle_time(&mut self, now: Nanos, out: &mut Commands) -> Result<Wake, Failure> {
        self.opener.check()?;
        match self.stage {
            Stage::First { dialled: false } => {
                self.stage = Stage::First { dialled: true };
                out.dial(0, Dial::default());
            }
            Stage::Resting { until } if now >= until => {
                self.before = self.snapshot()?;
                self.opening_from = now;
                self.stage = Stage::Opening;
                self.opener.begin(out);
            }
            Stage::Settling { until } if now >= until => {
                self.after = self.snapshot()?;
                self.stage = Stage::Holding { until: now + self.plan.hold };
            }
            Stage::First { .. }
            | Stage::Resting { .. }
            | Stage::Opening
            | Stage::Settling { .. }
            | Stage::Holding { .. } => {}
        }
        Ok(match self.stage {
            Stage::First { .. } | Stage::Opening => Wake::At(Nanos(u64::MAX)),
            Stage::Holding { until } if now >= until => Wake::Done,
            Stage::Resting { until } | Stage::Settling { until } | Stage::Holding { until } => {
                Wake::At(until)
            }
        })
    }

    fn progress(&self) -> String {
        let what = match self.stage {
            Stage::First { .. } | Stage::Resting { .. } => "first connection",
            Stage::Opening => "opening",
            Stage::Settling { .. } => "settling",
            Stage::Holding { .. } => "holding",
        };
        format!("{what}: {} connections, {} faults", self.opener.open(), self.faults.count)
    }
}
