//! A node whose answers are known, and which remembers what it was asked.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::json::RawJson;
use tidegate_protocol::position::{Epoch, Position};
use tokio::sync::oneshot;

use super::super::*;

/// `2r` as text.
pub(super) const EPOCH: Epoch = Epoch::new(99);
pub(super) const SESSION: SessionId = SessionId::from_bytes([7; 16]);

/// What was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    Publish(Publish),
    Send(Send),
    Subscribe(SubscriptionChange),
    Unsubscribe(SubscriptionChange),
    Disconnect(Disconnect),
    Channels(ChannelsQuery),
    Channel(ChannelName),
    Presence(PresenceQuery),
    History(HistoryQuery),
    Sessions(SessionsQuery),
    Session(SessionId),
    Nodes,
}

#[derive(Default)]
pub(super) struct Fake {
    asked: Mutex<Vec<Asked>>,
    /// Errors of the next calls.
    refusals: Mutex<VecDeque<ErrorBody>>,
    /// Where publications on `slow` wait, each with the end that lets it go on.
    slow: Mutex<Option<Sender<oneshot::Sender<()>>>>,
}

impl Fake {
    /// Everything that was asked so far, in order.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The one thing that was asked.
    #[track_caller]
    pub(super) fn one(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }

    pub(super) fn refuse(&self, error: ErrorBody) {
        self.refusals.lock().unwrap().push_back(error);
    }

    /// Makes publications on `slow` wait until what is received here is used.
    pub(super) fn hold_slow(&self) -> Receiver<oneshot::Sender<()>> {
        let (sender, receiver) = channel();
        *self.slow.lock().unwrap() = Some(sender);
        receiver
    }

    fn answer<T: std::marker::Send + 'static>(&self, asked: Asked, answer: T) -> Answer<T> {
        self.asked.lock().unwrap().push(asked);
        let answer = self.refusals.lock().unwrap().pop_front().map_or(Ok(answer), Err);
        Box::pin(async { answer })
    }
}

pub(super) fn channel_name(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(super) fn json(text: &str) -> tidegate_protocol::json::OwnedJson {
    RawJson::parse(text, 32).unwrap().into_owned()
}

fn session_info(session: SessionId) -> SessionInfo {
    SessionInfo {
        session,
        user: "ann".to_owned(),
        node: NodeName::parse("gateway-0").unwrap(),
        connected: true,
        since_ms: 1_000,
        token_expires_ms: None,
        subscriptions: vec![
            Subscription::new(channel_name("chat:1"), Some(Position { epoch: EPOCH, offset: 4 })),
            Subscription::new(channel_name("live"), None),
        ],
    }
}

/// Channels of `chat` have a history, `slow` waits, `forbidden` is refused, `absent` is not there.
impl Services for Fake {
    fn publish(&self, publish: Publish) -> Answer<Published> {
        let has_history = publish.channel.namespace() == "chat";
        let duplicate = publish.key.as_deref() == Some("again");
        let offset = 1 + self.asked.lock().unwrap().len() as u64;
        let published = Published::new(has_history.then_some(Position { epoch: EPOCH, offset }), duplicate);
        let name = publish.channel.as_str().to_owned();
        let answer = self.answer(Asked::Publish(publish), published);
        match (&*name, &*self.slow.lock().unwrap()) {
            ("forbidden", _) => {
                let error = ErrorBody::new(ErrorCode::Forbidden, "nobody publishes on `forbidden`");
                Box::pin(async { Err(error) })
            }
            ("slow", Some(waiting)) => {
                let (go, gone) = oneshot::channel();
                waiting.send(go).unwrap();
                Box::pin(async {
                    drop(gone.await);
                    answer.await
                })
            }
            _ => answer,
        }
    }

    fn send(&self, send: Send) -> Answer<Reached> {
        self.answer(Asked::Send(send), Reached { sessions: 2 })
    }

    fn subscribe(&self, change: SubscriptionChange) -> Answer<Reached> {
        self.answer(Asked::Subscribe(change), Reached { sessions: 3 })
    }

    fn unsubscribe(&self, change: SubscriptionChange) -> Answer<Reached> {
        self.answer(Asked::Unsubscribe(change), Reached { sessions: 4 })
    }

    fn disconnect(&self, disconnect: Disconnect) -> Answer<Reached> {
        self.answer(Asked::Disconnect(disconnect), Reached { sessions: 5 })
    }

    fn channels(&self, query: ChannelsQuery) -> Answer<Page<ChannelInfo, ChannelName>> {
        let items = vec![
            ChannelInfo::new(channel_name("chat:1"), 12, Some(Position { epoch: EPOCH, offset: 18 })),
            ChannelInfo::new(channel_name("live"), 1, None),
        ];
        let next = query.after.is_none().then(|| channel_name("live"));
        self.answer(Asked::Channels(query), Page { items, next })
    }

    fn channel(&self, channel: ChannelName) -> Answer<Option<ChannelInfo>> {
        let found = (channel.as_str() != "absent").then(|| ChannelInfo::new(channel.clone(), 1, None));
        self.answer(Asked::Channel(channel), found)
    }

    fn presence(&self, query: PresenceQuery) -> Answer<Presence> {
        let info = Some(json(r#"{"colour":  "teal"}"#));
        let member = |info| Member { user: "ann".to_owned(), session: SESSION, info, since_ms: 1_000 };
        let next = query.after.is_none().then_some(SESSION);
        let presence = Presence { page: Page { items: vec![member(info), member(None)], next }, total: 3 };
        self.answer(Asked::Presence(query), presence)
    }

    fn history(&self, query: HistoryQuery) -> Answer<History> {
        let message = |offset, from: Option<&str>| HistoryMessage {
            offset,
            data: json(r#"{"n":1.0,  "t":"\u0041"}"#),
            from: from.map(str::to_owned),
            at_ms: 1_000,
        };
        let next = query.after.is_none().then_some(2);
        let items = vec![message(1, Some("ann")), message(2, None)];
        let history = History { head: Position { epoch: EPOCH, offset: 9 }, page: Page { items, next } };
        self.answer(Asked::History(query), history)
    }

    fn sessions(&self, query: SessionsQuery) -> Answer<Page<SessionInfo, SessionId>> {
        let next = query.after.is_none().then_some(SESSION);
        self.answer(Asked::Sessions(query), Page { items: vec![session_info(SESSION)], next })
    }

    fn session(&self, session: SessionId) -> Answer<Option<SessionInfo>> {
        let found = (session == SESSION).then(|| session_info(session));
        self.answer(Asked::Session(session), found)
    }

    fn nodes(&self) -> Answer<Vec<NodeInfo>> {
        let node = NodeInfo {
            node: NodeName::parse("gateway-0").unwrap(),
            phase: "serving".to_owned(),
            version: "0.1.0".to_owned(),
            connections: 7,
            capacity: 100,
            load: 0.25,
            since_ms: 1_000,
        };
        self.answer(Asked::Nodes, vec![node])
    }
}
