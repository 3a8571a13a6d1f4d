//! Subscriptions that the server could not make for now: asked for again, as `docs/clients.md` says.
//!
//! Place in the data path: a session stands, and one of its channels is missing. Its feed goes on as one that is away.

use std::cmp::Reverse;
use std::time::Duration;

use tidegate_protocol::command::{self, Command, Request, StartFrom, Subscribe};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{ChannelState, Unsubscribed};
use tidegate_wire::frame::OpCode;

use super::{Clients, Errand};
use crate::clock::Nanos;
use crate::engine::{Commands, Lane};
use crate::native::FIRST_ID;
use crate::scenario::verify::feed::{Feed, Place};
use crate::scenario::verify::session::Link;
use crate::scenario::verify::tally::Wrong;

/// How long a client waits before it asks again, and on top of that at most so much.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_JITTER: Duration = Duration::from_millis(300);
/// `id` of a `subscribe`: this and the channel's number. What is below are questions about presence.
const SUBSCRIBE_ID: u32 = FIRST_ID + (1 << 24);

impl Clients {
    /// The server has ended a subscription, or did not make it.
    pub(super) fn handle_unsubscribed(&mut self, lane: Lane, told: &Unsubscribed<'_>, now: Nanos) {
        let channel = self.by_name.get(&*told.channel).copied();
        if told.code == ErrorCode::Unavailable.as_str()
            && let Some(channel) = channel
            && let Some((feed, _)) = self.feed(lane, &told.channel)
        {
            feed.handle_away();
            return self.subscribe_later(lane, channel, now);
        }
        self.tally.found(Wrong::Refused, 1, || {
            format!("client {lane}: unsubscribed from {}, {}: {}", told.channel, told.code, told.message)
        });
    }

    /// Asks again, if the session stands: otherwise it comes back with all of its channels.
    pub(super) fn subscribe_again(&mut self, lane: Lane, channel: usize, out: &mut Commands) {
        if self.sessions[lane].link != Link::Up {
            return;
        }
        let head = self.heads[channel];
        let Some(feed) = self.feed_of(lane, channel).filter(|feed| feed.is_away()) else { return };
        feed.handle_return(head);
        let from = feed.position().map_or(StartFrom::Live, StartFrom::Position);
        let name = self.press.channels[channel].clone();
        let id = SUBSCRIBE_ID + u32::try_from(channel).expect("channels are bounded below that");
        let command = Command::Subscribe(Subscribe { channel: name, from });
        let mut object = Vec::new();
        command::append(&mut object, &Request { id: Some(id), command });
        out.send_frame(lane, OpCode::Text, &object);
        self.tally.subscribed_again += 1;
    }

    /// The reply to that.
    pub(super) fn handle_subscribed(&mut self, lane: Lane, id: u32, state: ChannelState, now: Nanos) {
        let (Some(channel), Some(subscriber)) = (channel_of(id), lane.checked_sub(self.publishers.len()))
        else {
            return;
        };
        let feed = self.subscribers[subscriber].feeds.iter_mut().find(|feed| feed.channel == channel);
        if let Some(feed) = feed {
            let place = Place { subscriber, channel: self.press.channels[channel].as_str() };
            feed.handle_state(state, place, &mut self.tally);
        }
        self.check_caught_up(lane, now);
    }

    /// A command was refused for now. Says whether it was one of these.
    pub(super) fn handle_subscribe_refused(
        &mut self,
        lane: Lane,
        id: Option<u32>,
        error: &ErrorBody,
        now: Nanos,
    ) -> bool {
        let Some(channel) = id.and_then(channel_of).filter(|_| error.is_retryable()) else { return false };
        self.subscribe_later(lane, channel, now);
        true
    }

    fn subscribe_later(&mut self, lane: Lane, channel: usize, now: Nanos) {
        let at = now + AGAIN + self.random.duration(AGAIN_JITTER);
        self.errands.push(Reverse((at, lane, Errand::Subscribe(channel))));
    }

    fn feed_of(&mut self, lane: Lane, channel: usize) -> Option<&mut Feed> {
        let index = lane.checked_sub(self.publishers.len())?;
        self.subscribers[index].feeds.iter_mut().find(|feed| feed.channel == channel)
    }
}

fn channel_of(id: u32) -> Option<usize> {
    id.checked_sub(SUBSCRIBE_ID).and_then(|channel| usize::try_from(channel).ok())
}
