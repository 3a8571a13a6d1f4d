//! From start to stop: the phases of a process, the signals that move it on, and the code it ends with.

mod exit;
mod signals;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;

pub use self::exit::Exit;
pub use self::signals::{Signals, drain_on_signal};

/// Where the process stands. It only ever moves forward.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Phase {
    /// Parts are being built, listeners bound.
    Starting = 0,
    /// Clients are served.
    Serving = 1,
    /// Told to leave: clients are being sent away.
    Draining = 2,
    /// Every client is gone; the process ends.
    Stopped = 3,
}

/// The latch that every part of the process can read, and wait at. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The phase again, for readers in a hot loop: one load, no lock.
    phase: AtomicU8,
    watch: watch::Sender<Phase>,
}

impl Phase {
    /// The phase's name in `/info` and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl Lifecycle {
    /// A process that is starting.
    pub fn new() -> Self {
        let (watch, _) = watch::channel(Phase::Starting);
        Self(Arc::new(Shared { phase: AtomicU8::new(Phase::Starting as u8), watch }))
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            2 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Moves on to `phase`; says whether that was a step forward. A step back is no step.
    pub fn advance(&self, phase: Phase) -> bool {
        self.0.watch.send_if_modified(|current| {
            let is_forward = phase > *current;
            if is_forward {
                *current = phase;
                // Inside the watch's lock, so that the two cannot disagree about the order of two steps.
                self.0.phase.store(phase as u8, Ordering::Release);
            }
            is_forward
        })
    }

    /// Waits until the process is in `phase` or beyond it.
    pub async fn reached(&self, phase: Phase) {
        let mut watch = self.0.watch.subscribe();
        watch.wait_for(|current| *current >= phase).await.expect("the sender lives in self");
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_move_forward() {
        let lifecycle = Lifecycle::new();
        assert_eq!(lifecycle.phase(), Phase::Starting);

        assert!(lifecycle.advance(Phase::Draining));
        assert!(
            !lifecycle.advance(Phase::Serving),
            "a process that was told to leave does not begin to serve"
        );
        assert!(!lifecycle.advance(Phase::Draining));

        assert_eq!(lifecycle.phase(), Phase::Draining);
    }

    #[tokio::test]
    async fn waiting_ends_at_the_phase_or_beyond_it() {
        let lifecycle = Lifecycle::new();
        let waiting = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move {
                lifecycle.reached(Phase::Serving).await;
                lifecycle.phase()
            }
        });

        lifecycle.advance(Phase::Stopped);

        assert_eq!(waiting.await.unwrap(), Phase::Stopped);
        lifecycle.reached(Phase::Starting).await;
    }
}
