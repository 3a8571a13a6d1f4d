//! The table of all rows. A row about sessions is measured against the floor's same work without them.

use super::{Goal, RowName};
use crate::engine::Goodbye;

/// Everything that is known about a row; one table for all.
pub(super) struct Definition {
    pub(super) name: RowName,
    pub(super) word: &'static str,
    pub(super) title: &'static str,
    pub(super) work: Work,
    pub(super) goal: Goal,
    /// What the best library elsewhere reaches.
    pub(super) elsewhere: Option<f64>,
}

/// What a row's clients do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Echo { connections: usize, size_bytes: usize, depth: u64 },
    Fanout { subscribers: usize, depth: u64 },
    Handshake(Goodbye),
    Idle,
}

/// Payload of the rows with small messages.
pub(super) const SMALL_BYTES: usize = 125;
const LARGE_BYTES: usize = 16 * 1024;

pub(super) const DEFINITIONS: [Definition; 15] = [
    Definition {
        name: RowName::Echo125,
        word: "echo-125",
        title: "Echo 125 B, 100 connections, 1 in flight",
        work: Work::Echo { connections: 100, size_bytes: SMALL_BYTES, depth: 1 },
        goal: Goal::Ratio(1.08),
        elsewhere: Some(1.03),
    },
    Definition {
        name: RowName::Echo16In,
        word: "echo-16in",
        title: "Echo 125 B, 20 connections, 16 in flight",
        work: Work::Echo { connections: 20, size_bytes: SMALL_BYTES, depth: 16 },
        goal: Goal::Ratio(1.15),
        elsewhere: Some(1.06),
    },
    Definition {
        name: RowName::Echo16K,
        word: "echo-16k",
        title: "Echo 16 KiB, 100 connections, 1 in flight",
        work: Work::Echo { connections: 100, size_bytes: LARGE_BYTES, depth: 1 },
        goal: Goal::Ratio(1.05),
        elsewhere: Some(0.98),
    },
    Definition {
        name: RowName::Fanout1K,
        word: "fanout-1k",
        title: "Fan-out 125 B to 1,000, 1 in flight",
        work: Work::Fanout { subscribers: 1_000, depth: 1 },
        goal: Goal::Ratio(1.10),
        elsewhere: Some(1.00),
    },
    Definition {
        name: RowName::Fanout10K,
        word: "fanout-10k",
        title: "Fan-out 125 B to 10,000, 1 in flight",
        work: Work::Fanout { subscribers: 10_000, depth: 1 },
        goal: Goal::Ratio(1.10),
        elsewhere: Some(1.07),
    },
    Definition {
        name: RowName::Fanout1K16In,
        word: "fanout-1k-16in",
        title: "Fan-out 125 B to 1,000, 16 in flight",
        work: Work::Fanout { subscribers: 1_000, depth: 16 },
        goal: Goal::Ratio(1.15),
        elsewhere: Some(1.06),
    },
    Definition {
        name: RowName::Handshake,
        word: "handshake",
        title: "Handshake and close frames",
        work: Work::Handshake(Goodbye::Frame),
        goal: Goal::Ratio(1.10),
        elsewhere: Some(0.99),
    },
    Definition {
        name: RowName::HandshakeFin,
        word: "handshake-fin",
        title: "Handshake, TCP closed by the client",
        work: Work::Handshake(Goodbye::Fin),
        goal: Goal::None,
        elsewhere: None,
    },
    Definition {
        name: RowName::Idle,
        word: "idle",
        title: "Idle connection, 19,000 of them",
        work: Work::Idle,
        goal: Goal::Bytes(400.0),
        elsewhere: Some(457.0),
    },
    Definition {
        name: RowName::NativeFanout1K,
        word: "native-fanout-1k",
        title: "Fan-out 125 B to 1,000 sessions, 1 in flight",
        work: Work::Fanout { subscribers: 1_000, depth: 1 },
        goal: Goal::Ratio(1.10),
        elsewhere: None,
    },
    Definition {
        name: RowName::NativeFanout10K,
        word: "native-fanout-10k",
        title: "Fan-out 125 B to 10,000 sessions, 1 in flight",
        work: Work::Fanout { subscribers: 10_000, depth: 1 },
        goal: Goal::Ratio(1.10),
        elsewhere: None,
    },
    Definition {
        name: RowName::NativeFanout1K16In,
        word: "native-fanout-1k-16in",
        title: "Fan-out 125 B to 1,000 sessions, 16 in flight",
        work: Work::Fanout { subscribers: 1_000, depth: 16 },
        goal: Goal::Ratio(1.20),
        elsewhere: None,
    },
    Definition {
        name: RowName::NativePublish,
        word: "native-publish",
        title: "Publish 125 B to 1 subscriber, 100 sessions; floor: echo",
        work: Work::Echo { connections: 100, size_bytes: SMALL_BYTES, depth: 1 },
        goal: Goal::Ratio(2.0),
        elsewhere: None,
    },
    Definition {
        name: RowName::NativeConnect,
        word: "native-connect",
        title: "Connect with JWT and close; floor: handshake",
        work: Work::Handshake(Goodbye::Frame),
        goal: Goal::Ratio(2.5),
        elsewhere: None,
    },
    Definition {
        name: RowName::NativeIdle,
        word: "native-idle",
        title: "Idle session with a subscription, 19,000 of them",
        work: Work::Idle,
        goal: Goal::Bytes(1_500.0),
        elsewhere: None,
    },
];
