//! Connections of the native dialect: text messages in, objects out.
//!
//! Place in the data path: between the frame decoder and the session machine, which decides, and [`perform`](super::perform),
//! which does what it decides. Every path in here ends with one frame of all objects that are ready.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use mio::Token;
use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::{self, ParseLimits};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, Closing, Objects, Published};
use tidegate_protocol::quota::Verdict;
use tidegate_session::{Cx, Effect, Fate, Opened, ReplyTo, Session, Subscribed};
use tidegate_wire::close::{self, CloseCode};
use tidegate_wire::decode::{Decoded, Decoder, Event, MessageKind};
use tidegate_wire::frame::{self, OpCode};

use super::mail::{Close, Order};
use super::perform::Replied;
use super::standing::held;
use super::{PUBLISHED_BYTES_MAX, SCRATCH_KEPT_BYTES, Worker};
use crate::broker::standing::Standing;
use crate::broker::{Grants, Opening};
use crate::connection::{Connection, Endpoint, Phase};
use crate::native::{NativeClient, Place};

/// Codes from here on tell a client to stay away.
const STAY_AWAY_CODES: u16 = 4500;
/// Objects that are ready together are sent in frames of about this size.
const FRAME_BYTES: usize = 32 << 10;

/// What the outside says to something a session asked for.
#[derive(Debug)]
pub(crate) enum Answer {
    Authenticated(Result<Arc<Grants>, ErrorBody>),
    Opened(Result<Opening, ErrorBody>),
    /// The hook agreed that the client subscribes, or did not.
    MaySubscribe(super::subscribe::Wanted, Result<(), ErrorBody>),
    Subscribed(super::subscribe::Wanted, Result<Subscribed, ErrorBody>),
    Replied(ReplyTo, Replied),
    /// Of a publication that later ones of its connection may not overtake.
    Published(ReplyTo, Result<Published, ErrorBody>),
    Refreshed(ReplyTo, Result<Arc<Grants>, ErrorBody>),
}

/// Why reading stopped.
enum Stop {
    /// The input is used up, or the connection is closing.
    Done,
    /// The rest has to wait.
    Wait,
    /// The client sent its close frame.
    Closed(Option<u16>),
    Broken(tidegate_wire::decode::DecodeError),
}

/// A command that is over a quota its connection shares with others.
struct Over {
    what: &'static str,
    retry_after: Duration,
}

impl Worker {
    /// Decodes what lies in this part of the input buffer, handles its commands and answers them.
    pub(super) fn handle_native_frames(&mut self, slot: usize, mut input: Range<usize>) {
        let token = Connection::token(slot, self.connections[slot].generation);
        // Commands borrow from these while the rest of the worker carries them out.
        let mut buffer = std::mem::take(&mut self.input);
        let mut decoder = std::mem::take(&mut self.connections[slot].decoder);
        self.with_session(slot, |session, cx| session.handle_traffic(cx.now));
        let stop = self.handle_events(slot, &mut decoder, &mut buffer, &mut input);
        self.input = buffer;
        if self.slot_of(token).is_none() {
            return;
        }
        self.connections[slot].decoder = decoder;
        self.count_parser_state(slot);
        if !self.flush_objects(slot) {
            return;
        }
        match stop {
            Stop::Done => {}
            Stop::Wait => self.stash(slot, input, true),
            Stop::Closed(code) => {
                if let Some(client) = self.native_mut(slot) {
                    client.set_close_code(code);
                }
                self.replies.clear();
                close::append(&mut self.replies, code.map(CloseCode::new), "");
                if self.send_replies(slot) {
                    self.end_by_client(slot);
                }
            }
            Stop::Broken(error) => self.end_by_error(slot, &error),
        }
    }

    fn handle_events(
        &mut self,
        slot: usize,
        decoder: &mut Decoder,
        buffer: &mut [u8],
        input: &mut Range<usize>,
    ) -> Stop {
        let Some(mut shared) = self.decode.take() else { return Stop::Done };
        let stop = loop {
            if self.published.len() >= PUBLISHED_BYTES_MAX && !self.deliver_behind_replies(slot) {
                break Stop::Done;
            }
            if self.must_wait(slot) {
                break Stop::Wait;
            }
            let decoded = decoder.decode(&mut shared, &mut buffer[input.clone()]);
            let Decoded { consumed, event } = match decoded {
                Ok(decoded) => decoded,
                Err(error) => break Stop::Broken(error),
            };
            input.start += consumed;
            match event {
                None => break Stop::Done,
                Some(Event::Message(message)) => {
                    self.stats.messages_in.add(1);
                    self.stats.message_bytes_in.add(message.payload.len() as u64);
                    match std::str::from_utf8(message.payload) {
                        Ok(text) if message.kind == MessageKind::Text => self.handle_text(slot, text),
                        _ => self.close_session(slot, CloseCause::UnsupportedData),
                    }
                }
                Some(Event::Ping(payload)) => {
                    frame::append(&mut self.pongs, OpCode::Pong, payload);
                }
                Some(Event::Pong(_)) => {}
                Some(Event::Close(reason)) => {
                    break Stop::Closed(reason.map(|reason| reason.code.value()));
                }
            }
            let is_open = self
                .connections
                .get(slot)
                .is_some_and(|connection| matches!(connection.phase, Phase::Open(_)));
            if !is_open {
                break Stop::Done;
            }
        };
        self.decode = Some(shared);
        stop
    }

    /// Handles the commands of one message.
    fn handle_text(&mut self, slot: usize, text: &str) {
        for object in command::objects(text) {
            let over = self.over_shared_quota(slot, object.len());
            let Some(effect) = self.handle_object(slot, object, over) else { return };
            self.carry_out(slot, effect);
        }
    }

    /// Takes a command from the quotas of its user and its address.
    fn over_shared_quota(&self, slot: usize, bytes: usize) -> Option<Over> {
        let connection = self.connections.get(slot)?;
        let Phase::Open(Endpoint::Native(client)) = &connection.phase else { return None };
        let (verdict, what) = match client.share.try_send(bytes, self.now_unix) {
            Verdict::Admit => {
                let verdict = connection.share.try_send(bytes, self.now_unix);
                (verdict, "too much a second from all connections of this address")
            }
            verdict => (verdict, "too much a second from all connections of this user"),
        };
        match verdict {
            Verdict::Admit => None,
            Verdict::Defer { retry_after } => Some(Over { what, retry_after }),
        }
    }

    /// Hands one command to the session. `None`: there is no session any more; else the effect, if there is one.
    fn handle_object<'m>(
        &mut self,
        slot: usize,
        object: &'m str,
        over: Option<Over>,
    ) -> Option<Option<Effect<'m>>> {
        let parsed = command::parse(object, &ParseLimits::default());
        self.with_session(slot, |session, cx| match (over, parsed) {
            (None, Ok(request)) => session.handle_command(request, object, cx),
            (None, Err(bad)) => {
                session.handle_bad_request(&bad, object, cx);
                None
            }
            (Some(Over { what, retry_after }), parsed) => {
                let id = parsed.map_or_else(|bad| bad.id, |request| request.id);
                session.handle_over_quota(id, what, retry_after, cx);
                None
            }
        })
    }

    /// Does what the session wants done, and whatever it wants because of the answers, until it wants nothing more.
    pub(super) fn carry_out(&mut self, slot: usize, first: Option<Effect<'_>>) {
        if let Some(effect) = first {
            self.settle(slot, effect);
        }
        loop {
            if let Some(effect) = self.with_session(slot, |session, _| session.poll_effect()).flatten() {
                self.settle(slot, effect);
                continue;
            }
            let held = self.with_session(slot, |session, _| session.poll_held()).flatten();
            let Some(held) = held else { return };
            if let Some(Some(effect)) = self.handle_object(slot, &held, None) {
                self.settle(slot, effect);
            }
        }
    }

    fn settle(&mut self, slot: usize, effect: Effect<'_>) {
        if let Some(answer) = self.perform(slot, effect) {
            self.apply(slot, answer);
        }
    }

    /// Tells the session what the outside answered.
    fn apply(&mut self, slot: usize, answer: Answer) {
        match answer {
            Answer::Authenticated(result) => self.apply_authenticated(slot, result),
            Answer::Opened(result) => self.apply_opened(slot, result),
            Answer::MaySubscribe(wanted, Ok(())) => self.subscribe_granted(slot, wanted),
            Answer::MaySubscribe(wanted, Err(error)) => self.apply_subscribed(slot, wanted, Err(error)),
            Answer::Subscribed(wanted, result) => self.apply_subscribed(slot, wanted, result),
            Answer::Replied(to, replied) => self.apply_replied(slot, to, replied),
            Answer::Published(to, result) => {
                if let Some(client) = self.native_mut(slot) {
                    client.end_publishing();
                }
                self.apply_replied(slot, to, Replied::Publish(result));
            }
            Answer::Refreshed(to, result) => self.apply_refreshed(slot, to, result),
        }
    }

    fn apply_authenticated(&mut self, slot: usize, result: Result<Arc<Grants>, ErrorBody>) {
        let Some(client) = self.native_mut(slot) else { return };
        let result = result.map(|grants| {
            let identity = super::perform::identity(&grants);
            client.grants = Some(grants);
            identity
        });
        self.with_session(slot, |session, cx| session.handle_authenticated(result.map_err(Into::into), cx));
    }

    fn apply_opened(&mut self, slot: usize, result: Result<Opening, ErrorBody>) {
        let (shared, now) = (Arc::clone(&self.node), self.now_unix);
        let node = shared.broker.node.clone();
        let Some(client) = self.native_mut(slot) else { return };
        let result = result.map(|opening| match opening {
            Opening::NotResumable => Opened::NotResumable,
            Opening::Owned(owned) => {
                client.fence = owned.fence;
                if shared.broker.outside.is_shared() {
                    client.keep_secret(owned.secret);
                }
                let (session, resume) = (owned.session, owned.secret);
                match owned.resumed {
                    None => Opened::New { session, resume, node },
                    Some((grants, subscriptions)) => {
                        let identity = super::perform::identity(&grants);
                        if !grants.user.is_empty() {
                            // The connection that it had is about to close.
                            client.share = shared.user_quotas.join(Arc::clone(&grants.user), now);
                        }
                        client.grants = Some(Arc::new(grants));
                        Opened::Resumed { session, resume, node, identity, subscriptions }
                    }
                }
            }
        });
        self.with_session(slot, |session, cx| session.handle_opened(result.map_err(Into::into), cx));
    }

    fn apply_refreshed(&mut self, slot: usize, to: ReplyTo, result: Result<Arc<Grants>, ErrorBody>) {
        let (identity, grants) = match result {
            Ok(grants) => (Ok(super::perform::identity(&grants)), Some(grants)),
            Err(error) => (Err(error.into()), None),
        };
        let refreshed = self.with_session(slot, |session, cx| session.handle_refreshed(to, identity, cx));
        if refreshed == Some(tidegate_session::Refreshed::Accepted)
            && let Some(grants) = grants
            && let Some(client) = self.native_mut(slot)
        {
            client.grants = Some(Arc::clone(&grants));
            let fence = client.fence;
            if let Some(session) = client.session.id() {
                let broker = Arc::clone(&self.node.broker);
                self.start(broker.save(session, fence, Vec::new(), Vec::new(), Some(grants)));
            }
        }
    }

    /// What was asked earlier has been answered.
    pub(super) fn handle_answer(&mut self, token: Token, answer: Answer) {
        let slot = self.slot_of(token).filter(|&slot| self.native_mut(slot).is_some());
        let Some(slot) = slot else { return self.undo(answer) };
        self.apply(slot, answer);
        self.finish_native(slot);
    }

    /// Lets go of a session that was opened for a connection that is gone.
    fn undo(&self, answer: Answer) {
        let Answer::Opened(Ok(Opening::Owned(owned))) = answer else { return };
        let broker = Arc::clone(&self.node.broker);
        let (session, fence) = (owned.session, owned.fence);
        match owned.resumed {
            None => self.start(broker.end(session, fence, Vec::new())),
            Some(_) => self.start(broker.detach(Standing::bare(session, fence), Vec::new())),
        }
    }

    /// The outside wants something of a session.
    pub(super) fn handle_order(&mut self, token: Token, order: Order) {
        let Some(slot) = self.slot_of(token) else { return };
        let Some(client) = self.native_mut(slot) else { return };
        match order {
            Order::Deliver(object) => {
                if client.session.is_ready() {
                    self.stats.directs_delivered.add(1);
                    self.stats.messages_out.add(1);
                    self.stats.message_bytes_out.add(object.len() as u64);
                    self.outgoing.push_encoded(&object);
                } else {
                    self.stats.directs_dropped.add(1);
                }
            }
            Order::Subscribe(channel) => {
                // Whoever gave the order cannot be told, and what stands in the way is in the client's own view.
                self.with_session(slot, |session, cx| session.handle_forced_subscribe(channel, cx).is_ok());
            }
            Order::Unsubscribe(channel) => {
                self.deliver_before_leaving(slot, &channel);
                let error = ErrorBody::new(ErrorCode::Forbidden, "the app ended this subscription");
                self.with_session(slot, |session, cx| {
                    session.handle_forced_unsubscribe(channel.as_str(), &error, cx)
                });
            }
            Order::Restate { left } => self.restate(slot, left),
            Order::Close(close) => {
                if close.below.is_none_or(|fence| client.fence < fence) {
                    self.close_by_order(slot, &close);
                }
            }
        }
        self.finish_native(slot);
    }

    /// Sends a subscriber whom somebody else unsubscribes what was published before that.
    fn deliver_before_leaving(&mut self, slot: usize, channel: &ChannelName) {
        self.deliver_published();
        let place = self
            .native_mut(slot)
            .and_then(|client| Some(client.subscriptions[client.find(channel.as_str())?].place));
        if let Some(Place::Live(membership)) = place {
            self.deliver_rest(membership, slot);
        }
    }

    /// Closes every connection that showed a token. The result is how many.
    pub(super) fn close_token(&mut self, token: &str, close: &Close) -> u32 {
        let showed_it = |connection: &Connection| match &connection.phase {
            Phase::Open(Endpoint::Native(client)) => {
                client.grants.as_ref().is_some_and(|grants| grants.token_id.as_deref() == Some(token))
            }
            _ => false,
        };
        let slots: Vec<_> =
            self.connections.iter().filter(|(_, open)| showed_it(open)).map(|(slot, _)| slot).collect();
        for &slot in &slots {
            self.close_by_order(slot, close);
        }
        u32::try_from(slots.len()).unwrap_or(u32::MAX)
    }

    fn close_by_order(&mut self, slot: usize, close: &Close) {
        let Some(code) = close.code else { return self.close_session(slot, close.cause) };
        let row = close.cause.row();
        let closing =
            Closing { code, name: row.name.into(), reconnect: code < STAY_AWAY_CODES, after_ms: None };
        self.outgoing.push(|out| event::append_closing(out, &closing));
        if self.flush_objects(slot) {
            let reason = close.reason.as_deref().unwrap_or(row.reason);
            self.end_with(slot, close.cause, Some(CloseCode::new(code)), reason);
        }
    }

    /// The session's own deadline has come.
    pub(super) fn handle_session_timer(&mut self, slot: usize) {
        self.with_session(slot, |session, cx| session.handle_timeout(cx));
        self.finish_native(slot);
    }

    /// Carries out what is left to do and sends what is ready.
    pub(super) fn finish_native(&mut self, slot: usize) {
        self.carry_out(slot, None);
        self.flush_objects(slot);
    }

    /// Ends a session for a reason that is not its own.
    pub(super) fn close_session(&mut self, slot: usize, cause: CloseCause) {
        self.with_session(slot, |session, cx| session.close(cause, cx));
        self.carry_out(slot, None);
    }

    /// Sends the session's last words and its close frame.
    pub(super) fn close_native(&mut self, slot: usize, cause: CloseCause) {
        if self.flush_objects(slot) {
            self.end(slot, cause);
        }
    }

    /// The connection ends: its subscriptions leave the hub, its session waits for the client to come back, or ends too.
    ///
    /// `was_asked`: a drain had told the client to leave.
    pub(super) fn let_go(&mut self, slot: usize, cause: CloseCause, was_asked: bool) {
        let Some(client) = self.native_mut(slot) else { return };
        let fate = match cause {
            CloseCause::TakenOver => Fate::Nothing,
            // Whoever said so does not want it back.
            CloseCause::Disconnected | CloseCause::Revoked => Fate::End,
            _ => client.session.fate(client.close_code()),
        };
        let (id, fence, record) = (client.session.id(), client.fence, client.record());
        // Only what was granted: a session that comes back gets it without being asked again.
        let mut positions = held(client);
        let mut present = Vec::new();
        let subscriptions = std::mem::take(&mut client.subscriptions);
        self.stats.subscriptions.sub(subscriptions.len() as u64);
        for (index, held) in subscriptions {
            if let Place::Live(membership) = held.place
                && let Some(feed) =
                    self.hub.channel(membership.channel).and_then(|channel| channel.feed.as_ref())
                && let Some((_, position)) =
                    positions.iter_mut().find(|(channel, _)| *channel == held.channel)
            {
                *position = Some(feed.head());
            }
            self.leave(slot, index, held.place);
            if held.is_present {
                present.push(held.channel);
            }
        }
        let Some(session) = id else { return };
        let broker = Arc::clone(&self.node.broker);
        match fate {
            Fate::Detach if was_asked || cause.is_departure() => self.node.drain.displace(session, fence),
            Fate::Nothing if was_asked => self.node.drain.displace(session, fence),
            Fate::Nothing | Fate::End | Fate::Detach => {}
        }
        match fate {
            Fate::Nothing => {}
            Fate::End => self.start(broker.end(session, fence, present)),
            Fate::Detach => {
                let standing = Standing { subscribed: positions, record, ..Standing::bare(session, fence) };
                self.start(broker.detach(standing, present));
            }
        }
    }

    pub(super) fn native_mut(&mut self, slot: usize) -> Option<&mut NativeClient> {
        match &mut self.connections.get_mut(slot)?.phase {
            Phase::Open(Endpoint::Native(client)) => Some(client),
            _ => None,
        }
    }

    /// Calls a session with what it needs. `None`: the connection has none any more.
    pub(super) fn with_session<R>(
        &mut self,
        slot: usize,
        call: impl FnOnce(&mut Session, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let Phase::Open(Endpoint::Native(client)) = &mut self.connections.get_mut(slot)?.phase else {
            return None;
        };
        let mut cx = Cx { now: self.now_unix, policy: &self.node.session_policy, out: &mut self.outgoing };
        Some(call(&mut client.session, &mut cx))
    }

    /// Sends the objects that are ready, and files the session's next deadline. False: the connection is gone or going.
    pub(super) fn flush_objects(&mut self, slot: usize) -> bool {
        let is_open = self
            .connections
            .get(slot)
            .is_some_and(|connection| matches!(connection.phase, Phase::Open(Endpoint::Native(_))));
        if !is_open {
            self.outgoing.clear();
            self.pongs.clear();
            return false;
        }
        self.schedule_session(slot);
        if self.outgoing.is_empty() && self.pongs.is_empty() {
            return true;
        }
        let mut objects = std::mem::take(&mut self.outgoing);
        self.replies.clear();
        self.replies.append(&mut self.pongs);
        for payload in frames_of(&objects) {
            self.append_text(slot, payload);
        }
        if objects.len() <= SCRATCH_KEPT_BYTES {
            objects.clear();
            self.outgoing = objects;
        }
        self.send_replies(slot)
    }

    /// Sends out what was published so far, behind what this client has been answered: else a message could overtake the
    /// reply to its subscribe. False: the connection is gone or going.
    pub(super) fn deliver_behind_replies(&mut self, slot: usize) -> bool {
        if !self.published.is_empty() {
            self.flush_objects(slot);
            self.deliver_published();
        }
        // Both may have ended it, and who is gone must not be listed in the hub.
        self.native_mut(slot).is_some()
    }

    fn append_text(&mut self, slot: usize, payload: &[u8]) {
        let deflated = match &mut self.connections[slot].deflate {
            Some(deflate) => deflate.compress(&mut self.deflater, payload),
            None => None,
        };
        match deflated {
            Some(deflated) => frame::append_compressed(&mut self.replies, OpCode::Text, deflated),
            None => frame::append(&mut self.replies, OpCode::Text, payload),
        }
    }

    /// Asks every subscriber that is being caught up to take in an object; those that have caught up become members.
    pub(super) fn hand_to_gated(&mut self, channel: u32, publication: &super::mail::Publication) {
        let Some(entry) = self.hub.channel(channel) else { return };
        let (gated, name) = (entry.gated().to_vec(), Arc::clone(&entry.entry.name));
        for member in gated {
            let slot = member.connection as usize;
            self.with_session(slot, |session, cx| {
                session.handle_live(&name, publication.position, &publication.object, cx)
            });
            self.finish_native(slot);
            self.release_if_live(slot, member.subscription as usize);
        }
    }

    /// Appends a `gap` of a channel as a frame of its own.
    pub(super) fn append_gap(out: &mut Vec<u8>, gap: &event::Gap<'_>) {
        let mut object = Vec::new();
        event::append_gap(&mut object, gap);
        frame::append(out, OpCode::Text, &object);
    }
}

/// The objects as payloads of about the same size, cut between objects.
fn frames_of(objects: &Objects) -> impl Iterator<Item = &[u8]> {
    let mut rest = objects.as_bytes();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // No object holds a line feed: JSON text carries it as an escape, and `data` is refused with one.
        let cut = match rest.len() <= FRAME_BYTES {
            true => None,
            false => memchr::memchr(b'\n', &rest[FRAME_BYTES..]).map(|at| FRAME_BYTES + at),
        };
        let (payload, after) = match cut {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = after;
        Some(payload)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_objects_are_cut_into_frames_between_two_of_them() {
        let mut objects = Objects::default();
        let object = format!("{{\"{}\":1}}", "x".repeat(1000));
        for _ in 0..100 {
            objects.push_encoded(object.as_bytes());
        }
        let frames: Vec<_> = frames_of(&objects).collect();
        assert!(frames.len() > 2 && frames.iter().all(|frame| frame.len() < 2 * FRAME_BYTES));
        assert_eq!(frames.join(&b'\n'), objects.as_bytes());
        assert_eq!(frames_of(&Objects::default()).count(), 0);
    }
}
