//! The load generator as a user runs it: the real binary, against its own floor server and against scripted servers that do
//! something wrong on purpose.

#![expect(clippy::unwrap_used, reason = "what goes wrong in the tests' own parts fails the test")]

mod behaviour;
mod burst;
mod cluster;
mod comparison;
mod hub;
mod native;
mod program;
mod scripted;
mod verdicts;
mod verify;
