//! The handshake without any of its rules: the path, the key by a plain search, and the fixed answer.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use tidegate_wire::handshake::accept_key;

/// What is needed of a request.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Request<'b> {
    pub(super) path: &'b [u8],
    pub(super) key: &'b [u8],
    /// Length of the head; frames may follow.
    pub(super) len: usize,
}

/// Searchers are built once, as a parser's tables are.
struct Finders {
    end: Finder<'static>,
    key: Finder<'static>,
}

static FINDERS: LazyLock<Finders> =
    LazyLock::new(|| Finders { end: Finder::new(b"\r\n\r\n"), key: Finder::new(b"-WebSocket-Key: ") });

const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: ";
const TAIL: &[u8] = b"\r\n\r\n";
const ACCEPT_BYTES: usize = 28;
const KEY_BYTES: usize = 24;
const ANSWER_BYTES: usize = HEAD.len() + ACCEPT_BYTES + TAIL.len();

/// `None`: the head is not complete. `Some(None)`: it is, and it is no upgrade.
pub(super) fn find(bytes: &[u8]) -> Option<Option<Request<'_>>> {
    let len = FINDERS.end.find(bytes)? + TAIL.len();
    let head = &bytes[..len];
    Some(request(head))
}

fn request(head: &[u8]) -> Option<Request<'_>> {
    let rest = head.strip_prefix(b"GET ")?;
    let path = &rest[..memchr::memchr(b' ', rest)?];
    let key_at = FINDERS
        .key
        .find(head)
        .map(|at| at + FINDERS.key.needle().len())
        .or_else(|| find_ignoring_case(head))?;
    Some(Request { path, key: head.get(key_at..key_at + KEY_BYTES)?, len: head.len() })
}

/// For clients that spell the header in another way: slow, and no load generator does it.
fn find_ignoring_case(head: &[u8]) -> Option<usize> {
    let name = b"\r\nsec-websocket-key:";
    let lower = head.to_ascii_lowercase();
    let value_at = memmem::find(&lower, name)? + name.len();
    Some(value_at + head[value_at..].iter().take_while(|byte| **byte == b' ').count())
}

/// The 101 answer to `key`.
pub(super) fn answer(key: &[u8]) -> [u8; ANSWER_BYTES] {
    let mut answer = [0; ANSWER_BYTES];
    let (head, rest) = answer.split_at_mut(HEAD.len());
    let (accept, tail) = rest.split_at_mut(ACCEPT_BYTES);
    head.copy_from_slice(HEAD);
    accept.copy_from_slice(&accept_key(key));
    tail.copy_from_slice(TAIL);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"GET /raw/a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    #[test]
    fn path_key_and_length_are_found() {
        let mut bytes = REQUEST.to_vec();
        bytes.extend_from_slice(b"frames");
        let request = find(&bytes).unwrap().unwrap();
        assert_eq!(request.path, b"/raw/a");
        assert_eq!(request.key, b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(request.len, REQUEST.len());
    }

    #[test]
    fn an_incomplete_head_waits_and_one_without_key_is_no_upgrade() {
        assert_eq!(find(&REQUEST[..REQUEST.len() - 1]), None);
        assert_eq!(find(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Some(None));
        assert_eq!(find(b"POST / HTTP/1.1\r\n\r\n"), Some(None));
    }

    #[test]
    fn the_header_may_be_spelled_in_another_way() {
        let lower =
            String::from_utf8(REQUEST.to_vec()).unwrap().replace("Sec-WebSocket-Key: ", "sec-websocket-key:");
        assert_eq!(find(lower.as_bytes()).unwrap().unwrap().key, b"dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        let answer = String::from_utf8(answer(b"dGhlIHNhbXBsZSBub25jZQ==").to_vec()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "));
        assert!(
            answer.ends_with("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
            "{answer}"
        );
    }
}
