//! What the machine grants this process, and what the process takes of it.
//!
//! Read at start (descriptors, cgroup) and at each scrape (usage). Linux only.

mod cgroup;
mod memory;
mod usage;

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use self::cgroup::Cgroup;
pub use self::memory::MemoryMeter;
pub use self::usage::Usage;

/// Open descriptors allowed to this process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Descriptors {
    /// What was allowed at start; `None`: unlimited.
    pub before: Option<u64>,
    /// What is allowed now; `None`: unlimited.
    pub allowed: Option<u64>,
}

/// Raises the number of descriptors this process may open as far as it is allowed to: every connection takes one.
///
/// Call before threads that open descriptors are started.
pub fn raise_descriptors() -> io::Result<Descriptors> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(Descriptors { before: current, allowed: maximum })
}

/// The machine's name, or `localhost` where it has none.
pub fn host_name() -> String {
    match rustix::system::uname().nodename().to_str() {
        Ok(name) if !name.is_empty() => name.to_owned(),
        _ => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_raised_to_the_hard_limit() {
        let raised = raise_descriptors().unwrap();

        let now = getrlimit(Resource::Nofile);
        assert_eq!(raised.allowed, now.maximum);
        assert_eq!(now.current, now.maximum);
        assert_eq!(raise_descriptors().unwrap().before, now.maximum);
    }

    #[test]
    fn the_machine_has_a_name() {
        assert!(!host_name().is_empty());
    }
}
