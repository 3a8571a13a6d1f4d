//! The test process's own limits.

use rustix::process::{Resource, Rlimit};

/// Raises this process's limit of open descriptors to what the system allows it, and gives that number.
///
/// # Panics
///
/// If fewer than `needed` can be had: the test cannot say anything then.
#[track_caller]
pub fn raise_descriptor_limit(needed: u64) -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let granted = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        granted >= needed,
        "this test needs {needed} descriptors, the system grants {granted} (`ulimit -Hn`)"
    );
    if limit.current.is_some_and(|current| current < granted) {
        rustix::process::setrlimit(
            Resource::Nofile,
            Rlimit { current: limit.maximum, maximum: limit.maximum },
        )
        .expect("a soft limit may always be raised to the hard one");
    }
    granted
}
