//! A timer descriptor in the same epoll: wakes the engine to the microsecond, where epoll's own timeout counts milliseconds.

use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::clock::Nanos;
use crate::failure::Failure;

/// Wakes the poll once, at the time it was last armed for.
#[derive(Debug)]
pub(super) struct Timer {
    descriptor: OwnedFd,
    armed_for: Option<Nanos>,
}

impl Timer {
    pub(super) fn new(registry: &Registry, token: Token) -> Result<Self, Failure> {
        let failed = "creating the engine's timer";
        let descriptor =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
                .map_err(Failure::system(failed))?;
        registry
            .register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)
            .map_err(Failure::system(failed))?;
        Ok(Self { descriptor, armed_for: None })
    }

    /// Arms for `at`, unless that is what it is armed for already. The expiry is never read: each arming starts a new count, and
    /// the poll is edge-triggered.
    pub(super) fn arm(&mut self, at: Nanos) -> Result<(), Failure> {
        if self.armed_for == Some(at) {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Itimerspec { it_interval: zero, it_value: at.to_timespec() };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &value)
            .map_err(Failure::system("arming the engine's timer"))?;
        self.armed_for = Some(at);
        Ok(())
    }
}
