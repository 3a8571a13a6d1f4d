//! One object of the server into an [`Event`], as a client does it: in one pass, ignoring what it does not know.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};

use super::read::{ErrorObject, Expiring, Presence, Refresh, Send, Unsubscribe};
use super::{ChannelState, Connected, Event, HistoryPage, Published, Reply};
use crate::fields::{Body, BodySeed, Seed, in_field, next_key};

/// An object that no server of this dialect sends.
#[derive(Debug, thiserror::Error)]
#[error("not an object of tidegate.v1.json: {0}")]
pub struct ParseError(serde_json::Error);

/// Reads one of a message's [`objects`](crate::command::objects).
///
/// Its input is trusted to nest no deeper than the server lets through; `data` is not looked into.
///
/// # Errors
///
/// Malformed JSON, and bodies without what the dialect promises. Names and keys of newer servers are no errors.
pub fn parse(object: &str) -> Result<Event<'_>, ParseError> {
    let mut reader = serde_json::Deserializer::from_str(object);
    let event = reader.deserialize_map(EventVisitor).and_then(|event| reader.end().map(|()| event));
    event.map_err(ParseError)
}

struct EventVisitor;

/// What stands beside `id`.
enum Named<'a> {
    Notice(Event<'a>),
    Reply(Reply<'a>),
    Error(ErrorObject),
}

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Event<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event<'de>, A::Error> {
        let mut id = None;
        let mut named = None;
        while let Some(key) = next_key(&mut map)? {
            if key == "id" {
                id = map.next_value_seed(Seed::<Option<u32>>::new())?;
            } else if named.is_none() {
                named = Some(read_named(key, &mut map)?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        match (id, named) {
            (None, None) => Ok(Event::Ping),
            (_, Some(Named::Notice(event))) => Ok(event),
            (Some(id), Some(Named::Reply(reply))) => Ok(Event::Reply { id, reply }),
            (id, Some(Named::Error(ErrorObject(error)))) => Ok(Event::Error { id, error }),
            (None, Some(Named::Reply(reply))) => {
                Err(A::Error::custom(format_args!("a reply to {} without an id", reply.name())))
            }
            (Some(_), None) => Err(A::Error::custom("nothing beside the id")),
        }
    }
}

fn read_named<'de, A: MapAccess<'de>>(name: Cow<'de, str>, map: &mut A) -> Result<Named<'de>, A::Error> {
    let notice = match &*name {
        "message" => Event::Message(body(&name, map)?),
        "direct" => Event::Direct(body(&name, map)?),
        "join" => Event::Join(body(&name, map)?),
        "leave" => Event::Leave(body(&name, map)?),
        "gap" => Event::Gap(body(&name, map)?),
        "unsubscribed" => Event::Unsubscribed(body(&name, map)?),
        "expiring" => {
            let Expiring { in_ms } = body(&name, map)?;
            Event::Expiring { in_ms }
        }
        "reconnect" => Event::Reconnect(body(&name, map)?),
        "closing" => Event::Closing(body(&name, map)?),
        "error" => return Ok(Named::Error(body(&name, map)?)),
        _ => return read_reply(name, map),
    };
    Ok(Named::Notice(notice))
}

fn read_reply<'de, A: MapAccess<'de>>(name: Cow<'de, str>, map: &mut A) -> Result<Named<'de>, A::Error> {
    let reply = match &*name {
        "connect" => Reply::Connect(Box::new(body::<Connected<'de>, A>(&name, map)?)),
        "subscribe" => Reply::Subscribe(body::<ChannelState, A>(&name, map)?),
        "unsubscribe" => {
            let Unsubscribe = body(&name, map)?;
            Reply::Unsubscribe
        }
        "publish" => Reply::Publish(body::<Published, A>(&name, map)?),
        "send" => {
            let Send { sessions } = body(&name, map)?;
            Reply::Send { sessions }
        }
        "presence" => {
            let Presence { members } = body(&name, map)?;
            Reply::Presence { members }
        }
        "history" => Reply::History(body::<HistoryPage<'de>, A>(&name, map)?),
        "refresh" => {
            let Refresh { token_expires_in_ms } = body(&name, map)?;
            Reply::Refresh { token_expires_in_ms }
        }
        _ => {
            map.next_value::<IgnoredAny>()?;
            return Ok(Named::Notice(Event::Unknown { name }));
        }
    };
    Ok(Named::Reply(reply))
}

fn body<'de, B: Body<'de>, A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<B, A::Error> {
    map.next_value_seed(BodySeed::new()).map_err(|error| in_field(name, &error))
}
