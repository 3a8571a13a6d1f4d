//! Messages of several frames, and what may come between them (RFC 6455, section 5.4).

use tidegate_wire::decode::{DecodeError, Role, State};

use crate::peer::{
    BINARY, BINARY_BEGIN, CLOSE, LAST, MORE, PING, PONG, Receiver, Seen, TEXT, TEXT_BEGIN, binary, masked,
    refused, seen, server_reads, text, unmasked,
};

#[test]
fn fragments_come_out_once_and_whole() {
    let stream =
        [masked(TEXT_BEGIN, b"one "), masked(MORE, b"two "), masked(MORE, b""), masked(LAST, b"three")];
    assert_eq!(server_reads(&stream.concat()), seen([text("one two three")]));

    let stream = [unmasked(BINARY_BEGIN, &[1]), unmasked(LAST, &[2])];
    assert_eq!(Receiver::new(Role::Client).read(&stream.concat()), seen([binary(&[1, 2])]));
}

#[test]
fn empty_fragments_make_an_empty_message() {
    let stream = [masked(TEXT_BEGIN, b""), masked(MORE, b""), masked(LAST, b"")].concat();
    let mut receiver = Receiver::new(Role::Server);

    assert_eq!(receiver.read(&stream), seen([text("")]));
    assert_eq!(receiver.held_bytes(), 0);
}

#[test]
fn control_frames_between_fragments_come_out_first_and_leave_the_message_as_it_was() {
    let stream = [
        masked(TEXT_BEGIN, b"one "),
        masked(PING, b"ping"),
        masked(MORE, b"two "),
        masked(PONG, b""),
        masked(LAST, b"three"),
        masked(TEXT, b"next"),
    ]
    .concat();
    let expected = [Seen::Ping(b"ping".to_vec()), Seen::Pong(vec![]), text("one two three"), text("next")];

    assert_eq!(server_reads(&stream), seen(expected.clone()));
    for cut in 0..=stream.len() {
        let outcome = Receiver::new(Role::Server).read_split(&stream, &[cut]);
        assert_eq!(outcome, seen(expected.clone()), "cut at {cut}");
    }
    let bytes = Receiver::new(Role::Server).read_split(&stream, &vec![1; stream.len()]);
    assert_eq!(bytes, seen(expected));
}

#[test]
fn a_continuation_needs_a_message_to_continue() {
    for first in [MORE, LAST] {
        assert_eq!(server_reads(&masked(first, b"x")), refused(DecodeError::UnexpectedContinuation));
    }

    // Neither a whole message nor one that has ended can be continued.
    let mut receiver = Receiver::new(Role::Server);
    assert_eq!(receiver.read(&masked(TEXT, b"whole")), seen([text("whole")]));
    let ended = [masked(TEXT_BEGIN, b"a"), masked(LAST, b"b")].concat();
    assert_eq!(receiver.read(&ended), seen([text("ab")]));
    assert_eq!(receiver.read(&masked(LAST, b"x")), refused(DecodeError::UnexpectedContinuation));
}

#[test]
fn a_new_message_must_wait_for_the_end_of_a_fragmented_one() {
    for begin in [TEXT_BEGIN, BINARY_BEGIN] {
        for next in [TEXT, BINARY, TEXT_BEGIN, BINARY_BEGIN] {
            let stream = [masked(begin, b"a"), masked(next, b"b")].concat();
            assert_eq!(server_reads(&stream), refused(DecodeError::ExpectedContinuation), "{next:#x}");
        }
    }
}

#[test]
fn a_close_may_come_between_fragments_and_ends_the_message_with_everything() {
    let mut receiver = Receiver::new(Role::Server);
    assert_eq!(receiver.read(&masked(TEXT_BEGIN, b"never finished")), seen([]));
    assert!(receiver.held_bytes() > 0);

    assert_eq!(receiver.read(&masked(CLOSE, b"\x03\xe8")), seen([Seen::Close(Some((1000, String::new())))]));

    assert_eq!(receiver.state(), State::Closed);
    assert_eq!(receiver.held_bytes(), 0);
}

#[test]
fn a_control_frame_cut_in_two_inside_a_message_shares_its_buffer() {
    let mut receiver = Receiver::new(Role::Server);
    receiver.read(&masked(TEXT_BEGIN, b"one "));
    let held = receiver.held_bytes();
    let ping = masked(PING, b"ping");

    receiver.read(&ping[..8]);
    assert_eq!(receiver.held_bytes(), held);
    assert_eq!(receiver.read(&ping[8..]), seen([Seen::Ping(b"ping".to_vec())]));
    assert_eq!(receiver.read(&masked(LAST, b"two")), seen([text("one two")]));
}
