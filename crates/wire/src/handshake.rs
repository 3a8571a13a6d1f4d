//! The server's answers to an upgrade request (RFC 6455 4.2.2).

/// A refusal: status line, headers, and one line of plain text that says why.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// HTTP status code.
    pub status: u16,
    /// One line, without its line end.
    pub body: &'a str,
    /// `Retry-After` in seconds.
    pub retry_after_s: Option<u32>,
}

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
pub fn accept_key(_key: &[u8]) -> [u8; 28] {
    [0; 28]
}

/// Appends a refusal.
pub fn append_refusal(_out: &mut Vec<u8>, _refusal: &Refusal<'_>) {}

/// The first of the client's protocols that the server supports, as an index into `supported`.
pub fn choose_subprotocol<'b>(
    mut offered: impl Iterator<Item = &'b str>,
    supported: &[impl AsRef<str>],
) -> Option<usize> {
    offered.find_map(|name| supported.iter().position(|own| own.as_ref() == name))
}
