//! What a key of the server API may do.

use std::fmt;
use std::sync::Arc;

/// One thing a key may do. Each call names the right it needs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub(crate) enum Right {
    /// Publish on any channel.
    Publish,
    /// Send to any user or session.
    Send,
    /// Subscribe and unsubscribe any user or session.
    Subscribe,
    /// Disconnect and revoke any user, session or token.
    Disconnect,
    /// Look: channels, presence, history, sessions, nodes.
    Read,
}

/// A set of rights.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(crate) struct Rights(u8);

/// A key that was recognised. It does not hold the secret.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// What logs call it.
    pub name: Arc<str>,
    /// What it may do.
    pub rights: Rights,
}

/// Finds the key that a secret belongs to, in constant time.
pub(crate) type KeyCheck = Arc<dyn Fn(&str) -> Option<Key> + Send + Sync>;

impl Right {
    /// Every right.
    pub(crate) const ALL: [Self; 5] =
        [Self::Publish, Self::Send, Self::Subscribe, Self::Disconnect, Self::Read];

    /// The word for it in the configuration and in the API's description.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Send => "send",
            Self::Subscribe => "subscribe",
            Self::Disconnect => "disconnect",
            Self::Read => "read",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Rights {
    /// Whether `right` is among them.
    pub(crate) const fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u8) != 0
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | (1 << right as u8)))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Right::ALL.into_iter().filter(|&right| self.has(right))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let rights: Rights = [Right::Publish, Right::Read].into_iter().collect();

        assert_eq!(Right::ALL.map(|right| rights.has(right)), [true, false, false, false, true]);
        assert_eq!(format!("{rights:?}"), "{Publish, Read}");
    }
}
