//! Text is UTF-8 (RFC 6455, section 8.1), and fails at its first wrong byte.

use tidegate_wire::decode::{DecodeError, Role};

use crate::peer::{
    BINARY, LAST, MORE, NO_TAKEOVER, PING, Receiver, Seen, TEXT, TEXT_BEGIN, binary, head, masked, refused,
    seen, server_reads, text, unmasked,
};

const NOT_UTF8: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";

#[test]
fn text_that_is_not_utf8_is_refused_and_binary_is_not_looked_at() {
    assert_eq!(server_reads(&masked(TEXT, NOT_UTF8)), refused(DecodeError::TextNotUtf8));
    assert_eq!(server_reads(&masked(BINARY, NOT_UTF8)), seen([binary(NOT_UTF8)]));
    let client = Receiver::new(Role::Client).read(&unmasked(TEXT, NOT_UTF8));
    assert_eq!(client, refused(DecodeError::TextNotUtf8));
}

#[test]
fn characters_may_be_cut_by_fragments_and_reads() {
    let sentence = "κόσμε \u{1f980} \u{10ffff}";
    let stream: Vec<u8> = sentence
        .bytes()
        .enumerate()
        .flat_map(|(at, byte)| masked(if at == 0 { TEXT_BEGIN } else { MORE }, &[byte]))
        .chain(masked(LAST, b""))
        .collect();

    assert_eq!(server_reads(&stream), seen([text(sentence)]));
    let whole = masked(TEXT, sentence.as_bytes());
    for cut in 0..whole.len() {
        assert_eq!(Receiver::new(Role::Server).read_split(&whole, &[cut]), seen([text(sentence)]), "{cut}");
    }
}

#[test]
fn text_may_not_end_inside_a_character() {
    let cut = &"κόσμε".as_bytes()[..9];
    assert_eq!(server_reads(&masked(TEXT, cut)), refused(DecodeError::TextNotUtf8));

    let stream = [masked(TEXT_BEGIN, cut), masked(LAST, b"")].concat();
    assert_eq!(server_reads(&stream), refused(DecodeError::TextNotUtf8));
}

#[test]
fn a_wrong_fragment_fails_before_the_message_ends() {
    let stream = [masked(TEXT_BEGIN, b"good"), masked(MORE, NOT_UTF8)].concat();
    assert_eq!(server_reads(&stream), refused(DecodeError::TextNotUtf8));
}

#[test]
fn a_wrong_byte_fails_before_its_frame_ends() {
    // The header claims much more than is sent.
    let mut stream = head(TEXT, None, 60_000);
    stream.extend_from_slice(b"good \xf4\x8f");
    let mut client = Receiver::new(Role::Client);

    assert_eq!(client.read(&stream), seen([]));
    // U+110000 and more: the third byte of the character cannot be this one.
    assert_eq!(client.read(b"\xff"), refused(DecodeError::TextNotUtf8));
}

#[test]
fn a_second_byte_that_rules_out_every_character_fails_at_once() {
    for wrong in [b"\xf4\x90", b"\xed\xa0", b"\xe0\x80", b"\xf0\x80"] {
        let mut stream = head(TEXT, None, 1000);
        stream.extend_from_slice(wrong);
        let outcome = Receiver::new(Role::Client).read(&stream);
        assert_eq!(outcome, refused(DecodeError::TextNotUtf8), "{wrong:x?}");
    }
}

#[test]
fn a_ping_inside_a_cut_character_is_not_text() {
    let crab = "\u{1f980}".as_bytes();
    let stream = [masked(TEXT_BEGIN, &crab[..2]), masked(PING, b"\xff"), masked(LAST, &crab[2..])].concat();
    assert_eq!(server_reads(&stream), seen([Seen::Ping(vec![0xff]), text("\u{1f980}")]));
}

#[test]
fn the_next_message_starts_with_a_clean_slate() {
    let mut receiver = Receiver::with_deflate(Role::Server, &NO_TAKEOVER);
    let stream = [masked(TEXT_BEGIN, b"a"), masked(LAST, b"b"), masked(TEXT_BEGIN, b"c"), masked(LAST, b"d")];
    assert_eq!(receiver.read(&stream.concat()), seen([text("ab"), text("cd")]));
}
