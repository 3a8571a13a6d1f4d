//! The server's answers to an upgrade request (RFC 6455 4.2.2), appended to the connection's outgoing bytes.
//!
//! Place in the data path: after `request.rs` and admission, before the first frame. Nothing here allocates
//! beyond the room that `out` needs.

use sha1::{Digest, Sha1};

use crate::deflate;

pub(crate) mod base64;

/// A refusal: status line, headers, and one line of plain text that says why.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// HTTP status code, 400 to 599.
    pub status: u16,
    /// One line without its line end, and without secrets.
    pub body: &'a str,
    /// When to come back, in seconds: for 429 and 503.
    pub retry_after_s: Option<u32>,
}

/// The value of `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 4.2.2, step 5.4).
#[inline]
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    base64::encode_twenty_bytes(&digest.0)
}

/// Appends the 101 response.
///
/// `subprotocol` must be one that the client offered, and `deflate` what was negotiated from its offers.
pub fn append_accept(
    out: &mut Vec<u8>,
    key: &[u8],
    subprotocol: Option<&str>,
    deflate: Option<&deflate::Agreement>,
) {
    out.reserve(ACCEPT_BYTES_TYPICAL);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept_key(key));
    if let Some(subprotocol) = subprotocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(subprotocol.as_bytes());
    }
    if let Some(agreement) = deflate {
        out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        agreement.append_response(out);
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// Appends a refusal, after which the connection is to be closed.
///
/// Headers that a status calls for come by themselves: `Allow` with 405, `Upgrade` and `Sec-WebSocket-Version` with 426
/// (RFC 9110 15.5.6, 15.5.22; RFC 6455 4.4).
pub fn append_refusal(out: &mut Vec<u8>, refusal: &Refusal<'_>) {
    let Refusal { status, body, retry_after_s } = *refusal;
    out.reserve(REFUSAL_BYTES_TYPICAL + body.len());
    out.extend_from_slice(b"HTTP/1.1 ");
    append_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    match status {
        405 => out.extend_from_slice(b"\r\nAllow: GET\r\nConnection: close"),
        426 => out.extend_from_slice(
            b"\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close",
        ),
        _ => out.extend_from_slice(b"\r\nConnection: close"),
    }
    if let Some(seconds) = retry_after_s {
        out.extend_from_slice(b"\r\nRetry-After: ");
        append_decimal(out, u64::from(seconds));
    }
    out.extend_from_slice(b"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
    append_decimal(out, body.len() as u64 + 1);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body.as_bytes());
    out.push(b'\n');
}

/// The first of the client's protocols that the server supports, as an index into `supported`. Case matters
/// (RFC 6455 11.3.4 compares the names as they are).
pub fn choose_subprotocol<'b>(
    mut offered: impl Iterator<Item = &'b str>,
    supported: &[impl AsRef<str>],
) -> Option<usize> {
    offered.find_map(|name| supported.iter().position(|own| own.as_ref() == name))
}

/// Appends digits without a buffer of `format!` between.
fn append_decimal(out: &mut Vec<u8>, number: u64) {
    if number >= 10 {
        append_decimal(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

/// What a status is called (RFC 9110 15, RFC 6585); clients read the number.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}

/// Follows the key in the digest (RFC 6455 1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Room for a 101 with a subprotocol and an extension: one growth of an empty buffer at most.
const ACCEPT_BYTES_TYPICAL: usize = 384;

/// Room for a refusal's head.
const REFUSAL_BYTES_TYPICAL: usize = 256;

#[cfg(test)]
mod tests;
