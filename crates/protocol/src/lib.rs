//! The words that cross a boundary of a node: between it and its clients, between it and other nodes.
//!
//! Text or bytes in, typed messages out, and back. No sockets, clock, randomness, threads or logging: times, limits and
//! random bytes are arguments.
//!
//! | Module | Words |
//! |---|---|
//! | [`command`] | what clients send in the native dialect `tidegate.v1.json` |
//! | [`event`] | what clients are sent: messages, notices, replies |
//! | [`error`] | how a command is refused |
//! | [`cause`] | how a connection ends: the one table of close causes |
//! | [`node`] | what nodes tell each other |
//! | [`drain`] | what a coordinator orders a node to do with its clients, and what the node reports |
//! | [`id`], [`channel`], [`position`], [`json`], [`time`] | what all of these are made of |
//! | [`limits`], [`quota`] | how much of it there may be |

pub mod cause;
pub mod channel;
pub mod command;
pub mod drain;
pub mod error;
pub mod event;
mod fields;
pub mod id;
pub mod json;
pub mod limits;
pub mod node;
pub mod position;
pub mod quota;
#[cfg(test)]
mod testing;
pub mod time;
