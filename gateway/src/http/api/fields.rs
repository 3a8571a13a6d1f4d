//! Types of single fields: what a value must be to get further than the parser.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tidegate_protocol::json::{OwnedJson, RawJson};
use tidegate_protocol::limits::DEPTH_MAX;

use super::bodies::BatchCommand;

/// A string of `MIN` to `MAX` bytes.
#[derive(Debug)]
pub(super) struct Text<const MIN: usize, const MAX: usize>(Arc<str>);

/// An array of at most `MAX` elements.
#[derive(Debug)]
pub(super) struct List<T, const MAX: usize>(Vec<T>);

/// A close code that a server may choose: 4000 to 4999 (RFC 6455, section 7.4.2: for applications).
#[derive(Debug)]
pub(super) struct CloseCode(u16);

/// How long a page may be: 1 to `MAX`, 100 where nothing is said.
#[derive(Debug)]
pub(super) struct PageLimit<const MAX: u32>(u32);

/// A type that is read from an object, where derived code would take an array as well.
pub(super) struct Object<T>(pub(super) T);

/// Reads `data`: any JSON that can be sent to clients.
pub(super) fn read_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OwnedJson, D::Error> {
    let text = <&'de RawValue>::deserialize(deserializer)?.get();
    // Line feeds separate objects in the client dialect. In valid JSON they stand between tokens only, where a space is
    // as good.
    let on_one_line = text.contains('\n').then(|| text.replace('\n', " "));
    let text = on_one_line.as_deref().unwrap_or(text);
    Ok(RawJson::parse(text, DEPTH_MAX).map_err(D::Error::custom)?.into_owned())
}

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    pub(super) fn into_inner(self) -> Arc<str> {
        self.0
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.len() {
            bytes if (MIN..=MAX).contains(&bytes) => Ok(Self(text.into())),
            bytes => Err(D::Error::custom(format_args!(
                "has {bytes} bytes, which must be between {MIN} and {MAX}"
            ))),
        }
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    pub(super) fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = List<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::custom(format_args!(
                    "there are more than {MAX} elements; send several requests"
                )));
            }
            list.push(element);
        }
        Ok(List(list))
    }
}

impl CloseCode {
    pub(super) fn into_inner(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for CloseCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            code @ 4000..=4999 => Ok(Self(code as u16)),
            code => Err(D::Error::custom(format_args!("{code} must be between 4000 and 4999"))),
        }
    }
}

impl<const MAX: u32> PageLimit<MAX> {
    pub(super) fn into_inner(self) -> u32 {
        self.0
    }
}

impl<const MAX: u32> Default for PageLimit<MAX> {
    fn default() -> Self {
        Self(100)
    }
}

impl<'de, const MAX: u32> Deserialize<'de> for PageLimit<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer) {
            Ok(limit) if (1..=MAX).contains(&limit) => Ok(Self(limit)),
            Ok(_) | Err(_) => Err(D::Error::custom(format_args!("must be a number from 1 to {MAX}"))),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

impl<'de> Deserialize<'de> for BatchCommand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = BatchCommand;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one key, the command's name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BatchCommand, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(A::Error::custom("a command has one key, its name; this one has none"));
        };
        let command = match &*name {
            "publish" => BatchCommand::Publish(map.next_value::<Object<_>>()?.0),
            "send" => BatchCommand::Send(map.next_value::<Object<_>>()?.0),
            "subscribe" => BatchCommand::Subscribe(map.next_value::<Object<_>>()?.0),
            "unsubscribe" => BatchCommand::Unsubscribe(map.next_value::<Object<_>>()?.0),
            "disconnect" => BatchCommand::Disconnect(map.next_value::<Object<_>>()?.0),
            _ => {
                return Err(A::Error::custom(format_args!(
                    "no command is called `{name}`; there are publish, send, subscribe, unsubscribe and disconnect"
                )));
            }
        };
        match map.next_key::<String>()? {
            None => Ok(command),
            Some(second) => Err(A::Error::custom(format_args!(
                "a command has one key, its name; this one has `{name}` and `{second}`"
            ))),
        }
    }
}
