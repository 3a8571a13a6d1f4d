//! Why a TLS connection ended: `rustls`' errors, sorted by what an operator can do about them.

use std::io;

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};
use thiserror::Error;

/// A TLS failure, carried inside the `io::Error` of a transport call (`error.get_ref()`, downcast).
#[derive(Clone, Debug, Error, PartialEq)]
pub(crate) enum TlsFailure {
    /// The first bytes are no TLS record: `http://` or `ws://` on a port that speaks TLS, or a scanner.
    #[error("the client does not speak TLS (http:// or ws:// on a TLS port?)")]
    NotTls,
    /// No protocol version, cipher suite, group or signature scheme in common.
    #[error("the client offers nothing this server supports: {0:?}")]
    NothingInCommon(PeerIncompatible),
    /// ALPN without `http/1.1`.
    #[error("the client's ALPN does not offer http/1.1")]
    NoHttp1,
    /// The client ended the connection by an alert; `UnknownCA` and `BadCertificate` mean that it does not trust ours.
    #[error("the client refused: alert {0:?}")]
    RefusedByClient(AlertDescription),
    /// A record that is malformed, does not decrypt or does not belong here.
    #[error("TLS protocol violation: {0}")]
    Violation(Error),
}

impl From<Error> for TlsFailure {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            Error::PeerIncompatible(reason) => Self::NothingInCommon(reason),
            Error::NoApplicationProtocol => Self::NoHttp1,
            Error::AlertReceived(alert) => Self::RefusedByClient(alert),
            error => Self::Violation(error),
        }
    }
}

impl From<TlsFailure> for io::Error {
    fn from(failure: TlsFailure) -> Self {
        Self::new(io::ErrorKind::InvalidData, failure)
    }
}
