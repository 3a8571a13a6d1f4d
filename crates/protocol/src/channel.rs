//! Channel names and the patterns that grant rights on them.
//!
//! A name is `namespace:rest`, or without a colon in the namespace `default`: 1 to 255 bytes of UTF-8 without control
//! characters and white space. [`Channel`] borrows one from a message; [`ChannelName`] keeps one.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fields::FromJson;
use crate::limits::CHANNEL_BYTES_MAX;

#[cfg(test)]
mod tests;

/// The namespace of names without a colon.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A checked channel name, borrowed where it could be.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Channel<'a>(Cow<'a, str>);

/// A checked channel name to keep. Cheap to clone; maps with it as key can be asked with a `&str`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChannelName(Arc<str>);

/// One channel, or all whose names start alike (`chat:*`, `*`).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ChannelPattern {
    /// This channel only.
    Exact(Box<str>),
    /// Every channel whose name starts with this.
    Prefix(Box<str>),
}

/// Why text is no channel name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChannelError {
    /// No bytes at all.
    #[error("a channel name must not be empty")]
    Empty,
    /// More than 255 bytes.
    #[error("a channel name has at most {CHANNEL_BYTES_MAX} bytes of UTF-8, this one has {bytes}")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// A control character or white space.
    #[error("a channel name holds no white space and no control characters; U+{:04X} is at byte {at}", u32::from(*.found))]
    BadCharacter {
        /// The first of them.
        found: char,
        /// Bytes before it.
        at: usize,
    },
}

impl<'a> Channel<'a> {
    /// Checks a name and borrows it.
    pub fn parse(name: &'a str) -> Result<Self, ChannelError> {
        Self::try_from(Cow::Borrowed(name))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first colon; `default` where there is none.
    pub fn namespace(&self) -> &str {
        namespace_of(&self.0)
    }

    /// The name as text.
    pub fn into_cow(self) -> Cow<'a, str> {
        self.0
    }
}

impl<'a> TryFrom<Cow<'a, str>> for Channel<'a> {
    type Error = ChannelError;

    fn try_from(name: Cow<'a, str>) -> Result<Self, ChannelError> {
        check(&name)?;
        Ok(Self(name))
    }
}

impl fmt::Display for Channel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> FromJson<'de> for Channel<'de> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Cow::from_json(deserializer)?).map_err(D::Error::custom)
    }
}

impl ChannelName {
    /// Checks and copies a name.
    pub fn parse(name: &str) -> Result<Self, ChannelError> {
        check(name)?;
        Ok(Self(name.into()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first colon; `default` where there is none.
    pub fn namespace(&self) -> &str {
        namespace_of(&self.0)
    }

    /// The same name, borrowed.
    pub fn borrowed(&self) -> Channel<'_> {
        Channel(Cow::Borrowed(&self.0))
    }
}

impl From<&Channel<'_>> for ChannelName {
    fn from(channel: &Channel<'_>) -> Self {
        Self(channel.as_str().into())
    }
}

impl FromStr for ChannelName {
    type Err = ChannelError;

    fn from_str(name: &str) -> Result<Self, ChannelError> {
        Self::parse(name)
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for ChannelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Channel::from_json(deserializer).map(|channel| Self::from(&channel))
    }
}

impl Serialize for ChannelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl ChannelPattern {
    /// Text that ends in `*` is a prefix, any other a channel name; both keep to the rules of names.
    pub fn parse(pattern: &str) -> Result<Self, ChannelError> {
        match pattern.strip_suffix('*') {
            None => {
                check(pattern)?;
                Ok(Self::Exact(pattern.into()))
            }
            Some("") => Ok(Self::Prefix("".into())),
            Some(prefix) => {
                check(prefix)?;
                Ok(Self::Prefix(prefix.into()))
            }
        }
    }

    /// Whether it covers `channel`.
    pub fn matches(&self, channel: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *channel,
            Self::Prefix(prefix) => channel.starts_with(&**prefix),
        }
    }
}

impl FromStr for ChannelPattern {
    type Err = ChannelError;

    fn from_str(pattern: &str) -> Result<Self, ChannelError> {
        Self::parse(pattern)
    }
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// What stands before the first colon of a channel's name; `default` where there is none.
pub fn namespace_of(name: &str) -> &str {
    name.split_once(':').map_or(DEFAULT_NAMESPACE, |(namespace, _)| namespace)
}

fn check(name: &str) -> Result<(), ChannelError> {
    if name.is_empty() {
        return Err(ChannelError::Empty);
    }
    if name.len() > CHANNEL_BYTES_MAX {
        return Err(ChannelError::TooLong { bytes: name.len() });
    }
    // Nearly every name is plain ASCII, for which one look at each byte is enough.
    if name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    match name.char_indices().find(|(_, found)| found.is_control() || found.is_whitespace()) {
        Some((at, found)) => Err(ChannelError::BadCharacter { found, at }),
        None => Ok(()),
    }
}
