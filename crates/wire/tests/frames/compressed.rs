//! permessage-deflate as the decoder drives it (RFC 7692, sections 6 and 7.2.2).

use tidegate_wire::decode::{DecodeError, Decoder, Limits, Role, State};
use tidegate_wire::deflate::{Agreement, Deflate, Inflate, Policy, SharedDeflater};

use crate::peer::{
    BINARY, COMPRESSED, LAST, MORE, NO_TAKEOVER, PING, Receiver, Seen, TEXT, TEXT_BEGIN, binary, masked,
    refused, seen, text, unmasked,
};

fn receiver() -> Receiver {
    Receiver::with_deflate(Role::Server, &NO_TAKEOVER)
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    SharedDeflater::new(6).compress(payload, 15).to_vec()
}

#[test]
fn the_example_of_section_7_2_3_1_is_read_whole_and_in_fragments() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(receiver().read(&masked(TEXT | COMPRESSED, &hello)), seen([text("Hello")]));

    let fragments = [masked(TEXT_BEGIN | COMPRESSED, &hello[..3]), masked(LAST, &hello[3..])].concat();
    assert_eq!(receiver().read(&fragments), seen([text("Hello")]));

    let frame = unmasked(TEXT | COMPRESSED, &hello);
    let mut client = Receiver::with_deflate(Role::Client, &NO_TAKEOVER);
    assert_eq!(client.read(&frame), seen([text("Hello")]));
}

#[test]
fn compressed_and_plain_messages_and_control_frames_mix() {
    let sentence = "to be or not to be, ".repeat(50);
    let compressed = deflated(sentence.as_bytes());
    let (first, second) = compressed.split_at(compressed.len() / 2);
    let stream = [
        masked(TEXT, b"plain"),
        masked(TEXT_BEGIN | COMPRESSED, first),
        masked(PING, b"ping"),
        masked(MORE, b""),
        masked(LAST, second),
        masked(BINARY, b"plain again"),
    ]
    .concat();
    let expected = [text("plain"), Seen::Ping(b"ping".to_vec()), text(&sentence), binary(b"plain again")];

    for cut in 0..=stream.len() {
        let mut receiver = receiver();
        assert_eq!(receiver.read_split(&stream, &[cut]), seen(expected.clone()), "cut at {cut}");
        assert_eq!(receiver.held_bytes(), 0);
    }
}

#[test]
fn a_window_that_lives_on_is_followed_from_message_to_message() {
    let agreement =
        Agreement { client_no_context_takeover: false, client_max_window_bits: 12, ..NO_TAKEOVER };
    let policy = Policy {
        enabled: true,
        server_context_takeover: true,
        client_context_takeover: true,
        server_max_window_bits: 15,
        level: 6,
        threshold_bytes: 0,
    };
    let mut sender = Deflate::new(&agreement, Role::Client, &policy);
    let mut deflater = SharedDeflater::new(6);
    let mut receiver = Receiver::with_deflate(Role::Server, &agreement);

    let mut lengths = Vec::new();
    for _ in 0..5 {
        let payload = b"the same words each time: 0123456789abcdef";
        let compressed =
            sender.compress(&mut deflater, payload).expect("a window that lives on is always sent");
        lengths.push(compressed.len());
        assert_eq!(receiver.read(&masked(BINARY | COMPRESSED, compressed)), seen([binary(payload)]));
    }
    assert!(lengths[4] < lengths[0] / 2, "later messages refer to the first: {lengths:?}");
}

#[test]
fn a_message_may_inflate_to_the_limit_and_no_further() {
    let limits = Limits { frame_bytes_max: 1000, message_bytes_max: 5000 };
    let read = |len| {
        let mut receiver = Receiver::with_limits(limits.clone());
        receiver.decoder = Decoder::with_deflate(Inflate::new(&NO_TAKEOVER, Role::Server));
        receiver.read(&masked(BINARY | COMPRESSED, &deflated(&vec![7; len])))
    };

    assert_eq!(read(5000), seen([binary(&[7; 5000])]));
    assert_eq!(read(5001), refused(DecodeError::MessageTooBig { bytes_max: 5000 }));
}

#[test]
fn the_frame_limit_is_for_the_payload_as_it_is_sent() {
    let mut receiver = Receiver::with_limits(Limits { frame_bytes_max: 20, message_bytes_max: 5000 });
    receiver.decoder = Decoder::with_deflate(Inflate::new(&NO_TAKEOVER, Role::Server));
    let compressed = deflated(&[7; 1000]);
    assert!(compressed.len() <= 20);

    assert_eq!(receiver.read(&masked(BINARY | COMPRESSED, &compressed)), seen([binary(&[7; 1000])]));
    let outcome = receiver.read(&masked(BINARY | COMPRESSED, &[0; 21]));
    assert_eq!(outcome, refused(DecodeError::FrameTooBig { bytes_max: 20 }));
}

#[test]
fn a_bomb_dies_at_the_limit_with_no_more_memory_than_the_limit_needs() {
    let bomb = deflated(&vec![0; 8 << 20]);
    let mut receiver = receiver();

    let outcome = receiver.read(&masked(BINARY | COMPRESSED, &bomb));

    assert_eq!(outcome, refused(DecodeError::MessageTooBig { bytes_max: 1 << 20 }));
    assert_eq!(receiver.held_bytes(), 0);
    // Every class from 1 KiB up to the limit, which is a class itself, once.
    assert!(receiver.shared.pool.stats().allocated_total <= 6);
}

#[test]
fn inflated_text_must_be_utf8_and_fails_before_its_message_ends() {
    let compressed = deflated(b"wrong \xff");
    let whole = receiver().read(&masked(TEXT | COMPRESSED, &compressed));
    assert_eq!(whole, refused(DecodeError::TextNotUtf8));
    assert_eq!(receiver().read(&masked(BINARY | COMPRESSED, &compressed)), seen([binary(b"wrong \xff")]));

    let begun = receiver().read(&masked(TEXT_BEGIN | COMPRESSED, &compressed));
    assert_eq!(begun, refused(DecodeError::TextNotUtf8));
}

#[test]
fn an_inflated_text_may_not_end_inside_a_character() {
    let compressed = deflated(&"é".as_bytes()[..1]);
    let outcome = receiver().read(&masked(TEXT | COMPRESSED, &compressed));
    assert_eq!(outcome, refused(DecodeError::TextNotUtf8));
}

#[test]
fn data_that_is_not_deflate_is_refused() {
    // Block type 3 does not exist.
    let outcome = receiver().read(&masked(BINARY | COMPRESSED, &[0x07, 0xff, 0xff]));
    assert_eq!(outcome, refused(DecodeError::CompressedCorrupt));
}

#[test]
fn data_that_ends_too_early_is_refused() {
    let compressed = deflated(b"this will miss its end, this will miss its end");
    let cut = &compressed[..compressed.len() / 2];
    let outcome = receiver().read(&masked(BINARY | COMPRESSED, cut));
    assert_eq!(outcome, refused(DecodeError::CompressedTruncated));
}

#[test]
fn a_half_received_message_gives_back_its_inflater_with_its_connection() {
    let mut receiver = receiver();
    let compressed = deflated(b"half of this message never comes");
    receiver.read(&masked(TEXT_BEGIN | COMPRESSED, &compressed[..10]));
    assert!(receiver.held_bytes() > 1024, "buffer and inflater are counted");
    assert_eq!(receiver.state(), State::BetweenFragments);

    receiver.decoder = Decoder::new();

    assert_eq!(receiver.held_bytes(), 0);
}
