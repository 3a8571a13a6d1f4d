//! Where the next page of a list begins: text that callers hand back and do not look into.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::HistoryOrder;
use tidegate_protocol::id::SessionId;
use tidegate_protocol::position::{Epoch, Position};

use super::problem::{Fault, Problem};

/// A place in a list. Written as base64url of a letter that names the list and what was last shown of it.
pub(super) trait Cursor: Sized {
    /// Tells cursors of different lists apart.
    const LIST: char;

    /// What was last shown.
    fn write(&self) -> String;

    /// The place behind what was last shown.
    fn read(text: &str) -> Option<Self>;

    /// For `next` of an answer.
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{}", Self::LIST, self.write()))
    }

    /// From `cursor` of a query.
    fn decode(cursor: &str) -> Result<Self, Problem> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.as_deref().and_then(|text| text.strip_prefix(Self::LIST)).and_then(Self::read).ok_or_else(|| {
            let message = "not a `next` that this call gave out".to_owned();
            Problem::invalid(Fault { path: "?cursor".to_owned(), message })
        })
    }
}

impl Cursor for ChannelName {
    const LIST: char = 'c';

    fn write(&self) -> String {
        self.as_str().to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Cursor for SessionId {
    const LIST: char = 's';

    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A place in a channel's history, and the direction that is read in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct HistoryCursor {
    pub(super) order: HistoryOrder,
    pub(super) after: Position,
}

impl Cursor for HistoryCursor {
    const LIST: char = 'h';

    fn write(&self) -> String {
        let order = match self.order {
            HistoryOrder::OldestFirst => '+',
            HistoryOrder::NewestFirst => '-',
        };
        format!("{order}{}.{}", self.after.epoch, self.after.offset)
    }

    fn read(text: &str) -> Option<Self> {
        let (order, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (HistoryOrder::OldestFirst, rest),
            ("-", rest) => (HistoryOrder::NewestFirst, rest),
            _ => return None,
        };
        let (epoch, offset) = rest.split_once('.')?;
        let after = Position { epoch: epoch.parse::<Epoch>().ok()?, offset: offset.parse().ok()? };
        Some(Self { order, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_by_its_own_list_only() {
        let channel = ChannelName::parse("chat:café").unwrap();
        let session = SessionId::from_bytes([7; 16]);
        let history = HistoryCursor {
            order: HistoryOrder::NewestFirst,
            after: Position { epoch: Epoch::new(99), offset: 18 },
        };

        assert_eq!(ChannelName::decode(&channel.encode()).unwrap(), channel);
        assert_eq!(SessionId::decode(&session.encode()).unwrap(), session);
        assert_eq!(HistoryCursor::decode(&history.encode()).unwrap(), history);
        for foreign in [session.encode(), history.encode()] {
            assert!(ChannelName::decode(&foreign).is_err());
        }
        for broken in ["", "x", "****", "aA", "aCs"] {
            assert!(HistoryCursor::decode(broken).is_err(), "{broken}");
        }
    }
}
