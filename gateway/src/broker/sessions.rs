//! Sessions: opened, resumed on another connection, let go, ended, and spoken to from outside.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mio::Token;
use serde::{Deserialize, Serialize};
use tidegate_cluster::answer::{Answer, Reason, Unavailable};
use tidegate_cluster::fence::Fence;
use tidegate_cluster::idempotency::{IdempotencyKey, Scope, Use};
use tidegate_cluster::sessions::{
    Changes, Created, Identity, NewSession, Resume, Resumed, Subscription, Written,
};
use tidegate_protocol::channel::{ChannelName, ChannelPattern};
use tidegate_protocol::command;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, Direct};
use tidegate_protocol::id::{ResumeSecret, SessionId};
use tidegate_protocol::json::{OwnedJson, RawJson};
use tidegate_protocol::position::Position;

use super::owed::Departed;
use tidegate_service::trace::TraceParent;

use super::roster::Seat;
use super::standing::Standing;
use super::{Broker, Grants, refusal};
use crate::admission::cluster::{Arrival, no_room};
use crate::admission::permission::Permissions;
use crate::worker::mail::{Close, Mail, Order};

/// Ids are random: one that is taken already is made again, and twice in a row is no accident.
const ID_TRIES: usize = 3;

/// What a session is subscribed to, with the last position of each channel that has one.
pub(crate) type Held = Vec<(ChannelName, Option<Position>)>;

/// Where a session's connection is on this node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) worker: u16,
    pub(crate) token: Token,
    /// The span of its upgrade, if that is traced.
    pub(crate) upgrade: Option<TraceParent>,
}

/// What came of opening or resuming.
#[derive(Debug)]
pub(crate) enum Opening {
    Owned(Box<Owned>),
    NotResumable,
}

/// A session that a connection has from now on.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) session: SessionId,
    pub(crate) secret: ResumeSecret,
    pub(crate) fence: Fence,
    /// As it was, for a session that was resumed.
    pub(crate) resumed: Option<(Grants, Held)>,
}

/// What a resume gives back of a client's rights, as it is stored.
#[derive(Debug, Default, Deserialize, Serialize)]
struct StoredClaims {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscribe: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    publish: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    info: Option<Box<serde_json::value::RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

impl Broker {
    /// Makes a session for a connection.
    ///
    /// # Errors
    ///
    /// `unauthorized` for who is revoked, `limit` where all nodes together take no more, `unavailable`.
    pub(crate) async fn open(
        self: Arc<Self>,
        grants: Arc<Grants>,
        connection: Connection,
    ) -> Result<Opening, ErrorBody> {
        Arc::clone(&self.budget).admit(Arrival::New).await.map_err(no_room)?;
        for _ in 0..ID_TRIES {
            let (session, secret) = (SessionId::from_bytes(random()?), ResumeSecret::from_bytes(random()?));
            let record = NewSession {
                session,
                secret,
                node: self.node.clone(),
                fence: Fence::FIRST,
                identity: identity(&grants),
                ttl: self.terms.session_lease(),
            };
            let fence = match self.outside.sessions.create(record).await {
                Ok(Created::Owned(fence)) => fence,
                Ok(Created::Revoked) => return Err(revoked()),
                Ok(Created::Taken) => continue,
                // It is written when the store is back, which says then whether its client is welcome.
                Err(unavailable) if is_outage(unavailable) && self.owed.attached(session, &[]) => {
                    Fence::FIRST
                }
                Err(unavailable) => return Err(refusal(unavailable)),
            };
            self.take_seat(session, &grants.user, fence, connection).await;
            self.stats.sessions_opened.fetch_add(1, Ordering::Relaxed);
            return Ok(Opening::Owned(Box::new(Owned { session, secret, fence, resumed: None })));
        }
        Err(ErrorBody::new(ErrorCode::Internal, "no free session id was found: connect again"))
    }

    /// Takes a session over for a connection. The connection that had it is told to close.
    ///
    /// # Errors
    ///
    /// `unauthorized` for who is revoked, `limit` where all nodes together take no more, `unavailable`.
    pub(crate) async fn resume(
        self: Arc<Self>,
        resume: command::Resume,
        connection: Connection,
    ) -> Result<Opening, ErrorBody> {
        let began = Instant::now();
        Arc::clone(&self.budget).admit(Arrival::Resume).await.map_err(no_room)?;
        let mut span = self.spans.resume(resume.session, connection.upgrade);
        if let Some(debt) = self.owed.settle(resume.session) {
            self.pay(resume.session, debt).await;
        }
        let answer = self.outside.sessions.resume(Resume {
            session: resume.session,
            secret: resume.secret,
            node: self.node.clone(),
            ttl: self.terms.session_lease(),
        });
        let resumption = match answer.await.map_err(refusal)? {
            Resumed::Owned(resumption) => resumption,
            Resumed::NotResumable => return Ok(Opening::NotResumable),
            Resumed::Revoked => return Err(revoked()),
        };
        let fence = resumption.fence;
        if let Some(node) = resumption.taken_from.as_ref().filter(|&node| *node != self.node) {
            self.stats.sessions_taken_over.fetch_add(1, Ordering::Relaxed);
            self.tell_taken_over(node, resume.session, fence.number()).await;
        }
        let grants = grants(&resumption.identity);
        grants.trace.as_deref().and_then(TraceParent::parse).into_iter().for_each(|began| span.link(began));
        self.take_seat(resume.session, &grants.user, fence, connection).await;
        self.stats.resume_durations.observe(began.elapsed());
        let subscriptions =
            resumption.subscriptions.into_iter().map(|held| (held.channel, held.position)).collect();
        Ok(Opening::Owned(Box::new(Owned {
            session: resume.session,
            secret: resume.secret,
            fence,
            resumed: Some((grants, subscriptions)),
        })))
    }

    /// Refuses who is revoked, for a token that is shown within a session.
    ///
    /// # Errors
    ///
    /// `unauthorized`, `unavailable`.
    pub(crate) async fn check_welcome(&self, session: SessionId, grants: &Grants) -> Result<(), ErrorBody> {
        let token_id = grants.token_id.as_deref();
        let answer = self.outside.sessions.is_revoked(session, &grants.user, token_id);
        if answer.await.map_err(refusal)? { Err(revoked()) } else { Ok(()) }
    }

    async fn take_seat(&self, session: SessionId, user: &Arc<str>, fence: Fence, connection: Connection) {
        let Connection { worker, token, .. } = connection;
        if let Some((loser, winner)) = self.roster.seat(session, Seat { worker, token, fence }) {
            tracing::debug!(%session, lost = %loser.fence, %winner, "a session has a newer connection here");
            self.stats.sessions_taken_over.fetch_add(1, Ordering::Relaxed);
            // The order is for this connection alone, and a store that was set back may give a fence out twice.
            let order = Order::Close(Close { below: None, ..Close::taken_over(winner) });
            self.post(loser.worker.into(), Mail::Order(loser.token, order)).await;
        }
        self.register(session, user, fence).await;
    }

    /// Writes what a session is subscribed to.
    pub(crate) async fn save(
        self: Arc<Self>,
        session: SessionId,
        fence: Fence,
        subscribed: Vec<(ChannelName, Option<Position>)>,
        unsubscribed: Vec<ChannelName>,
        identity_of: Option<Arc<Grants>>,
    ) {
        let written = self.write(session, fence, &subscribed, &unsubscribed, identity_of.as_deref()).await;
        match written {
            Ok(Written::Saved) => {}
            Ok(Written::Fenced) => {
                tracing::debug!(%session, %fence, "a session is another owner's");
                self.order(session, Order::Close(Close::taken_over(fence.next()))).await;
            }
            // The store has forgotten it, and is told again.
            Ok(Written::Gone) => {
                self.stats.sessions_forgotten.fetch_add(1, Ordering::Relaxed);
                self.owed.attached(session, &unsubscribed);
            }
            Err(unavailable) => {
                tracing::debug!(%unavailable, "a session could not be saved");
                if is_outage(unavailable) {
                    self.owed.attached(session, &unsubscribed);
                }
            }
        }
    }

    /// Writes what changed of a session.
    pub(super) fn write(
        &self,
        session: SessionId,
        fence: Fence,
        subscribed: &[(ChannelName, Option<Position>)],
        unsubscribed: &[ChannelName],
        identity_of: Option<&Grants>,
    ) -> Answer<Written> {
        let changes = Changes {
            subscribed: subscribed
                .iter()
                .map(|(channel, position)| Subscription { channel: channel.clone(), position: *position })
                .collect(),
            unsubscribed: unsubscribed.to_vec(),
            identity: identity_of.map(identity),
            ttl: self.terms.session_lease(),
        };
        self.outside.sessions.save(session, fence, changes)
    }

    /// The connection is gone; its client may come back. It counts as present for a while.
    pub(crate) async fn detach(self: Arc<Self>, standing: Standing, present: Vec<ChannelName>) {
        let (session, fence) = (standing.session, standing.fence);
        self.roster.leave(session, fence);
        self.owed.settle(session);
        self.put_away(Departed { standing, since: Instant::now() }).await;
        self.forget_place(session, fence).await;
        if !present.is_empty() {
            tokio::time::sleep(self.terms.leave_grace).await;
            self.depart(present, session, fence).await;
        }
    }

    /// The session is over.
    pub(crate) async fn end(self: Arc<Self>, session: SessionId, fence: Fence, present: Vec<ChannelName>) {
        self.roster.leave(session, fence);
        self.owed.settle(session);
        if let Err(unavailable) = self.outside.sessions.end(session, fence).await {
            tracing::debug!(%unavailable, "a session could not be ended");
            self.owed.ended(session, fence);
        }
        self.forget_place(session, fence).await;
        self.depart(present, session, fence).await;
    }

    async fn forget_place(&self, session: SessionId, fence: Fence) {
        if let Err(unavailable) = self.outside.places.unregister(session, fence).await {
            tracing::debug!(%unavailable, "a session could not be unregistered");
        }
    }

    /// Sends to all sessions of a user, or to one session. The result is how many it was routed to.
    ///
    /// # Errors
    ///
    /// `unavailable`.
    pub(crate) async fn send(
        self: Arc<Self>,
        target: command::Target<'static>,
        data: OwnedJson,
        from: Option<Arc<str>>,
        key: Option<(Arc<str>, Arc<str>)>,
    ) -> Result<u32, ErrorBody> {
        if let Some((publisher, key)) = &key {
            let key = IdempotencyKey { publisher, key, window: self.terms.idempotency_window };
            let scope = match &target {
                command::Target::User(user) => Scope::User(user),
                command::Target::Session(session) => Scope::Session(*session),
            };
            if self.outside.idempotency.claim(scope, key).await.map_err(refusal)? == Use::Again {
                return Ok(0);
            }
        }
        let mut object = Vec::new();
        let direct = Direct { data: data.borrowed(), from: from.as_deref().map(Into::into) };
        event::append_direct(&mut object, &direct);
        let object: Arc<[u8]> = object.into();
        self.order_all(&target, || Order::Deliver(Arc::clone(&object))).await
    }
}

fn random() -> Result<[u8; 16], ErrorBody> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| ErrorBody::new(ErrorCode::Internal, "the kernel gives no random numbers"))?;
    Ok(bytes)
}

/// Whether a call may be made again when the store is back.
fn is_outage(unavailable: Unavailable) -> bool {
    matches!(unavailable.reason, Reason::Down | Reason::TimedOut)
}

fn revoked() -> ErrorBody {
    ErrorBody::new(ErrorCode::Unauthorized, "this user, session or token was revoked: sign in again")
}

pub(super) fn identity(grants: &Grants) -> Identity {
    Identity {
        user: Arc::clone(&grants.user),
        claims: stored_claims(grants),
        token_id: grants.token_id.clone(),
        token_expires_at: grants.expires_at,
    }
}

fn stored_claims(grants: &Grants) -> Arc<[u8]> {
    // Every record would hold a text that says nothing.
    if grants.permissions == Permissions::default() && grants.info.is_none() && grants.trace.is_none() {
        return Arc::default();
    }
    let texts = |patterns: &[ChannelPattern]| patterns.iter().map(ToString::to_string).collect();
    let claims = StoredClaims {
        subscribe: texts(&grants.permissions.subscribe),
        publish: texts(&grants.permissions.publish),
        info: grants
            .info
            .as_ref()
            .and_then(|info| serde_json::value::RawValue::from_string(info.as_str().to_owned()).ok()),
        trace: grants.trace.as_deref().map(str::to_owned),
    };
    serde_json::to_vec(&claims).expect("strings and checked JSON can be written").into()
}

/// The rights that were stored; what cannot be read is not granted.
fn grants(identity: &Identity) -> Grants {
    let claims: StoredClaims = serde_json::from_slice(&identity.claims).unwrap_or_default();
    let patterns =
        |texts: &[String]| texts.iter().filter_map(|text| ChannelPattern::parse(text).ok()).collect();
    Grants {
        user: Arc::clone(&identity.user),
        permissions: Permissions {
            subscribe: patterns(&claims.subscribe),
            publish: patterns(&claims.publish),
        },
        token_id: identity.token_id.clone(),
        expires_at: identity.token_expires_at,
        channels: Vec::new(),
        info: claims.info.map(|info| RawJson::trusted(info.get()).into_owned()),
        trace: claims.trace.map(Into::into),
    }
}
