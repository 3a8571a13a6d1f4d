//! A session with what it is lent, and short words for what it tells: for the rules' tests.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::{self, ParseLimits};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, ChannelState, Event, Objects, Reply};
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::position::{Epoch, Position};
use tidegate_protocol::time::Millis;

use crate::{
    Ask, Cx, Delivery, Effect, Identity, Opened, Policy, Refusal, Replayed, ReplyTo, Session, Subscribed,
};

pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) policy: Policy,
    pub(crate) now: Millis,
    out: Objects,
}

impl Rig {
    /// Nothing came yet.
    pub(crate) fn new(policy: Policy) -> Self {
        let now = Millis::new(1_000_000);
        Self { session: Session::new(now, &policy), policy, now, out: Objects::new() }
    }

    /// `connect` is answered, and nothing is subscribed to.
    pub(crate) fn ready(policy: Policy) -> Self {
        let mut rig = Self::new(policy);
        assert!(matches!(
            rig.command(r#"{"id":1,"connect":{}}"#),
            Some(Effect::Authenticate { token: None })
        ));
        rig.call(|session, cx| session.handle_authenticated(Ok(identity("ada")), cx));
        assert_eq!(rig.effects(), [Effect::Open { info: None }]);
        rig.call(|session, cx| session.handle_opened(Ok(new_session()), cx));
        assert!(rig.session.is_ready());
        assert_eq!(rig.told(), ["1 connect as ada"]);
        rig
    }

    pub(crate) fn command(&mut self, object: &'static str) -> Option<Effect<'static>> {
        let Self { session, policy, now, out } = self;
        let mut cx = Cx { now: *now, policy, out };
        match command::parse(object, &ParseLimits::default()) {
            Ok(request) => session.handle_command(request, object, &mut cx),
            Err(bad) => {
                session.handle_bad_request(&bad, object, &mut cx);
                None
            }
        }
    }

    pub(crate) fn call<T>(&mut self, call: impl FnOnce(&mut Session, &mut Cx<'_>) -> T) -> T {
        let Self { session, policy, now, out } = self;
        call(session, &mut Cx { now: *now, policy, out })
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Sends `subscribe` and does not answer it.
    pub(crate) fn subscribe(&mut self, object: &'static str) -> Ask {
        match self.command(object) {
            Some(Effect::Subscribe { ask, .. }) => ask,
            other => panic!("not a subscription: {other:?}"),
        }
    }

    pub(crate) fn answer(&mut self, channel: &str, ask: Ask, answer: Result<Subscribed, Refusal>) {
        self.call(|session, cx| session.handle_subscribed(channel, ask, answer, cx));
    }

    /// The hub has message `offset` of the epoch 1.
    pub(crate) fn live(&mut self, channel: &str, offset: u64) -> Option<Delivery> {
        self.live_at(channel, at(offset))
    }

    pub(crate) fn live_at(&mut self, channel: &str, position: Position) -> Option<Delivery> {
        let object = message(channel, Some(position.offset));
        self.call(|session, cx| session.handle_live(channel, Some(position), &object, cx))
    }

    /// The hub has something without a place in the history.
    pub(crate) fn passing(&mut self, channel: &str) -> Option<Delivery> {
        let object = message(channel, None);
        self.call(|session, cx| session.handle_live(channel, None, &object, cx))
    }

    pub(crate) fn replied(&mut self, to: ReplyTo, answer: Result<Reply<'_>, Refusal>) {
        self.call(|session, cx| session.handle_replied(to, answer, cx));
    }

    pub(crate) fn effects(&mut self) -> Vec<Effect<'static>> {
        std::iter::from_fn(|| self.session.poll_effect()).collect()
    }

    /// The questions about subscriptions among the effects; there must be no others.
    pub(crate) fn asks(&mut self) -> Vec<(ChannelName, command::StartFrom, Ask)> {
        let asked = |effect| match effect {
            Effect::Subscribe { channel, from, ask } => (channel, from, ask),
            other => panic!("not a subscription: {other:?}"),
        };
        self.effects().into_iter().map(asked).collect()
    }

    /// What the client was told since the last time, in short words.
    pub(crate) fn told(&mut self) -> Vec<String> {
        let text = String::from_utf8(self.out.as_bytes().to_vec()).unwrap();
        self.out.clear();
        command::objects(&text).map(|object| in_short(&event::parse(object).unwrap())).collect()
    }
}

pub(crate) fn identity(user: &str) -> Identity {
    Identity { user: user.into(), expires_at: None, channels: Vec::new() }
}

pub(crate) fn new_session() -> Opened {
    Opened::New { session: session_id(1), resume: secret(), node: node() }
}

pub(crate) fn resumed(user: &str, subscriptions: Vec<(ChannelName, Option<Position>)>) -> Opened {
    let identity = identity(user);
    Opened::Resumed { session: session_id(7), resume: secret(), node: node(), identity, subscriptions }
}

pub(crate) fn session_id(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

fn secret() -> ResumeSecret {
    ResumeSecret::from_bytes([9; 16])
}

fn node() -> NodeName {
    NodeName::parse("node-1").unwrap()
}

pub(crate) fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).unwrap()
}

pub(crate) fn refusal(code: ErrorCode) -> Refusal {
    Refusal(ErrorBody::new(code, "because"))
}

/// A position in the epoch 1.
pub(crate) fn at(offset: u64) -> Position {
    Position { epoch: Epoch::new(1), offset }
}

/// A subscription at the head of its history.
pub(crate) fn subscribed_at(offset: u64) -> Subscribed {
    Subscribed { head: Some(at(offset)), recovered: None, replay: Vec::new() }
}

/// A subscription whose messages from `first` to `last` are replayed.
pub(crate) fn recovered(channel: &str, first: u64, last: u64) -> Subscribed {
    let replayed = |offset| Replayed { offset, object: Arc::from(message(channel, Some(offset))) };
    Subscribed { head: Some(at(last)), recovered: Some(true), replay: (first..=last).map(replayed).collect() }
}

fn message(channel: &str, offset: Option<u64>) -> Vec<u8> {
    let offset = offset.map_or_else(String::new, |offset| format!(r#","offset":{offset}"#));
    format!(r#"{{"message":{{"channel":"{channel}","data":0{offset}}}}}"#).into_bytes()
}

fn in_short(event: &Event<'_>) -> String {
    match event {
        Event::Message(message) => {
            let offset = message.offset.map_or_else(String::new, |offset| format!(" {offset}"));
            format!("message {}{offset}", message.channel)
        }
        Event::Gap(gap) => format!("gap {}{}", gap.channel, in_short_at(gap.position)),
        Event::Unsubscribed(unsubscribed) => {
            format!("unsubscribed {} {}", unsubscribed.channel, unsubscribed.code)
        }
        Event::Expiring { in_ms } => format!("expiring {in_ms}"),
        Event::Reconnect(order) => {
            format!("reconnect {} {} {}", order.after_ms, order.within_ms, order.reason)
        }
        Event::Closing(closing) => {
            let reconnect = if closing.reconnect { "come back" } else { "stay away" };
            format!("closing {} {} {reconnect}", closing.code, closing.name)
        }
        Event::Ping => "ping".into(),
        Event::Error { id, error } => {
            let id = id.map_or_else(String::new, |id| format!("{id} "));
            let retry = error.retry_after_ms.map_or_else(String::new, |ms| format!(" {ms}"));
            format!("{id}error {}{retry}", error.code)
        }
        Event::Reply { id, reply: Reply::Subscribe(state) } => {
            format!("{id} subscribe{}", in_short_state(state))
        }
        Event::Reply { id, reply: Reply::Connect(connected) } => {
            let resumed = if connected.resumed { " resumed" } else { "" };
            let mut short = format!("{id} connect as {}{resumed}", connected.user);
            for (channel, state) in &connected.channels {
                short = format!("{short}, {channel}{}", in_short_state(state));
            }
            short
        }
        Event::Reply { id, reply } => format!("{id} {}", reply.name()),
        Event::Direct(_) | Event::Join(_) | Event::Leave(_) | Event::Unknown { .. } => {
            format!("{event:?}")
        }
    }
}

fn in_short_state(state: &ChannelState) -> String {
    let recovered = match state.recovered {
        Some(true) => " recovered",
        Some(false) => " not recovered",
        None => "",
    };
    format!("{}{recovered}", in_short_at(state.position))
}

fn in_short_at(position: Option<Position>) -> String {
    position.map_or_else(String::new, |position| format!(" {}/{}", position.epoch, position.offset))
}
