//! Whether a part that lives on a server can be reached, as its implementation sees it.
//!
//! Place in the data path: beside it. An implementation keeps a `watch` of its state; the gateway names its degraded mode
//! by it, and a call in [`State::Down`] is answered at once.

use std::time::Instant;

/// How a server is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It answers.
    Up,
    /// It answers, but later than it should.
    Slow,
    /// It does not answer: calls are refused without asking it.
    Down {
        /// Since when; before the first connection, since the start.
        since: Instant,
    },
}

impl State {
    /// Whether calls are tried.
    pub fn is_reachable(self) -> bool {
        match self {
            Self::Up | Self::Slow => true,
            Self::Down { .. } => false,
        }
    }

    /// A word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Slow => "slow",
            Self::Down { .. } => "down",
        }
    }
}
