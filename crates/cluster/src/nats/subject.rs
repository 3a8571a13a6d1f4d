//! Names of channels and nodes as NATS subjects, and back.
//!
//! `PREFIX.c.CHANNEL`, `PREFIX.n.NODE`, `PREFIX.all`, `PREFIX.health`, and `PREFIX.s.…` for a node's own marks. A name is one token: what
//! NATS gives a meaning to is written as `%` and two hexadecimal digits, and so is `%`; all else stands for itself. So no
//! name reads as another's subject, nor as a pattern, and `nats sub 'tidegate.c.chat:*'` means what it seems to.

use std::fmt;
use std::str::FromStr;

use async_nats::Subject;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::NodeName;

#[cfg(test)]
mod tests;

/// What all subjects of a cluster start with: tokens of letters, digits, `-` and `_` with dots between them, at most 64
/// bytes. Clusters that share NATS servers differ in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prefix(Box<str>);

/// Text that is no [`Prefix`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a prefix of subjects is 1 to {PREFIX_BYTES_MAX} bytes: letters, digits, `-` and `_`, with single dots in between"
)]
pub struct PrefixError;

/// Most bytes of a [`Prefix`].
const PREFIX_BYTES_MAX: usize = 64;

impl Prefix {
    /// Checks and copies it.
    pub fn parse(prefix: &str) -> Result<Self, PrefixError> {
        let is_token = |token: &str| {
            !token.is_empty()
                && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if prefix.len() > PREFIX_BYTES_MAX || !prefix.split('.').all(is_token) {
            return Err(PrefixError);
        }
        Ok(Self(prefix.into()))
    }

    /// Where a channel's publications go.
    pub(super) fn channel(&self, channel: &str) -> Subject {
        self.name("c", channel)
    }

    /// A node's mailbox.
    pub(super) fn node(&self, node: &NodeName) -> Subject {
        self.name("n", node.as_str())
    }

    /// Every node's mailbox.
    pub(super) fn all(&self) -> Subject {
        format!("{}.all", self.0).into()
    }

    /// Where the control plane says how the cluster is; for whoever is interested.
    pub(super) fn health(&self) -> Subject {
        format!("{}.health", self.0).into()
    }

    /// Where a node's marks to itself live, one subject below this for each end.
    pub(super) fn marks(&self) -> String {
        format!("{}.s", self.0)
    }

    /// The channel that a subject is of.
    pub(super) fn channel_of(&self, subject: &str) -> Option<ChannelName> {
        let name = subject.strip_prefix(&*self.0)?.strip_prefix(".c.")?;
        ChannelName::parse(&unescape(name)?).ok()
    }

    fn name(&self, kind: &str, name: &str) -> Subject {
        let mut subject = String::with_capacity(self.0.len() + kind.len() + name.len() + 2);
        for part in [&*self.0, ".", kind, "."] {
            subject.push_str(part);
        }
        escape(name, &mut subject);
        subject.into()
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("tidegate".into())
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(prefix: &str) -> Result<Self, PrefixError> {
        Self::parse(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn escape(name: &str, out: &mut String) {
    let mut rest = name;
    while let Some(at) = rest.find(['.', '*', '>', '%']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'.' => "%2E",
            b'*' => "%2A",
            b'>' => "%3E",
            _ => "%25",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// Reads what [`escape`] writes, and nothing else: there is one way to write a name.
fn unescape(token: &str) -> Option<String> {
    let mut name = String::with_capacity(token.len());
    let mut rest = token;
    while let Some(at) = rest.find(['.', '*', '>', '%']) {
        name.push_str(&rest[..at]);
        name.push(match rest.get(at..at + 3)? {
            "%2E" => '.',
            "%2A" => '*',
            "%3E" => '>',
            "%25" => '%',
            _ => return None,
        });
        rest = &rest[at + 3..];
    }
    name.push_str(rest);
    Some(name)
}
