//! JSON text that is carried through unread: what users put into `data` and `info`.
//!
//! It is checked once, where it comes in, and from there on only its bytes are copied.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::fields::FromJson;

mod depth;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use depth::is_deeper_than;
pub(crate) use writer::{ObjectWriter, append_text};

/// One JSON value as the text it came in: valid, of bounded depth, without a line feed.
///
/// Numbers too large for any type, lone surrogates and repeated keys pass: they are the users' to agree on.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct RawJson<'a>(&'a str);

/// A [`RawJson`] to keep. Cheap to clone.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct OwnedJson(Arc<str>);

/// Why text is no [`RawJson`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JsonError {
    /// It breaks the grammar of RFC 8259.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// Arrays and objects inside each other, more than allowed.
    #[error("nested deeper than {depth_max} levels")]
    TooDeep {
        /// The limit.
        depth_max: u32,
    },
    /// White space with a line feed, which separates objects in a message.
    #[error("holds a line feed between its tokens: write it on one line")]
    LineFeed,
}

impl<'a> RawJson<'a> {
    /// `null`.
    pub const NULL: RawJson<'static> = RawJson("null");

    /// Checks one JSON value; white space around it is dropped.
    pub fn parse(text: &'a str, depth_max: u32) -> Result<Self, JsonError> {
        if is_deeper_than(text, depth_max) {
            return Err(JsonError::TooDeep { depth_max });
        }
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text.contains('\n') {
            return Err(JsonError::LineFeed);
        }
        let value: &RawValue =
            serde_json::from_str(text).map_err(|error| JsonError::Syntax(error.to_string()))?;
        Ok(Self(value.get()))
    }

    /// Takes text for what it says it is: for what a [`RawJson`] was turned into and back, by a store or another node.
    pub const fn trusted(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Copies it to keep.
    pub fn into_owned(self) -> OwnedJson {
        OwnedJson(self.0.into())
    }
}

impl fmt::Debug for RawJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for RawJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Trusts the depth and the lack of line feeds to whoever cut the object out and measured it.
impl<'de> FromJson<'de> for RawJson<'de> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(|value| Self(value.get()))
    }
}

impl OwnedJson {
    /// The value, borrowed.
    pub fn borrowed(&self) -> RawJson<'_> {
        RawJson(&self.0)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OwnedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
