use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::channel::ChannelError;
use crate::position::Tag;
use crate::testing::{any_channel, any_position, any_session};

fn encoded(message: &NodeMessage<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, message);
    out
}

fn decoded(payload: &[u8]) -> Vec<Result<NodeMessage<'_>, DecodeError>> {
    messages(payload).collect()
}

fn subscribe() -> NodeMessage<'static> {
    let channel = Channel::parse("chat:1").unwrap();
    NodeMessage::Subscribe { target: Target::User("ann".into()), channel }
}

#[test]
fn the_bytes_are_those_that_other_versions_read() {
    let publication = NodeMessage::Publication(Publication {
        channel: Channel::parse("a").unwrap(),
        kind: PublicationKind::Message,
        object: b"{}",
        position: None,
        from: None,
        origin: Some(SessionId::from_bytes([7; 16])),
        conflate: Some("c"),
        trace: None,
        link: None,
    });
    let bytes = [
        &b"\x01\x01\x00\x00\x00\x1f"[..],
        b"\x00\x01a\x01",
        b"\x00\x00\x00\x02{}",
        b"\x00\x0c",
        &[7; 16],
        b"\x00\x01c",
    ]
    .concat();

    assert_eq!(encoded(&publication), bytes);
    assert_eq!(encoded(&subscribe()), b"\x01\x04\x00\x00\x00\x0e\x01\x00\x03ann\x00\x06chat:1");
}

#[test]
fn kinds_and_fields_of_later_versions_are_passed_over() {
    let mut payload = b"\x01\xc8\x00\x00\x00\x03new".to_vec();
    payload.extend(encoded(&subscribe()));
    // A longer body, as a version writes it that has one more field at its end.
    let mut longer = encoded(&subscribe());
    longer.extend(b"\x00\x01x");
    longer[5] += 3;
    payload.extend(longer);

    assert_eq!(decoded(&payload), [Ok(subscribe()), Ok(subscribe())]);
}

#[test]
fn what_cannot_be_understood_is_told_apart() {
    let good = encoded(&subscribe());
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let space = ChannelError::BadCharacter { found: ' ', at: 0 };

    assert_eq!(decoded(&changed(0, 2)), [Err(DecodeError::Version(2))]);
    assert_eq!(decoded(&changed(5, 200)), [Err(DecodeError::CutShort)]);
    assert_eq!(decoded(&changed(6, 9)), [Err(DecodeError::Choice { field: "target", value: 9 })]);
    assert_eq!(decoded(&changed(9, 0xff)), [Err(DecodeError::Text)]);
    assert_eq!(decoded(&changed(14, b' ')), [Err(DecodeError::Channel(space))]);
    for cut in 1..good.len() {
        assert_eq!(decoded(&good[..cut]), [Err(DecodeError::CutShort)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_messages_are_read_back_in_order(parts in prop::collection::vec(parts(), 0..4)) {
        let mut payload = Vec::new();
        let sent: Vec<_> = parts.iter().map(Parts::message).collect();
        for message in &sent {
            append(&mut payload, message);
        }
        let received: Result<Vec<_>, _> = messages(&payload).collect();
        prop_assert_eq!(received, Ok(sent));
    }

    #[test]
    fn any_bytes_end_in_messages_or_one_error(payload: Vec<u8>, parts in parts(), at: usize, byte: u8) {
        let mut damaged = encoded(&parts.message());
        let len = damaged.len();
        damaged[at % len] = byte;
        damaged.extend(payload);
        let all = decoded(&damaged);
        let errors = all.iter().filter(|message| message.is_err()).count();
        prop_assert!(errors == 0 || (errors == 1 && all.last().is_some_and(Result::is_err)));
    }
}

/// What a message borrows from.
#[derive(Clone, Debug)]
struct Parts {
    variant: usize,
    channel: Channel<'static>,
    object: Vec<u8>,
    position: Option<Position>,
    session: SessionId,
    texts: [Option<String>; 3],
    number: Option<u16>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let texts = prop::array::uniform3(prop::option::of(".{0,12}"));
    let fields = (any_channel(), any::<Vec<u8>>(), prop::option::of(any_position()), any_session());
    (0_usize..12, fields, texts, any::<Option<u16>>()).prop_map(
        |(variant, (channel, object, position, session), texts, number)| Parts {
            variant,
            channel,
            object,
            position,
            session,
            texts,
            number,
        },
    )
}

impl Parts {
    fn message(&self) -> NodeMessage<'_> {
        let [from, conflate, trace] = self.texts.each_ref().map(Option::as_deref);
        let target = match from {
            Some(user) => Target::User(Cow::Borrowed(user)),
            None => Target::Session(self.session),
        };
        let channel = self.channel.clone();
        match self.variant {
            0 => NodeMessage::Subscribe { target, channel },
            1 => NodeMessage::Unsubscribe { target, channel },
            2 => NodeMessage::TakenOver { session: self.session, fence: 1 << 40 },
            3 => NodeMessage::Direct(Direct { target, object: &self.object }),
            4..=6 => NodeMessage::Disconnect(Disconnect {
                target: match trace {
                    Some(id) => DisconnectTarget::Token(id),
                    None => DisconnectTarget::Sessions(target),
                },
                code: self.number,
                reason: conflate,
                access: if self.variant == 4 { Access::Kept } else { Access::Revoked },
            }),
            _ => NodeMessage::Publication(Publication {
                channel,
                kind: match self.variant % 3 {
                    0 => PublicationKind::Message,
                    1 => PublicationKind::Join,
                    _ => PublicationKind::Leave,
                },
                object: &self.object,
                position: self.position,
                from,
                origin: self.number.map(|_| self.session),
                conflate,
                trace,
                link: self.position.map(|position| Link {
                    tag: Tag::new(position.offset ^ 1),
                    previous: Tag::new(position.offset),
                }),
            }),
        }
    }
}
