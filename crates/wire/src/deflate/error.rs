//! What can be wrong with a `Sec-WebSocket-Extensions` header.

use std::fmt;

/// Why an extension header ends the handshake. A server answers it with status 400, a client drops the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExtensionError {
    /// A name or a value is missing, or starts with a byte no token has (RFC 6455 section 9.1).
    #[error("Sec-WebSocket-Extensions, byte {at}: expected a name or a value")]
    ExpectedToken {
        /// Offset within the header's value.
        at: usize,
    },
    /// Something other than `;`, `,` or the end follows an extension or a parameter.
    #[error("Sec-WebSocket-Extensions, byte {at}: expected ';', ',' or the end")]
    ExpectedSeparator {
        /// Offset within the header's value.
        at: usize,
    },
    /// A quoted value has no closing quote, or holds what would be no token without its quotes.
    #[error("Sec-WebSocket-Extensions, byte {at}: a quoted value must be closed and hold a token")]
    BadQuotedValue {
        /// Offset within the header's value.
        at: usize,
    },
    /// The server answered with an extension that was not offered (RFC 6455 section 4.1).
    #[error("Sec-WebSocket-Extensions: the server chose an extension that was not offered")]
    NotOffered,
    /// The server accepted permessage-deflate twice.
    #[error("Sec-WebSocket-Extensions: the server accepted permessage-deflate twice")]
    AcceptedTwice,
    /// The server's permessage-deflate answer breaks a rule of RFC 7692.
    #[error("Sec-WebSocket-Extensions: {0}")]
    Parameter(#[from] ParameterError),
}

/// Why a permessage-deflate offer is declined, or an answer refused (RFC 7692 section 7.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A parameter that RFC 7692 does not define.
    #[error("permessage-deflate has an unknown parameter")]
    Unknown,
    /// The same parameter twice in one offer or answer.
    #[error("{0} is given twice")]
    Repeated(Parameter),
    /// A value where the parameter has none.
    #[error("{0} takes no value")]
    UnexpectedValue(Parameter),
    /// No value where the parameter needs one.
    #[error("{0} needs a value")]
    MissingValue(Parameter),
    /// A window size that is not a plain decimal from 8 to 15.
    #[error("{0} must be a decimal from 8 to 15 without leading zeros")]
    BadWindowBits(Parameter),
    /// A window of 256 bytes is asked of us, which the compressor cannot keep to.
    #[error("a server_max_window_bits of 8 is not supported; 9 to 15 are")]
    WindowTooSmall,
    /// The server names a parameter that only an offer of the same parameter permits.
    #[error("{0} was not offered")]
    NotOffered(Parameter),
    /// The server leaves out a parameter it must confirm.
    #[error("{0} was offered and must be confirmed")]
    NotConfirmed(Parameter),
    /// The server's window is larger than the client offered to bear.
    #[error("server_max_window_bits is larger than offered")]
    WindowTooLarge,
}

/// The four parameters of permessage-deflate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parameter {
    /// The server forgets its window after each message (section 7.1.1.1).
    ServerNoContextTakeover,
    /// The client forgets its window after each message (section 7.1.1.2).
    ClientNoContextTakeover,
    /// Base-2 logarithm of the server's window (section 7.1.2.1).
    ServerMaxWindowBits,
    /// Base-2 logarithm of the client's window (section 7.1.2.2).
    ClientMaxWindowBits,
}

impl Parameter {
    /// All four, in the order in which they are written.
    pub(super) const ALL: [Self; 4] = [
        Self::ServerNoContextTakeover,
        Self::ClientNoContextTakeover,
        Self::ServerMaxWindowBits,
        Self::ClientMaxWindowBits,
    ];

    /// As it stands in the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServerNoContextTakeover => "server_no_context_takeover",
            Self::ClientNoContextTakeover => "client_no_context_takeover",
            Self::ServerMaxWindowBits => "server_max_window_bits",
            Self::ClientMaxWindowBits => "client_max_window_bits",
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
