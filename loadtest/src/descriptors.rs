//! The limit of open files: raised as far as this process may, and checked before a run that cannot fit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::Failure;

/// Descriptors beside the connections: standard streams, epoll, timer, `/proc` files, and some slack.
const OTHER_DESCRIPTORS: u64 = 32;

/// Raises the soft limit to the hard one and says whether `connections` sockets fit.
pub(crate) fn ensure(connections: usize) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
            .map_err(Failure::system("raising the limit of open files"))?;
    }
    check(connections, limit.maximum)
}

/// `None` means no limit.
fn check(connections: usize, limit: Option<u64>) -> Result<(), Failure> {
    let wanted = connections as u64 + OTHER_DESCRIPTORS;
    match limit {
        Some(limit) if limit < wanted => Err(Failure::Descriptors { wanted, limit }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_more_than_fits_is_refused_with_both_numbers() {
        assert!(check(19_968, Some(20_000)).is_ok());
        let error = check(19_969, Some(20_000)).unwrap_err().to_string();
        assert!(error.contains("20001") && error.contains("20000"), "{error}");
        assert!(check(usize::MAX / 2, None).is_ok());
    }
}
