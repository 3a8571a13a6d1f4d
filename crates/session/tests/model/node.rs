//! The node's side of one connection: a session, what a driver does for it, and the hub's end of its subscriptions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tidegate_protocol::command::{self, ParseLimits, StartFrom};
use tidegate_protocol::event::Objects;
use tidegate_protocol::position::Position;
use tidegate_protocol::time::Millis;
use tidegate_session::{
    Ask, Cx, Delivery, Effect, Identity, Opened, Policy, Refusal, ReplyTo, Session, Subscribed,
};

use crate::history::Publication;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) session: Session,
    pub(crate) policy: Policy,
    out: Objects,
    /// The hub's entry of each subscription.
    pub(crate) hub: BTreeMap<String, Entry>,
    /// Answers that come at once.
    pub(crate) ready: VecDeque<Answer>,
    /// What was written to the socket and not read by the client yet.
    pub(crate) wire: VecDeque<Item>,
    pub(crate) closes: u32,
}

/// A subscriber in the hub.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) ask: Ask,
    is_gated: bool,
    /// The newest position that was handed in or written.
    pub(crate) head: Option<Position>,
    /// What never reached this node and is repaired once the subscriber is the hub's.
    missing: Vec<Publication>,
}

/// What stands on the wire.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Object(String),
    /// No object: from here on, messages of this channel may come without the client having asked for them.
    Unannounced(String),
}

/// An answer of the outside, now or later.
#[derive(Debug)]
pub(crate) enum Answer {
    Authenticated(Result<Identity, Refusal>),
    Opened(Result<Opened, Refusal>),
    /// The history is still to be read, when this comes.
    Read {
        channel: String,
        ask: Ask,
        from: StartFrom,
    },
    Subscribed {
        channel: String,
        ask: Ask,
        answer: Result<Subscribed, Refusal>,
    },
    Replied {
        to: ReplyTo,
        answer: Result<(), Refusal>,
        is_twice: bool,
    },
    Refreshed {
        to: ReplyTo,
        answer: Result<Identity, Refusal>,
    },
}

/// What happens to a publication on its way to a gated subscriber.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    Drop,
    Duplicate,
    /// An earlier one that was dropped comes behind it.
    Late,
    /// It is taken for a live one though it is not: what a hub must not do.
    Bypass,
}

impl Connection {
    pub(crate) fn new(number: u64, now: u64, policy: Policy) -> Self {
        Self {
            number,
            session: Session::new(Millis::new(now), &policy),
            policy,
            out: Objects::new(),
            hub: BTreeMap::new(),
            ready: VecDeque::new(),
            wire: VecDeque::new(),
            closes: 0,
        }
    }

    pub(crate) fn call<T>(&mut self, now: u64, call: impl FnOnce(&mut Session, &mut Cx<'_>) -> T) -> T {
        let Self { session, policy, out, .. } = self;
        let result = call(session, &mut Cx { now: Millis::new(now), policy, out });
        self.flush();
        result
    }

    /// Parses an object of the client and hands it in.
    pub(crate) fn command<'m>(&mut self, now: u64, object: &'m str) -> Option<Effect<'m>> {
        match command::parse(object, &ParseLimits::default()) {
            Ok(request) => self.call(now, |session, cx| session.handle_command(request, object, cx)),
            Err(bad) => {
                self.call(now, |session, cx| session.handle_bad_request(&bad, object, cx));
                None
            }
        }
    }

    pub(crate) fn answer(&mut self, now: u64, answer: Answer) {
        use tidegate_protocol::command::CommandName;
        use tidegate_protocol::event::{HistoryPage, Published, Reply};
        use tidegate_protocol::position::Epoch;

        match answer {
            Answer::Authenticated(answer) => {
                self.call(now, |session, cx| session.handle_authenticated(answer, cx));
            }
            Answer::Opened(answer) => self.call(now, |session, cx| session.handle_opened(answer, cx)),
            Answer::Read { .. } => unreachable!("the world reads before it answers"),
            Answer::Subscribed { channel, ask, answer } => {
                if answer.is_err() && self.hub.get(&channel).is_some_and(|entry| entry.ask == ask) {
                    self.hub.remove(&channel);
                }
                self.call(now, |session, cx| session.handle_subscribed(&channel, ask, answer, cx));
            }
            Answer::Replied { to, answer, is_twice } => {
                for _ in 0..=u32::from(is_twice) {
                    let reply = answer.clone().map(|()| match to.command {
                        CommandName::Publish => Reply::Publish(Published::default()),
                        CommandName::Send => Reply::Send { sessions: 1 },
                        CommandName::Presence => Reply::Presence { members: Vec::new() },
                        _ => {
                            let head = Position { epoch: Epoch::new(1), offset: 0 };
                            Reply::History(HistoryPage { head, messages: Vec::new() })
                        }
                    });
                    self.call(now, |session, cx| session.handle_replied(to, reply, cx));
                }
            }
            Answer::Refreshed { to, answer } => {
                let _verdict = self.call(now, |session, cx| session.handle_refreshed(to, answer, cx));
            }
        }
    }

    /// The hub has a publication for a subscriber here.
    pub(crate) fn deliver(&mut self, now: u64, channel: &str, publication: Publication, fault: Fault) {
        let Some(entry) = self.hub.get_mut(channel) else { return };
        if fault == Fault::Bypass {
            return self.write(&publication.object);
        }
        // A hub may look at the subscription or find out by handing in: both have to be right.
        if self.session.subscription(channel) != Some(Delivery::Live) {
            return self.hand_in(now, channel, publication, fault);
        }
        if entry.is_gated && fault == Fault::None {
            entry.is_gated = false;
        }
        let mut due = std::mem::take(&mut entry.missing);
        due.push(publication);
        for publication in due {
            let Some(entry) = self.hub.get_mut(channel) else { return };
            let is_new = match (publication.position, entry.head) {
                (Some(now), Some(last)) => now.epoch != last.epoch || now.offset > last.offset,
                (None, _) | (_, None) => true,
            };
            if !is_new {
                continue;
            }
            let (last, is_gated) = (entry.head, entry.is_gated);
            entry.head = publication.position.or(entry.head);
            if let (Some(now), Some(last)) = (publication.position, last)
                && now.epoch != last.epoch
            {
                self.write_gap(channel, now);
            }
            if is_gated {
                self.hand_in_one(now, channel, &publication);
            } else {
                self.write(&publication.object);
            }
        }
    }

    fn hand_in(&mut self, now: u64, channel: &str, publication: Publication, fault: Fault) {
        let Some(entry) = self.hub.get_mut(channel) else { return };
        // What has no position cannot be repaired, so the hub loses none of it.
        if fault == Fault::Drop && publication.position.is_some() {
            entry.missing.push(publication);
            return;
        }
        let mut missing = std::mem::take(&mut entry.missing);
        self.hand_in_one(now, channel, &publication);
        match fault {
            Fault::Duplicate if publication.position.is_some() => {
                self.hand_in_if_gated(now, channel, &publication);
            }
            Fault::Late => {
                if let Some(late) = missing.pop() {
                    self.hand_in_if_gated(now, channel, &late);
                }
            }
            Fault::None | Fault::Drop | Fault::Duplicate | Fault::Bypass => {}
        }
    }

    fn hand_in_if_gated(&mut self, now: u64, channel: &str, publication: &Publication) {
        if self.hub.get(channel).is_some_and(|entry| entry.is_gated) {
            self.hand_in_one(now, channel, publication);
        }
    }

    fn hand_in_one(&mut self, now: u64, channel: &str, publication: &Publication) {
        let Publication { position, object } = publication;
        let delivery = self.call(now, |session, cx| session.handle_live(channel, *position, object, cx));
        let Some(entry) = self.hub.get_mut(channel) else { return };
        entry.is_gated = delivery != Some(Delivery::Live);
        let is_newer = |last: Position, now: Position| now.epoch != last.epoch || now.offset > last.offset;
        if let Some(position) = position
            && entry.head.is_none_or(|head| is_newer(head, *position))
        {
            entry.head = Some(*position);
        }
    }

    pub(crate) fn join(&mut self, channel: &str, ask: Ask) {
        let entry = Entry { ask, is_gated: true, head: None, missing: Vec::new() };
        self.hub.insert(channel.to_owned(), entry);
    }

    fn write(&mut self, object: &Arc<[u8]>) {
        let object = String::from_utf8(object.to_vec()).expect("objects are JSON");
        self.wire.push_back(Item::Object(object));
    }

    fn write_gap(&mut self, channel: &str, position: Position) {
        use tidegate_protocol::event::{Gap, append_gap};

        let mut object = Vec::new();
        append_gap(&mut object, &Gap { channel: channel.into(), position: Some(position) });
        self.write(&object.into());
    }

    fn flush(&mut self) {
        let text = std::str::from_utf8(self.out.as_bytes()).expect("objects are JSON");
        self.wire.extend(command::objects(text).map(|object| Item::Object(object.to_owned())));
        self.out.clear();
    }

    /// What the driver would save of the session.
    pub(crate) fn subscriptions(&self) -> Vec<(tidegate_protocol::channel::ChannelName, Option<Position>)> {
        self.session
            .subscriptions()
            .map(|(channel, delivery)| {
                let position = match delivery {
                    Delivery::Gated { delivered } => delivered,
                    Delivery::Live => self.hub.get(channel.as_str()).and_then(|entry| entry.head),
                };
                (channel.clone(), position)
            })
            .collect()
    }
}
