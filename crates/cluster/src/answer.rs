//! What a call to the outside returns: a value sooner or later, or that there is none to be had now.

use std::future;
use std::pin::Pin;

/// The answer of a call, ready or on its way.
///
/// It borrows nothing of its call, so it can outlive the turn that asked. The work may be done before the first poll:
/// dropping an answer takes nothing back.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'static>>;

/// Why a call got no answer. All of these may pass: a client is told `unavailable` and may ask again.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("{part} {reason}")]
pub struct Unavailable {
    /// What was asked.
    pub part: Part,
    /// What is wrong with it.
    pub reason: Reason,
}

/// The parts of a cluster that can be missing, each for itself.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Part {
    /// [`Bus`](crate::Bus).
    Bus,
    /// [`SessionStore`](crate::SessionStore).
    Sessions,
    /// [`History`](crate::History).
    History,
    /// [`Idempotency`](crate::Idempotency).
    Idempotency,
    /// [`Presence`](crate::Presence).
    Presence,
    /// [`Directory`](crate::Directory).
    Directory,
    /// [`StickyRoutes`](crate::StickyRoutes).
    StickyRoutes,
    /// [`Budget`](crate::Budget).
    Budget,
    /// [`Documents`](crate::Documents).
    Documents,
    /// [`Leadership`](crate::Leadership).
    Leadership,
}

/// What keeps a part from answering.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// It cannot be reached.
    Down,
    /// It did not answer before the call's deadline; what was asked may have happened.
    TimedOut,
    /// It holds as much as it may, and nothing of that can go. Nothing was changed.
    Full,
    /// It answered something that makes no sense here.
    Faulty,
}

/// An answer that is ready.
pub fn ready<T: Send + 'static>(result: Result<T, Unavailable>) -> Answer<T> {
    Box::pin(future::ready(result))
}

impl Part {
    /// A word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Sessions => "sessions",
            Self::History => "history",
            Self::Idempotency => "idempotency",
            Self::Presence => "presence",
            Self::Directory => "directory",
            Self::StickyRoutes => "sticky_routes",
            Self::Budget => "budget",
            Self::Documents => "documents",
            Self::Leadership => "leadership",
        }
    }

    /// Says that this part holds as much as it may.
    pub const fn full(self) -> Unavailable {
        Unavailable { part: self, reason: Reason::Full }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Down => "cannot be reached",
            Self::TimedOut => "did not answer in time",
            Self::Full => "is at its bound",
            Self::Faulty => "gave an answer that makes no sense",
        })
    }
}
