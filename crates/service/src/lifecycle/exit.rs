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
    /// Every way to end, in the order of the codes.
    pub const ALL: [Self; 6] =
        [Self::Clean, Self::Config, Self::Unavailable, Self::Internal, Self::Interrupted, Self::Terminated];

    /// What the code tells whoever started the process.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Clean => "It did what it was asked to, a drain on SIGTERM or SIGINT included.",
            Self::Config => "The configuration or command line is faulty; starting again does not help.",
            Self::Unavailable => "Something it needs is not to be had, such as its port.",
            Self::Internal => "It failed by a fault of its own.",
            Self::Interrupted => "A second SIGINT ended it at once; connections were cut.",
            Self::Terminated => "A second SIGTERM ended it at once; connections were cut.",
        }
    }

    /// The codes as a Markdown table.
    pub fn reference() -> String {
        let rows = Self::ALL.map(|exit| format!("| {} | {} |\n", exit.code(), exit.meaning()));
        format!("| Code | Meaning |\n|---|---|\n{}", rows.concat())
    }

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
    fn the_reference_lists_each_code_once() {
        let page = Exit::reference();

        for code in [0, 64, 69, 70, 130, 143] {
            assert_eq!(page.matches(&format!("\n| {code} |")).count(), 1, "{page}");
        }
    }

    #[test]
    fn a_taken_port_is_told_from_a_fault_of_ours() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = std::net::TcpListener::bind(taken.local_addr().unwrap()).unwrap_err();

        assert_eq!(Exit::of_bind_error(&error).code(), 69);
        assert_eq!(Exit::of_bind_error(&io::Error::other("odd")).code(), 70);
    }
}
