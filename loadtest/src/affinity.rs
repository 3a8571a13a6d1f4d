//! Pinning threads to cores, so that server and load generator do not take each other's time.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::failure::Failure;

/// The first two cores this process may use: the server gets one, the load generator the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

/// `None` where only one core is allowed: pinning both to it would only make them wait for each other in a fixed order.
pub(crate) fn two_cores() -> Result<Option<Cores>, Failure> {
    let allowed = sched_getaffinity(None).map_err(Failure::system("reading the allowed cores"))?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    Ok(match (cores.next(), cores.next()) {
        (Some(server), Some(client)) => Some(Cores { server, client }),
        _ => None,
    })
}

/// Pins the calling thread; threads and processes it starts later inherit this.
pub(crate) fn pin_this_thread(core: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(Failure::system("pinning a thread to a core"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_is_allowed_that_core_only() {
        let Some(core) = two_cores().unwrap().map(|cores| cores.client) else {
            assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
            return;
        };
        let allowed = std::thread::spawn(move || {
            pin_this_thread(core).unwrap();
            sched_getaffinity(None).unwrap()
        });
        let allowed = allowed.join().unwrap();
        assert_eq!(allowed.count(), 1);
        assert!(allowed.is_set(core));
    }
}
