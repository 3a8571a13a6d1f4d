//! What the server sends: replies, publications, refusals, and the order to leave.
//!
//! Place in the data path: a text message comes from the engine; its objects change sessions, publishers and feeds one by one.

use std::cmp::Reverse;
use std::time::Duration;

use tidegate_protocol::command::objects;
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::event::{Connected, Event, Message, Published, Reply, parse};
use tidegate_protocol::position::Position;
use tidegate_wire::frame::OpCode;

use super::{COUNT_BITS, Clients, Errand, REFUSED, REFUSED_JITTER, Refusal, Step};
use crate::clock::Nanos;
use crate::engine::{Commands, Ending, Goodbye, Lane};
use crate::native::{PONG, payload_of};
use crate::payload;
use crate::scenario::verify::feed::{Age, Feed, Numbered, Place};
use crate::scenario::verify::publisher::Ack;
use crate::scenario::verify::session::{Advice, Entry, Link};
use crate::scenario::verify::tally::Wrong;

impl Clients {
    /// One text message: its objects, in order.
    pub(in crate::scenario::verify) fn handle_message(
        &mut self,
        lane: Lane,
        text: &[u8],
        now: Nanos,
        out: &mut Commands,
    ) -> Step {
        if matches!(self.sessions[lane].link, Link::Down | Link::Finished) {
            // It has left, and the server has not heard of that: all of this comes again after the resume.
            return Step::Other;
        }
        self.heard_at = now;
        self.sessions[lane].heard_at = now;
        let mut step = Step::Other;
        let Ok(text) = str::from_utf8(text) else {
            self.tally.found(Wrong::Protocol, 1, || format!("client {lane}: a message that is no UTF-8"));
            return step;
        };
        for object in objects(text) {
            match parse(object) {
                Ok(Event::Reply { reply: Reply::Connect(connected), .. }) => {
                    self.enter(lane, &connected, now, out);
                    step = Step::Entered;
                }
                Ok(event) => self.handle_event(lane, event, now, out),
                Err(error) => self.tally.found(Wrong::Protocol, 1, || format!("client {lane}: {error}")),
            }
        }
        step
    }

    fn handle_event(&mut self, lane: Lane, event: Event<'_>, now: Nanos, out: &mut Commands) {
        match event {
            Event::Message(message) => self.deliver(lane, &message, now),
            Event::Reply { id, reply: Reply::Publish(published) } => {
                self.acknowledge(lane, id, published, now);
                self.send_due(lane, now, out);
                self.depart_if_due(lane, now, out);
            }
            Event::Reply { id, reply: Reply::Presence { members } } => self.handle_presence(id, &members),
            Event::Error { error, .. } if self.sessions[lane].link == Link::Opening => {
                let retry_after = error.is_retryable().then(|| retry_after(&error));
                self.refusal =
                    Some(Refusal { words: Ending::Rejected(error.to_string()).to_string(), retry_after });
                out.close(lane, Goodbye::Fin);
            }
            Event::Error { id, error } => self.handle_error(lane, id, &error, now, out),
            Event::Reply { id, reply: Reply::Subscribe(state) } => {
                self.handle_subscribed(lane, id, state, now);
            }
            Event::Unsubscribed(told) => self.handle_unsubscribed(lane, &told, now),
            Event::Gap(gap) => {
                self.tally.gaps_told += 1;
                if let Some((feed, _)) = self.feed(lane, &gap.channel) {
                    feed.handle_gap(gap.position);
                }
                self.check_caught_up(lane, now);
            }
            Event::Reconnect(order) => {
                self.tally.announced_reconnects += 1;
                let until = now + Duration::from_millis(order.within_ms / 2);
                let session = &mut self.sessions[lane];
                session.leaving = Some((until, Duration::from_millis(order.after_ms)));
                session.link = Link::Leaving;
                self.errands.push(Reverse((until, lane, Errand::Depart)));
                self.depart_if_due(lane, now, out);
            }
            Event::Closing(told) => {
                let advice = match Advice::after(&Ending::Closed { code: told.code }) {
                    _ if !told.reconnect => Advice::StayAway,
                    Advice::StayAway => Advice::AtOnce,
                    advice => advice,
                };
                let at_least = Duration::from_millis(told.after_ms.unwrap_or(0));
                self.sessions[lane].closing = Some((advice, at_least));
            }
            Event::Ping => out.send_frame(lane, OpCode::Text, PONG),
            Event::Direct(_)
            | Event::Join(_)
            | Event::Leave(_)
            | Event::Expiring { .. }
            | Event::Reply { .. }
            | Event::Unknown { .. } => {}
        }
    }

    fn handle_error(
        &mut self,
        lane: Lane,
        id: Option<u32>,
        error: &ErrorBody,
        now: Nanos,
        out: &mut Commands,
    ) {
        if self.handle_subscribe_refused(lane, id, error, now) {
            return;
        }
        let own = id.zip(self.publishers.get_mut(lane));
        if error.is_retryable() && own.is_some_and(|(id, own)| own.handle_refusal_for_now(id)) {
            self.tally.refused_for_now += 1;
            if !std::mem::replace(&mut self.sessions[lane].sends_again, true) {
                let wait = retry_after(error).max(REFUSED) + self.random.duration(REFUSED_JITTER);
                self.errands.push(Reverse((now + wait, lane, Errand::SendAgain)));
            }
            return;
        }
        let known = id.zip(self.publishers.get_mut(lane)).and_then(|(id, own)| own.handle_refusal(id));
        let what = known.map_or("a command".to_owned(), |message| format!("message {}", message.turn));
        self.tally.found(Wrong::Refused, 1, || {
            format!("client {lane}: {what} was refused, {}: {}", error.code, error.message)
        });
        self.send_due(lane, now, out);
    }

    fn enter(&mut self, lane: Lane, connected: &Connected<'_>, now: Nanos, out: &mut Commands) {
        let since = self.sessions[lane].returning_since;
        let entry = self.sessions[lane].handle_connected(connected, now);
        if entry != Entry::First {
            self.tally.note_return(self.sessions[lane].returns);
        }
        match entry {
            Entry::First => {}
            Entry::Resumed { after_ns, from_loss_ns } => {
                self.tally.resumed += 1;
                self.tally.timeline.at(now).resumed += 1;
                self.tally.resume_from_loss.record(from_loss_ns);
                self.tally.resume.record(after_ns);
            }
            Entry::Replaced => {
                self.tally
                    .found(Wrong::NotResumed, 1, || format!("client {lane}: its session was not resumed"));
            }
        }
        match lane.checked_sub(self.publishers.len()) {
            Some(index) => {
                self.enter_channels(index, connected);
                self.subscribers[index].returning_since = since;
                self.check_caught_up(lane, now);
            }
            None => {
                if entry == Entry::Replaced && self.native.credentials.token(lane).is_none() {
                    self.publishers[lane].lose_keys();
                }
                self.tally.sent_again += self.publishers[lane].send_again(&mut self.press, out);
                self.send_due(lane, now, out);
            }
        }
    }

    fn enter_channels(&mut self, index: usize, connected: &Connected<'_>) {
        for feed in &mut self.subscribers[index].feeds {
            let channel = self.press.channels[feed.channel].as_str();
            let place = Place { subscriber: index, channel };
            // Of a channel that is missing, the server says why right behind the reply.
            if let Some((_, state)) = connected.channels.iter().find(|(name, _)| name == channel) {
                feed.handle_state(*state, place, &mut self.tally);
            }
        }
    }

    fn deliver(&mut self, lane: Lane, message: &Message<'_>, now: Nanos) {
        self.tally.delivered += 1;
        self.tally.timeline.at(now).delivered += 1;
        let payload = payload_of(&message.data);
        let number = payload::number_of(payload).unwrap_or(u64::MAX);
        let publisher = usize::try_from(number >> COUNT_BITS).unwrap_or(usize::MAX);
        let channel = self.by_name.get(&*message.channel).copied();
        let (Some(index), Some(channel)) = (lane.checked_sub(self.publishers.len()), channel) else {
            return self.tally.found(Wrong::Protocol, 1, || {
                format!("client {lane}: a message of {}, which it is not subscribed to", message.channel)
            });
        };
        let feed = self.subscribers[index].feeds.iter_mut().find(|feed| feed.channel == channel);
        let place = Place { subscriber: index, channel: &message.channel };
        let Some(feed) = feed.filter(|_| publisher < self.publishers.len()) else {
            return self
                .tally
                .found(Wrong::Damaged, 1, || format!("{place}: a message that none of us published"));
        };
        if let Err(mismatch) = self.press.template.check(number, payload) {
            self.tally.found(Wrong::Damaged, 1, || format!("{place}: a message is damaged, {mismatch}"));
        }
        let count = number & ((1 << COUNT_BITS) - 1);
        let was_overtaken = self.publishers[publisher].was_overtaken(channel, count);
        let was_repeated = self.publishers[publisher].was_repeated(channel, count);
        let has_lost_key = self.publishers[publisher].has_lost_key(channel, count);
        let of = Numbered { publisher, number: count, was_overtaken, was_repeated, has_lost_key };
        match feed.handle_message(of, message.offset, place, &mut self.tally) {
            Age::Replayed => self.tally.replayed += 1,
            Age::Live => {
                if let Some(schedule) = &self.schedule {
                    let due_at = self.size.due_at(schedule, publisher, channel, count);
                    let after_ns = now.since(due_at);
                    self.tally.delivery.record(after_ns);
                    self.tally.timeline.note_delivery(now, after_ns);
                }
            }
        }
        self.check_caught_up(lane, now);
    }

    fn acknowledge(&mut self, lane: Lane, id: u32, published: Published, now: Nanos) {
        let Published { position, duplicate } = published;
        let answered = self.publishers.get_mut(lane).and_then(|publisher| publisher.handle_answer(id));
        let Some(message) = answered else {
            return self
                .tally
                .found(Wrong::Protocol, 1, || format!("client {lane}: a reply to nothing, id {id}"));
        };
        self.publishers[lane].note_ack(message.turn, Ack { position });
        self.tally.acknowledged += 1;
        self.tally.timeline.at(now).acknowledged += 1;
        self.tally.recognised += u64::from(duplicate);
        if duplicate && message.times_sent == 1 {
            self.tally.found(Wrong::Protocol, 1, || {
                format!("client {lane}: message {} was sent once and is called a duplicate", message.turn)
            });
        }
        if let Some(position) = position {
            let head = &mut self.heads[self.size.channel_of(lane, message.turn)];
            let known = head.filter(|head| head.epoch == position.epoch).map_or(0, |head| head.offset);
            *head = Some(Position { offset: position.offset.max(known), ..position });
        }
        if let Some(schedule) = &self.schedule {
            let due_at = self.size.turn_due_at(schedule, lane, message.turn);
            self.tally.acknowledgement.record(now.since(due_at));
        }
    }

    pub(super) fn check_caught_up(&mut self, lane: Lane, now: Nanos) {
        let Some(index) = lane.checked_sub(self.publishers.len()) else { return };
        let subscriber = &mut self.subscribers[index];
        if let Some(since) = subscriber.returning_since
            && subscriber.feeds.iter().all(Feed::is_caught_up)
        {
            subscriber.returning_since = None;
            self.caught_up += 1;
            self.tally.catch_up.record(now.since(since));
        }
    }

    pub(super) fn feed(&mut self, lane: Lane, channel: &str) -> Option<(&mut Feed, usize)> {
        let index = lane.checked_sub(self.publishers.len())?;
        let channel = *self.by_name.get(channel)?;
        let feed = self.subscribers[index].feeds.iter_mut().find(|feed| feed.channel == channel)?;
        Some((feed, index))
    }
}

/// How long the server asks to wait; 0 where it does not.
fn retry_after(error: &ErrorBody) -> Duration {
    Duration::from_millis(error.retry_after_ms.unwrap_or(0))
}
