//! What a session is, what it holds while it lives, and how it ends. Its rules are in the modules beside this one.
//!
//! Place in the data path: between a connection's decoded messages and the driver's dispatch.

use std::collections::VecDeque;
use std::sync::Arc;

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, Closing, Objects, Reconnect};
use tidegate_protocol::id::SessionId;
use tidegate_protocol::quota::Quota;
use tidegate_protocol::time::{Millis, whole_ms};

use crate::answer::Identity;
use crate::connect::Connecting;
use crate::effect::{Ask, AskedBy, Effect};
use crate::policy::Policy;
use crate::strikes::Strikes;
use crate::subscriptions::{Delivery, Subscriptions};

#[cfg(test)]
mod tests;

/// One client's session on one connection. Starts with the connection and waits for `connect`.
///
/// Every call is O(1) or O(log n) in the session's subscriptions, but for connecting and resuming.
#[derive(Debug)]
pub struct Session {
    pub(crate) phase: Phase,
    pub(crate) id: Option<SessionId>,
    /// What becomes of the session when the connection is lost now.
    pub(crate) fate: Fate,
    pub(crate) pings_unanswered: u32,
    /// `None` until the client is known.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) subscriptions: Subscriptions,
    /// Effects that no command of the moment carries. Holds no memory while there are none.
    pub(crate) effects: VecDeque<Effect<'static>>,
    /// Commands that came behind a `connect` that was not answered yet. Exists only while there are some.
    pub(crate) held: Option<Box<Held>>,
    pub(crate) messages: Quota,
    pub(crate) bytes: Quota,
    pub(crate) limit_strikes: Strikes,
    pub(crate) bad_strikes: Strikes,
    /// When the client was last heard of.
    pub(crate) heard_at: Millis,
    /// When to look whether it was.
    pub(crate) ping_at: Millis,
    /// When to tell that the token ends; [`Millis::MAX`]: told, or it does not.
    pub(crate) notice_at: Millis,
    /// When the token ends; [`Millis::MAX`]: never.
    pub(crate) expires_at: Millis,
    /// Commands given to the outside and not answered yet.
    pub(crate) pending: u32,
    next_ask: u32,
    /// Bytes that all gates hold together.
    pub(crate) gated_bytes: usize,
}

// Paid by every idle connection of the native dialect.
const _: () = assert!(size_of::<Session>() <= 256);

/// How far a session is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing came yet, and has to by then.
    AwaitingConnect { until: Millis },
    /// `connect` came and is not answered yet.
    Connecting(Box<Connecting>),
    /// `connect` is answered.
    Ready,
    /// It ends; nothing is taken in any more.
    Closed(CloseCause),
}

/// Commands that wait for the answer to `connect`.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) objects: VecDeque<Box<str>>,
    pub(crate) bytes: usize,
    /// One was given back to the driver and comes in again: its quota is paid.
    pub(crate) is_paid: bool,
}

/// What every call is lent.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The driver's clock: any, as long as it is the same for all times that a session is told.
    pub now: Millis,
    /// What the operator decided.
    pub policy: &'a Policy,
    /// Objects for the client, in order. To be sent before anything else is written to the socket.
    pub out: &'a mut Objects,
}

/// What becomes of a session whose connection is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// There is none, or it is another connection's now.
    Nothing,
    /// It is over.
    End,
    /// It waits for its client to come back, for `session.ttl`.
    Detach,
}

impl Session {
    /// Waits for `connect` until `policy.connect_timeout` is over.
    pub fn new(now: Millis, policy: &Policy) -> Self {
        Self {
            phase: Phase::AwaitingConnect { until: now + policy.connect_timeout },
            id: None,
            fate: Fate::Nothing,
            pings_unanswered: 0,
            user: None,
            subscriptions: Subscriptions::default(),
            effects: VecDeque::new(),
            held: None,
            messages: Quota::new(),
            bytes: Quota::new(),
            limit_strikes: Strikes::default(),
            bad_strikes: Strikes::default(),
            heard_at: now,
            ping_at: Millis::MAX,
            notice_at: Millis::MAX,
            expires_at: Millis::MAX,
            pending: 0,
            next_ask: 0,
            gated_bytes: 0,
        }
    }

    /// The next effect that no command's return value carried. To be asked after every `handle_*` until it has none.
    pub fn poll_effect(&mut self) -> Option<Effect<'static>> {
        let effect = self.effects.pop_front()?;
        if self.effects.is_empty() {
            self.effects = VecDeque::new();
        }
        Some(effect)
    }

    /// The next command that waited for the connect reply, as the text it came in: to be parsed and handed in again, at
    /// once. To be asked whenever [`poll_effect`](Self::poll_effect) has none.
    pub fn poll_held(&mut self) -> Option<Box<str>> {
        if !matches!(self.phase, Phase::Ready) {
            return None;
        }
        let held = self.held.as_mut()?;
        held.is_paid = true;
        let object = held.objects.pop_front();
        if object.is_none() {
            self.held = None;
        }
        object
    }

    /// The session's name, once it has been opened.
    pub fn id(&self) -> Option<SessionId> {
        self.id
    }

    /// Who the client is; `""` is anonymous, and what everyone is before being authenticated.
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("")
    }

    /// Whether `connect` was answered and nothing has ended the session since.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    /// Whether the client waits for the answer to a command.
    pub fn has_pending(&self) -> bool {
        self.pending > 0 || matches!(self.phase, Phase::Connecting(_))
    }

    /// Why the session closes, once it does.
    pub fn closed(&self) -> Option<CloseCause> {
        match self.phase {
            Phase::Closed(cause) => Some(cause),
            Phase::AwaitingConnect { .. } | Phase::Connecting(_) | Phase::Ready => None,
        }
    }

    /// Who delivers what comes live on `channel`; `None`: it is not subscribed to.
    pub fn subscription(&self, channel: &str) -> Option<Delivery> {
        self.subscriptions.find(channel).map(|found| found.stage.delivery())
    }

    /// The subscriptions that stand, in the order of their names: what is to be saved with the session.
    ///
    /// One that the client asked for is among them as soon as the outside has said yes: so whoever resumes the session may
    /// have them all, unchecked. Those of a resumed session are among them from the moment it is opened.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&ChannelName, Delivery)> {
        self.subscriptions
            .iter()
            .filter(|one| !one.awaits_reply())
            .map(|one| (&one.channel, one.stage.delivery()))
    }

    /// What becomes of the session when its connection ends now, with the close code the client sent, if it sent one.
    ///
    /// A client that closes with 1000 or 1001 does not come back; whoever else is gone may.
    pub fn fate(&self, client_close: Option<u16>) -> Fate {
        match &self.phase {
            Phase::Closed(CloseCause::TakenOver) => Fate::Nothing,
            Phase::Closed(CloseCause::Revoked) if self.fate == Fate::Detach => Fate::End,
            // The client's code is the echo of ours.
            Phase::Closed(_) => self.fate,
            Phase::AwaitingConnect { .. } | Phase::Connecting(_) | Phase::Ready => {
                match (client_close, self.fate) {
                    (Some(1000 | 1001), Fate::Detach) => Fate::End,
                    (_, fate) => fate,
                }
            }
        }
    }

    /// Ends the session for a reason of the driver's: `closing`, then [`Effect::Close`]. Only the first close counts.
    pub fn close(&mut self, cause: CloseCause, cx: &mut Cx<'_>) {
        if matches!(self.phase, Phase::Closed(_)) {
            return;
        }
        let row = cause.row();
        if let Some(code) = row.native_code {
            let reconnect = row.comeback.may_reconnect();
            let closing = Closing { code, name: row.native_name.into(), reconnect, after_ms: None };
            cx.out.push(|out| event::append_closing(out, &closing));
        }
        self.phase = Phase::Closed(cause);
        self.held = None;
        self.effects.clear();
        self.push_effect(Effect::Close { cause });
    }

    /// Tells the client to leave within `within_ms` and to come back `after_ms` later. Whoever is about to get its connect
    /// reply is told right behind it.
    pub fn handle_drain(&mut self, after_ms: u64, within_ms: u64, cause: CloseCause, cx: &mut Cx<'_>) {
        let notice = Notice { after_ms, within_ms, cause };
        match &mut self.phase {
            Phase::Connecting(connecting) => connecting.notice = Some(notice),
            Phase::AwaitingConnect { .. } | Phase::Ready => notice.append(cx.out),
            Phase::Closed(_) => {}
        }
    }

    pub(crate) fn push_effect(&mut self, effect: Effect<'static>) {
        self.effects.push_back(effect);
    }

    pub(crate) fn new_ask(&mut self, by: AskedBy) -> Ask {
        self.next_ask = self.next_ask.wrapping_add(1);
        Ask { number: self.next_ask, by }
    }

    pub(crate) fn take_on(&mut self, identity: &Identity, cx: &Cx<'_>) {
        self.user = Some(Arc::clone(&identity.user));
        self.expires_at = identity.expires_at.unwrap_or(Millis::MAX);
        self.notice_at = match identity.expires_at {
            Some(expires_at) => expires_at - cx.policy.expiring_notice,
            None => Millis::MAX,
        };
    }

    pub(crate) fn token_expires_in_ms(&self, now: Millis) -> Option<u64> {
        (self.expires_at != Millis::MAX).then(|| whole_ms(self.expires_at.since(now)))
    }
}

/// An order to leave and come back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice {
    after_ms: u64,
    within_ms: u64,
    cause: CloseCause,
}

impl Notice {
    pub(crate) fn append(self, out: &mut Objects) {
        let Self { after_ms, within_ms, cause } = self;
        let reconnect = Reconnect { after_ms, within_ms, reason: cause.row().native_name.into() };
        out.push(|out| event::append_reconnect(out, &reconnect));
    }
}

impl Cx<'_> {
    pub(crate) fn refuse(&mut self, id: Option<u32>, error: &ErrorBody) {
        self.out.push(|out| event::append_error(out, id, error));
    }

    pub(crate) fn refuse_with(&mut self, id: Option<u32>, code: ErrorCode, message: &'static str) {
        self.refuse(id, &ErrorBody::new(code, message));
    }
}
