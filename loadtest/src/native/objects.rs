//! Payloads in and out of the dialect's objects.
//!
//! A payload travels as `data`, as a JSON string. Payloads are printable ASCII without quote and backslash (`payload.rs`), so the
//! string's characters are the payload's bytes and nothing has to be escaped.

use std::borrow::Cow;

use tidegate_protocol::channel::Channel;
use tidegate_protocol::command::{self, ClientSoftware, Command, Connect, Publish, Request};
use tidegate_protocol::json::RawJson;

/// `id` of every `connect`.
const CONNECT_ID: u32 = 1;
/// The first `id` that other commands may have.
pub(crate) const FIRST_ID: u32 = 2;
/// The answer to the server's `{}`.
pub(crate) const PONG: &[u8] = b"{}";

/// Appends `connect`, with who we are.
pub(crate) fn append_connect(out: &mut Vec<u8>, connect: Connect<'_>) {
    let client = ClientSoftware {
        name: Cow::Borrowed(env!("CARGO_PKG_NAME")),
        version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
    };
    let connect = Connect { client: Some(client), ..connect };
    command::append(out, &Request { id: Some(CONNECT_ID), command: Command::Connect(Box::new(connect)) });
}

/// Appends `publish`: with `id` and `key`, or without both, so that no reply comes.
pub(crate) fn append_publish(
    out: &mut Vec<u8>,
    channel: &Channel<'_>,
    payload: &[u8],
    reply: Option<(u32, &str)>,
) {
    let mut data = Vec::with_capacity(payload.len() + 2);
    data.push(b'"');
    data.extend_from_slice(payload);
    data.push(b'"');
    let data = str::from_utf8(&data).expect("payloads are ASCII");
    let publish = Publish {
        channel: channel.clone(),
        data: RawJson::trusted(data),
        key: reply.map(|(_, key)| Cow::Borrowed(key)),
        conflate: None,
        trace: None,
    };
    command::append(out, &Request { id: reply.map(|(id, _)| id), command: Command::Publish(publish) });
}

/// The payload in `data`; nothing if it is no string.
pub(crate) fn payload_of<'d>(data: &RawJson<'d>) -> &'d [u8] {
    let text = data.as_str().as_bytes();
    match text {
        [b'"', payload @ .., b'"'] => payload,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::command::{ParseLimits, parse};

    use super::*;
    use crate::payload::Template;

    #[test]
    fn every_payload_goes_through_unescaped() {
        let mut template = Template::new(300);
        let payload = template.stamp(u64::MAX).to_vec();
        let channel = Channel::parse("chat:room").unwrap();
        let mut object = Vec::new();
        append_publish(&mut object, &channel, &payload, Some((7, "key-1")));

        let text = str::from_utf8(&object).unwrap();
        let request = parse(text, &ParseLimits::default()).unwrap();
        assert_eq!(request.id, Some(7));
        let Command::Publish(publish) = request.command else { panic!("{request:?}") };
        assert_eq!((publish.channel, publish.key.as_deref()), (channel, Some("key-1")));
        assert_eq!(payload_of(&publish.data), payload);
    }

    #[test]
    fn data_that_is_no_string_has_no_payload() {
        for data in ["17", "{}", "\""] {
            assert_eq!(payload_of(&RawJson::trusted(data)), b"");
        }
    }

    #[test]
    fn connect_says_who_we_are() {
        let mut object = Vec::new();
        append_connect(&mut object, Connect::default());
        let text = String::from_utf8(object).unwrap();
        assert!(text.starts_with(r#"{"id":1,"connect":{"client":{"name":"tidegate-loadtest""#), "{text}");
    }
}
