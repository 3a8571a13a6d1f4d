//! Close frames as they come in (RFC 6455, sections 5.5.1 and 7.4).

use tidegate_wire::close::{self, CloseCode};
use tidegate_wire::decode::{DecodeError, Role, State};

use crate::peer::{CLOSE, KEY, Receiver, Seen, TEXT, masked, refused, seen, server_reads};

#[test]
fn a_close_may_be_empty() {
    assert_eq!(server_reads(&masked(CLOSE, b"")), seen([Seen::Close(None)]));
}

#[test]
fn a_code_has_two_bytes() {
    assert_eq!(server_reads(&masked(CLOSE, &[0x03])), refused(DecodeError::CloseCodeCut));
    assert_eq!(server_reads(&masked(CLOSE, &[0x03, 0xe8])), seen([Seen::Close(Some((1000, String::new())))]));
}

#[test]
fn codes_are_received_inside_their_ranges_and_nowhere_else() {
    for code in [1000, 1003, 1007, 1014, 3000, 4999] {
        let outcome = server_reads(&masked(CLOSE, &u16::to_be_bytes(code)));
        assert_eq!(outcome, seen([Seen::Close(Some((code, String::new())))]), "{code}");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
        let outcome = server_reads(&masked(CLOSE, &u16::to_be_bytes(code)));
        assert_eq!(outcome, refused(DecodeError::CloseCodeNotAllowed(code)), "{code}");
    }
}

#[test]
fn a_reason_is_utf8_of_at_most_123_bytes() {
    let longest = [&[0x03, 0xe8][..], &[b'x'; 123]].concat();
    assert_eq!(server_reads(&masked(CLOSE, &longest)), seen([Seen::Close(Some((1000, "x".repeat(123))))]));
    let longer = [&longest[..], b"x"].concat();
    assert_eq!(server_reads(&masked(CLOSE, &longer)), refused(DecodeError::ControlTooLong));
    let wrong = [&[0x03, 0xe8][..], b"\xce\xba\xff"].concat();
    assert_eq!(server_reads(&masked(CLOSE, &wrong)), refused(DecodeError::CloseReasonNotUtf8));
}

#[test]
fn after_a_close_everything_is_consumed_in_silence() {
    let mut receiver = Receiver::new(Role::Server);
    let stream = [masked(CLOSE, b""), masked(TEXT, b"too late"), vec![0xff; 100]].concat();

    assert_eq!(receiver.read(&stream), seen([Seen::Close(None)]));
    assert_eq!(receiver.read(&masked(TEXT, b"later still")), seen([]));
    assert_eq!(receiver.state(), State::Closed);
}

#[test]
fn after_an_error_everything_is_consumed_in_silence() {
    let mut receiver = Receiver::new(Role::Server);

    assert_eq!(receiver.read(&masked(0x83, b"")), refused(DecodeError::ReservedOpCode(3)));
    assert_eq!(receiver.read(&masked(TEXT, b"too late")), seen([]));
    assert_eq!(receiver.state(), State::Closed);
}

#[test]
fn a_close_cut_anywhere_is_read_and_gives_its_buffer_back() {
    let frame = masked(CLOSE, b"\x0f\xa0an application's reason");
    for cut in 0..=frame.len() {
        let mut receiver = Receiver::new(Role::Server);
        let outcome = receiver.read_split(&frame, &[cut]);
        assert_eq!(outcome, seen([Seen::Close(Some((4000, "an application's reason".into())))]), "{cut}");
        assert_eq!(receiver.held_bytes(), 0, "{cut}");
    }
}

#[test]
fn a_wrong_close_cut_anywhere_gives_its_buffer_back_with_the_error() {
    let frame = masked(CLOSE, b"\x03\xe8\xff");
    for cut in 0..=frame.len() {
        let mut receiver = Receiver::new(Role::Server);
        let outcome = receiver.read_split(&frame, &[cut]);
        assert_eq!(outcome, refused(DecodeError::CloseReasonNotUtf8), "{cut}");
        assert_eq!(receiver.held_bytes(), 0, "{cut}");
    }
}

#[test]
fn what_close_writes_is_what_decode_reads() {
    let (mut from_server, mut from_client) = (Vec::new(), Vec::new());
    close::append(&mut from_server, Some(CloseCode::RESTART), "back soon");
    close::append_masked(&mut from_client, KEY, Some(CloseCode::RESTART), "back soon");

    let expected = seen([Seen::Close(Some((1012, "back soon".into())))]);
    assert_eq!(Receiver::new(Role::Client).read(&from_server), expected);
    assert_eq!(server_reads(&from_client), expected);
}
