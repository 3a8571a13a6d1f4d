//! How a subscription's past and present become one stream.
//!
//! Place in the data path: subscribe first, read the history second. What comes live meanwhile is held in a [`Gate`]; the
//! answer is delivered, then the gate's contents behind it, by offset. Where the two do not meet, or the gate ran over, the
//! history is asked again from the last delivered offset. What even that does not fill is told to the client as a `gap`.

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::StartFrom;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, ChannelState, Gap, Reply};
use tidegate_protocol::position::Position;

use crate::answer::{Refusal, Subscribed};
use crate::connect::{append_unsubscribed, too_many_subscriptions};
use crate::effect::{Ask, AskedBy, Effect};
use crate::gate::{Gate, Released, Room};
use crate::session::{Cx, Phase, Session};
use crate::subscriptions::{Delivery, Stage, Subscription};

#[cfg(test)]
mod tests;

/// A subscription between its question and the moment when the hub can deliver it.
#[derive(Debug)]
pub(crate) struct CatchUp {
    /// The question that is outstanding.
    pub(crate) ask: Ask,
    /// The `id` of the `subscribe` that this is for, if it had one.
    pub(crate) reply_to: Option<u32>,
    /// How far the client got.
    pub(crate) delivered: Option<Position>,
    /// The answer, while it waits for the other ones of the same `connect`.
    pub(crate) answer: Option<Subscribed>,
    pub(crate) gate: Gate,
    /// How often the history was read again.
    reads: u32,
    /// Whether the last reading said that the epoch is still the one that the client knows.
    is_epoch_confirmed: bool,
}

impl Session {
    /// The answer to [`Effect::Subscribe`], with the `ask` that came with it. A late one, to a question that has been
    /// overtaken, is dropped.
    pub fn handle_subscribed(
        &mut self,
        channel: &str,
        ask: Ask,
        answer: Result<Subscribed, Refusal>,
        cx: &mut Cx<'_>,
    ) {
        let Some(found) = self.subscriptions.find_mut(channel) else { return };
        match &found.stage {
            Stage::CatchingUp(catch_up) if catch_up.ask.number == ask.number => {}
            Stage::CatchingUp(_) | Stage::Trailing(_) | Stage::Live => return,
        }
        match (&self.phase, ask.by) {
            (Phase::Connecting(_), _) => {
                self.handle_connect_answer(channel, answer.map_err(|Refusal(error)| error), cx);
            }
            (Phase::Ready, AskedBy::Gate) => self.handle_reread(channel, answer.as_ref(), cx),
            (Phase::Ready, AskedBy::Resume | AskedBy::Server | AskedBy::Client) => {
                self.handle_first_answer(channel, answer, cx);
            }
            (Phase::AwaitingConnect { .. } | Phase::Closed(_), _) => {}
        }
    }

    /// An object that the hub has for a gated subscription: a message, with its position where the channel has a history,
    /// or a join or leave. The result says who delivers the next one; `None`: the channel is not subscribed to.
    ///
    /// The hub's own stream of the channel is taken to be in order from the moment it is told [`Delivery::Live`].
    pub fn handle_live(
        &mut self,
        channel: &str,
        position: Option<Position>,
        object: &[u8],
        cx: &mut Cx<'_>,
    ) -> Option<Delivery> {
        if self.closed().is_some() {
            return None;
        }
        let found = self.subscriptions.find_mut(channel)?;
        match (&mut found.stage, position) {
            (Stage::CatchingUp(catch_up), _) => {
                let before = catch_up.gate.bytes();
                let room = Room {
                    messages_max: cx.policy.gate_messages_max,
                    // What this gate holds and what the session's gates may hold besides.
                    bytes_max: (before + cx.policy.gate_bytes_max).saturating_sub(self.gated_bytes),
                };
                catch_up.gate.hold(position, object, room);
                self.gated_bytes = self.gated_bytes - before + catch_up.gate.bytes();
            }
            (Stage::Trailing(_), None) | (Stage::Live, _) => cx.out.push_encoded(object),
            (Stage::Trailing(last), Some(position)) if position.epoch == last.epoch => {
                if position.offset == last.offset + 1 {
                    cx.out.push_encoded(object);
                    found.stage = Stage::Live;
                } else if position.offset > last.offset + 1 {
                    self.regate(channel, position, object, cx);
                } else if position.offset == last.offset {
                    // The hub is where the history was: nothing comes twice any more.
                    found.stage = Stage::Live;
                }
            }
            (Stage::Trailing(_), Some(position)) => self.regate(channel, position, object, cx),
        }
        self.subscription(channel)
    }

    /// The hub goes on with `next` on a channel, since what came before it cannot be had any more: a subscription that has
    /// caught up otherwise is told, unless it has got further. One that is still catching up has not caught up before it is
    /// there, whatever an answer says that was on its way.
    pub fn handle_gap(&mut self, channel: &str, next: Position, cx: &mut Cx<'_>) {
        if self.closed().is_some() {
            return;
        }
        let Some(found) = self.subscriptions.find_mut(channel) else { return };
        let lost = Position { offset: next.offset.saturating_sub(1), ..next };
        match &mut found.stage {
            Stage::CatchingUp(catch_up) => {
                catch_up.gate.expect(lost);
                catch_up.is_epoch_confirmed = false;
            }
            Stage::Trailing(last) if last.epoch != lost.epoch || last.offset < lost.offset => {
                *last = lost;
                append_gap(channel, Some(lost), cx);
            }
            Stage::Trailing(_) | Stage::Live => {}
        }
    }

    /// The server API subscribes the client.
    ///
    /// # Errors
    ///
    /// `already_subscribed`, `limit` when it has as many subscriptions as it may, `unavailable` before `connect` and
    /// while closing.
    pub fn handle_forced_subscribe(
        &mut self,
        channel: ChannelName,
        cx: &mut Cx<'_>,
    ) -> Result<(), ErrorBody> {
        if self.subscriptions.find(channel.as_str()).is_some() {
            return Err(ErrorBody::new(ErrorCode::AlreadySubscribed, "the session is subscribed to it"));
        }
        if self.is_full(cx) {
            return Err(too_many_subscriptions(cx));
        }
        match self.phase {
            Phase::Ready => self.ask(&channel, StartFrom::Live, AskedBy::Server),
            Phase::Connecting(_) => self.want_while_connecting(channel),
            Phase::AwaitingConnect { .. } | Phase::Closed(_) => {
                return Err(ErrorBody::new(ErrorCode::Unavailable, "the session is not open"));
            }
        }
        Ok(())
    }

    /// The server takes a subscription away and tells the client why. The result is whether there was one.
    pub fn handle_forced_unsubscribe(&mut self, channel: &str, error: &ErrorBody, cx: &mut Cx<'_>) -> bool {
        match self.phase {
            Phase::Connecting(_) => {
                let Some(found) = self.subscriptions.find(channel) else { return false };
                let channel = found.channel.clone();
                self.handle_connect_answer(channel.as_str(), Err(error.clone()), cx);
                self.push_effect(Effect::Unsubscribe { channel });
                true
            }
            Phase::Ready => {
                let Some(removed) = self.remove(channel, error, cx) else { return false };
                if !removed.awaits_reply() {
                    append_unsubscribed(channel, error.code.as_str(), &error.message, cx);
                }
                self.push_effect(Effect::Unsubscribe { channel: removed.channel });
                true
            }
            Phase::AwaitingConnect { .. } | Phase::Closed(_) => false,
        }
    }

    pub(crate) fn is_full(&self, cx: &Cx<'_>) -> bool {
        self.subscriptions.len() >= cx.policy.limits.subscriptions as usize
    }

    /// Begins a subscription that no command of the moment asked for.
    pub(crate) fn ask(&mut self, channel: &ChannelName, from: StartFrom, by: AskedBy) {
        let ask = self.begin(channel, from, by, None);
        self.push_effect(Effect::Subscribe { channel: channel.clone(), from, ask });
    }

    /// Asks for all subscriptions that were begun and not asked for.
    pub(crate) fn ask_all(&mut self) {
        for subscription in self.subscriptions.iter() {
            let Stage::CatchingUp(catch_up) = &subscription.stage else { continue };
            let from = catch_up.delivered.map_or(StartFrom::Live, StartFrom::Position);
            let channel = subscription.channel.clone();
            self.effects.push_back(Effect::Subscribe { channel, from, ask: catch_up.ask });
        }
    }

    /// [`ask`](Self::ask), with the effect left to the caller.
    pub(crate) fn begin(
        &mut self,
        channel: &ChannelName,
        from: StartFrom,
        by: AskedBy,
        reply_to: Option<u32>,
    ) -> Ask {
        let ask = self.new_ask(by);
        let delivered = match from {
            StartFrom::Position(position) => Some(position),
            StartFrom::Live | StartFrom::Newest(_) => None,
        };
        let catch_up = Box::new(CatchUp::new(ask, reply_to, delivered));
        self.subscriptions.insert(channel.clone(), Stage::CatchingUp(catch_up));
        ask
    }

    /// Ends a subscription. A `subscribe` that was not answered yet is, with `error`.
    pub(crate) fn remove(
        &mut self,
        channel: &str,
        error: &ErrorBody,
        cx: &mut Cx<'_>,
    ) -> Option<Subscription> {
        let removed = self.subscriptions.remove(channel)?;
        if let Stage::CatchingUp(catch_up) = &removed.stage {
            self.gated_bytes -= catch_up.gate.bytes();
            if removed.awaits_reply() {
                cx.refuse(catch_up.reply_to, error);
            }
        }
        Some(removed)
    }

    /// Delivers what the subscriptions of a `connect` waited for, one channel after the other.
    pub(crate) fn deliver_answers(&mut self, cx: &mut Cx<'_>) {
        let answered: Vec<_> = self
            .subscriptions
            .iter_mut()
            .filter_map(|one| match &mut one.stage {
                Stage::CatchingUp(catch_up) => Some((one.channel.clone(), catch_up.answer.take()?)),
                Stage::Trailing(_) | Stage::Live => None,
            })
            .collect();
        for (channel, answer) in answered {
            self.deliver(channel.as_str(), &answer, cx);
        }
    }

    fn handle_first_answer(&mut self, channel: &str, answer: Result<Subscribed, Refusal>, cx: &mut Cx<'_>) {
        match answer {
            Ok(answer) => {
                if let Some(id) = self.catch_up(channel).and_then(|catch_up| catch_up.reply_to) {
                    let reply = Reply::Subscribe(CatchUp::state_of(&answer));
                    cx.out.push(|out| event::append_reply(out, id, &reply));
                }
                self.deliver(channel, &answer, cx);
            }
            Err(Refusal(error)) => {
                self.remove(channel, &error, cx);
            }
        }
    }

    fn handle_reread(&mut self, channel: &str, answer: Result<&Subscribed, &Refusal>, cx: &mut Cx<'_>) {
        let Some(catch_up) = self.catch_up(channel) else { return };
        let (Ok(answer @ Subscribed { head: Some(head), .. }), Some(last)) = (answer, catch_up.delivered)
        else {
            catch_up.is_epoch_confirmed = false;
            return self.settle(channel, cx);
        };
        catch_up.is_epoch_confirmed = head.epoch == last.epoch;
        if head.epoch == last.epoch && head.offset <= last.offset {
            return self.settle(channel, cx);
        }
        if answer.recovered == Some(false) || answer.replay.is_empty() {
            append_gap(channel, Some(*head), cx);
        }
        self.deliver(channel, answer, cx);
    }

    /// Delivers an answer, and behind it what the gate holds.
    fn deliver(&mut self, channel: &str, answer: &Subscribed, cx: &mut Cx<'_>) {
        let Some(catch_up) = self.catch_up(channel) else { return };
        catch_up.delivered = answer.head;
        if answer.recovered != Some(false) {
            for replayed in &answer.replay {
                cx.out.push_encoded(&replayed.object);
            }
            if let (Some(last), Some(delivered)) = (answer.replay.last(), &mut catch_up.delivered) {
                // Where the head was read after the messages, it may be further than they are.
                delivered.offset = last.offset;
            }
        }
        self.settle(channel, cx);
    }

    /// Delivers what the gate holds, and asks the history again where something is missing.
    fn settle(&mut self, channel: &str, cx: &mut Cx<'_>) {
        let Some(found) = self.subscriptions.find_mut(channel) else { return };
        let Stage::CatchingUp(catch_up) = &mut found.stage else { return };
        let before = catch_up.gate.bytes();
        let next = catch_up.settle(channel, cx);
        self.gated_bytes = self.gated_bytes - before + catch_up.gate.bytes();
        match next {
            Next::Stage(stage) => found.stage = stage,
            Next::Read(from) => {
                let ask = self.reread(channel, from);
                if let Some(catch_up) = self.catch_up(channel) {
                    catch_up.ask = ask;
                    catch_up.reads += 1;
                    catch_up.gate.reopen();
                }
            }
        }
    }

    /// Something is missing in front of `object`: back behind the gate with the subscription.
    fn regate(&mut self, channel: &str, position: Position, object: &[u8], cx: &mut Cx<'_>) {
        let Some(delivered) = self.subscription(channel).and_then(Delivery::gated_at) else { return };
        let ask = self.reread(channel, delivered);
        let Some(found) = self.subscriptions.find_mut(channel) else { return };
        let catch_up = CatchUp { reads: 1, ..CatchUp::new(ask, None, Some(delivered)) };
        found.stage = Stage::CatchingUp(Box::new(catch_up));
        self.handle_live(channel, Some(position), object, cx);
    }

    /// Asks for what follows `from`.
    fn reread(&mut self, channel: &str, from: Position) -> Ask {
        let ask = self.new_ask(AskedBy::Gate);
        if let Some(found) = self.subscriptions.find(channel) {
            let channel = found.channel.clone();
            self.push_effect(Effect::Subscribe { channel, from: StartFrom::Position(from), ask });
        }
        ask
    }

    fn catch_up(&mut self, channel: &str) -> Option<&mut CatchUp> {
        match &mut self.subscriptions.find_mut(channel)?.stage {
            Stage::CatchingUp(catch_up) => Some(catch_up),
            Stage::Trailing(_) | Stage::Live => None,
        }
    }
}

impl Subscription {
    /// Whether the client asked for it and the outside has not said yes yet.
    pub(crate) fn awaits_reply(&self) -> bool {
        match &self.stage {
            Stage::CatchingUp(catch_up) => catch_up.ask.by == AskedBy::Client && catch_up.answer.is_none(),
            Stage::Trailing(_) | Stage::Live => false,
        }
    }
}

/// What a gate's release leads to.
enum Next {
    /// The subscription is complete so far.
    Stage(Stage),
    /// What follows this position has to be read again.
    Read(Position),
}

impl CatchUp {
    fn new(ask: Ask, reply_to: Option<u32>, delivered: Option<Position>) -> Self {
        Self {
            ask,
            reply_to,
            delivered,
            answer: None,
            gate: Gate::default(),
            reads: 0,
            is_epoch_confirmed: false,
        }
    }

    /// What a reply says of a subscription: the client's messages follow this position without a hole. That is the head
    /// where nothing is replayed, and what is before the replay otherwise: a client that loses its connection in the middle
    /// of the replay does not come back with the position of messages it never saw.
    pub(crate) fn state_of(answer: &Subscribed) -> ChannelState {
        let before_replay = match (answer.head, answer.replay.first()) {
            (Some(head), Some(first)) if answer.recovered != Some(false) => {
                Some(Position { offset: first.offset.saturating_sub(1), ..head })
            }
            (head, _) => head,
        };
        ChannelState { position: before_replay, recovered: answer.recovered }
    }

    /// Releases what the gate holds. Holes that the history could not fill often enough are told and passed over.
    fn settle(&mut self, channel: &str, cx: &mut Cx<'_>) -> Next {
        if self.gate.take_lost() {
            append_gap(channel, None, cx);
        }
        loop {
            match (self.gate.release(&mut self.delivered, cx.out), self.delivered) {
                (Released::CaughtUp, _) | (_, None) => return Next::Stage(Stage::Live),
                (Released::Ahead, Some(last)) => return Next::Stage(Stage::Trailing(last)),
                (Released::Hole, Some(last)) if self.reads < cx.policy.gate_reads_max => {
                    return Next::Read(last);
                }
                (Released::Hole, Some(last)) if self.is_epoch_confirmed => {
                    self.is_epoch_confirmed = false;
                    self.gate.forget_other_epochs(last.epoch);
                }
                (Released::Hole, Some(_)) => {
                    let far_side = self.gate.far_side_of_hole();
                    append_gap(channel, far_side, cx);
                    self.delivered = far_side;
                }
            }
        }
    }
}

/// Tells that everything up to `lost`, and it too, will not come.
fn append_gap(channel: &str, lost: Option<Position>, cx: &mut Cx<'_>) {
    let position = lost.map(Position::next);
    cx.out.push(|out| event::append_gap(out, &Gap { channel: channel.into(), position }));
}
