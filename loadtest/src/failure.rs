//! Why a run could not be made at all (exit code 2), as opposed to a run whose result is bad (exit code 1).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Something about the command line, this machine or the server that made measuring impossible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line asks for something that does not fit together.
    #[error("{0}")]
    Usage(String),
    /// The server cannot be reached or does not speak WebSocket on this path.
    #[error("could not open connection {opened} of {wanted} to {url}: {reason}")]
    Open { opened: usize, wanted: usize, url: String, reason: String },
    /// Too few descriptors for the connections asked for.
    #[error(
        "{wanted} descriptors are needed but the limit of open files is {limit}: raise it with `ulimit -Hn`, \
         or ask for fewer connections"
    )]
    Descriptors { wanted: u64, limit: u64 },
    /// The kernel refused a socket of ours while running.
    #[error("this machine's limits are hit: {what}: {source}. {advice}")]
    Limit { what: &'static str, advice: &'static str, source: io::Error },
    /// The server under test could not be inspected.
    #[error("cannot read {path}: {source}. Is --pid right, and may this user look at that process?")]
    Procfs { path: PathBuf, source: io::Error },
    /// The contents of a file in `/proc` were not as expected.
    #[error("{path} has no {field}")]
    ProcfsField { path: PathBuf, field: &'static str },
    /// The floor server could not listen.
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    /// A server that `compare` started did not come up.
    #[error("server {name} did not start: {reason}")]
    Peer { name: String, reason: String },
    /// A process that `verify` started did not come up, or its faults could not be carried out.
    #[error("{0}")]
    Stage(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    /// A system call that has no reason to fail did.
    #[error("{what}: {source}")]
    System { what: &'static str, source: io::Error },
}

impl Failure {
    /// For `map_err`: a failed system call and what it was for.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { what, source: source.into() }
    }
}
