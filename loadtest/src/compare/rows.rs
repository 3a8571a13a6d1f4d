//! The rows of the performance table: what is done, what is counted, what is to be reached.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use tidegate_wire::frame::OpCode;

use crate::engine::Goodbye;
use crate::failure::Failure;
use crate::native::Dialect;
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::echo::{self, EchoPlan};
use crate::scenario::fanout::{self, FanoutPlan};
use crate::scenario::handshake::{self, HandshakePlan};
use crate::scenario::idle::{self, IdlePlan, Subscribe};
use crate::scenario::{Bounds, Common, Messages};
use crate::target::{Scheme, Target};

/// A row, by the name that `--rows` takes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RowName {
    #[serde(rename = "echo-125")]
    Echo125,
    #[serde(rename = "echo-16in")]
    Echo16In,
    #[serde(rename = "echo-16k")]
    Echo16K,
    #[serde(rename = "fanout-1k")]
    Fanout1K,
    #[serde(rename = "fanout-10k")]
    Fanout10K,
    #[serde(rename = "fanout-1k-16in")]
    Fanout1K16In,
    Handshake,
    /// The same, where the client just closes TCP: nothing but accept and upgrade. Has no goal of its own.
    HandshakeFin,
    Idle,
}

/// What a row must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    /// Median ratio to the floor.
    Ratio(f64),
    /// Bytes of user space a connection.
    Bytes(f64),
    None,
}

/// Everything that is written about a row; one table for all.
struct Definition {
    name: RowName,
    word: &'static str,
    title: &'static str,
    goal: Goal,
    /// What the best library elsewhere reaches.
    elsewhere: Option<f64>,
}

const DEFINITIONS: [Definition; 9] = [
    row(
        RowName::Echo125,
        "echo-125",
        "Echo 125 B, 100 connections, 1 in flight",
        Goal::Ratio(1.08),
        Some(1.03),
    ),
    row(
        RowName::Echo16In,
        "echo-16in",
        "Echo 125 B, 20 connections, 16 in flight",
        Goal::Ratio(1.15),
        Some(1.06),
    ),
    row(
        RowName::Echo16K,
        "echo-16k",
        "Echo 16 KiB, 100 connections, 1 in flight",
        Goal::Ratio(1.05),
        Some(0.98),
    ),
    row(RowName::Fanout1K, "fanout-1k", "Fan-out 125 B to 1,000, 1 in flight", Goal::Ratio(1.10), Some(1.00)),
    row(
        RowName::Fanout10K,
        "fanout-10k",
        "Fan-out 125 B to 10,000, 1 in flight",
        Goal::Ratio(1.10),
        Some(1.07),
    ),
    row(
        RowName::Fanout1K16In,
        "fanout-1k-16in",
        "Fan-out 125 B to 1,000, 16 in flight",
        Goal::Ratio(1.15),
        Some(1.06),
    ),
    row(RowName::Handshake, "handshake", "Handshake and close frames", Goal::Ratio(1.10), Some(0.99)),
    row(RowName::HandshakeFin, "handshake-fin", "Handshake, TCP closed by the client", Goal::None, None),
    row(RowName::Idle, "idle", "Idle connection, 19,000 of them", Goal::Bytes(400.0), Some(457.0)),
];

const fn row(
    name: RowName,
    word: &'static str,
    title: &'static str,
    goal: Goal,
    elsewhere: Option<f64>,
) -> Definition {
    Definition { name, word, title, goal, elsewhere }
}

const SMALL_BYTES: usize = 125;
const LARGE_BYTES: usize = 16 * 1024;
const IDLE_CONNECTIONS: usize = 19_000;
const HANDSHAKES_UNDER_WAY: usize = 32;
const WARMUP: Duration = Duration::from_millis(300);

impl RowName {
    /// All that have a goal.
    pub(crate) const DEFAULT: [Self; 8] = [
        Self::Echo125,
        Self::Echo16In,
        Self::Echo16K,
        Self::Fanout1K,
        Self::Fanout10K,
        Self::Fanout1K16In,
        Self::Handshake,
        Self::Idle,
    ];

    fn definition(self) -> &'static Definition {
        DEFINITIONS
            .iter()
            .find(|definition| definition.name == self)
            .expect("a test checks that every row has a definition")
    }

    pub(super) fn title(self) -> &'static str {
        self.definition().title
    }

    pub(super) fn goal(self) -> Goal {
        self.definition().goal
    }

    pub(super) fn elsewhere(self) -> Option<f64> {
        self.definition().elsewhere
    }

    /// What the figures are.
    pub(super) fn figure_unit(self) -> &'static str {
        match self {
            Self::Echo125 | Self::Echo16In | Self::Echo16K => "us a message",
            Self::Fanout1K | Self::Fanout10K | Self::Fanout1K16In => "us a delivery",
            Self::Handshake | Self::HandshakeFin => "us a handshake",
            Self::Idle => "bytes",
        }
    }

    /// Does this row's work on the server at `address`.
    pub(super) fn run(self, address: SocketAddr, pid: u32, duration: Duration) -> Result<Report, Failure> {
        let bounds = Bounds { warmup: WARMUP, duration, count: u64::MAX };
        let on = |path: &str| Common {
            target: Target {
                host: address.to_string(),
                path: path.to_owned(),
                address,
                scheme: Scheme::Plain,
            },
            dialect: Dialect::Raw,
            sources: None,
            pid: Some(pid),
            progress: Progress::silent(),
        };
        let messages = |size_bytes, depth| Messages { size_bytes, opcode: OpCode::Binary, depth };
        let echo = |connections, size_bytes, depth| {
            let messages = messages(size_bytes, depth);
            echo::run(EchoPlan { common: on("/echo"), connections, messages, rate: None, bounds })
        };
        let fanout = |subscribers, depth| {
            let messages = messages(SMALL_BYTES, depth);
            let common = on("/raw/bench");
            fanout::run(FanoutPlan { common, subscribers, publishers: 1, messages, rate: None, bounds })
        };
        let handshake = |goodbye| {
            let sources = Some("127.0.0.1-127.0.0.20".parse().expect("a constant range"));
            let common = Common { sources, ..on("/echo") };
            let concurrency = HANDSHAKES_UNDER_WAY;
            handshake::run(HandshakePlan { common, concurrency, rate: None, goodbye, bounds })
        };
        match self {
            Self::Echo125 => echo(100, SMALL_BYTES, 1),
            Self::Echo16In => echo(20, SMALL_BYTES, 16),
            Self::Echo16K => echo(100, LARGE_BYTES, 1),
            Self::Fanout1K => fanout(1_000, 1),
            Self::Fanout10K => fanout(10_000, 1),
            Self::Fanout1K16In => fanout(1_000, 16),
            Self::Handshake => handshake(Goodbye::Frame),
            Self::HandshakeFin => handshake(Goodbye::Fin),
            Self::Idle => idle::run(IdlePlan {
                common: on("/echo"),
                connections: IDLE_CONNECTIONS,
                subscribe: Subscribe::OneForAll,
                settle: Duration::from_secs(1),
                hold: Duration::ZERO,
            }),
        }
    }

    /// The one number of a report that this row is about.
    pub(super) fn figure(self, report: &Report) -> f64 {
        match self {
            Self::Idle => lookup(&report.derived, "private_bytes_per_connection"),
            Self::Echo125
            | Self::Echo16In
            | Self::Echo16K
            | Self::Fanout1K
            | Self::Fanout10K
            | Self::Fanout1K16In
            | Self::Handshake
            | Self::HandshakeFin => report.server.as_ref().map_or(0.0, |server| server.cpu_us_per_unit),
        }
    }
}

fn lookup(values: &BTreeMap<&'static str, f64>, name: &str) -> f64 {
    values.get(name).copied().unwrap_or(0.0)
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.definition().word)
    }
}

impl FromStr for RowName {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = DEFINITIONS.iter().find(|definition| definition.word == word);
        found.map(|definition| definition.name).ok_or_else(|| {
            let words: Vec<&str> = DEFINITIONS.iter().map(|definition| definition.word).collect();
            format!("rows are {}", words.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_definition_and_a_name_that_leads_back_to_it() {
        for row in RowName::DEFAULT.into_iter().chain([RowName::HandshakeFin]) {
            assert_eq!(row.to_string().parse(), Ok(row));
            assert_eq!(serde_json::to_value(row).unwrap(), row.to_string());
        }
        assert!("echo".parse::<RowName>().unwrap_err().contains("echo-16k"));
    }
}
