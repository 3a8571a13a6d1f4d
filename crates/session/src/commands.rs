//! Which command may come when, and how many of them.
//!
//! Place in the data path: a parsed object comes in; an effect for the driver's dispatch, or a refusal for the client, goes
//! out. What a command is allowed to do is decided behind the effect: permissions and namespaces are not known here.

use std::time::Duration;

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::Channel;
use tidegate_protocol::command::{BadRequest, Command, CommandName, Request, Subscribe};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, Reply};
use tidegate_protocol::quota::Verdict;
use tidegate_protocol::time::whole_ms;

use crate::answer::{Identity, Refreshed, Refusal};
use crate::connect::too_many_subscriptions;
use crate::effect::{AskedBy, Effect, ReplyTo};
use crate::session::{Cx, Phase, Session};

#[cfg(test)]
mod tests;

impl Session {
    /// A command of the client, with the text it was parsed from: its length is charged, and one that comes before
    /// `connect` is answered is kept as text.
    pub fn handle_command<'m>(
        &mut self,
        request: Request<'m>,
        object: &str,
        cx: &mut Cx<'_>,
    ) -> Option<Effect<'m>> {
        let Request { id, command } = request;
        if !self.admit(id, object, cx) {
            return None;
        }
        match (&self.phase, command) {
            (Phase::Closed(_), _) | (_, Command::Pong) => None,
            (Phase::AwaitingConnect { .. }, Command::Connect(connect)) => {
                Some(self.start_connect(id, *connect, cx))
            }
            (Phase::AwaitingConnect { .. }, _) => {
                cx.refuse_with(id, ErrorCode::Unauthorized, "the first command has to be `connect`");
                None
            }
            (Phase::Connecting(_) | Phase::Ready, Command::Connect(_)) => {
                cx.refuse_with(
                    id,
                    ErrorCode::Conflict,
                    "`connect` was sent before: there is one a connection",
                );
                None
            }
            (Phase::Connecting(_), _) => {
                self.hold(id, object, cx);
                None
            }
            (Phase::Ready, command) => self.handle_ready(id, command, cx),
        }
    }

    /// An object that is no command. Some are answered; too many within a window end the connection with 4502.
    pub fn handle_bad_request(&mut self, bad: &BadRequest, object: &str, cx: &mut Cx<'_>) {
        if !self.admit(bad.id, object, cx) {
            return;
        }
        cx.refuse(bad.id, &bad.error);
        if self.bad_strikes.add(cx.policy.strikes_window, cx.now) > cx.policy.bad_messages_max {
            self.close(CloseCause::BadMessage, cx);
        }
    }

    /// A command that is over a quota which the session shares with others, such as its user's: in place of
    /// [`handle_command`](Self::handle_command) or [`handle_bad_request`](Self::handle_bad_request). It is answered as one
    /// over the session's own quotas is, and counts as much towards 4506.
    pub fn handle_over_quota(
        &mut self,
        id: Option<u32>,
        what: &'static str,
        retry_after: Duration,
        cx: &mut Cx<'_>,
    ) {
        if self.closed().is_none() {
            self.strike(id, what, retry_after, cx);
        }
    }

    /// The answer to publish, send, presence or history, with the `to` that came with the effect.
    pub fn handle_replied(&mut self, to: ReplyTo, answer: Result<Reply<'_>, Refusal>, cx: &mut Cx<'_>) {
        if !self.settle_pending() {
            return;
        }
        match (answer, to.id) {
            (Ok(reply), Some(id)) => {
                debug_assert_eq!(reply.name(), to.command);
                cx.out.push(|out| event::append_reply(out, id, &reply));
            }
            (Ok(_), None) => {}
            (Err(Refusal(error)), id) => cx.refuse(id, &error),
        }
    }

    /// The answer to refresh. The user has to be the same one: rights may change in a session, its owner may not.
    pub fn handle_refreshed(
        &mut self,
        to: ReplyTo,
        answer: Result<Identity, Refusal>,
        cx: &mut Cx<'_>,
    ) -> Refreshed {
        if !self.settle_pending() {
            return Refreshed::Refused;
        }
        match answer {
            Ok(identity) if *identity.user == *self.user() => {
                self.take_on(&identity, cx);
                if let Some(id) = to.id {
                    let token_expires_in_ms = self.token_expires_in_ms(cx.now);
                    let reply = Reply::Refresh { token_expires_in_ms };
                    cx.out.push(|out| event::append_reply(out, id, &reply));
                }
                Refreshed::Accepted
            }
            Ok(_) => {
                cx.refuse_with(
                    to.id,
                    ErrorCode::Forbidden,
                    "the new token is another user's: connect anew with it",
                );
                Refreshed::Refused
            }
            Err(Refusal(error)) => {
                cx.refuse(to.id, &error);
                Refreshed::Refused
            }
        }
    }

    fn handle_ready<'m>(
        &mut self,
        id: Option<u32>,
        command: Command<'m>,
        cx: &mut Cx<'_>,
    ) -> Option<Effect<'m>> {
        let name = command.name();
        match command {
            Command::Subscribe(subscribe) => self.subscribe(id, &subscribe, cx),
            Command::Unsubscribe { channel } => self.unsubscribe(id, &channel, cx),
            Command::Publish(publish) => Some(Effect::Publish { to: self.pend(id, name, cx)?, publish }),
            Command::Send(send) => Some(Effect::Send { to: self.pend(id, name, cx)?, send }),
            Command::Presence { channel } => Some(Effect::Presence { to: self.pend(id, name, cx)?, channel }),
            Command::History(history) => Some(Effect::History { to: self.pend(id, name, cx)?, history }),
            Command::Refresh { token } => Some(Effect::Refresh { to: self.pend(id, name, cx)?, token }),
            Command::Connect(_) | Command::Pong => None,
        }
    }

    fn subscribe(
        &mut self,
        id: Option<u32>,
        subscribe: &Subscribe<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<Effect<'static>> {
        let Subscribe { channel, from } = subscribe;
        if self.subscriptions.find(channel.as_str()).is_some() {
            let message = format!("{channel} is subscribed to; unsubscribe first to start from elsewhere");
            cx.refuse(id, &ErrorBody::new(ErrorCode::AlreadySubscribed, message));
            return None;
        }
        if self.is_full(cx) {
            cx.refuse(id, &too_many_subscriptions(cx));
            return None;
        }
        let channel = channel.into();
        let ask = self.begin(&channel, *from, AskedBy::Client, id);
        Some(Effect::Subscribe { channel, from: *from, ask })
    }

    fn unsubscribe(
        &mut self,
        id: Option<u32>,
        channel: &Channel<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<Effect<'static>> {
        let overtaken =
            ErrorBody::new(ErrorCode::Conflict, "unsubscribed before the subscription was complete");
        let Some(removed) = self.remove(channel.as_str(), &overtaken, cx) else {
            let message = format!("{channel} is not subscribed to");
            cx.refuse(id, &ErrorBody::new(ErrorCode::NotSubscribed, message));
            return None;
        };
        if let Some(id) = id {
            cx.out.push(|out| event::append_reply(out, id, &Reply::Unsubscribe));
        }
        Some(Effect::Unsubscribe { channel: removed.channel })
    }

    /// Counts a command that the outside is going to answer.
    fn pend(&mut self, id: Option<u32>, command: CommandName, cx: &mut Cx<'_>) -> Option<ReplyTo> {
        if self.pending as usize >= cx.policy.pending_max {
            let message = "too many commands are waiting for their answers: wait for some of them";
            cx.refuse_with(id, ErrorCode::Unavailable, message);
            return None;
        }
        self.pending += 1;
        Some(ReplyTo { id, command })
    }

    /// One of them is answered; the result is whether the client can still be told.
    fn settle_pending(&mut self) -> bool {
        self.pending = self.pending.saturating_sub(1);
        self.is_ready()
    }

    /// Keeps a command until `connect` is answered.
    fn hold(&mut self, id: Option<u32>, object: &str, cx: &mut Cx<'_>) {
        let held = self.held.get_or_insert_default();
        let has_room = held.objects.len() < cx.policy.pending_max
            && held.bytes + object.len() <= cx.policy.held_bytes_max;
        if has_room {
            held.bytes += object.len();
            held.objects.push_back(object.into());
        } else {
            cx.refuse_with(
                id,
                ErrorCode::Unavailable,
                "too many commands before the reply to `connect`: wait for it",
            );
        }
    }

    /// Whether a command is within the quotas. The first ones that are not are told when to come back; who does not listen
    /// is closed with 4506.
    fn admit(&mut self, id: Option<u32>, object: &str, cx: &mut Cx<'_>) -> bool {
        if self.closed().is_some() {
            return false;
        }
        if self.held.as_mut().is_some_and(|held| std::mem::take(&mut held.is_paid)) {
            return true;
        }
        let units = u32::try_from(object.len()).unwrap_or(u32::MAX);
        let messages = cx.policy.messages.as_ref().map(|rate| self.messages.try_take(rate, cx.now));
        let (verdict, what) = match messages {
            Some(Verdict::Defer { .. }) => (messages, "too many messages a second"),
            Some(Verdict::Admit) | None => {
                let bytes =
                    cx.policy.bytes.as_ref().map(|rate| self.bytes.try_take_many(rate, units, cx.now));
                (bytes, "too many bytes a second")
            }
        };
        let Some(Verdict::Defer { retry_after }) = verdict else { return true };
        self.strike(id, what, retry_after, cx);
        false
    }

    fn strike(&mut self, id: Option<u32>, what: &'static str, retry_after: Duration, cx: &mut Cx<'_>) {
        cx.refuse(id, &ErrorBody::new(ErrorCode::Limit, what).retry_after_ms(whole_ms(retry_after)));
        if self.limit_strikes.add(cx.policy.strikes_window, cx.now) > cx.policy.limit_strikes_max {
            self.close(CloseCause::RateLimited, cx);
        }
    }
}
