//! The same streams through tungstenite: same messages, same verdict.
//!
//! Where the two differ on purpose:
//! - tungstenite takes a length in more bytes than it needs, which section 5.2 forbids;
//! - it answers a close code that must not be sent with a close event of 1002 of its own, where we report the broken rule;
//! - it counts 1014 (bad gateway) among those codes, which IANA has registered since.
//!
//! It also judges a frame only when it is complete. So that it always comes to judge, broken streams are followed by more
//! zeros than any frame may be long, which in turn are empty fragments to a client and refused by a server.

use std::io::{self, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use tidegate_wire::decode::{DecodeError, Limits, Role, State};

use crate::peer::{LIMITS, Outcome, Receiver, Seen};
use crate::streams::{Mutation, mutation, sent};

const SMALL: Limits = Limits { frame_bytes_max: 1000, message_bytes_max: 1500 };

/// How a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Open,
    Closed,
    Refused,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn both_read_the_same_from_valid_streams(sent in sent()) {
        let sent = sent.without_compression();
        for (sender, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
            let stream = sent.encode(sender);
            let (ours, our_verdict) = we_read(&stream, role, &LIMITS);
            let (theirs, their_verdict) = they_read(&stream, role, &LIMITS);

            assert_same(&ours, our_verdict, &theirs, their_verdict)?;
            prop_assert_ne!(our_verdict, Verdict::Refused);
        }
    }

    #[test]
    fn both_read_the_same_from_broken_streams_and_refuse_them_at_the_same_place(
        sent in sent(),
        mutations in vec(mutation(), 0..4),
    ) {
        for (sender, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
            let stream = broken(sent.encode(sender), &mutations);
            let (ours, our_verdict) = we_read(&stream, role, &SMALL);
            let (theirs, their_verdict) = they_read(&stream, role, &SMALL);
            assert_same(&ours, our_verdict, &theirs, their_verdict)?;
        }
    }
}

#[test]
fn the_differences_are_real() {
    let too_long = [0x82, 0xfe, 0, 1, 0, 0, 0, 0, 7];
    let (ours, _) = we_read(&too_long, Role::Server, &LIMITS);
    assert_eq!(ours.error, Some(DecodeError::LengthNotMinimal));
    assert_eq!(they_read(&too_long, Role::Server, &LIMITS), (vec![Seen::Binary(vec![7])], Verdict::Open));

    let close = |code: u16| [&[0x88, 2][..], &code.to_be_bytes()].concat();
    let violation = vec![Seen::Close(Some((1002, VIOLATION.into())))];
    assert_eq!(
        we_read(&close(1005), Role::Client, &LIMITS).0.error,
        Some(DecodeError::CloseCodeNotAllowed(1005))
    );
    assert_eq!(they_read(&close(1005), Role::Client, &LIMITS).0, violation);
    let (ours, _) = we_read(&close(1014), Role::Client, &LIMITS);
    assert_eq!(ours.seen, [Seen::Close(Some((1014, String::new())))]);
    assert_eq!(they_read(&close(1014), Role::Client, &LIMITS).0, violation);
}

/// What tungstenite says of a close code that must not be sent.
const VIOLATION: &str = "Protocol violation";

fn assert_same(
    ours: &Outcome,
    our_verdict: Verdict,
    theirs: &[Seen],
    their_verdict: Verdict,
) -> Result<(), TestCaseError> {
    if ours.error == Some(DecodeError::LengthNotMinimal) {
        prop_assert!(theirs.starts_with(&ours.seen));
        return Ok(());
    }
    let mut expected = ours.seen.clone();
    let mut expected_verdict = our_verdict;
    let is_violation = match (ours.error, ours.seen.last()) {
        // Its reason may be wrong too, and that they refuse, before they look at the code.
        (Some(DecodeError::CloseCodeNotAllowed(_)), _) => their_verdict == Verdict::Closed,
        (None, Some(Seen::Close(Some((1014, _))))) => expected.pop().is_some(),
        _ => false,
    };
    if is_violation {
        expected.push(Seen::Close(Some((1002, VIOLATION.into()))));
        expected_verdict = Verdict::Closed;
    }
    prop_assert_eq!(&expected[..], theirs);
    prop_assert_eq!(expected_verdict, their_verdict);
    Ok(())
}

fn broken(mut stream: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        mutation.apply(&mut stream);
    }
    let padding = SMALL.frame_bytes_max as usize + 20;
    stream.resize(stream.len() + padding, 0);
    stream
}

fn we_read(stream: &[u8], role: Role, limits: &Limits) -> (Outcome, Verdict) {
    let mut receiver = Receiver::new(role);
    receiver.shared.limits = limits.clone();
    let outcome = receiver.read(stream);
    let verdict = match (outcome.error, receiver.state()) {
        (Some(_), _) => Verdict::Refused,
        (None, State::Closed) => Verdict::Closed,
        (None, _) => Verdict::Open,
    };
    (outcome, verdict)
}

fn they_read(stream: &[u8], role: Role, limits: &Limits) -> (Vec<Seen>, Verdict) {
    let role = match role {
        Role::Server => TheirRole::Server,
        Role::Client => TheirRole::Client,
    };
    let config = WebSocketConfig::default()
        .max_frame_size(Some(limits.frame_bytes_max as usize))
        .max_message_size(Some(limits.message_bytes_max as usize));
    let mut socket = WebSocket::from_raw_socket(Wire { unread: stream }, role, Some(config));
    let mut seen = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => seen.push(Seen::Text(text.as_str().to_owned())),
            Ok(Message::Binary(bytes)) => seen.push(Seen::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => seen.push(Seen::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => seen.push(Seen::Pong(bytes.to_vec())),
            Ok(Message::Close(close)) => {
                seen.push(Seen::Close(
                    close.map(|close| (close.code.into(), close.reason.as_str().to_owned())),
                ));
                return (seen, Verdict::Closed);
            }
            Ok(Message::Frame(_)) => unreachable!("frames are only written"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (seen, Verdict::Open);
            }
            Err(_) => return (seen, Verdict::Refused),
        }
    }
}

/// A socket that has received a stream and swallows every answer.
struct Wire<'s> {
    unread: &'s [u8],
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.unread.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
