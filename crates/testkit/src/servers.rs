//! Real servers as child processes: started on free ports, in a folder of their own, killed when they are dropped.
//!
//! The binaries are the system's: `scripts/setup servers` installs them. Unlike clients and gateways, servers are also
//! what tests break on purpose: killed, frozen, flushed, cut off.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal};

use crate::logs::Logs;

mod chaos;
mod haproxy;
mod nats;
mod redis;

pub use chaos::ChaosProxy;
pub use haproxy::{Haproxy, ProxyProtocol};
pub use nats::{NatsBuilder, NatsServer};
pub use redis::{RedisBuilder, RedisCluster, RedisServer, Sentinel};

/// A child process with what it printed. Dropping it kills it.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    logs: Logs,
}

impl Process {
    /// Starts a program that `scripts/setup servers` installs.
    #[track_caller]
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} (scripts/setup servers): {error}"));
        let logs = Logs::default();
        logs.collect(child.stdout.take().expect("it is piped"));
        logs.collect(child.stderr.take().expect("it is piped"));
        Self { name, child, logs }
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .expect("the process is our child and has not been waited for");
    }

    /// Stops it (SIGSTOP), and waits until each of its threads stands still.
    #[track_caller]
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.child.id());
        crate::until(&format!("{} to stand still", self.name), || {
            let mut threads = std::fs::read_dir(&threads).expect("the process is there");
            let stands_still = |thread: std::fs::DirEntry| {
                // The state follows the name, which is in brackets. A thread that has ended stands still too.
                let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
            };
            threads.all(|thread| thread.is_ok_and(stands_still)).then_some(())
        });
    }

    /// Everything it printed so far.
    pub(crate) fn output(&self) -> String {
        self.logs.lines().join("\n")
    }

    /// Waits until its output gives something.
    ///
    /// # Panics
    ///
    /// If the process ends before; with all that it printed.
    #[track_caller]
    pub(crate) fn await_output<T>(&mut self, what: &str, mut probe: impl FnMut(&[String]) -> Option<T>) -> T {
        crate::until(&format!("{} to {what}", self.name), || {
            let is_running = self.is_running();
            let found = probe(&self.logs.lines());
            assert!(found.is_some() || is_running, "{} ended:\n{}", self.name, self.output());
            found
        })
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // It may have ended already: then there is nothing left to kill, and only the wait does something.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to leave, and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(&mut self) {
        self.signal(Signal::TERM);
        crate::until(&format!("{} to end", self.name), || self.child.try_wait().expect("it is our child"));
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stdout,
        reason = "the test runner captures it and shows it for the test that failed"
    )]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            println!("--- {}'s output:\n{}\n---", self.name, self.output());
        }
    }
}

/// A port of 127.0.0.1 that nobody uses, and that no other call in this process gets. So is the one
/// [`CLUSTER_BUS_OFFSET`] above it.
///
/// Servers that choose their port themselves tell it in their logs; these do not. Ports of outgoing connections lie
/// above all of these, so only another server could take one before the caller's does.
pub(crate) fn free_port() -> u16 {
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes that run side by side begin at different places.
    let first = RandomState::new().hash_one(std::process::id()) % u64::from(PORTS.end - PORTS.start);
    let mut port = next.unwrap_or(PORTS.start + u16::try_from(first).expect("it is below a count of ports"));
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in PORTS {
        let candidate = port;
        port = if port + 1 == PORTS.end { PORTS.start } else { port + 1 };
        if is_free(candidate) && is_free(candidate + CLUSTER_BUS_OFFSET) {
            *next = Some(port);
            return candidate;
        }
    }
    panic!("none of the ports {PORTS:?} is free");
}

/// With their cluster bus below 32768, where Linux begins with the ports of outgoing connections.
const PORTS: Range<u16> = 12_000..22_000;
/// How far above its port a Redis of a cluster talks to the others.
const CLUSTER_BUS_OFFSET: u16 = 10_000;
