//! The rows of the performance table: what is done, what is counted, what is to be reached.

mod definitions;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use tidegate_wire::frame::OpCode;

use self::definitions::{DEFINITIONS, Definition, SMALL_BYTES, Work};
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
    #[serde(rename = "native-fanout-1k")]
    NativeFanout1K,
    #[serde(rename = "native-fanout-10k")]
    NativeFanout10K,
    #[serde(rename = "native-fanout-1k-16in")]
    NativeFanout1K16In,
    NativePublish,
    NativeConnect,
    NativeIdle,
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

const IDLE_CONNECTIONS: usize = 19_000;
const HANDSHAKES_UNDER_WAY: usize = 32;
/// Where the gateway speaks the native dialect.
const NATIVE_PATH: &str = "/ws";
const WARMUP: Duration = Duration::from_millis(300);

impl RowName {
    /// All that have a goal.
    pub(crate) const DEFAULT: [Self; 14] = [
        Self::Echo125,
        Self::Echo16In,
        Self::Echo16K,
        Self::Fanout1K,
        Self::Fanout10K,
        Self::Fanout1K16In,
        Self::Handshake,
        Self::Idle,
        Self::NativeFanout1K,
        Self::NativeFanout10K,
        Self::NativeFanout1K16In,
        Self::NativePublish,
        Self::NativeConnect,
        Self::NativeIdle,
    ];

    /// Is this about sessions? Servers that have none then do the same work in the raw dialect.
    pub(super) fn is_native(self) -> bool {
        match self {
            Self::NativeFanout1K
            | Self::NativeFanout10K
            | Self::NativeFanout1K16In
            | Self::NativePublish
            | Self::NativeConnect
            | Self::NativeIdle => true,
            Self::Echo125
            | Self::Echo16In
            | Self::Echo16K
            | Self::Fanout1K
            | Self::Fanout10K
            | Self::Fanout1K16In
            | Self::Handshake
            | Self::HandshakeFin
            | Self::Idle => false,
        }
    }

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
        match self.definition().work {
            Work::Echo { .. } => "us a message",
            Work::Fanout { .. } => "us a delivery",
            Work::Handshake(_) => "us a handshake",
            Work::Idle => "bytes",
        }
    }

    /// Does this row's work on a server.
    pub(super) fn run(self, on: &Place, duration: Duration) -> Result<Report, Failure> {
        let bounds = Bounds { warmup: WARMUP, duration, count: u64::MAX };
        let messages = |size_bytes, depth| Messages { size_bytes, opcode: OpCode::Binary, depth };
        match self.definition().work {
            Work::Echo { connections, size_bytes, depth } => {
                let messages = messages(size_bytes, depth);
                echo::run(EchoPlan { common: on.common("/echo"), connections, messages, rate: None, bounds })
            }
            Work::Fanout { subscribers, depth } => fanout::run(FanoutPlan {
                other_nodes: Vec::new(),
                common: on.common("/raw/bench"),
                subscribers,
                publishers: 1,
                messages: messages(SMALL_BYTES, depth),
                rate: None,
                bounds,
            }),
            Work::Handshake(goodbye) => {
                let common = on.common_from_many("/echo");
                let concurrency = HANDSHAKES_UNDER_WAY;
                handshake::run(HandshakePlan { common, concurrency, rate: None, goodbye, bounds })
            }
            Work::Idle => idle::run(IdlePlan {
                common: on.common_from_many("/echo"),
                connections: IDLE_CONNECTIONS,
                subscribe: Subscribe::OneForAll,
                settle: Duration::from_secs(1),
                hold: Duration::ZERO,
            }),
        }
    }

    /// The one number of a report that this row is about.
    pub(super) fn figure(self, report: &Report) -> f64 {
        match self.definition().work {
            Work::Idle => lookup(&report.derived, "private_bytes_per_connection"),
            Work::Echo { .. } | Work::Fanout { .. } | Work::Handshake(_) => {
                report.server.as_ref().map_or(0.0, |server| server.cpu_us_per_unit)
            }
        }
    }
}

/// A running server, and what it is spoken to in.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
    pub(super) dialect: Dialect,
}

impl Place {
    /// From several addresses, for more connections than one has ports for.
    fn common_from_many(&self, raw_path: &str) -> Common {
        let sources = Some("127.0.0.1-127.0.0.20".parse().expect("a constant range"));
        Common { sources, ..self.common(raw_path) }
    }

    /// On `raw_path`, unless the dialect has a path of its own.
    fn common(&self, raw_path: &str) -> Common {
        let path = match self.dialect {
            Dialect::Raw => raw_path,
            Dialect::Native(_) => NATIVE_PATH,
        };
        Common {
            target: Target {
                host: self.address.to_string(),
                path: path.to_owned(),
                address: self.address,
                scheme: Scheme::Plain,
            },
            dialect: self.dialect.clone(),
            sources: None,
            pid: Some(self.pid),
            progress: Progress::silent(),
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
            assert_eq!(row.to_string().starts_with("native-"), row.is_native());
        }
        assert!("echo".parse::<RowName>().unwrap_err().contains("echo-16k"));
    }
}
