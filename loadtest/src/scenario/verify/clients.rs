//! All clients of a verification: publishers in the first lanes, subscribers in the others.
//!
//! Place in the data path: a script (`verify.rs`, `storm.rs`) says when connections are made and cut and what is due; here the
//! dialect is spoken, sessions come back after a cut, and what comes is checked by feeds.

mod presence;
mod receive;
mod subscribe;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::channel::Channel;
use tidegate_protocol::position::Position;
use tidegate_wire::frame::OpCode;

use self::presence::Attendance;
use super::feed::{Feed, Place, Published};
use super::publisher::{Ack, Press, Publisher, Size};
use super::session::{Advice, Link, Session};
use super::tally::{Tally, Wrong};
use crate::clock::Nanos;
use crate::engine::{Commands, Dial, Ending, Goodbye, Lane};
use crate::native::{Native, numbered};
use crate::payload::Template;
use crate::random::Random;
use crate::schedule::Schedule;

/// Publishers and subscribers, and everything that is known of them.
pub(super) struct Clients {
    native: Native,
    size: Size,
    /// By lane.
    sessions: Vec<Session>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    by_name: HashMap<Arc<str>, usize>,
    /// By channel: the newest publication that was acknowledged, where there are offsets.
    heads: Vec<Option<Position>>,
    press: Press,
    schedule: Option<Schedule>,
    /// Messages of the schedule given to a publisher so far.
    assigned: u64,
    errands: BinaryHeap<Reverse<(Nanos, Lane, Errand)>>,
    /// Where and when those come back whom the server cut.
    random: Random,
    /// Nodes, or load balancers, that clients may connect to.
    targets: usize,
    /// Subscribers that have come back and got all they missed.
    pub(super) caught_up: usize,
    /// Why a `connect` was refused, until its connection is gone.
    refusal: Option<Refusal>,
    /// By channel: who is present, once it was asked.
    roll: Vec<Attendance>,
    pub(super) heard_at: Nanos,
    pub(super) tally: Tally,
}

struct Subscriber {
    feeds: Vec<Feed>,
    /// When it set out to come back, until it has caught up.
    returning_since: Option<Nanos>,
}

/// `connect` was answered with an error.
#[derive(Clone, Debug)]
struct Refusal {
    words: String,
    /// After how long to try again; `None`: never.
    retry_after: Option<Duration>,
}

/// Something to do later on a lane.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Errand {
    ComeBack,
    ReadAgain,
    /// Whether the server still says something.
    Listen,
    /// To a channel that the server could not subscribe it to.
    Subscribe(usize),
    /// What the server did not take.
    SendAgain,
    /// The server asked for it, and answers are not waited for any longer.
    Depart,
}

/// Who takes part.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    pub(super) native: Native,
    pub(super) publishers: usize,
    pub(super) subscribers: usize,
    pub(super) channels: usize,
    /// Channels of each subscriber.
    pub(super) subscriptions: usize,
    /// Nodes, or load balancers, that clients may connect to.
    pub(super) targets: usize,
    pub(super) size_bytes: usize,
    /// Tells the idempotency keys of this run from those of others, the same seed or not.
    pub(super) run: u64,
    pub(super) seed: u64,
}

/// Did a message open the session?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Entered,
    Other,
}

/// A message's number: publisher above, its count below.
pub(super) const COUNT_BITS: u32 = 48;
/// A publish that was refused for now is sent again after so long at least, and on top of that at most so much.
const REFUSED: Duration = Duration::from_millis(50);
const REFUSED_JITTER: Duration = Duration::from_millis(100);

impl Clients {
    pub(super) fn new(cast: &Cast) -> Self {
        let size = Size { publishers: cast.publishers, channels: cast.channels };
        let names = (0..cast.channels).map(|index| numbered(&cast.native.channel_base, index));
        let channels: Vec<Channel<'static>> = names
            .map(|name| {
                Channel::try_from(std::borrow::Cow::Owned(name)).expect("the command line checks channels")
            })
            .collect();
        let subscribers = (0..cast.subscribers).map(|index| {
            let first = index * cast.subscriptions;
            let own = (first..first + cast.subscriptions).map(|channel| channel % cast.channels);
            let feeds = own.map(|channel| Feed::new(channel, cast.publishers)).collect();
            Subscriber { feeds, returning_since: None }
        });
        let mut sessions = Vec::new();
        sessions.resize_with(cast.publishers + cast.subscribers, Session::default);
        Self {
            sessions,
            publishers: (0..cast.publishers).map(|index| Publisher::new(index, size)).collect(),
            subscribers: subscribers.collect(),
            by_name: channels.iter().enumerate().map(|(at, name)| (name.as_str().into(), at)).collect(),
            press: Press {
                channels,
                template: Template::new(cast.size_bytes),
                run: cast.run,
                object: Vec::new(),
            },
            heads: vec![None; cast.channels],
            native: cast.native.clone(),
            size,
            schedule: None,
            assigned: 0,
            errands: BinaryHeap::new(),
            random: Random::new(cast.seed),
            targets: cast.targets,
            roll: Vec::new(),
            caught_up: 0,
            refusal: None,
            heard_at: Nanos(0),
            tally: Tally::new(),
        }
    }

    pub(super) fn is_up(&self, lane: Lane) -> bool {
        self.sessions[lane].link == Link::Up
    }

    pub(super) fn lanes(&self) -> usize {
        self.sessions.len()
    }

    /// Messages are due from now on, for the publishers in turn.
    pub(super) fn begin(&mut self, rate: u64, now: Nanos) {
        self.schedule = Some(Schedule::new(now, rate));
        self.tally.timeline.begin(now);
    }

    /// Sends what is due, of no more than `count` messages in all. Says when the next one is.
    pub(super) fn publish_due(&mut self, count: u64, now: Nanos, out: &mut Commands) -> Nanos {
        let Some(schedule) = self.schedule else { return Nanos(u64::MAX) };
        let due = schedule.due_count(now).min(count);
        while self.assigned < due {
            let lane = super::publisher::remainder(self.assigned, self.publishers.len());
            self.assigned += 1;
            self.publishers[lane].assign();
            self.send_due(lane, now, out);
        }
        if self.assigned < count { schedule.due_at(self.assigned) } else { Nanos(u64::MAX) }
    }

    /// How many messages have been due.
    pub(super) fn assigned(&self) -> u64 {
        self.assigned
    }

    /// Cuts a connection; its client comes back at that time, or when it is told to.
    pub(super) fn cut(
        &mut self,
        lane: Lane,
        goodbye: Goodbye,
        back_at: Option<Nanos>,
        now: Nanos,
        out: &mut Commands,
    ) {
        out.close(lane, goodbye);
        self.tally.cuts += 1;
        self.leave(lane, back_at, now);
    }

    /// A subscriber reads nothing until then.
    pub(super) fn stall(&mut self, lane: Lane, until: Nanos, out: &mut Commands) {
        out.pause_reading(lane);
        self.tally.stalls += 1;
        self.errands.push(Reverse((until, lane, Errand::ReadAgain)));
    }

    /// Sets out to come back.
    pub(super) fn come_back(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        let session = &mut self.sessions[lane];
        if session.link != Link::Down {
            return;
        }
        session.link = Link::Opening;
        // Whoever needs several attempts has been on its way since the first.
        session.returning_since.get_or_insert(now);
        if let Some(index) = lane.checked_sub(self.publishers.len()) {
            let feeds = &mut self.subscribers[index].feeds;
            feeds.iter_mut().for_each(|feed| feed.handle_return(self.heads[feed.channel]));
        }
        self.tally.timeline.at(now).retries += 1;
        out.dial(lane, Dial { target: self.random.below(self.targets), ..Dial::default() });
    }

    /// Does what has come due. Says when there is more.
    pub(super) fn run_errands(&mut self, now: Nanos, out: &mut Commands) -> Nanos {
        while let Some(&Reverse((at, lane, errand))) = self.errands.peek() {
            if at > now {
                return at;
            }
            self.errands.pop();
            match errand {
                Errand::ComeBack => self.come_back(lane, now, out),
                Errand::ReadAgain => out.resume_reading(lane),
                Errand::Listen => self.listen(lane, now, out),
                Errand::Subscribe(channel) => self.subscribe_again(lane, channel, out),
                Errand::SendAgain if self.is_up(lane) => {
                    self.sessions[lane].sends_again = false;
                    self.tally.sent_again += self.publishers[lane].send_refused_again(&mut self.press, out);
                }
                // It comes back first, and sends everything again.
                Errand::SendAgain => self.sessions[lane].sends_again = false,
                Errand::Depart => self.depart(lane, now, out),
            }
        }
        Nanos(u64::MAX)
    }

    /// Drops a connection that has been silent for too long, as whoever waits for a frozen server has to.
    fn listen(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        let session = &mut self.sessions[lane];
        let Some(until) = session.silent_until() else {
            session.is_watched = false;
            return;
        };
        if now < until {
            return self.errands.push(Reverse((until, lane, Errand::Listen)));
        }
        session.is_watched = false;
        self.tally.silent_connections += 1;
        let wait = session.wait(Advice::AtOnce, Duration::ZERO, now, &mut self.random);
        out.close(lane, Goodbye::Reset);
        self.leave(lane, Some(now + wait), now);
    }

    /// The handshake succeeded.
    pub(super) fn handle_open(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        let session = &mut self.sessions[lane];
        session.handle_open(now);
        if !std::mem::replace(&mut session.is_watched, true) {
            self.errands.push(Reverse((now, lane, Errand::Listen)));
        }
        let feeds = match lane.checked_sub(self.publishers.len()) {
            Some(subscriber) => &self.subscribers[subscriber].feeds[..],
            None => &[],
        };
        let name = |feed: &Feed| self.press.channels[feed.channel].clone();
        let subscribe = feeds.iter().map(name).collect();
        let positions = feeds.iter().filter_map(|feed| Some((name(feed), feed.position()?))).collect();
        let mut object = Vec::new();
        self.sessions[lane].append_greeting(
            &mut object,
            lane,
            &self.native.credentials,
            subscribe,
            positions,
        );
        out.send_frame(lane, OpCode::Text, &object);
    }

    /// The connection is gone.
    pub(super) fn handle_end(&mut self, lane: Lane, ending: &Ending, now: Nanos) {
        let refusal = self.refusal.take();
        let session = &mut self.sessions[lane];
        let link = session.link;
        if matches!(link, Link::Down | Link::Finished) {
            return;
        }
        let (leaving, closing) = (session.leaving.take(), session.closing.take());
        let words = refusal.as_ref().map_or_else(|| ending.to_string(), |refusal| refusal.words.clone());
        *self.tally.endings.entry(words.clone()).or_default() += 1;
        if let Some((_, away)) = leaving {
            return self.leave(lane, Some(now + away), now);
        }
        match (link, ending) {
            (Link::Opening, _) => self.tally.refused_connects += 1,
            (_, Ending::Closed { .. }) => self.tally.closes_with_a_code += 1,
            _ => self.tally.unannounced_closes += 1,
        }
        let (advice, at_least) = match (closing, refusal) {
            (Some(told), _) => told,
            (None, Some(Refusal { retry_after: Some(after), .. })) => (Advice::BackOff, after),
            (None, Some(_)) => (Advice::StayAway, Duration::ZERO),
            (None, None) => (Advice::after(ending), Duration::ZERO),
        };
        if advice == Advice::StayAway {
            self.tally.found(Wrong::NotResumed, 1, || format!("client {lane}: ended for good, {words}"));
            self.sessions[lane].link = Link::Finished;
        } else {
            let wait = self.sessions[lane].wait(advice, at_least, now, &mut self.random);
            self.leave(lane, Some(now + wait), now);
        }
    }

    /// Why the connection that ended was refused, if it was: for a run that cannot begin.
    pub(super) fn take_refusal(&mut self) -> Option<String> {
        self.refusal.take().map(|refusal| refusal.words)
    }

    fn leave(&mut self, lane: Lane, back_at: Option<Nanos>, now: Nanos) {
        if matches!(self.sessions[lane].link, Link::Up | Link::Leaving) {
            self.tally.timeline.at(now).disconnected += 1;
        }
        self.sessions[lane].handle_lost(now);
        if let Some(index) = lane.checked_sub(self.publishers.len()) {
            self.subscribers[index].feeds.iter_mut().for_each(Feed::handle_away);
        }
        if let Some(at) = back_at {
            self.errands.push(Reverse((at, lane, Errand::ComeBack)));
        }
    }

    /// Leaves as the server asked, unless that has happened.
    fn depart(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        if self.sessions[lane].link == Link::Leaving
            && let Some((_, away)) = self.sessions[lane].leaving.take()
        {
            out.close(lane, Goodbye::Return);
            self.leave(lane, Some(now + away), now);
        }
    }

    /// Leaves once nothing is owed any more, or it has taken too long.
    fn depart_if_due(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        let owed = self.publishers.get(lane).map_or(0, Publisher::unanswered);
        let is_late = self.sessions[lane].leaving.is_some_and(|(until, _)| now >= until);
        if owed == 0 || is_late {
            self.depart(lane, now, out);
        }
    }

    fn send_due(&mut self, lane: Lane, now: Nanos, out: &mut Commands) {
        if self.sessions[lane].link == Link::Up
            && let Some(publisher) = self.publishers.get_mut(lane)
        {
            let count = publisher.send_due(&mut self.press, out);
            self.tally.sent += count;
            self.tally.timeline.at(now).sent += count;
        }
    }

    /// Have so many messages been due, and all been answered?
    pub(super) fn is_answered(&self, count: u64) -> bool {
        self.assigned >= count && self.publishers.iter().all(Publisher::is_idle)
    }

    /// Is everybody there, everything answered, and everything delivered that was?
    pub(super) fn standing(&self) -> Standing {
        let all_there = self.sessions.iter().all(|session| matches!(session.link, Link::Up | Link::Finished));
        if !all_there || !self.publishers.iter().all(Publisher::is_idle) {
            return Standing::Busy;
        }
        let mut feeds = self.subscribers.iter().flat_map(|subscriber| &subscriber.feeds);
        if feeds.all(|feed| feed.is_complete(|publisher| self.publishers[publisher].published(feed.channel)))
        {
            Standing::Complete
        } else {
            Standing::Answered
        }
    }

    /// The run is over: what is missing now is lost.
    pub(super) fn settle(&mut self) {
        for (lane, session) in self.sessions.iter().enumerate() {
            if matches!(session.link, Link::Down | Link::Opening | Link::Leaving) {
                self.tally
                    .found(Wrong::NotResumed, 1, || format!("client {lane}: it is not back at the end"));
            }
        }
        for (lane, publisher) in self.publishers.iter().enumerate() {
            self.tally.found(Wrong::Refused, publisher.unanswered(), || {
                format!("publisher {lane}: {} messages have no answer", publisher.unanswered())
            });
        }
        for (subscriber, own) in self.subscribers.iter_mut().enumerate() {
            for feed in &mut own.feeds {
                for (at, publisher) in self.publishers.iter().enumerate() {
                    publisher.refused(feed.channel).for_each(|number| feed.forgive(at, number));
                }
                let place = Place { subscriber, channel: self.press.channels[feed.channel].as_str() };
                let head = self.heads[feed.channel];
                let published = OnChannel { publishers: &self.publishers, channel: feed.channel, head };
                feed.settle(&published, place, &mut self.tally);
            }
        }
        self.settle_roll();
    }
}

/// What publishers know of one channel.
struct OnChannel<'c> {
    publishers: &'c [Publisher],
    channel: usize,
    head: Option<Position>,
}

impl Published for OnChannel<'_> {
    fn count(&self, publisher: usize) -> u64 {
        self.publishers[publisher].published(self.channel)
    }

    fn ack(&self, publisher: usize, number: u64) -> Option<Ack> {
        self.publishers[publisher].ack(self.channel, number)
    }

    fn head(&self) -> Option<Position> {
        self.head
    }
}

/// How far a run is from its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Someone is away, or a publish is not answered.
    Busy,
    /// Everything is answered, but not all of it is delivered.
    Answered,
    Complete,
}
