//! Section `[overload]`: when the gateway refuses new clients to keep the ones it has.

use std::time::Duration;

use tidegate_service::config::{Checks, bytes, value};
use tidegate_service::config_section;

use super::{GIB, MIB, milliseconds, seconds};

config_section! {
    /// When the gateway refuses new clients to keep the ones it has: 503 with `Retry-After`. From nine tenths of a bound on,
    /// it refuses sessions that are new (4051) and takes those that are resumed.
    pub struct Overload {
        /// How late the loop of a worker may be; 0: not looked at.
        pub loop_lag: Duration = value(milliseconds(250)).within(Duration::ZERO..=seconds(60));
        /// Percent of the memory that the cgroup grants; 0: not looked at.
        pub memory_percent: u32 = value(90).within(0..=100);
        /// Bytes that wait for all clients together; 0: not looked at.
        pub outbox_total_bytes: usize = bytes(192 * MIB).within(0..=1024 * GIB)
            .settled("three quarters of `limits.pool_bytes`");
        /// How long one of them has to be well below its bound again before new clients are taken.
        pub recovery: Duration = value(seconds(2)).within(Duration::ZERO..=seconds(300));
    }
}

/// Reports every rule between the keys of `[overload]` and the limits that is broken.
pub(super) fn check(overload: &Overload, pool_bytes: usize, checks: &mut Checks<'_>) {
    if overload.outbox_total_bytes > pool_bytes {
        let message = "outboxes live in the pool, which would be full before; choose less than the pool";
        checks.fault(&["overload.outbox_total_bytes", "limits.pool_bytes"], message);
    }
}
