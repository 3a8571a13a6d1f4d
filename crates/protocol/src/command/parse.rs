//! One object of a client into a [`Request`]: in one pass, and with a second one over what was wrong, for its `id`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bodies::{ChannelOnly, Refresh};
use super::{BadRequest, Command, ParseLimits, Request};
use crate::error::{ErrorBody, ErrorCode};
use crate::fields::{Body, BodySeed, Seed, in_field, next_key};
use crate::json::is_deeper_than;

/// Reads one of a message's [`objects`](super::objects), which hold no line feed: so neither do `data` and `info`.
///
/// # Errors
///
/// Whatever breaks the grammar of JSON or a rule of the dialect is a `bad_request` whose message says what, where and,
/// if that is not plain, what to do instead.
pub fn parse<'a>(object: &'a str, limits: &ParseLimits) -> Result<Request<'a>, BadRequest> {
    if is_deeper_than(object, limits.depth_max.saturating_add(LEVELS_ABOVE_DATA)) {
        let what = format!(
            "nested too deep: `data` and `info` may have {} levels of arrays and objects",
            limits.depth_max
        );
        return Err(bad_request(look_again(object).id, what));
    }
    let mut reader = serde_json::Deserializer::from_str(object);
    let request = reader.deserialize_map(RequestVisitor);
    request.and_then(|request| reader.end().map(|()| request)).map_err(|error| {
        let SecondLook { id, grammar } = look_again(object);
        match grammar {
            // What stands in broken JSON, and where, says less than that it is broken.
            Err(broken) => bad_request(id, format!("not valid JSON: {}", describe(&broken))),
            Ok(()) => bad_request(id, describe(&error)),
        }
    })
}

fn bad_request(id: Option<u32>, what: String) -> BadRequest {
    BadRequest { id, error: ErrorBody::new(ErrorCode::BadRequest, what) }
}

struct RequestVisitor;

impl<'de> Visitor<'de> for RequestVisitor {
    type Value = Request<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"an object that names a command, such as {"id":1,"subscribe":{"channel":"chat:1"}}"#)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request<'de>, A::Error> {
        let mut id = None;
        let mut command: Option<Command<'de>> = None;
        while let Some(key) = next_key(&mut map)? {
            if key == "id" {
                if id.is_some() {
                    return Err(A::Error::custom("`id` appears twice"));
                }
                id = Some(map.next_value_seed(Seed::<u32>::new()).map_err(|error| in_field("id", &error))?);
                continue;
            }
            if let Some(first) = &command {
                return Err(A::Error::custom(format_args!(
                    "one object holds one command, this one has `{}` and `{}`: send two objects, with a line feed \
                     between them",
                    first.name(),
                    excerpt(&key)
                )));
            }
            command = Some(read_command(&key, &mut map)?);
        }
        match (id, command) {
            (id, Some(command)) => Ok(Request { id, command }),
            (None, None) => Ok(Request { id: None, command: Command::Pong }),
            (Some(_), None) => Err(A::Error::custom("there is no command beside `id`")),
        }
    }
}

fn read_command<'de, A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Command<'de>, A::Error> {
    Ok(match name {
        "connect" => Command::Connect(Box::new(read_named(name, map)?)),
        "subscribe" => Command::Subscribe(read_named(name, map)?),
        "unsubscribe" => {
            let ChannelOnly(channel) = read_named(name, map)?;
            Command::Unsubscribe { channel }
        }
        "publish" => Command::Publish(read_named(name, map)?),
        "send" => Command::Send(read_named(name, map)?),
        "presence" => {
            let ChannelOnly(channel) = read_named(name, map)?;
            Command::Presence { channel }
        }
        "history" => Command::History(read_named(name, map)?),
        "refresh" => {
            let Refresh(token) = read_named(name, map)?;
            Command::Refresh { token }
        }
        unknown => {
            return Err(A::Error::custom(format_args!(
                "there is no command `{}`; there are connect, subscribe, unsubscribe, publish, send, presence, \
                 history and refresh",
                excerpt(unknown)
            )));
        }
    })
}

fn read_named<'de, B: Body<'de>, A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<B, A::Error> {
    map.next_value_seed(BodySeed::new()).map_err(|error| in_field(name, &error))
}

/// What can be said of an object that is no request.
struct SecondLook {
    /// The first `id` that stands before whatever breaks the grammar.
    id: Option<u32>,
    /// Whether it is JSON, and one value.
    grammar: Result<(), serde_json::Error>,
}

fn look_again(object: &str) -> SecondLook {
    let mut id = None;
    let mut reader = serde_json::Deserializer::from_str(object);
    let grammar = match reader.deserialize_map(IdVisitor(&mut id)) {
        Ok(()) => reader.end(),
        // Another kind of value than an object.
        Err(error) if error.is_data() => Ok(()),
        Err(error) => Err(error),
    };
    SecondLook { id, grammar }
}

struct IdVisitor<'i>(&'i mut Option<u32>);

impl<'de> Visitor<'de> for IdVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_first = true;
        while let Some(key) = next_key(&mut map)? {
            if key == "id" && is_first {
                let value: &RawValue = map.next_value()?;
                *self.0 = value.get().parse().ok();
                is_first = false;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The parser's words for what is wrong, with the place in one number: an object has no lines.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // Only behind a place of the parser's own are these words not the client's.
    let what = match error.line() {
        0 => &*text,
        _ => text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what),
    };
    match error.column() {
        0 => shorten(what).into_owned(),
        column => format!("{} (column {column})", shorten(what)),
    }
}

/// Cuts the middle out of a long message: its ends say which field it is about, and what was expected of it.
fn shorten(what: &str) -> Cow<'_, str> {
    if what.len() <= MESSAGE_BYTES_MAX {
        return Cow::Borrowed(what);
    }
    let head = what.floor_char_boundary(MESSAGE_BYTES_MAX / 2);
    let tail = what.ceil_char_boundary(what.len() - MESSAGE_BYTES_MAX / 2);
    Cow::Owned(format!("{}…{}", &what[..head], &what[tail..]))
}

/// The beginning of a client's own word, for an error about it.
fn excerpt(word: &str) -> &str {
    &word[..word.floor_char_boundary(EXCERPT_BYTES_MAX)]
}

/// The object itself and its command's body.
const LEVELS_ABOVE_DATA: u32 = 2;

const MESSAGE_BYTES_MAX: usize = 300;
const EXCERPT_BYTES_MAX: usize = 40;
