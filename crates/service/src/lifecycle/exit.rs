//! Exit codes, after BSD's `sysexits.h`, so that whoever restarts the process knows whether that can help.

use std::io;
use std::process::ExitCode;

/// How the process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// 0: it did what it was asked to, a drain on SIGTERM included.
    Clean = 0,
    /// 64: the configuration or command line is faulty; starting again does not help.
    Config = 64,
    /// 69: something it needs is not to be had, such as its port.
    Unavailable = 69,
    /// 70: it failed by a fault of its own.
    Internal = 70,
    /// 130: told to stop by a second SIGINT, with work cut off.
    Interrupted = 130,
    /// 143: told to stop by a second SIGTERM, with work cut off.
    Terminated = 143,
}

impl Exit {
    /// The code the parent process sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The code for a listener that could not be bound.
    pub fn of_bind_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied => {
                Self::Unavailable
            }
            _ => Self::Internal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_from_a_fault_of_ours() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = std::net::TcpListener::bind(taken.local_addr().unwrap()).unwrap_err();

        assert_eq!(Exit::of_bind_error(&error).code(), 69);
        assert_eq!(Exit::of_bind_error(&io::Error::other("odd")).code(), 70);
    }
}
