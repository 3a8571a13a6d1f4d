//! Properties over generated streams.

use proptest::collection::vec;
use proptest::prelude::*;

use tidegate_wire::decode::{DecodeError, Decoder, Role, State};
use tidegate_wire::deflate::Inflate;

use crate::peer::{NO_TAKEOVER, Outcome, Receiver};
use crate::streams::{mutation, sent};

const ROLES: [(Role, Role); 2] = [(Role::Client, Role::Server), (Role::Server, Role::Client)];

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_is_what_is_received(sent in sent()) {
        for (sender, receiver) in ROLES {
            let mut receiver = Receiver::with_deflate(receiver, &NO_TAKEOVER);
            let outcome = receiver.read(&sent.encode(sender));

            prop_assert_eq!(outcome, Outcome { seen: sent.expected(), error: None });
            prop_assert_eq!(receiver.held_bytes(), 0);
            prop_assert!(matches!(receiver.state(), State::Idle | State::Closed));
        }
    }

    #[test]
    fn any_split_of_a_valid_stream_gives_the_same_events(sent in sent(), lengths in lengths()) {
        for (sender, receiver) in ROLES {
            let mut receiver = Receiver::with_deflate(receiver, &NO_TAKEOVER);
            let outcome = receiver.read_split(&sent.encode(sender), &lengths);

            prop_assert_eq!(outcome, Outcome { seen: sent.expected(), error: None });
            prop_assert_eq!(receiver.held_bytes(), 0);
        }
    }

    #[test]
    fn any_split_of_a_broken_stream_gives_the_same_events_and_the_same_verdict(
        sent in sent(),
        mutations in vec(mutation(), 1..4),
        lengths in lengths(),
        with_deflate in any::<bool>(),
    ) {
        let mut stream = sent.encode(Role::Client);
        for mutation in &mutations {
            mutation.apply(&mut stream);
        }
        assert_split_changes_nothing(&stream, &lengths, with_deflate)?;
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_same_events_and_the_same_verdict(
        stream in vec(prop_oneof![any::<u8>(), 0x80..=0x8a_u8], 0..300),
        lengths in lengths(),
        with_deflate in any::<bool>(),
    ) {
        assert_split_changes_nothing(&stream, &lengths, with_deflate)?;
    }
}

/// Mostly short reads, so that they end inside headers too.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 0..8_usize, 2 => 0..200_usize, 1 => 0..20_000_usize], 0..60)
}

fn assert_split_changes_nothing(
    stream: &[u8],
    lengths: &[usize],
    with_deflate: bool,
) -> Result<(), TestCaseError> {
    let receiver = || {
        let mut receiver = Receiver::new(Role::Server);
        if with_deflate {
            receiver.decoder = Decoder::with_deflate(Inflate::new(&NO_TAKEOVER, Role::Server));
        }
        receiver
    };
    let (mut whole, mut split, mut bytewise) = (receiver(), receiver(), receiver());
    let expected = whole.read(stream);
    for (receiver, lengths) in [(&mut split, lengths), (&mut bytewise, &vec![1; stream.len()][..])] {
        let outcome = receiver.read_split(stream, lengths);
        prop_assert_eq!(&outcome.seen, &expected.seen);
        prop_assert_eq!(outcome.error, expected.error);
        prop_assert_eq!(receiver.state(), whole.state());
        if matches!(receiver.state(), State::Idle | State::Closed) {
            prop_assert_eq!(receiver.held_bytes(), 0);
        }
        prop_assert_ne!(outcome.error, Some(DecodeError::PoolExhausted));
    }
    Ok(())
}
