//! Where in a channel's stream someone is.
//!
//! Offsets count publications and start at 1; an epoch names the stream they count in. A history that was lost or
//! evicted starts again under a new epoch, so an old position is recognised instead of mistaken for a new one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{Error, MapAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fields::{Body, Field, FromJson, next_key, read_body, skip};

#[cfg(test)]
mod tests;

/// Characters of the longest epoch.
pub const EPOCH_CHARS_MAX: usize = 13;

/// Names one life of a channel's history. As text: base 36, 1 to 13 characters.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Epoch(u64);

/// The last publication someone has seen of a channel.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct Position {
    /// The stream that `offset` counts in.
    pub epoch: Epoch,
    /// Number of the publication; 0 stands before the first.
    pub offset: u64,
}

/// Marks one publication of a stream: random, so that another one under the same offset is told apart.
///
/// A store that was set back to an earlier state gives offsets out again. Who has seen the first publication under one
/// knows by its tag that the second is another.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Tag(u64);

/// Ties a publication to the one before it in its stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Link {
    /// Its own.
    pub tag: Tag,
    /// That of the publication before it; [`Tag::ORIGIN`] for the first.
    pub previous: Tag,
}

/// Text that is no [`Epoch`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an epoch as the server gave it out (1 to 13 characters of 0-9 and a-z)")]
pub struct EpochError;

/// An epoch's text in place.
pub(crate) struct EpochText {
    chars: [u8; EPOCH_CHARS_MAX],
    start: usize,
}

impl Epoch {
    /// From a number: random, or whatever else never repeats for a channel.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number it was made of.
    pub const fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn text(self) -> EpochText {
        let mut text = EpochText { chars: [b'0'; EPOCH_CHARS_MAX], start: EPOCH_CHARS_MAX };
        let mut rest = self.0;
        loop {
            text.start -= 1;
            text.chars[text.start] = DIGITS[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                return text;
            }
        }
    }
}

impl Tag {
    /// What stands before the first publication of a stream.
    pub const ORIGIN: Self = Self(0);

    /// From a random number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number it was made of.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

impl FromStr for Epoch {
    type Err = EpochError;

    /// Takes only what `Display` writes: one spelling for each epoch, so texts can be compared as well.
    fn from_str(text: &str) -> Result<Self, EpochError> {
        let has_spare_zero = text.len() > 1 && text.starts_with('0');
        if text.is_empty() || text.len() > EPOCH_CHARS_MAX || has_spare_zero {
            return Err(EpochError);
        }
        let mut number = 0_u64;
        for byte in text.bytes() {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'z' => byte - b'a' + 10,
                _ => return Err(EpochError),
            };
            number =
                number.checked_mul(36).and_then(|n| n.checked_add(u64::from(digit))).ok_or(EpochError)?;
        }
        Ok(Self(number))
    }
}

impl EpochText {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.chars[self.start..]).expect("base 36 is ASCII")
    }
}

impl<'de> FromJson<'de> for Epoch {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::from_json(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(deserializer)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl Position {
    /// The publication after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { offset: self.offset.saturating_add(1), ..self }
    }
}

impl<'de> FromJson<'de> for Position {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_body(deserializer)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(deserializer)
    }
}

impl<'de> Body<'de> for Position {
    const EXPECTED: &'static str = "an object with `epoch` and `offset`";

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error> {
        let (mut epoch, mut offset) = (Field::new("epoch"), Field::new("offset"));
        while let Some(name) = next_key(map)? {
            match &*name {
                "epoch" => epoch.read(map)?,
                "offset" => offset.read(map)?,
                _ => skip(map)?,
            }
        }
        Ok(Self { epoch: epoch.required()?, offset: offset.required()? })
    }
}

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
