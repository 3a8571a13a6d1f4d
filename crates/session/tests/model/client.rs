//! A naive client that believes what it is told and checks that it may.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_protocol::command::Resume;
use tidegate_protocol::error::ErrorCode;
use tidegate_protocol::event::{ChannelState, Connected, Event, Message, Reply};
use tidegate_protocol::position::Position;

use crate::history::Channel;

/// What a violated promise looks like.
pub(crate) type Checked<T = ()> = Result<T, String>;

#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Commands whose replies are outstanding on this connection.
    pub(crate) outstanding: BTreeMap<u32, Asked>,
    last_id: u32,
    /// What it is subscribed to, by what it was told.
    pub(crate) subscriptions: BTreeMap<String, View>,
    /// How far it was in channels that it left.
    pub(crate) left: BTreeMap<String, Position>,
    /// Channels that the server may have subscribed it to without a word.
    pub(crate) unannounced: BTreeSet<String>,
    pub(crate) credentials: Option<Resume>,
    pub(crate) is_ready: bool,
    pub(crate) is_closing: bool,
    /// Whether the run has no fault in it that could lose anything.
    is_calm: bool,
    pub(crate) received: u64,
    pub(crate) gaps: u64,
    pub(crate) recovered: u64,
    pub(crate) not_recovered: u64,
    pub(crate) resumed: u64,
    pub(crate) errors: u64,
}

/// A command that waits for its reply.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Connect { told: BTreeMap<String, Position> },
    Subscribe { channel: String, told: Option<Position> },
    Unsubscribe { channel: String },
    Other { name: &'static str },
}

/// How far the client is in a channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Of a channel with history: behind this comes the next message.
    pub(crate) position: Option<Position>,
    /// Of one without: the last number that came.
    pub(crate) number: Option<u64>,
}

/// What the client does about what it received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reaction {
    None,
    Pong,
    Refresh,
    Reconnect,
}

impl Client {
    pub(crate) fn new(is_calm: bool) -> Self {
        Self { is_calm, ..Self::default() }
    }

    pub(crate) fn new_id(&mut self, asked: Asked) -> u32 {
        self.last_id += 1;
        self.outstanding.insert(self.last_id, asked);
        self.last_id
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.outstanding.clear();
        self.is_ready = false;
        self.is_closing = false;
        self.unannounced.clear();
        for view in self.subscriptions.values_mut() {
            view.number = None;
        }
    }

    pub(crate) fn positions(&self) -> BTreeMap<String, Position> {
        let known = |(channel, view): (&String, &View)| Some((channel.clone(), view.position?));
        self.subscriptions.iter().filter_map(known).collect()
    }

    pub(crate) fn receive(&mut self, event: &Event<'_>, channels: &[Channel]) -> Checked<Reaction> {
        if self.is_closing {
            return Err(format!("{event:?} behind `closing`"));
        }
        match event {
            Event::Message(message) => self.receive_message(message, channels)?,
            Event::Gap(gap) => {
                self.gaps += 1;
                self.calm_only_without("a gap")?;
                if self.unannounced.contains(&*gap.channel) {
                    return Ok(Reaction::None);
                }
                let view = self.view(&gap.channel)?;
                let last_lost =
                    gap.position.map(|first| Position { offset: first.offset.saturating_sub(1), ..first });
                view.number = None;
                if let (Some(now), Some(then)) = (last_lost, view.position)
                    && now.epoch == then.epoch
                    && now.offset <= then.offset
                {
                    return Err(format!("a gap backwards: {now:?} after {then:?}"));
                }
                view.position = last_lost.or(view.position);
            }
            Event::Unsubscribed(unsubscribed) => {
                self.leave(&unsubscribed.channel);
            }
            Event::Closing(_) => self.is_closing = true,
            Event::Reply { id, reply } => {
                let asked =
                    self.outstanding.remove(id).ok_or_else(|| format!("a reply to nothing: {event:?}"))?;
                self.receive_reply(&asked, reply)?;
            }
            Event::Error { id: Some(id), error } => {
                let asked =
                    self.outstanding.remove(id).ok_or_else(|| format!("an error of nothing: {event:?}"))?;
                self.errors += 1;
                if matches!(asked, Asked::Connect { .. }) && error.code != ErrorCode::Unavailable {
                    self.credentials = None;
                }
            }
            Event::Error { id: None, .. } => self.errors += 1,
            Event::Ping => return Ok(Reaction::Pong),
            Event::Expiring { .. } => return Ok(Reaction::Refresh),
            Event::Reconnect(_) => return Ok(Reaction::Reconnect),
            Event::Direct(_) | Event::Join(_) | Event::Leave(_) | Event::Unknown { .. } => {
                return Err(format!("nobody sent {event:?}"));
            }
        }
        Ok(Reaction::None)
    }

    fn receive_message(&mut self, message: &Message<'_>, channels: &[Channel]) -> Checked {
        let channel =
            channels.iter().find(|channel| channel.name == message.channel).ok_or("no such channel")?;
        let number: u64 = message.data.as_str().parse().map_err(|_| "not what was published")?;
        if self.unannounced.remove(&*message.channel) {
            let position = channel.position_before(number);
            self.subscriptions.entry(message.channel.to_string()).or_insert(View { position, number: None });
        }
        self.received += 1;
        let view = self.view(&message.channel)?;
        match (view.position, message.offset) {
            (Some(last), Some(offset)) => {
                let position = Position { offset, ..last };
                if offset != last.offset + 1 {
                    return Err(format!("{message:?} after {last:?}"));
                }
                if channel.number_at(position) != Some(number) {
                    return Err(format!("{message:?} was not published at {position:?}"));
                }
                view.position = Some(position);
            }
            (None, None) => {
                if view.number.is_some_and(|last| number != last + 1) {
                    return Err(format!("{message:?} after number {:?}", view.number));
                }
                view.number = Some(number);
            }
            (position, offset) => return Err(format!("an offset {offset:?} in a channel at {position:?}")),
        }
        Ok(())
    }

    fn receive_reply(&mut self, asked: &Asked, reply: &Reply<'_>) -> Checked {
        match (asked, reply) {
            (Asked::Connect { told }, Reply::Connect(connected)) => self.connected(told, connected),
            (Asked::Subscribe { channel, told }, Reply::Subscribe(state)) => {
                let view = self.begin(channel, *told, state)?;
                self.subscriptions.insert(channel.clone(), view);
                Ok(())
            }
            (Asked::Unsubscribe { channel }, Reply::Unsubscribe) => {
                self.leave(channel);
                Ok(())
            }
            (Asked::Other { name }, reply) if reply.name().as_str() == *name => Ok(()),
            (asked, reply) => Err(format!("{reply:?} answers {asked:?}")),
        }
    }

    fn connected(&mut self, told: &BTreeMap<String, Position>, connected: &Connected<'_>) -> Checked {
        let known = std::mem::take(&mut self.subscriptions);
        self.unannounced.clear();
        for (channel, state) in &connected.channels {
            let own = known.get(&**channel).and_then(|view| view.position).filter(|_| connected.resumed);
            let view = self.begin(channel, told.get(&**channel).copied().or(own), state)?;
            self.subscriptions.insert(channel.to_string(), view);
        }
        self.resumed += u64::from(connected.resumed);
        self.is_ready = true;
        self.credentials = Some(Resume { session: connected.session, secret: connected.resume });
        Ok(())
    }

    /// What the reply says of a subscription, against the position that was asked for.
    fn begin(&mut self, channel: &str, told: Option<Position>, state: &ChannelState) -> Checked<View> {
        match (state.recovered, told, state.position) {
            (Some(true), Some(told), Some(position)) if told != position => {
                return Err(format!("{channel} was recovered from {position:?}, not from {told:?}"));
            }
            (Some(true), _, _) => self.recovered += 1,
            (Some(false), _, _) => {
                self.not_recovered += 1;
                self.calm_only_without("a position that is not recovered")?;
            }
            (None, Some(told), Some(_)) => {
                return Err(format!("nothing is said of {channel} behind {told:?}"));
            }
            (None, _, _) => {}
        }
        Ok(View { position: state.position, number: None })
    }

    fn leave(&mut self, channel: &str) {
        self.unannounced.remove(channel);
        if let Some(position) = self.subscriptions.remove(channel).and_then(|view| view.position) {
            self.left.insert(channel.to_owned(), position);
        }
    }

    fn view(&mut self, channel: &str) -> Checked<&mut View> {
        self.subscriptions.get_mut(channel).ok_or_else(|| format!("{channel} is not subscribed to"))
    }

    fn calm_only_without(&self, what: &str) -> Checked {
        if self.is_calm { Err(format!("{what} though nothing was lost")) } else { Ok(()) }
    }
}
