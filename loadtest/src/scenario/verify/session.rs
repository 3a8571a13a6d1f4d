//! One client's session: how its connection stands, and what it takes to come back to it.

use std::time::Duration;

use tidegate_protocol::channel::Channel;
use tidegate_protocol::command::{Connect, Resume};
use tidegate_protocol::event::Connected;
use tidegate_protocol::id::SessionId;
use tidegate_protocol::position::Position;

use crate::clock::Nanos;
use crate::engine::Ending;
use crate::native::{Credentials, append_connect};
use crate::random::Random;

/// A session, over all of its connections.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) link: Link,
    /// What the server gave it.
    resume: Option<Resume>,
    /// When it set out to come back.
    pub(super) returning_since: Option<Nanos>,
    /// When the connection was lost that it has to come back from.
    lost_at: Option<Nanos>,
    /// Whether an errand sends again what was refused for now.
    pub(super) sends_again: bool,
    /// When something last came.
    pub(super) heard_at: Nanos,
    /// Whether an errand looks at that.
    pub(super) is_watched: bool,
    /// After how long without anything the connection is dead.
    pub(super) silence: Duration,
    /// When `connect` was answered on the present connection.
    up_since: Option<Nanos>,
    /// How often it has come back.
    pub(super) returns: u64,
    /// Ended connections and failed attempts since a connection has proved itself.
    failures: u32,
    /// What the server said before it closes: whether to come back, and how much later at least.
    pub(super) closing: Option<(Advice, Duration)>,
    /// The server asked it to leave: until when it may wait for answers, and how long it is to stay away.
    pub(super) leaving: Option<(Nanos, Duration)>,
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
    /// The server asked it to leave: it sends nothing more, and waits for answers.
    Leaving,
    /// There will be none any more.
    Finished,
}

/// What the reply to `connect` says of the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Entry {
    /// It is the client's first.
    First,
    /// It goes on, so many nanoseconds after its first attempt and after the loss of the connection.
    Resumed { after_ns: u64, from_loss_ns: u64 },
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

    /// Its id, once the server has given it one.
    pub(super) fn id(&self) -> Option<SessionId> {
        self.resume.map(|resume| resume.session)
    }

    /// The connection is gone, or an attempt has failed.
    pub(super) fn handle_lost(&mut self, now: Nanos) {
        self.link = Link::Down;
        self.lost_at.get_or_insert(now);
    }

    /// A connection stands: it has so long to say something.
    pub(super) fn handle_open(&mut self, now: Nanos) {
        self.link = Link::Opening;
        self.heard_at = now;
        self.silence = CONNECT_SILENCE;
    }

    /// Until when it may be silent; `None`: there is none that is to say something.
    pub(super) fn silent_until(&self) -> Option<Nanos> {
        match self.link {
            Link::Up | Link::Opening | Link::Leaving => Some(self.heard_at + self.silence),
            Link::Down | Link::Finished => None,
        }
    }

    /// How long to stay away after a failure.
    pub(super) fn wait(
        &mut self,
        advice: Advice,
        at_least: Duration,
        now: Nanos,
        random: &mut Random,
    ) -> Duration {
        if self.up_since.take().is_some_and(|since| now.since(since) >= PROVED_NS) {
            self.failures = 0;
        }
        let exponent = match advice {
            Advice::BackOff => self.failures.max(BACK_OFF_FAILURES),
            Advice::AtOnce | Advice::StayAway => self.failures,
        };
        self.failures += 1;
        let window = WINDOW.saturating_mul(1 << exponent.min(16)).min(WINDOW_MAX);
        at_least + random.duration(window)
    }

    /// The reply to `connect`.
    pub(super) fn handle_connected(&mut self, connected: &Connected<'_>, now: Nanos) -> Entry {
        let lost_at = self.lost_at.take().unwrap_or(now);
        self.closing = None;
        self.leaving = None;
        self.up_since = Some(now);
        self.silence = 2 * Duration::from_millis(connected.ping_ms);
        let entry = match (self.resume, self.returning_since.take()) {
            (None, _) => Entry::First,
            (Some(old), Some(since)) if connected.resumed && old.session == connected.session => {
                Entry::Resumed { after_ns: now.since(since), from_loss_ns: now.since(lost_at) }
            }
            (Some(_), _) => Entry::Replaced,
        };
        self.returns += u64::from(entry != Entry::First);
        self.resume = Some(Resume { session: connected.session, secret: connected.resume });
        self.link = Link::Up;
        entry
    }
}

/// When a client comes back, as `docs/clients.md` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Advice {
    AtOnce,
    BackOff,
    StayAway,
}

impl Advice {
    /// After the end of a connection that no `closing` was said before.
    pub(super) fn after(ending: &Ending) -> Self {
        match ending {
            Ending::Closed { code } => match code {
                1001 | 1005 | 1006 | 1012 => Self::AtOnce,
                1002 | 1003 | 1007..=1010 | 4500..=4999 => Self::StayAway,
                4000..=4499 if code % 100 < 50 => Self::AtOnce,
                _ => Self::BackOff,
            },
            Ending::Refused { status: 408 | 429 | 500..=599 } => Self::BackOff,
            Ending::Unreachable(_) | Ending::Eof | Ending::Reset | Ending::TimedOut | Ending::Ours => {
                Self::AtOnce
            }
            Ending::Refused { .. } | Ending::NotWebSocket(_) | Ending::Violation(_) | Ending::Rejected(_) => {
                Self::StayAway
            }
        }
    }
}

/// How long the reply to `connect` may take.
const CONNECT_SILENCE: Duration = Duration::from_secs(10);
/// The window of the first wait, the widest, and the failures that a back-off begins with.
const WINDOW: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(30);
const BACK_OFF_FAILURES: u32 = 2;
/// A connection that has lasted so long has proved itself.
const PROVED_NS: u64 = 5_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_when_to_come_back() {
        for code in [1001, 1005, 1012, 4000, 4049, 4149] {
            assert_eq!(Advice::after(&Ending::Closed { code }), Advice::AtOnce, "{code}");
        }
        for code in [1000, 1011, 1013, 3000, 4050, 4099, 4499] {
            assert_eq!(Advice::after(&Ending::Closed { code }), Advice::BackOff, "{code}");
        }
        for code in [1002, 1009, 4500, 4508, 4999] {
            assert_eq!(Advice::after(&Ending::Closed { code }), Advice::StayAway, "{code}");
        }
        assert_eq!(Advice::after(&Ending::Refused { status: 503 }), Advice::BackOff);
        assert_eq!(Advice::after(&Ending::Refused { status: 401 }), Advice::StayAway);
    }

    #[test]
    fn the_window_doubles_until_a_connection_has_proved_itself() {
        let (mut session, mut random) = (Session::default(), Random::new(7));
        let mut longest = |session: &mut Session, advice| {
            let failures = session.failures;
            let waits = (0..200).map(|_| {
                session.failures = failures;
                session.wait(advice, Duration::ZERO, Nanos(0), &mut random)
            });
            waits.max().unwrap_or_default().as_secs_f64()
        };
        for (advice, window) in
            [(Advice::AtOnce, 1.0), (Advice::AtOnce, 2.0), (Advice::BackOff, 4.0), (Advice::AtOnce, 8.0)]
        {
            let longest = longest(&mut session, advice);
            assert!(longest <= window && longest > 0.9 * window, "{longest} in {window}");
        }
        session.failures = 40;
        assert!(longest(&mut session, Advice::AtOnce) <= 30.0);

        session.up_since = Some(Nanos(0));
        session.wait(Advice::AtOnce, Duration::ZERO, Nanos(PROVED_NS), &mut random);
        assert_eq!(session.failures, 1, "the connection before had lasted");
        let wait = session.wait(Advice::AtOnce, Duration::from_secs(9), Nanos(0), &mut random);
        assert!(wait >= Duration::from_secs(9), "the server asked for that much");
    }
}
