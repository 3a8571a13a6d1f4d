//! Names of sessions and nodes, and the secret that proves a session is one's own.
//!
//! Random bytes are passed in: this crate makes no ids.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

use crate::fields::FromJson;
use crate::limits::NODE_NAME_BYTES_MAX;

#[cfg(test)]
mod tests;

/// Random bytes in a [`SessionId`] and in a [`ResumeSecret`].
pub const ID_BYTES: usize = 16;

/// Characters of either as text: base64url without padding (RFC 4648, section 5).
pub const ID_CHARS: usize = 22;

/// Names a session for its whole life, over all of its connections. No secret.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId([u8; ID_BYTES]);

/// Proves that whoever presents a session id owns the session.
///
/// Compared in constant time; neither `Debug` nor `Display` shows it.
#[derive(Clone, Copy)]
pub struct ResumeSecret([u8; ID_BYTES]);

/// Names a node: 1 to 128 printable ASCII characters. Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeName(Arc<str>);

/// Text that is no [`SessionId`] or [`ResumeSecret`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not 22 characters of base64url (A-Z, a-z, 0-9, - and _) as the server gave them out")]
pub struct IdError;

/// Text that is no [`NodeName`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a node's name has 1 to 128 printable ASCII characters and no space")]
pub struct NodeNameError;

/// An id's text in place: what `Display` and the encoders write.
pub(crate) struct IdText([u8; ID_CHARS]);

impl SessionId {
    /// From 16 random bytes.
    pub const fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes it was made of.
    pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }

    pub(crate) fn text(&self) -> IdText {
        IdText::of(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        decode(text).map(Self)
    }
}

impl<'de> FromJson<'de> for SessionId {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::from_json(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(deserializer)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl ResumeSecret {
    /// From 16 random bytes.
    pub const fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes it was made of: for the session store, never for a log.
    pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }

    /// The secret as text that can be written: 22 characters of base64url.
    pub fn expose(&self) -> impl fmt::Display {
        IdText::of(&self.0)
    }

    pub(crate) fn text(&self) -> IdText {
        IdText::of(&self.0)
    }
}

impl PartialEq for ResumeSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ResumeSecret {}

impl fmt::Debug for ResumeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeSecret(…)")
    }
}

impl FromStr for ResumeSecret {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        decode(text).map(Self)
    }
}

impl<'de> FromJson<'de> for ResumeSecret {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::from_json(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl NodeName {
    /// Checks and copies a name.
    pub fn parse(name: &str) -> Result<Self, NodeNameError> {
        let fits = (1..=NODE_NAME_BYTES_MAX).contains(&name.len());
        if !fits || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NodeNameError);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(name: &str) -> Result<Self, NodeNameError> {
        Self::parse(name)
    }
}

impl IdText {
    fn of(bytes: &[u8; ID_BYTES]) -> Self {
        let mut text = [0; ID_CHARS];
        let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        debug_assert_eq!(written.ok(), Some(ID_CHARS));
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64 is ASCII")
    }
}

impl fmt::Display for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

fn decode(text: &str) -> Result<[u8; ID_BYTES], IdError> {
    if text.len() != ID_CHARS {
        return Err(IdError);
    }
    // The decoder wants room for what 22 characters could hold at most.
    let mut bytes = [0; 18];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(ID_BYTES) => Ok(*bytes.first_chunk().expect("18 bytes begin with 16")),
        Ok(_) | Err(_) => Err(IdError),
    }
}
