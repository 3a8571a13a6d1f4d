//! The scenarios: what clients do, what counts as one unit of work, and what would be wrong.
//!
//! Each is a [`Load`](crate::engine::Load) that the engine drives, and ends in a [`Report`](crate::report::Report).

pub(crate) mod burst;
pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod handshake;
pub(crate) mod idle;
pub(crate) mod slow_readers;
pub(crate) mod slowloris;
pub(crate) mod verify;

mod echo_clients;
mod neighbours;
mod opening;
mod window;

pub(crate) use self::echo_clients::Messages;
pub(crate) use self::neighbours::NeighbourPlan;
pub(crate) use self::window::Bounds;

use std::sync::Arc;

use crate::engine::{Endpoint, Speech};
use crate::native::{Channels, Dialect};
use crate::progress::Progress;
use crate::target::{SourceRange, Target};

/// What every scenario is told.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) target: Target,
    pub(crate) dialect: Dialect,
    pub(crate) sources: Option<SourceRange>,
    /// The server's process, if its CPU time and memory are wanted.
    pub(crate) pid: Option<u32>,
    pub(crate) progress: Progress,
}

impl Common {
    /// The URL, where messages are opaque or, in the native dialect, go to the channel that `channels` makes of its base name.
    fn endpoint(&self, channels: impl FnOnce(&str) -> Channels) -> Endpoint {
        let speech = match &self.dialect {
            Dialect::Raw => Speech::Opaque,
            Dialect::Native(native) => Speech::Native(native.clone(), channels(&native.channel_base)),
        };
        Endpoint { target: self.target.clone(), speech }
    }

    /// Each client gets what it sends, and nothing else.
    fn echo_endpoint(&self) -> Endpoint {
        self.endpoint(|base| Channels::Own(base.to_owned()))
    }

    /// Each client gets what all send.
    fn channel_endpoint(&self) -> Endpoint {
        self.endpoint(|base| Channels::Shared(Arc::from(base)))
    }
}
