//! The client's side of the handshake (RFC 6455 4.1): request writer and response parser.

/// Resumable parser of the server's answer.
#[derive(Clone, Debug)]
pub struct ResponseParser {
    #[expect(dead_code, reason = "signatures first")]
    request_key: [u8; 16],
}

/// A server's consent: status 101, and all that RFC 6455 4.1 asks of it.
#[derive(Clone, Copy, Debug)]
pub struct Response<'b> {
    /// Always 101.
    pub status: u16,
    /// Length of the head in bytes; what follows are frames.
    pub consumed: usize,
    /// The subprotocol the server chose.
    pub subprotocol: Option<&'b str>,
    /// The value of `Sec-WebSocket-Extensions`.
    pub extensions: Option<&'b [u8]>,
}

/// Why the handshake failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ResponseError {
    /// The server said no.
    #[error("the server refused the upgrade with status {status}")]
    Refused {
        /// HTTP status code.
        status: u16,
        /// `Retry-After` in seconds.
        retry_after_s: Option<u32>,
    },
}

impl ResponseParser {
    /// A parser for the answer to the request that carried `request_key`.
    pub fn new(request_key: [u8; 16]) -> Self {
        Self { request_key }
    }

    /// Looks at what `bytes` holds beyond the previous call's; `None`: read more.
    pub fn parse<'b>(&mut self, _bytes: &'b [u8]) -> Result<Option<Response<'b>>, ResponseError> {
        Ok(None)
    }
}
