//! From `connect` to its reply: authenticate, open or resume, subscribe to what is wanted, and only then answer.
//!
//! Place in the data path: the first command of a connection. The reply waits for every subscription, so that it can say
//! of each one whether it is complete; replays follow it, and live messages wait behind them in their gates.

use std::sync::Arc;

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::{Connect, StartFrom};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, ChannelState, Connected, Reply, Unsubscribed};
use tidegate_protocol::id::{NodeName, ResumeSecret};
use tidegate_protocol::json::{OwnedJson, RawJson};
use tidegate_protocol::position::Position;
use tidegate_protocol::time::{Millis, whole_ms};

use crate::answer::{Identity, Opened, Refusal, Subscribed};
use crate::catch_up::CatchUp;
use crate::effect::{AskedBy, Effect};
use crate::session::{Cx, Fate, Notice, Phase, Session};
use crate::subscriptions::Stage;

#[cfg(test)]
mod tests;

/// What is known between `connect` and its reply.
#[derive(Debug)]
pub(crate) struct Connecting {
    step: Step,
    /// When the outside has taken too long.
    pub(crate) until: Millis,
    id: Option<u32>,
    proof: Proof,
    info: Option<OwnedJson>,
    /// Sorted by channel.
    positions: Vec<(ChannelName, Position)>,
    /// What is to be subscribed to besides what the session was before.
    wanted: Vec<Wanted>,
    /// What is known of the session once it is open.
    opened: Option<OpenedSession>,
    /// Subscriptions whose answers are outstanding.
    outstanding: usize,
    refused: Vec<(ChannelName, ErrorBody)>,
    /// An order to come back elsewhere that came in between.
    pub(crate) notice: Option<Notice>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Resuming,
    Authenticating,
    Opening,
    Subscribing,
}

/// What the client showed of itself.
#[derive(Debug)]
enum Proof {
    /// A token, which may have gone out with the first effect, or nothing.
    Token(Option<Box<str>>),
    /// A session and no token.
    SessionOnly,
}

#[derive(Debug)]
struct Wanted {
    by: AskedBy,
    channel: ChannelName,
}

#[derive(Debug)]
struct OpenedSession {
    resume: ResumeSecret,
    node: NodeName,
    /// Whose session it was before this connection; `None`: it is new.
    owner: Option<Arc<str>>,
}

impl Session {
    /// The first command. Its answer comes when everything it asks for is there.
    pub(crate) fn start_connect<'m>(
        &mut self,
        id: Option<u32>,
        connect: Connect<'m>,
        cx: &Cx<'_>,
    ) -> Effect<'m> {
        let Connect { token, resume, positions, subscribe, client: _, info } = connect;
        let mut positions: Vec<_> =
            positions.iter().map(|(channel, position)| (ChannelName::from(channel), *position)).collect();
        positions.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let wanted =
            subscribe.iter().map(|channel| Wanted { by: AskedBy::Client, channel: channel.into() }).collect();
        let proof = match (&token, resume) {
            (None, Some(_)) => Proof::SessionOnly,
            (Some(token), Some(_)) => Proof::Token(Some((**token).into())),
            (_, None) => Proof::Token(None),
        };
        let (step, effect) = match resume {
            Some(resume) => (Step::Resuming, Effect::Resume { resume }),
            None => (Step::Authenticating, Effect::Authenticate { token }),
        };
        self.phase = Phase::Connecting(Box::new(Connecting {
            step,
            until: cx.now + cx.policy.connect_timeout,
            id,
            proof,
            info: info.map(RawJson::into_owned),
            positions,
            wanted,
            opened: None,
            outstanding: 0,
            refused: Vec::new(),
            notice: None,
        }));
        effect
    }

    /// The answer to [`Effect::Authenticate`]. A refusal ends the connection.
    pub fn handle_authenticated(&mut self, answer: Result<Identity, Refusal>, cx: &mut Cx<'_>) {
        let Some(connecting) = self.connecting_at(Step::Authenticating) else { return };
        let identity = match answer {
            Ok(identity) => identity,
            Err(Refusal(error)) => {
                let cause = match (cause_of_refusal(error.code), &connecting.proof) {
                    // Its session was all that the client had to show, and there is none.
                    (CloseCause::Unauthorized, Proof::SessionOnly) => CloseCause::SessionExpired,
                    (cause, _) => cause,
                };
                return self.fail_connect(&error, cause, cx);
            }
        };
        let owner = connecting.opened.as_ref().and_then(|opened| opened.owner.clone());
        if owner.as_ref().is_some_and(|owner| *owner != identity.user) {
            let (code, message, cause) = match connecting.proof {
                Proof::Token(_) => {
                    let message = "the session belongs to another user than the token";
                    (ErrorCode::Forbidden, message, CloseCause::Forbidden)
                }
                Proof::SessionOnly => {
                    let message = "the session's token has ended: connect with a new one";
                    (ErrorCode::Unauthorized, message, CloseCause::SessionExpired)
                }
            };
            return self.fail_connect(&ErrorBody::new(code, message), cause, cx);
        }
        connecting.want(&identity.channels, AskedBy::Server);
        connecting.step = Step::Opening;
        let info = connecting.info.take();
        self.take_on(&identity, cx);
        if owner.is_some() {
            self.start_subscribing(cx);
        } else {
            self.push_effect(Effect::Open { info });
        }
    }

    /// The answer to [`Effect::Open`] and to [`Effect::Resume`]. A refusal ends the connection; a session that cannot be
    /// resumed does not, where the client can be authenticated anew.
    ///
    /// A driver whose answer comes when the session is closed has to undo what it opened by itself.
    pub fn handle_opened(&mut self, answer: Result<Opened, Refusal>, cx: &mut Cx<'_>) {
        let Phase::Connecting(connecting) = &mut self.phase else { return };
        match (connecting.step, answer) {
            (Step::Resuming | Step::Opening, Err(Refusal(error))) => {
                let cause = cause_of_refusal(error.code);
                self.fail_connect(&error, cause, cx);
            }
            (Step::Resuming, Ok(Opened::NotResumable)) => self.authenticate_instead(),
            (Step::Resuming, Ok(Opened::Resumed { session, resume, node, identity, subscriptions })) => {
                let owner = Some(Arc::clone(&identity.user));
                connecting.opened = Some(OpenedSession { resume, node, owner });
                self.id = Some(session);
                self.fate = Fate::Detach;
                self.take_over(subscriptions, cx);
                if identity.expires_at.is_some_and(|expires_at| expires_at <= cx.now) {
                    // The session is the client's, but it has to prove anew that it still is who it was.
                    return self.authenticate_instead();
                }
                if let Phase::Connecting(connecting) = &mut self.phase {
                    connecting.want(&identity.channels, AskedBy::Server);
                }
                self.take_on(&identity, cx);
                self.start_subscribing(cx);
            }
            (Step::Opening, Ok(Opened::New { session, resume, node })) => {
                connecting.opened = Some(OpenedSession { resume, node, owner: None });
                self.id = Some(session);
                // The client cannot come back to a session that it has not been told of.
                self.fate = Fate::End;
                self.start_subscribing(cx);
            }
            (Step::Resuming, Ok(Opened::New { .. }))
            | (Step::Opening, Ok(Opened::Resumed { .. } | Opened::NotResumable))
            | (Step::Authenticating | Step::Subscribing, _) => {
                debug_assert!(false, "an answer to a question that was not asked");
            }
        }
    }

    /// A subscription that the connect reply waits for is answered, or gone.
    pub(crate) fn handle_connect_answer(
        &mut self,
        channel: &str,
        answer: Result<Subscribed, ErrorBody>,
        cx: &mut Cx<'_>,
    ) {
        let Phase::Connecting(connecting) = &mut self.phase else { return };
        match answer {
            Ok(subscribed) => {
                let Some(found) = self.subscriptions.find_mut(channel) else { return };
                let Stage::CatchingUp(catch_up) = &mut found.stage else { return };
                if catch_up.answer.replace(subscribed).is_some() {
                    return;
                }
            }
            Err(error) => {
                let Some(removed) = self.subscriptions.remove(channel) else { return };
                connecting.refuse(removed.channel, error);
                let Stage::CatchingUp(catch_up) = removed.stage else { return };
                self.gated_bytes -= catch_up.gate.bytes();
                if catch_up.answer.is_some() {
                    return;
                }
            }
        }
        if connecting.step != Step::Subscribing {
            return;
        }
        connecting.outstanding -= 1;
        if connecting.outstanding == 0 {
            self.finish_connect(cx);
        }
    }

    /// Adds what the server wants the session subscribed to, whatever is known of the session by now.
    pub(crate) fn want_while_connecting(&mut self, channel: ChannelName) {
        let Phase::Connecting(connecting) = &mut self.phase else { return };
        if connecting.step == Step::Subscribing {
            connecting.outstanding += 1;
            let from = self.start_of(&channel, None);
            self.ask(&channel, from, AskedBy::Server);
        } else {
            connecting.want(&[channel], AskedBy::Server);
        }
    }

    /// `connect` took the outside too long, or it refused.
    pub(crate) fn fail_connect(&mut self, error: &ErrorBody, cause: CloseCause, cx: &mut Cx<'_>) {
        let Phase::Connecting(connecting) = &self.phase else { return };
        cx.refuse(connecting.id, error);
        self.close(cause, cx);
    }

    fn connecting_at(&mut self, step: Step) -> Option<&mut Connecting> {
        match &mut self.phase {
            Phase::Connecting(connecting) if connecting.step == step => Some(connecting),
            Phase::Connecting(_) | Phase::AwaitingConnect { .. } | Phase::Ready | Phase::Closed(_) => None,
        }
    }

    fn authenticate_instead(&mut self) {
        let Phase::Connecting(connecting) = &mut self.phase else { return };
        connecting.step = Step::Authenticating;
        let token = match &mut connecting.proof {
            Proof::Token(token) => token.take(),
            Proof::SessionOnly => None,
        };
        let token = token.map(|token| String::from(token).into());
        self.push_effect(Effect::Authenticate { token });
    }

    /// Takes over what the session was subscribed to: from now on that is what there is to be saved, whatever happens.
    fn take_over(&mut self, subscriptions: Vec<(ChannelName, Option<Position>)>, cx: &Cx<'_>) {
        for (channel, saved) in subscriptions {
            let from = self.start_of(&channel, saved);
            if !self.is_full(cx) && self.subscriptions.find(channel.as_str()).is_none() {
                self.begin(&channel, from, AskedBy::Resume, None);
            } else {
                self.refuse_wanted(channel, cx);
            }
        }
    }

    fn start_subscribing(&mut self, cx: &mut Cx<'_>) {
        let Phase::Connecting(connecting) = &mut self.phase else { return };
        connecting.step = Step::Subscribing;
        let mut wanted = std::mem::take(&mut connecting.wanted);
        self.ask_all();
        // Where there are too many, the server's go before the client's.
        wanted.sort_by_key(|wanted| wanted.by);
        for Wanted { by, channel } in wanted {
            if self.subscriptions.find(channel.as_str()).is_some() {
                continue;
            }
            if self.is_full(cx) {
                self.refuse_wanted(channel, cx);
            } else {
                let from = self.start_of(&channel, None);
                self.ask(&channel, from, by);
            }
        }
        let outstanding = self.subscriptions.len();
        let Phase::Connecting(connecting) = &mut self.phase else { return };
        connecting.outstanding = outstanding;
        if outstanding == 0 {
            self.finish_connect(cx);
        }
    }

    /// Where a subscription begins: the client knows best how far it got.
    fn start_of(&self, channel: &ChannelName, saved: Option<Position>) -> StartFrom {
        let Phase::Connecting(connecting) = &self.phase else { return StartFrom::Live };
        let positions = &connecting.positions;
        let told = positions.binary_search_by(|(name, _)| name.cmp(channel)).ok().map(|at| positions[at].1);
        told.or(saved).map_or(StartFrom::Live, StartFrom::Position)
    }

    fn refuse_wanted(&mut self, channel: ChannelName, cx: &Cx<'_>) {
        if let Phase::Connecting(connecting) = &mut self.phase {
            connecting.refuse(channel, too_many_subscriptions(cx));
        }
    }

    fn finish_connect(&mut self, cx: &mut Cx<'_>) {
        let Phase::Connecting(connecting) = std::mem::replace(&mut self.phase, Phase::Ready) else { return };
        self.fate = Fate::Detach;
        self.heard_at = cx.now;
        self.ping_at = cx.now + cx.policy.ping_interval;
        if let (Some(id), Some(opened)) = (connecting.id, &connecting.opened) {
            self.reply_connected(id, opened, cx);
        }
        // What was refused first may have been granted by the server since.
        let is_over = |channel: &ChannelName| self.subscriptions.find(channel.as_str()).is_none();
        for (channel, error) in connecting.refused.iter().filter(|(channel, _)| is_over(channel)) {
            append_unsubscribed(channel.as_str(), error.code.as_str(), &error.message, cx);
        }
        self.deliver_answers(cx);
        if let Some(notice) = connecting.notice {
            notice.append(cx.out);
        }
    }

    fn reply_connected(&self, id: u32, opened: &OpenedSession, cx: &mut Cx<'_>) {
        let Some(session) = self.id else { return };
        let state_of = |stage: &Stage| match stage {
            Stage::CatchingUp(catch_up) => {
                catch_up.answer.as_ref().map_or_else(ChannelState::default, CatchUp::state_of)
            }
            Stage::Trailing(_) | Stage::Live => ChannelState::default(),
        };
        let channels = self
            .subscriptions
            .iter()
            .map(|subscription| (subscription.channel.as_str().into(), state_of(&subscription.stage)))
            .collect();
        let reply = Reply::Connect(Box::new(Connected {
            session,
            resume: opened.resume,
            resumed: opened.owner.is_some(),
            user: self.user().into(),
            node: opened.node.as_str().into(),
            ping_ms: whole_ms(cx.policy.ping_interval),
            session_ttl_ms: whole_ms(cx.policy.session_ttl),
            token_expires_in_ms: self.token_expires_in_ms(cx.now),
            channels,
            limits: cx.policy.limits,
        }));
        cx.out.push(|out| event::append_reply(out, id, &reply));
    }
}

impl Connecting {
    fn refuse(&mut self, channel: ChannelName, error: ErrorBody) {
        self.refused.retain(|(refused, _)| *refused != channel);
        self.refused.push((channel, error));
    }

    fn want(&mut self, channels: &[ChannelName], by: AskedBy) {
        let wanted = |channel: &ChannelName| Wanted { by, channel: channel.clone() };
        self.wanted.extend(channels.iter().map(wanted));
    }
}

pub(crate) fn append_unsubscribed(channel: &str, code: &str, message: &str, cx: &mut Cx<'_>) {
    let unsubscribed = Unsubscribed { channel: channel.into(), code: code.into(), message: message.into() };
    cx.out.push(|out| event::append_unsubscribed(out, &unsubscribed));
}

pub(crate) fn too_many_subscriptions(cx: &Cx<'_>) -> ErrorBody {
    let max = cx.policy.limits.subscriptions;
    ErrorBody::new(
        ErrorCode::Limit,
        format!("a session has at most {max} subscriptions: unsubscribe from one first"),
    )
}

/// How a connection ends whose `connect` was refused.
fn cause_of_refusal(code: ErrorCode) -> CloseCause {
    match code {
        ErrorCode::Forbidden => CloseCause::Forbidden,
        ErrorCode::Unavailable => CloseCause::Unavailable,
        ErrorCode::Limit => CloseCause::Overloaded,
        ErrorCode::Internal => CloseCause::Internal,
        ErrorCode::BadRequest
        | ErrorCode::Unauthorized
        | ErrorCode::NotSubscribed
        | ErrorCode::AlreadySubscribed
        | ErrorCode::UnknownChannel
        | ErrorCode::TooLarge
        | ErrorCode::Conflict => CloseCause::Unauthorized,
    }
}
