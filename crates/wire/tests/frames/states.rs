//! The states that are counted from outside, at each byte where they change.

use tidegate_wire::decode::{Role, State};

use crate::peer::{BINARY, CLOSE, KEY, LAST, MORE, PING, Receiver, TEXT, TEXT_BEGIN, head, masked, unmasked};

/// The states after each byte of a stream.
fn states(receiver: &mut Receiver, stream: &[u8]) -> Vec<State> {
    stream
        .iter()
        .map(|&byte| {
            assert_eq!(receiver.read(&[byte]).error, None);
            receiver.state()
        })
        .collect()
}

fn repeated(parts: &[(State, usize)]) -> Vec<State> {
    parts.iter().flat_map(|&(state, count)| std::iter::repeat_n(state, count)).collect()
}

#[test]
fn a_short_masked_frame_passes_through_header_mask_and_payload() {
    let mut receiver = Receiver::new(Role::Server);
    assert_eq!(receiver.state(), State::Idle);

    let expected = repeated(&[
        (State::ReadingHeader, 1),
        (State::ReadingMask, 4),
        (State::ReadingPayload, 3),
        (State::Idle, 1),
    ]);
    assert_eq!(states(&mut receiver, &masked(TEXT, b"abc")), expected);
}

#[test]
fn longer_lengths_are_header_until_their_last_byte() {
    for (payload_len, header_bytes) in [(126, 3), (65_536, 9)] {
        let mut receiver = Receiver::new(Role::Server);
        let expected = repeated(&[
            (State::ReadingHeader, header_bytes),
            (State::ReadingMask, 4),
            (State::ReadingPayload, 1),
        ]);
        assert_eq!(states(&mut receiver, &head(BINARY, Some(KEY), payload_len)), expected);
    }
}

#[test]
fn an_unmasked_frame_has_no_mask_to_read() {
    let mut receiver = Receiver::new(Role::Client);
    let expected = repeated(&[(State::ReadingHeader, 1), (State::ReadingPayload, 3), (State::Idle, 1)]);
    assert_eq!(states(&mut receiver, &unmasked(TEXT, b"abc")), expected);
}

#[test]
fn an_empty_frame_has_no_payload_to_read() {
    let mut receiver = Receiver::new(Role::Server);
    let expected = repeated(&[(State::ReadingHeader, 1), (State::ReadingMask, 4), (State::Idle, 1)]);
    assert_eq!(states(&mut receiver, &masked(PING, b"")), expected);
}

#[test]
fn between_fragments_is_a_state_until_the_last_one_ends() {
    let mut receiver = Receiver::new(Role::Server);

    for frame in [masked(TEXT_BEGIN, b"a"), masked(MORE, b""), masked(PING, b"p"), masked(MORE, b"b")] {
        receiver.read(&frame);
        assert_eq!(receiver.state(), State::BetweenFragments);
    }
    let last = masked(LAST, b"c");
    receiver.read(&last[..1]);
    assert_eq!(receiver.state(), State::ReadingHeader);
    receiver.read(&last[1..]);
    assert_eq!(receiver.state(), State::Idle);
}

#[test]
fn a_close_is_the_last_state() {
    let mut receiver = Receiver::new(Role::Server);
    receiver.read(&masked(CLOSE, b""));
    assert_eq!(receiver.state(), State::Closed);
}

#[test]
fn a_deadline_runs_while_the_peer_owes_something() {
    let unfinished: Vec<State> = State::ALL.into_iter().filter(|state| state.is_unfinished()).collect();
    let expected = [State::ReadingHeader, State::ReadingMask, State::ReadingPayload, State::BetweenFragments];
    assert_eq!(unfinished, expected);
}

#[test]
fn all_names_every_state_at_its_number() {
    for (number, state) in State::ALL.into_iter().enumerate() {
        assert_eq!(state as usize, number);
    }
    let names = State::ALL.map(State::name);
    assert_eq!(
        names,
        ["idle", "reading_header", "reading_mask", "reading_payload", "between_fragments", "closed"]
    );
}
