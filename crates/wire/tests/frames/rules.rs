//! What a header may say, bit by bit.

use tidegate_wire::close::CloseCode;
use tidegate_wire::decode::{DecodeError, Role};

use crate::peer::{
    BINARY, CLOSE, COMPRESSED, KEY, LAST, MORE, NO_TAKEOVER, PING, PONG, Receiver, Seen, TEXT, TEXT_BEGIN,
    binary, head, masked, refused, seen, server_reads, text, unmasked,
};

#[test]
fn the_examples_of_section_5_7_are_read() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(server_reads(&hello), seen([text("Hello")]));
    assert_eq!(server_reads(&pong), seen([Seen::Pong(b"Hello".to_vec())]));

    let mut client = Receiver::new(Role::Client);
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    assert_eq!(client.read(&fragments), seen([text("Hello")]));
    assert_eq!(
        client.read(&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]),
        seen([Seen::Ping(b"Hello".to_vec())])
    );
}

#[test]
fn each_opcode_is_known_or_refused() {
    for opcode in 0..16 {
        let outcome = server_reads(&masked(0x80 | opcode, b""));
        let expected = match opcode {
            0 => refused(DecodeError::UnexpectedContinuation),
            1 => seen([text("")]),
            2 => seen([binary(b"")]),
            8 => seen([Seen::Close(None)]),
            9 => seen([Seen::Ping(vec![])]),
            10 => seen([Seen::Pong(vec![])]),
            reserved => refused(DecodeError::ReservedOpCode(reserved)),
        };
        assert_eq!(outcome, expected, "opcode {opcode}");
    }
}

#[test]
fn each_reserved_bit_is_refused_without_an_extension() {
    for bit in [0x40, 0x20, 0x10] {
        for first in [TEXT, BINARY, CLOSE, PING, PONG, TEXT_BEGIN] {
            let outcome = server_reads(&masked(first | bit, b""));
            assert_eq!(outcome, refused(DecodeError::ReservedBits), "{:#x}", first | bit);
        }
    }
}

#[test]
fn with_deflate_only_the_first_reserved_bit_is_allowed_and_only_on_a_messages_first_frame() {
    let read = |stream: &[u8]| Receiver::with_deflate(Role::Server, &NO_TAKEOVER).read(stream);

    for bit in [0x20, 0x10] {
        assert_eq!(read(&masked(TEXT | bit, b"")), refused(DecodeError::ReservedBits));
        assert_eq!(read(&masked(TEXT | COMPRESSED | bit, b"")), refused(DecodeError::ReservedBits));
    }
    for first in [CLOSE, PING, PONG] {
        let outcome = read(&masked(first | COMPRESSED, b""));
        assert_eq!(outcome, refused(DecodeError::MisplacedCompressedBit), "{first:#x}");
    }
    for last in [MORE, LAST] {
        for begin in [TEXT_BEGIN, TEXT_BEGIN | COMPRESSED] {
            let stream = [masked(begin, b""), masked(last | COMPRESSED, b"")].concat();
            assert_eq!(read(&stream), refused(DecodeError::MisplacedCompressedBit));
        }
    }
}

#[test]
fn a_control_frame_must_not_be_fragmented() {
    for first in [CLOSE, PING, PONG] {
        let outcome = server_reads(&masked(first & !0x80, b""));
        assert_eq!(outcome, refused(DecodeError::FragmentedControl), "{first:#x}");
    }
}

#[test]
fn a_control_frame_carries_125_bytes_and_no_more() {
    let payload = [b'x'; 126];
    assert_eq!(server_reads(&masked(PING, &payload[..125])), seen([Seen::Ping(vec![b'x'; 125])]));

    for first in [CLOSE, PING, PONG] {
        assert_eq!(
            server_reads(&masked(first, &payload)),
            refused(DecodeError::ControlTooLong),
            "{first:#x}"
        );
        // The 64-bit form is told by the same seven bits.
        assert_eq!(server_reads(&head(first, Some(KEY), 65_536)), refused(DecodeError::ControlTooLong));
    }
}

#[test]
fn a_server_wants_a_mask_and_a_client_wants_none() {
    for first in [TEXT, BINARY, CLOSE, PING, PONG] {
        assert_eq!(server_reads(&unmasked(first, b"")), refused(DecodeError::NotMasked), "{first:#x}");
        let outcome = Receiver::new(Role::Client).read(&masked(first, b""));
        assert_eq!(outcome, refused(DecodeError::Masked), "{first:#x}");
    }
}

#[test]
fn a_key_of_zeros_is_a_mask() {
    assert_eq!(server_reads(b"\x81\x82\0\0\0\0ok"), seen([text("ok")]));
}

#[test]
fn a_length_in_more_bytes_than_it_needs_is_refused() {
    let claimed = |field: &[u8]| server_reads(&[&[BINARY], field].concat());
    let medium = |len: u16| claimed(&[&[0x80 | 126][..], &len.to_be_bytes()].concat());
    let long = |len: u64| claimed(&[&[0x80 | 127][..], &len.to_be_bytes()].concat());

    assert_eq!(medium(0), refused(DecodeError::LengthNotMinimal));
    assert_eq!(medium(125), refused(DecodeError::LengthNotMinimal));
    assert_eq!(medium(126), seen([]));
    assert_eq!(long(0), refused(DecodeError::LengthNotMinimal));
    assert_eq!(long(65_535), refused(DecodeError::LengthNotMinimal));
    assert_eq!(long(65_536), seen([]));
}

#[test]
fn a_length_in_more_bytes_than_it_needs_is_refused_even_if_the_whole_frame_is_there() {
    let frame = [&[BINARY, 0x80 | 126, 0, 5][..], &KEY, b"\0\0\0\0\0"].concat();
    assert_eq!(server_reads(&frame), refused(DecodeError::LengthNotMinimal));
}

#[test]
fn the_top_bit_of_a_64_bit_length_is_refused_by_its_first_byte() {
    assert_eq!(server_reads(&[BINARY, 0x80 | 127, 0x80]), refused(DecodeError::LengthTopBit));
    assert_eq!(server_reads(&[BINARY, 0x80 | 127, 0xff]), refused(DecodeError::LengthTopBit));
    let largest = [&[BINARY, 0x80 | 127][..], &(u64::MAX >> 1).to_be_bytes()].concat();
    assert_eq!(server_reads(&largest), refused(DecodeError::FrameTooBig { bytes_max: 1 << 20 }));
}

#[test]
fn each_form_of_length_carries_its_payload() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
        let payload: Vec<u8> = (0..=255).cycle().take(len).collect();
        assert_eq!(server_reads(&masked(BINARY, &payload)), seen([binary(&payload)]), "{len}");
        let outcome = Receiver::new(Role::Client).read(&unmasked(BINARY, &payload));
        assert_eq!(outcome, seen([binary(&payload)]), "{len}");
    }
}

#[test]
fn a_rule_is_judged_by_the_first_byte_that_breaks_it() {
    assert_eq!(server_reads(&[0x83]), refused(DecodeError::ReservedOpCode(3)));
    assert_eq!(server_reads(&[0xc1]), refused(DecodeError::ReservedBits));
    assert_eq!(server_reads(&[0x80]), refused(DecodeError::UnexpectedContinuation));
    assert_eq!(server_reads(&[0x09]), refused(DecodeError::FragmentedControl));
    assert_eq!(server_reads(&[TEXT, 0x05]), refused(DecodeError::NotMasked));
    assert_eq!(server_reads(&[PING, 0x80 | 126]), refused(DecodeError::ControlTooLong));
}

#[test]
fn what_came_before_a_broken_rule_is_delivered() {
    let mut receiver = Receiver::new(Role::Server);
    let stream = [masked(TEXT, b"one"), masked(PING, b"two"), masked(0x83, b"three")].concat();

    let outcome = receiver.read(&stream);

    assert_eq!(outcome.seen, [text("one"), Seen::Ping(b"two".to_vec())]);
    assert_eq!(outcome.error, Some(DecodeError::ReservedOpCode(3)));
}

#[test]
fn each_error_has_a_name_of_its_own_and_the_code_of_its_kind() {
    let max = 9;
    let by_code = [
        (
            CloseCode::PROTOCOL_ERROR,
            vec![
                DecodeError::ReservedBits,
                DecodeError::ReservedOpCode(3),
                DecodeError::MisplacedCompressedBit,
                DecodeError::FragmentedControl,
                DecodeError::ControlTooLong,
                DecodeError::UnexpectedContinuation,
                DecodeError::ExpectedContinuation,
                DecodeError::NotMasked,
                DecodeError::Masked,
                DecodeError::LengthNotMinimal,
                DecodeError::LengthTopBit,
                DecodeError::CloseCodeCut,
                DecodeError::CloseCodeNotAllowed(999),
            ],
        ),
        (
            CloseCode::TOO_BIG,
            vec![DecodeError::FrameTooBig { bytes_max: max }, DecodeError::MessageTooBig { bytes_max: max }],
        ),
        (
            CloseCode::INVALID_PAYLOAD,
            vec![
                DecodeError::TextNotUtf8,
                DecodeError::CloseReasonNotUtf8,
                DecodeError::CompressedCorrupt,
                DecodeError::CompressedTruncated,
            ],
        ),
        (CloseCode::TRY_AGAIN, vec![DecodeError::PoolExhausted]),
    ];

    let mut names = Vec::new();
    for (code, errors) in by_code {
        for error in errors {
            assert_eq!(error.close_code(), code, "{error}");
            names.push(error.name());
        }
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(size_of::<DecodeError>() <= 16);
}
