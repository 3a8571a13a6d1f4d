//! One client's session: how its connection stands, and what it takes to come back to it.

use tidegate_protocol::channel::Channel;
use tidegate_protocol::command::{Connect, Resume};
use tidegate_protocol::event::Connected;
use tidegate_protocol::position::Position;

use crate::clock::Nanos;
use crate::engine::Ending;
use crate::native::{Credentials, append_connect};

/// A session, over all of its connections.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) link: Link,
    /// What the server gave it.
    resume: Option<Resume>,
    /// When it set out to come back.
    pub(super) returning_since: Option<Nanos>,
}

/// How its connection stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Link {
    /// There is none.
    #[default]
    Down,
    /// On its way: TCP, handshake, `connect`.
    Opening,
    /// `connect` was answered.
    Up,
    /// There will be none any more.
    Finished,
}

/// What the reply to `connect` says of the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Entry {
    /// It is the client's first.
    First,
    /// It goes on, after this many nanoseconds.
    Resumed { after_ns: u64 },
    /// The client asked for its old one and got another.
    Replaced,
}

impl Session {
    /// Appends `connect`: with the old session, if there is one, and with all that a new one needs in case it is gone.
    pub(super) fn append_greeting(
        &self,
        out: &mut Vec<u8>,
        number: usize,
        credentials: &Credentials,
        subscribe: Vec<Channel<'_>>,
        positions: Vec<(Channel<'_>, Position)>,
    ) {
        let token = credentials.token(number).map(Into::into);
        let connect = Connect { token, resume: self.resume, positions, subscribe, ..Connect::default() };
        append_connect(out, connect);
    }

    /// The reply to `connect`.
    pub(super) fn handle_connected(&mut self, connected: &Connected<'_>, now: Nanos) -> Entry {
        let entry = match (self.resume, self.returning_since.take()) {
            (None, _) => Entry::First,
            (Some(old), Some(since)) if connected.resumed && old.session == connected.session => {
                Entry::Resumed { after_ns: now.since(since) }
            }
            (Some(_), _) => Entry::Replaced,
        };
        self.resume = Some(Resume { session: connected.session, secret: connected.resume });
        self.link = Link::Up;
        entry
    }
}

/// Does a client come back after this, as `docs/close-codes.md` says and a broken line does?
pub(super) fn is_to_come_back(ending: &Ending) -> bool {
    match ending {
        Ending::Closed { code } => matches!(code, 1001 | 1005 | 1011..=1014 | 4000..=4499),
        Ending::Refused { status } => matches!(status, 408 | 429 | 502..=504),
        Ending::Unreachable(_) | Ending::Eof | Ending::Reset | Ending::TimedOut | Ending::Ours => true,
        Ending::NotWebSocket(_) | Ending::Violation(_) | Ending::Rejected(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_a_reason_to_come_back() {
        for code in [1001, 1012, 4000, 4050, 4499] {
            assert!(is_to_come_back(&Ending::Closed { code }), "{code}");
        }
        for code in [1000, 1002, 1009, 4500, 4508, 4999] {
            assert!(!is_to_come_back(&Ending::Closed { code }), "{code}");
        }
        assert!(is_to_come_back(&Ending::Refused { status: 503 }));
        assert!(!is_to_come_back(&Ending::Refused { status: 401 }));
    }
}
