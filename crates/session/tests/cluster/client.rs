//! A client that does what docs/clients.md says, and checks what it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidegate_protocol::command::{self, Command, Connect, Publish, Request, Resume, StartFrom, Subscribe};
use tidegate_protocol::event::{ChannelState, Connected, Event, Published, Reply};
use tidegate_protocol::json::RawJson;

use crate::truth::Truth;
use crate::{CHANNELS, Checked, channel_of};

use self::view::View;

pub(crate) mod view;

/// A try has so long from the opening of the socket to the reply, in milliseconds.
const TRY_MS: u64 = 3_000;
/// Nothing at all in so long, and a connection is dead.
const SILENCE_MS: u64 = 4_000;
/// An error that is worth another try is tried again so much later.
const RETRY_MS: u64 = 300;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) index: usize,
    /// The channels that the application wants.
    pub(crate) wanted: BTreeSet<usize>,
    pub(crate) views: BTreeMap<usize, View>,
    credentials: Option<Resume>,
    pub(crate) link: Option<Link>,
    /// Connections that it left behind without closing them.
    pub(crate) former: BTreeSet<u64>,
    /// Those of them that it closes, since they are of a session that is no more.
    pub(crate) forgotten: BTreeSet<u64>,
    failures: u32,
    pub(crate) connect_at: u64,
    last_id: u32,
    /// Publications that are not answered, oldest first.
    pub(crate) unanswered: VecDeque<Unanswered>,
    pub(crate) counts: Counts,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: u64,
    pub(crate) is_ready: bool,
    opened_at: u64,
    heard_at: u64,
    asked: BTreeMap<u32, Asked>,
    /// Subscriptions to be asked for again.
    retry: BTreeMap<usize, u64>,
}

#[derive(Clone, Debug)]
enum Asked {
    Connect,
    Subscribe(usize),
    Unsubscribe,
    Publish(u64),
}

/// A publication without an answer; its number is its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unanswered {
    pub(crate) channel: usize,
    pub(crate) number: u64,
    sent_on: Option<u64>,
    retry_at: u64,
}

/// What happened to a client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) resumed: u64,
    pub(crate) recovered: u64,
    pub(crate) not_recovered: u64,
    pub(crate) gaps: u64,
    pub(crate) duplicates: u64,
    pub(crate) taken_over: u64,
    pub(crate) errors: u64,
}

/// What a client does about what it was told.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    pub(crate) send: Vec<String>,
    pub(crate) hang_up: bool,
}

impl Client {
    pub(crate) fn new(index: usize, wanted: BTreeSet<usize>, connect_at: u64) -> Self {
        Self {
            index,
            wanted,
            views: BTreeMap::new(),
            credentials: None,
            link: None,
            former: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            failures: 0,
            connect_at,
            last_id: 0,
            unanswered: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// A socket is open: the first object on it.
    pub(crate) fn open(&mut self, connection: u64, now: u64) -> String {
        let asked = BTreeMap::new();
        let (opened_at, heard_at) = (now, now);
        self.link =
            Some(Link { connection, is_ready: false, opened_at, heard_at, asked, retry: BTreeMap::new() });
        let positions = self.views.iter().filter(|(channel, _)| self.wanted.contains(channel));
        let connect = Connect {
            resume: self.credentials,
            positions: positions
                .filter_map(|(channel, view)| Some((name(*channel), view.position?)))
                .collect(),
            subscribe: self.wanted.iter().map(|channel| name(*channel)).collect(),
            ..Connect::default()
        };
        self.command(Asked::Connect, Command::Connect(Box::new(connect)))
    }

    /// The connection is gone, or given up.
    pub(crate) fn lose(&mut self, now: u64, jitter: u64) {
        self.link = None;
        for view in self.views.values_mut() {
            view.is_subscribed = false;
        }
        self.failures += 1;
        let window = 2_000.min(100 << self.failures.min(5));
        self.connect_at = now + 10 + jitter % window;
    }

    /// What time makes it do. The connection is to be dropped where the result says so.
    pub(crate) fn pass_time(&mut self, now: u64) -> Reaction {
        let Some(link) = &mut self.link else { return Reaction::default() };
        if !link.is_ready && now >= link.opened_at + TRY_MS || now >= link.heard_at + SILENCE_MS {
            return Reaction { hang_up: true, ..Reaction::default() };
        }
        if !link.is_ready {
            return Reaction::default();
        }
        let due: Vec<_> =
            link.retry.iter().filter(|(_, at)| **at <= now).map(|(channel, _)| *channel).collect();
        link.retry.retain(|_, at| *at > now);
        let mut send: Vec<_> = due
            .into_iter()
            .filter(|channel| self.wanted.contains(channel))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|channel| self.subscribe(channel))
            .collect();
        send.extend(self.publish_unanswered(now));
        Reaction { send, hang_up: false }
    }

    /// Something came on the connection.
    pub(crate) fn receive(&mut self, event: &Event<'_>, truth: &mut Truth, now: u64) -> Checked<Reaction> {
        let Some(link) = &mut self.link else { return Ok(Reaction::default()) };
        link.heard_at = now;
        let mut reaction = Reaction::default();
        match event {
            Event::Message(message) => {
                self.counts.received += 1;
                let channel = channel_of(&message.channel);
                let view = self.views.get_mut(&channel).filter(|view| view.is_subscribed);
                // What the application left may still come.
                let Some(view) = view else { return Ok(reaction) };
                view.receive(channel, message, truth)?;
            }
            Event::Gap(gap) => {
                self.counts.gaps += 1;
                if let Some(view) = self.views.get_mut(&channel_of(&gap.channel)) {
                    view.handle_gap(gap.position, now)?;
                }
            }
            Event::Ping => reaction.send.push("{}".into()),
            Event::Closing(closing) => {
                reaction.hang_up = true;
                if !closing.reconnect {
                    // The application is told, and begins anew.
                    self.counts.taken_over += 1;
                    self.credentials = None;
                    self.views.clear();
                }
            }
            Event::Unsubscribed(unsubscribed) => {
                let channel = channel_of(&unsubscribed.channel);
                link.retry.insert(channel, now + RETRY_MS);
                self.leave(channel);
            }
            Event::Reply { id, reply } => {
                let asked = link.asked.remove(id).ok_or("a reply to nothing")?;
                reaction.send = self.receive_reply(&asked, reply, truth, now)?;
            }
            Event::Error { id, .. } => {
                self.counts.errors += 1;
                let asked = id.and_then(|id| link.asked.remove(&id));
                match asked {
                    Some(Asked::Subscribe(channel)) => {
                        link.retry.insert(channel, now + RETRY_MS);
                    }
                    Some(Asked::Publish(number)) => self.retry_publish(number, now + RETRY_MS),
                    Some(Asked::Connect | Asked::Unsubscribe) | None => {}
                }
            }
            other => return Err(format!("nobody sent {other:?}")),
        }
        Ok(reaction)
    }

    fn receive_reply(
        &mut self,
        asked: &Asked,
        reply: &Reply<'_>,
        truth: &mut Truth,
        now: u64,
    ) -> Checked<Vec<String>> {
        match (asked, reply) {
            (Asked::Connect, Reply::Connect(connected)) => self.handle_connected(connected, now),
            (Asked::Subscribe(channel), Reply::Subscribe(state)) => {
                self.begin(*channel, state, now)?;
                Ok(Vec::new())
            }
            (Asked::Publish(number), Reply::Publish(published)) => {
                self.handle_published(*number, published, truth, now)?;
                Ok(Vec::new())
            }
            (Asked::Unsubscribe, Reply::Unsubscribe) => Ok(Vec::new()),
            (asked, reply) => Err(format!("{reply:?} answers {asked:?}")),
        }
    }

    fn handle_connected(&mut self, connected: &Connected<'_>, now: u64) -> Checked<Vec<String>> {
        let Some(link) = &mut self.link else { return Ok(Vec::new()) };
        link.is_ready = true;
        if !connected.resumed {
            // Its session is forgotten: what is left of it is nobody else's.
            self.forgotten.append(&mut self.former);
        }
        self.failures = 0;
        self.counts.resumed += u64::from(connected.resumed);
        self.credentials = Some(Resume { session: connected.session, secret: connected.resume });
        let mut held = BTreeSet::new();
        for (channel, state) in &connected.channels {
            let channel = channel_of(channel);
            held.insert(channel);
            // What the application left is left again, and dropped until then.
            if self.wanted.contains(&channel) {
                self.begin(channel, state, now)?;
            }
        }
        let missing: Vec<_> = self.wanted.difference(&held).copied().collect();
        let left: Vec<_> = held.difference(&self.wanted).copied().collect();
        let mut send: Vec<_> = missing.into_iter().map(|channel| self.subscribe(channel)).collect();
        send.extend(left.into_iter().map(|channel| self.unsubscribe(channel)));
        send.extend(self.publish_unanswered(now));
        Ok(send)
    }

    /// What a reply says of a subscription.
    fn begin(&mut self, channel: usize, state: &ChannelState, now: u64) -> Checked {
        self.counts.recovered += u64::from(state.recovered == Some(true));
        self.counts.not_recovered += u64::from(state.recovered == Some(false));
        self.views.entry(channel).or_default().begin(state, now)
    }

    fn handle_published(
        &mut self,
        number: u64,
        published: &Published,
        truth: &mut Truth,
        now: u64,
    ) -> Checked {
        let Some(at) = self.unanswered.iter().position(|one| one.number == number) else { return Ok(()) };
        let Some(Unanswered { channel, .. }) = self.unanswered.remove(at) else { return Ok(()) };
        self.counts.duplicates += u64::from(published.duplicate);
        truth.acknowledge(channel, number, published.position.ok_or("a publication without a position")?, now)
    }

    /// The application publishes.
    pub(crate) fn publish(&mut self, channel: usize, number: u64, now: u64) -> Vec<String> {
        self.unanswered.push_back(Unanswered { channel, number, sent_on: None, retry_at: 0 });
        self.publish_unanswered(now)
    }

    /// Everything that waits for an answer goes out once on each connection, with the same keys.
    fn publish_unanswered(&mut self, now: u64) -> Vec<String> {
        let Some(link) = self.link.as_ref().filter(|link| link.is_ready) else { return Vec::new() };
        let connection = link.connection;
        let due = |one: &&mut Unanswered| one.sent_on != Some(connection) && one.retry_at <= now;
        let due: Vec<_> = self
            .unanswered
            .iter_mut()
            .filter(due)
            .map(|one| {
                one.sent_on = Some(connection);
                (one.channel, one.number)
            })
            .collect();
        let publish = |(channel, number): (usize, u64)| {
            let (data, key) = (number.to_string(), format!("key-{number}"));
            let publish = Publish {
                channel: name(channel),
                data: RawJson::trusted(&data),
                key: Some(key.into()),
                conflate: None,
                trace: None,
            };
            self.command(Asked::Publish(number), Command::Publish(publish))
        };
        due.into_iter().map(publish).collect()
    }

    fn retry_publish(&mut self, number: u64, at: u64) {
        if let Some(one) = self.unanswered.iter_mut().find(|one| one.number == number) {
            (one.sent_on, one.retry_at) = (None, at);
        }
    }

    /// The application wants a channel, or no longer does.
    pub(crate) fn toggle(&mut self, channel: usize) -> Option<String> {
        let is_ready = self.link.as_ref().is_some_and(|link| link.is_ready);
        let subscribes = !self.wanted.remove(&channel) && self.wanted.insert(channel);
        match (is_ready, subscribes) {
            (false, _) => None,
            (true, true) => Some(self.subscribe(channel)),
            (true, false) => Some(self.unsubscribe(channel)),
        }
    }

    fn subscribe(&mut self, channel: usize) -> String {
        let position = self.views.get(&channel).and_then(|view| view.position);
        let from = position.map_or(StartFrom::Live, StartFrom::Position);
        self.command(
            Asked::Subscribe(channel),
            Command::Subscribe(Subscribe { channel: name(channel), from }),
        )
    }

    fn unsubscribe(&mut self, channel: usize) -> String {
        self.leave(channel);
        self.command(Asked::Unsubscribe, Command::Unsubscribe { channel: name(channel) })
    }

    fn leave(&mut self, channel: usize) {
        if let Some(view) = self.views.get_mut(&channel) {
            view.is_subscribed = false;
        }
    }

    fn command(&mut self, asked: Asked, command: Command<'_>) -> String {
        self.last_id += 1;
        if let Some(link) = &mut self.link {
            link.asked.insert(self.last_id, asked);
        }
        let mut object = Vec::new();
        command::append(&mut object, &Request { id: Some(self.last_id), command });
        String::from_utf8(object).expect("objects are JSON")
    }
}

fn name(channel: usize) -> tidegate_protocol::channel::Channel<'static> {
    tidegate_protocol::channel::Channel::parse(CHANNELS[channel]).expect("a good name")
}
