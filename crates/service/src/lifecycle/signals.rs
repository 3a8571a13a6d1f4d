//! SIGTERM and SIGINT: the first begins the drain, the second ends the process at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Exit, Lifecycle, Phase};

/// The two signals that ask a process to leave. From [`Signals::install`] on they no longer end it by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals. Must be called inside a tokio runtime whose IO driver is on.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one, and says with which code a process ends that obeys it at once.
    pub async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.terminate.recv() => Exit::Terminated,
            _ = self.interrupt.recv() => Exit::Interrupted,
        }
    }
}

/// Begins the drain at the first signal; returns at the second, and then the caller ends the process with the code.
pub async fn drain_on_signal(lifecycle: &Lifecycle, signals: &mut Signals) -> Exit {
    let first = signals.next().await;
    tracing::info!(signal = signal_name(first), "draining; a second signal ends the process at once");
    lifecycle.advance(Phase::Draining);

    let second = signals.next().await;
    tracing::warn!(signal = signal_name(second), "ending at once, connections are cut");
    second
}

fn signal_name(exit: Exit) -> &'static str {
    if exit == Exit::Interrupted { "SIGINT" } else { "SIGTERM" }
}
