//! Why a command has no answer, and the exit code for it.

use serde_json::Value;
use tidegate_protocol::drain::OperationId;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The command line asks for something that cannot be sent.
    #[error("{0}")]
    Usage(String),
    /// This side: a token file, a socket, standard output.
    #[error("{0}")]
    Local(String),
    /// The API said no.
    #[error("refused ({status} {code}): {detail}{}", details_text(details))]
    Refused {
        /// HTTP status.
        status: u16,
        /// The problem's code.
        code: String,
        /// What is wrong and what to do.
        detail: String,
        /// The numbers.
        details: Value,
    },
    /// Nobody answered, or not now.
    #[error("{server} does not answer: {cause}")]
    Unreachable {
        /// The address.
        server: String,
        /// Why.
        cause: String,
    },
    /// It took longer than `--timeout`.
    #[error("{0} is not over yet; it goes on. Go on watching: tidegate-control-plane ctl watch {0}")]
    TimedOut(OperationId),
    /// Ctrl-C.
    #[error(
        "\nonly the watching has stopped: {0} goes on. Go on watching: tidegate-control-plane ctl watch {0}\nStop it: tidegate-control-plane ctl abort {0}"
    )]
    Interrupted(OperationId),
}

impl Failure {
    /// The operation failed or was aborted, or clients are not well served.
    pub(super) const BAD_END: u8 = 1;
    /// `EX_USAGE`, as every program of ours has it.
    pub(super) const USAGE: u8 = 64;

    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => Self::USAGE,
            Self::Refused { status: 400..=499, .. } => 2,
            Self::Refused { .. } | Self::Unreachable { .. } => 3,
            Self::TimedOut(_) => 4,
            Self::Local(_) => 5,
            // As shells have it for a process that SIGINT ended.
            Self::Interrupted(_) => 130,
        }
    }

    /// Whether the same request may be answered a little later.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { status: 502..=504, .. })
    }
}

/// `{"free": 20}` as lines below the message.
fn details_text(details: &Value) -> String {
    let entries = details.as_object().into_iter().flatten();
    entries.map(|(key, value)| format!("\n  {key}: {value}")).collect()
}
