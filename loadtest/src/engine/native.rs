//! Messages of the native dialect: the reply to `connect` opens a connection, publications are its messages.
//!
//! Place in the data path: `receive.rs` gives each text message; its objects go to the scenario one by one.

use memchr::memchr2;
use tidegate_protocol::command::objects;
use tidegate_protocol::event::{Event, Reply, parse};
use tidegate_wire::frame::OpCode;

use super::connection::{Ending, Stage};
use super::{Commands, Lane, Load};
use crate::clock::Nanos;
use crate::native::{PONG, payload_of};

/// Takes up one message. `Err`: the connection has to end, with this.
pub(super) fn receive(
    stage: &mut Stage,
    lane: Lane,
    message: &[u8],
    now: Nanos,
    load: &mut impl Load,
    out: &mut Commands,
) -> Result<(), Ending> {
    let violation = |rule: String| Ending::Violation(rule);
    let text = str::from_utf8(message).map_err(|_| violation("a message that is no UTF-8".to_owned()))?;
    for object in objects(text) {
        if let Some(payload) = plain_publication(object)
            && matches!(stage, Stage::Entered)
        {
            load.handle_message(lane, payload, now, out);
            continue;
        }
        match parse(object).map_err(|error| violation(error.to_string()))? {
            Event::Message(_) if matches!(stage, Stage::Entering) => {
                return Err(violation("a publication before the reply to connect".to_owned()));
            }
            Event::Message(publication) => {
                load.handle_message(lane, payload_of(&publication.data), now, out);
            }
            Event::Reply { reply: Reply::Connect(_), .. } if matches!(stage, Stage::Entering) => {
                *stage = Stage::Entered;
                load.handle_open(lane, now, out);
            }
            Event::Ping => out.send_frame(lane, OpCode::Text, PONG),
            Event::Error { error, .. } => {
                return Err(Ending::Rejected(format!("{}: {}", error.code, error.message)));
            }
            Event::Unsubscribed(told) => {
                return Err(Ending::Rejected(format!("unsubscribed, {}: {}", told.code, told.message)));
            }
            // A gap shows in the messages that are missing, and the close frame says what `closing` says.
            Event::Direct(_)
            | Event::Join(_)
            | Event::Leave(_)
            | Event::Gap(_)
            | Event::Expiring { .. }
            | Event::Reconnect(_)
            | Event::Closing(_)
            | Event::Reply { .. }
            | Event::Unknown { .. } => {}
        }
    }
    Ok(())
}

/// The payload of a publication without an offset, where it is written as the gateway writes it. Reading these costs the
/// machine less than the server's work under measurement; every other object goes through the parser.
fn plain_publication(object: &str) -> Option<&[u8]> {
    let rest = object.strip_prefix(r#"{"message":{"channel":"#)?.strip_suffix("}}")?;
    let (_, rest) = plain_string(rest)?;
    let (payload, rest) = plain_string(rest.strip_prefix(r#","data":"#)?)?;
    let is_whole = rest.is_empty()
        || rest.strip_prefix(r#","from":"#).and_then(plain_string).is_some_and(|(_, rest)| rest.is_empty());
    is_whole.then_some(payload.as_bytes())
}

/// A JSON string without escapes, and what stands behind it.
fn plain_string(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let end = memchr2(b'"', b'\\', text.as_bytes())?;
    (text.as_bytes()[end] == b'"').then(|| (&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use tidegate_protocol::event::{Message, append_message};
    use tidegate_protocol::json::RawJson;

    use super::*;

    #[test]
    fn only_what_needs_no_parser_does_without() {
        let plain = Message {
            channel: Cow::Borrowed("bench"),
            data: RawJson::trusted(r#""payload""#),
            offset: None,
            from: None,
            trace: None,
        };
        let read = |message: &Message<'_>| {
            let mut object = Vec::new();
            append_message(&mut object, message);
            let object = String::from_utf8(object).unwrap();
            let payload = plain_publication(&object).map(<[u8]>::to_vec);
            let Ok(Event::Message(parsed)) = parse(&object) else { panic!("{object}") };
            (payload, payload_of(&parsed.data).to_vec())
        };
        let expected = (Some(b"payload".to_vec()), b"payload".to_vec());
        assert_eq!(read(&plain), expected);
        assert_eq!(read(&Message { from: Some(Cow::Borrowed("ada")), ..plain.clone() }), expected);
        for other in [
            Message { offset: Some(7), ..plain.clone() },
            Message { from: Some(Cow::Borrowed(r#"a"b"#)), ..plain.clone() },
            Message { trace: Some(Cow::Borrowed("00")), ..plain.clone() },
            Message { channel: Cow::Borrowed(r#"a"b"#), ..plain.clone() },
            Message { data: RawJson::trusted(r#""a\u0062""#), ..plain.clone() },
            Message { data: RawJson::trusted(r#"{"a":"b"}"#), ..plain },
        ] {
            assert_eq!(read(&other).0, None, "{other:?}");
        }
        assert_eq!(plain_publication(r#"{"message":{"channel":"c","data":"x"},"y":{"z":"a"}}"#), None);
    }
}
