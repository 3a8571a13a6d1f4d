//! What a session wants done, done: the one place that sees the hub, the broker and admission.
//!
//! Place in the data path: behind the session machine. What needs nobody else, such as a publication without history, is
//! done here and now; for the rest the broker is asked, and its answer comes at once or by mail.

use std::borrow::Cow;
use std::sync::Arc;

use tidegate_cluster::history::Entry;
use tidegate_cluster::presence::Members;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::command::{self, Target};
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, HistoryMessage, HistoryPage, Message, Published, Reply};
use tidegate_protocol::position::Position;
use tidegate_protocol::time::whole_ms;
use tidegate_service::trace::TraceParent;
use tidegate_session::{Effect, Identity, ReplyTo};

use super::Worker;
use super::mail::Mail;
use super::native::Answer;
use super::subscribe::Wanted;
use crate::admission::overload::{Newcomer, Verdict};
use crate::admission::permission::{Asker, Granted, Permissions};
use crate::broker::outcome::{Later, Outcome};
use crate::broker::{self, Connection as Seat, Grants, Publish};
use crate::connection::{Connection, Endpoint, Phase};
use crate::hub::conflate_key;
use crate::hub::directory::Realm;
use crate::hub::run::Reach;

/// The answer to a command that the session keeps no table of.
#[derive(Debug)]
pub(crate) enum Replied {
    Publish(Result<Published, ErrorBody>),
    Send(Result<u32, ErrorBody>),
    Presence(Result<Members, ErrorBody>),
    History(Result<(Position, Vec<Entry>), ErrorBody>),
}

impl Worker {
    /// Performs one effect. The answer, if it is there already.
    pub(super) fn perform(&mut self, slot: usize, effect: Effect<'_>) -> Option<Answer> {
        match effect {
            Effect::Authenticate { token } => self.authenticate(slot, token.as_deref()),
            Effect::Open { info } => self.open_session(slot, info),
            Effect::Resume { resume } => {
                let outcome = Outcome::begin(Arc::clone(&self.node.broker).resume(resume, self.seat(slot)));
                self.now_or_mail(slot, outcome.map(Answer::Opened))
            }
            Effect::Subscribe { channel, from, ask } => self.subscribe(slot, Wanted { channel, from, ask }),
            Effect::Unsubscribe { channel } => {
                self.unsubscribe(slot, &channel);
                None
            }
            Effect::Publish { to, publish } => self.publish(slot, to, &publish),
            Effect::Send { to, send } => self.send_direct(slot, to, send),
            Effect::Presence { to, channel } => {
                if let Err(error) = self.may_read(slot, channel.as_str()) {
                    return Some(Answer::Replied(to, Replied::Presence(Err(error))));
                }
                let members = Arc::clone(&self.node.broker).members(ChannelName::from(&channel));
                let outcome = Outcome::begin(members);
                self.now_or_mail(
                    slot,
                    outcome.map(move |members| Answer::Replied(to, Replied::Presence(members))),
                )
            }
            Effect::History { to, history } => {
                if let Err(error) = self.may_read(slot, history.channel.as_str()) {
                    return Some(Answer::Replied(to, Replied::History(Err(error))));
                }
                let channel = ChannelName::from(&history.channel);
                let (after, limit, order) = (history.after, history.limit, history.order);
                let page = Arc::clone(&self.node.broker).history(channel, after, limit, order);
                let outcome = Outcome::begin(page);
                self.now_or_mail(slot, outcome.map(move |page| Answer::Replied(to, Replied::History(page))))
            }
            Effect::Refresh { to, token } => self.refresh(slot, to, &token),
            Effect::Close { cause } => {
                self.close_native(slot, cause);
                None
            }
        }
    }

    fn authenticate(&mut self, slot: usize, token: Option<&str>) -> Option<Answer> {
        let client = self.native_mut(slot)?;
        let from_handshake = client.take_token();
        let token = token.or(from_handshake.as_deref());
        let address = self.connections[slot].peer.ip();
        let outcome = self.node.clients.authenticate(token, address, self.now_unix);
        self.now_or_mail(slot, outcome.map(Answer::Authenticated))
    }

    /// A new token is judged as the first one was, and has to be welcome still: what was revoked after it was made stays so.
    fn refresh(&mut self, slot: usize, to: ReplyTo, token: &str) -> Option<Answer> {
        let session = self.native_mut(slot)?.session.id()?;
        let address = self.connections[slot].peer.ip();
        let broker = Arc::clone(&self.node.broker);
        let judged = self.node.clients.authenticate(Some(token), address, self.now_unix);
        let outcome = judged.then(move |judged| async move {
            let grants = judged?;
            broker.check_welcome(session, &grants).await?;
            Ok(grants)
        });
        self.now_or_mail(slot, outcome.map(move |grants| Answer::Refreshed(to, grants)))
    }

    fn open_session(
        &mut self,
        slot: usize,
        info: Option<tidegate_protocol::json::OwnedJson>,
    ) -> Option<Answer> {
        let node = Arc::clone(&self.node);
        let client = self.native_mut(slot)?;
        let mut grants = client.grants.clone()?;
        if let Verdict::Refuse { retry_after, .. } = node.gate.judge(Newcomer::Session) {
            let why = "this node is overloaded and takes only clients that come back to a session";
            let error = ErrorBody::new(ErrorCode::Limit, why).retry_after_ms(whole_ms(retry_after));
            return Some(Answer::Opened(Err(error)));
        }
        if !grants.user.is_empty() {
            match node.user_quotas.try_join(Arc::clone(&grants.user), self.now_unix) {
                Ok(share) => self.native_mut(slot)?.share = share,
                Err(error) => return Some(Answer::Opened(Err(error))),
            }
        }
        let client = self.native_mut(slot)?;
        // What the token says of a user counts more than what the client says.
        if grants.info.is_none() && info.is_some() {
            grants = Arc::new(Grants { info, ..(*grants).clone() });
            client.grants = Some(Arc::clone(&grants));
        }
        if let Some(upgrade) = client.upgrade() {
            let trace = Some(upgrade.to_string().into());
            grants = Arc::new(Grants { trace, ..(*grants).clone() });
        }
        let outcome = Outcome::begin(Arc::clone(&self.node.broker).open(grants, self.seat(slot)));
        self.now_or_mail(slot, outcome.map(Answer::Opened))
    }

    fn seat(&self, slot: usize) -> Seat {
        let token = Connection::token(slot, self.connections[slot].generation);
        let upgrade = match &self.connections[slot].phase {
            Phase::Open(Endpoint::Native(client)) => client.upgrade(),
            _ => None,
        };
        Seat { worker: u16::try_from(self.index).expect("workers are few"), token, upgrade }
    }

    fn publish(&mut self, slot: usize, to: ReplyTo, publish: &command::Publish<'_>) -> Option<Answer> {
        let node = Arc::clone(&self.node);
        let client = self.native_mut(slot)?;
        let grants = client.grants.clone()?;
        let granted = match node.broker.namespaces.may_publish(publish.channel.as_str(), asker(&grants)) {
            Ok(granted) => granted,
            Err(error) => return Some(Answer::Replied(to, Replied::Publish(Err(error)))),
        };
        let upgrade = client.upgrade();
        // Without history only this order counts. One with a key waits for an answer, and others may not overtake it.
        let is_ordered_here = matches!(granted, Granted::Now(namespace) if namespace.history_size == 0);
        let has_to_wait = publish.key.is_some() || client.is_publishing();
        if is_ordered_here && !has_to_wait && node.broker.is_alone() {
            self.publish_now(&grants, publish, upgrade);
            return Some(Answer::Replied(to, Replied::Publish(Ok(Published::default()))));
        }
        let session = client.session.id()?;
        let turn = (is_ordered_here && has_to_wait).then(|| client.begin_publishing());
        let is_in_line = turn.is_some();
        let user = (!grants.user.is_empty()).then(|| Arc::clone(&grants.user));
        let owned = Publish {
            channel: ChannelName::from(&publish.channel),
            data: publish.data.into_owned(),
            publisher: user.clone().unwrap_or_else(|| session.to_string().into()),
            from: user,
            key: publish.key.as_deref().map(Into::into),
            conflate: publish.conflate.as_deref().map(Into::into),
            trace: publish.trace.as_deref().map(Into::into),
            upgrade,
            turn,
        };
        let broker = Arc::clone(&node.broker);
        let outcome = match granted {
            Granted::Now(_) => Outcome::begin(broker.publish(owned)),
            Granted::IfHookAgrees => {
                let agreed = node.clients.may_publish(
                    &grants.user,
                    session,
                    &owned.channel,
                    publish.data,
                    self.now_unix,
                );
                Outcome::begin(async move {
                    agreed.await?;
                    broker.publish(owned).await
                })
            }
        };
        if is_in_line {
            // By mail in any case: what it sent to this worker is in the mail as well, before the answer.
            let answer = outcome.map(move |published| Answer::Published(to, published));
            self.mail(slot, answer.into_later());
            return None;
        }
        self.now_or_mail(slot, outcome.map(move |published| Answer::Replied(to, Replied::Publish(published))))
    }

    /// Publishes to a channel without history, for which nobody outside has to be asked: to this worker's subscribers at the
    /// end of the turn, to other workers' by their parcels.
    fn publish_now(&mut self, grants: &Grants, publish: &command::Publish<'_>, upgrade: Option<TraceParent>) {
        let channel = publish.channel.as_str();
        let traced = self.node.spans.publish(channel, publish.trace.as_deref(), upgrade);
        let message = Message {
            channel: Cow::Borrowed(channel),
            data: publish.data,
            offset: None,
            from: (!grants.user.is_empty()).then_some(Cow::Borrowed(&*grants.user)),
            trace: traced.trace.as_deref().map(Cow::Borrowed),
        };
        let Some(index) = self.hub.find(Realm::Native, channel) else {
            return self.publish_elsewhere(channel, &message, publish.conflate.as_deref());
        };
        let conflate = publish.conflate.as_deref().map_or(0, conflate_key);
        let mark = self.mark_of(index, None, conflate);
        self.published.push_object(index, Reach::Node, mark, |out| event::append_message(out, &message));
    }

    /// Publishes to subscribers of other workers only.
    fn publish_elsewhere(&self, channel: &str, message: &Message<'_>, conflate: Option<&str>) {
        if self.lanes.len() < 2 || self.node.directory.find(Realm::Native, channel).is_none() {
            return;
        }
        let mut object = Vec::new();
        event::append_message(&mut object, message);
        let conflate = conflate.map_or(0, conflate_key);
        let publication =
            super::mail::Publication { conflate, ..super::mail::Publication::of(object.into()) };
        let (broker, channel) = (Arc::clone(&self.node.broker), channel.to_owned());
        self.start(async move { broker.distribute(&channel, publication).await });
    }

    fn send_direct(&mut self, slot: usize, to: ReplyTo, send: command::Send<'_>) -> Option<Answer> {
        let client = self.native_mut(slot)?;
        let (grants, session) = (client.grants.clone()?, client.session.id()?);
        let from = (!grants.user.is_empty()).then(|| Arc::clone(&grants.user));
        let target = match send.target {
            Target::User(user) => Target::User(Cow::Owned(user.into_owned())),
            Target::Session(session) => Target::Session(session),
        };
        let publisher = from.clone().unwrap_or_else(|| session.to_string().into());
        let key = send.key.as_deref().map(|key| (publisher, key.into()));
        let sent = Arc::clone(&self.node.broker).send(target, send.data.into_owned(), from, key);
        let outcome = Outcome::begin(sent);
        self.now_or_mail(slot, outcome.map(move |sent| Answer::Replied(to, Replied::Send(sent))))
    }

    /// Whether a client may read a channel's history and presence: whoever may subscribe, or has.
    fn may_read(&mut self, slot: usize, channel: &str) -> Result<(), ErrorBody> {
        let node = Arc::clone(&self.node);
        let client = self.native_mut(slot).expect("an effect is performed for a session that exists");
        if client.session.subscription(channel).is_some() {
            return Ok(());
        }
        let nobody = Permissions::default();
        let asker = client.grants.as_deref().map_or(Asker { user: "", permissions: &nobody }, asker);
        match node.broker.namespaces.may_subscribe(channel, asker)? {
            Granted::Now(_) => Ok(()),
            Granted::IfHookAgrees => Err(ErrorBody::new(
                ErrorCode::NotSubscribed,
                format!("reading of {channel} needs a subscription to it: subscribe first"),
            )),
        }
    }

    pub(super) fn apply_replied(&mut self, slot: usize, to: ReplyTo, replied: Replied) {
        if let Replied::Publish(Ok(published)) = &replied {
            self.stats.publications.add(u64::from(!published.duplicate));
        }
        self.with_session(slot, |session, cx| match replied {
            Replied::Publish(result) => {
                session.handle_replied(to, result.map(Reply::Publish).map_err(Into::into), cx);
            }
            Replied::Send(result) => {
                let reply = result.map(|sessions| Reply::Send { sessions });
                session.handle_replied(to, reply.map_err(Into::into), cx);
            }
            Replied::Presence(Ok(list)) => {
                let members = list.members.iter().map(|member| event::Member {
                    user: (&*member.user).into(),
                    session: member.session,
                    info: broker::info_of(member),
                    since_ms: member.since.count(),
                });
                session.handle_replied(to, Ok(Reply::Presence { members: members.collect() }), cx);
            }
            Replied::History(Ok((head, entries))) => {
                let messages = entries.iter().map(|entry| HistoryMessage {
                    offset: entry.offset,
                    data: broker::data_of(entry),
                    from: entry.from.as_deref().map(Into::into),
                    at_ms: entry.at.count(),
                });
                let page = HistoryPage { head, messages: messages.collect() };
                session.handle_replied(to, Ok(Reply::History(page)), cx);
            }
            Replied::Presence(Err(error)) | Replied::History(Err(error)) => {
                session.handle_replied(to, Err(error.into()), cx);
            }
        });
    }

    /// The answer if it is there; else it comes by mail.
    pub(super) fn now_or_mail(&mut self, slot: usize, outcome: Outcome<Answer>) -> Option<Answer> {
        match outcome {
            Outcome::Now(answer) => Some(answer),
            Outcome::Later(later) => {
                self.mail(slot, later);
                None
            }
        }
    }

    /// Waits for an answer, which then comes by mail.
    fn mail(&self, slot: usize, later: Later<Answer>) {
        let seat = self.seat(slot);
        let broker = Arc::clone(&self.node.broker);
        self.node.runtime.spawn(async move {
            let answer = later.await;
            broker.post(seat.worker.into(), Mail::Answer(seat.token, Box::new(answer))).await;
        });
    }

    /// Begins something whose end nobody waits for.
    pub(super) fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Outcome::Later(later) = Outcome::begin(work) {
            self.node.runtime.spawn(later);
        }
    }
}

/// What the session has to know of who the client is.
pub(super) fn identity(grants: &Grants) -> Identity {
    Identity {
        user: Arc::clone(&grants.user),
        expires_at: grants.expires_at,
        channels: grants.channels.clone(),
    }
}

pub(super) fn asker(grants: &Grants) -> Asker<'_> {
    Asker { user: &grants.user, permissions: &grants.permissions }
}
