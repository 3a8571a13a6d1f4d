use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_protocol::channel::Channel;
use tidegate_protocol::node::{Publication, PublicationKind, append};
use tidegate_protocol::position::{Epoch, Link, Position, Tag};

use super::*;

#[test]
fn a_publication_of_a_stream_is_described_in_headers() {
    let link = Link { tag: Tag::new(0xab), previous: Tag::ORIGIN };
    let message = encode(Publication {
        position: Some(Position { epoch: Epoch::new(36), offset: 18 }),
        link: Some(link),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ..publication()
    });

    let (headers, payload) = seal(std::slice::from_ref(&message), true);
    let headers = headers.unwrap();
    let value = |name| headers.get(name).unwrap().as_str();
    assert_eq!(payload, message);
    assert_eq!(
        (value("Tidegate-Version"), value("Tidegate-Epoch"), value("Tidegate-Offset")),
        ("1", "10", "18")
    );
    assert_eq!(value("Tidegate-Tag"), "00000000000000ab");
    assert_eq!(value("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
}

#[test]
fn what_has_nothing_to_say_or_is_not_asked_to_has_no_headers() {
    let plain = encode(publication());
    let placed =
        encode(Publication { position: Some(Position { epoch: Epoch::new(1), offset: 1 }), ..publication() });

    assert!(seal(&[plain], true).0.is_none());
    assert!(seal(&[placed], false).0.is_none());
    assert!(seal(&[Bytes::from_static(b"no node message")], true).0.is_none());
    assert!(seal(&[Bytes::new()], true).0.is_none());
}

#[test]
fn a_trace_that_would_break_out_of_its_header_is_left_out() {
    let message = encode(Publication { trace: Some("00\r\nTidegate-Parts: 1"), ..publication() });

    assert!(seal(&[message], true).0.unwrap().get("traceparent").is_none());
}

#[test]
fn a_batch_that_was_cut_wrongly_is_no_batch() {
    for parts in ["", "1", "1,1,2", "3,-1", "x", "1,,1", "4", "18446744073709551615,4"] {
        let mut headers = HeaderMap::new();
        headers.insert("Tidegate-Parts", parts);
        assert!(open(Some(&headers), Bytes::from_static(b"abc")).is_none(), "{parts}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn messages_come_out_as_they_went_in(given in vec(vec(any::<u8>(), 0..20), 1..20)) {
        let given: Vec<_> = given.into_iter().map(Bytes::from).collect();

        let (headers, payload) = seal(&given, true);
        prop_assert_eq!(&payload[..], &given.concat()[..]);
        prop_assert_eq!(open(headers.as_ref(), payload).unwrap().collect::<Vec<_>>(), given);
    }
}

fn publication() -> Publication<'static> {
    Publication {
        channel: Channel::parse("chat:a").unwrap(),
        kind: PublicationKind::Message,
        object: b"{}",
        position: None,
        from: None,
        origin: None,
        conflate: None,
        trace: None,
        link: None,
    }
}

fn encode(publication: Publication<'_>) -> Bytes {
    let mut bytes = Vec::new();
    append(&mut bytes, &NodeMessage::Publication(publication));
    bytes.into()
}
