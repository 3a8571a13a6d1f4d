//! Limits at n and n + 1, and that nothing is held for what was only claimed.

use tidegate_wire::decode::{DecodeError, Decoder, Limits, Role, Shared, State};
use tidegate_wire::pool::{BufferPool, PoolConfig};

use crate::peer::{
    BINARY, BINARY_BEGIN, KEY, LAST, MORE, PING, Receiver, Seen, binary, head, masked, refused, seen,
};

const FRAME_TOO_BIG: DecodeError = DecodeError::FrameTooBig { bytes_max: 1000 };
const MESSAGE_TOO_BIG: DecodeError = DecodeError::MessageTooBig { bytes_max: 1500 };

fn limited() -> Receiver {
    Receiver::with_limits(Limits { frame_bytes_max: 1000, message_bytes_max: 1500 })
}

#[test]
fn a_frame_may_be_as_long_as_the_limit_and_no_longer() {
    assert_eq!(limited().read(&masked(BINARY, &[7; 1000])), seen([binary(&[7; 1000])]));
    assert_eq!(limited().read(&masked(BINARY, &[7; 1001])), refused(FRAME_TOO_BIG));
    assert_eq!(limited().read(&masked(BINARY_BEGIN, &[7; 1000])), seen([]));
    assert_eq!(limited().read(&masked(BINARY_BEGIN, &[7; 1001])), refused(FRAME_TOO_BIG));
}

#[test]
fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    let fragments = |last: usize| [masked(BINARY_BEGIN, &[7; 1000]), masked(LAST, &vec![7; last])].concat();
    assert_eq!(limited().read(&fragments(500)), seen([binary(&[7; 1500])]));
    assert_eq!(limited().read(&fragments(501)), refused(MESSAGE_TOO_BIG));
}

#[test]
fn a_single_frame_keeps_to_the_message_limit_too() {
    let limits = Limits { frame_bytes_max: 1000, message_bytes_max: 100 };
    let read = |len| Receiver::with_limits(limits.clone()).read(&masked(BINARY, &vec![7; len]));

    assert_eq!(read(100), seen([binary(&[7; 100])]));
    assert_eq!(read(101), refused(DecodeError::MessageTooBig { bytes_max: 100 }));
}

#[test]
fn a_claim_over_the_limit_fails_before_the_mask_and_the_payload_arrive() {
    let length_only = &head(BINARY, Some(KEY), 1001)[..4];
    assert_eq!(limited().read(length_only), refused(FRAME_TOO_BIG));

    let mut receiver = limited();
    receiver.read(&masked(BINARY_BEGIN, &[7; 1000]));
    assert_eq!(receiver.read(&head(LAST, Some(KEY), 501)[..4]), refused(MESSAGE_TOO_BIG));
}

#[test]
fn control_frames_are_outside_the_limits_of_messages() {
    let mut receiver = Receiver::with_limits(Limits { frame_bytes_max: 0, message_bytes_max: 0 });
    assert_eq!(receiver.read(&masked(PING, b"ping")), seen([Seen::Ping(b"ping".to_vec())]));
    assert_eq!(receiver.read(&masked(BINARY, b"")), seen([binary(b"")]));
    assert_eq!(receiver.read(&masked(BINARY, b"x")), refused(DecodeError::FrameTooBig { bytes_max: 0 }));
}

#[test]
fn the_largest_limits_do_not_overflow() {
    let mut receiver =
        Receiver::with_limits(Limits { frame_bytes_max: u64::MAX, message_bytes_max: u64::MAX });
    receiver.read(&masked(BINARY_BEGIN, b"x"));
    assert_eq!(receiver.read(&head(LAST, Some(KEY), u64::MAX >> 1)), seen([]));
    assert_eq!(receiver.state(), State::ReadingPayload);
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let mut receiver = Receiver::new(Role::Server);
    receiver.read(&head(BINARY, Some(KEY), 1 << 20));
    assert_eq!(receiver.held_bytes(), 0);

    receiver.read(b"some of it");
    assert_eq!(receiver.held_bytes(), 1024);
}

#[test]
fn an_idle_decoder_holds_no_buffer_whatever_came_before() {
    let mut receiver = Receiver::new(Role::Server);
    let message = masked(BINARY, &[7; 5000]);

    receiver.read(&message[..3000]);
    assert!(receiver.held_bytes() >= 2990);
    assert_eq!(receiver.read(&message[3000..]), seen([binary(&[7; 5000])]));

    assert_eq!(receiver.state(), State::Idle);
    assert_eq!(receiver.held_bytes(), 0);
}

#[test]
fn a_lent_buffer_can_be_given_back_without_decoding() {
    let Receiver { mut decoder, mut shared } = Receiver::new(Role::Server);
    let mut message = masked(BINARY, b"cut in two");
    let (first, second) = message.split_at_mut(9);
    decoder.decode(&mut shared, first).expect("nothing is wrong with it");
    decoder.decode(&mut shared, second).expect("nothing is wrong with it");
    assert_eq!(shared.pool.stats().in_use_bytes, 1024);

    decoder.release();

    assert_eq!(shared.pool.stats().in_use_bytes, 0);
    assert_eq!(decoder.state(), State::Idle);
}

#[test]
fn an_error_gives_the_buffer_back_at_once() {
    let mut receiver = Receiver::new(Role::Server);
    receiver.read(&masked(BINARY_BEGIN, b"begun"));
    receiver.read(&masked(MORE, b"more"));
    assert!(receiver.held_bytes() > 0);

    receiver.read(&masked(BINARY, b"not a continuation"));

    assert_eq!(receiver.held_bytes(), 0);
}

#[test]
fn a_pool_at_its_bound_ends_the_connection_that_asks() {
    let pool = BufferPool::new(PoolConfig { in_use_bytes_max: 1024, free_bytes_max: 0 });
    let limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };
    let mut shared = Shared::new(Role::Server, limits, pool);
    let (mut first, mut second) = (Decoder::new(), Decoder::new());
    let mut half = masked(BINARY, b"half a message");
    half.truncate(10);

    first.decode(&mut shared, &mut half.clone()).expect("the pool has room for one");
    assert_eq!(second.decode(&mut shared, &mut half), Err(DecodeError::PoolExhausted));
    assert_eq!(second.state(), State::Closed);

    // A message that lies whole in the input needs no pool.
    let mut third = Decoder::new();
    let mut whole = masked(BINARY, b"whole");
    assert!(third.decode(&mut shared, &mut whole).expect("nothing is wrong with it").event.is_some());

    // And the first cannot grow past what there is.
    let mut rest = vec![0; 1024];
    assert_eq!(first.decode(&mut shared, &mut rest[..4]).map(|decoded| decoded.consumed), Ok(4));
    let mut grown = Decoder::new();
    drop(first);
    let mut long = masked(BINARY, &[7; 3000]);
    assert_eq!(grown.decode(&mut shared, &mut long[..2000]), Err(DecodeError::PoolExhausted));
    assert_eq!(shared.pool.stats().in_use_bytes, 0);
}

#[test]
fn an_idle_connection_costs_at_most_96_bytes() {
    assert!(size_of::<Decoder>() <= 96, "{}", size_of::<Decoder>());
}
