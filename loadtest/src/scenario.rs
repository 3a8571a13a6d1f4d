//! The scenarios: what clients do, what counts as one unit of work, and what would be wrong.
//!
//! Each is a [`Load`](crate::engine::Load) that the engine drives, and ends in a [`Report`](crate::report::Report).

pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod handshake;
pub(crate) mod idle;
pub(crate) mod slow_readers;
pub(crate) mod slowloris;

mod echo_clients;
mod neighbours;
mod opening;
mod window;

pub(crate) use self::echo_clients::Messages;
pub(crate) use self::neighbours::NeighbourPlan;
pub(crate) use self::window::Bounds;

use crate::progress::Progress;
use crate::target::{SourceRange, Target};

/// What every scenario is told.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) target: Target,
    pub(crate) sources: Option<SourceRange>,
    /// The server's process, if its CPU time and memory are wanted.
    pub(crate) pid: Option<u32>,
    pub(crate) progress: Progress,
}
