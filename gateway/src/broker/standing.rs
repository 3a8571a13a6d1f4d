//! What sessions of this node hold, written again: where it moves on while they live, and where a store has forgotten it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::{self, StreamExt};
use tidegate_cluster::directory::{Registered, Registration};
use tidegate_cluster::sessions::{Created, NewSession, Written};
use tidegate_cluster::{Answer, Fence, Unavailable};
use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::{ResumeSecret, SessionId};

use super::attendance::PresenceKey;
use super::owed::{Debt, Departed};
use super::sessions::{Held, identity};
use super::{Broker, Grants};
use crate::worker::mail::{Close, Mail, Order};

/// Sessions written at the same time.
pub(super) const UNDER_WAY_MAX: usize = 64;
/// Sessions paid for in one go, and how often that is done one after the other.
const DEBTS_A_ROUND: usize = 1_000;
const ROUNDS_MAX: usize = 20;

/// What is to be told of a part of a worker's sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Connections whose slot has this remainder…
    pub(crate) part: usize,
    /// …when divided by this.
    pub(crate) parts: usize,
    /// Their routes.
    pub(crate) places: bool,
    /// The channels that they are present on.
    pub(crate) presence: bool,
}

/// What one session holds, as far as that is to be written.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) session: SessionId,
    pub(crate) fence: Fence,
    /// Whose route is to be written.
    pub(crate) user: Option<Arc<str>>,
    /// What it is subscribed to, as far as that is to be written.
    pub(crate) subscribed: Held,
    /// Channels that it has left.
    pub(crate) unsubscribed: Vec<ChannelName>,
    /// Where it is present, as far as nobody tells of that yet.
    pub(crate) present: Vec<PresenceKey>,
    /// What a store needs that may have no record of it.
    pub(crate) record: Option<Record>,
}

/// What a session's record begins with.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) grants: Arc<Grants>,
    pub(crate) secret: ResumeSecret,
}

impl Standing {
    /// Of what is not to be written.
    pub(crate) fn bare(session: SessionId, fence: Fence) -> Self {
        Self {
            session,
            fence,
            user: None,
            subscribed: Vec::new(),
            unsubscribed: Vec::new(),
            present: Vec::new(),
            record: None,
        }
    }
}

impl Broker {
    /// Asks all workers for what their sessions hold.
    pub(super) async fn ask_standing(&self, wish: Wish) {
        for worker in 0..self.posts.get().map_or(0, Vec::len) {
            self.post(worker, Mail::Standing(wish)).await;
        }
    }

    /// Writes what sessions hold.
    pub(crate) async fn restate(self: Arc<Self>, standings: Vec<Standing>) {
        let written = standings.into_iter().map(|standing| Arc::clone(&self).restate_one(standing));
        stream::iter(written).for_each_concurrent(UNDER_WAY_MAX, |write| write).await;
    }

    async fn restate_one(self: Arc<Self>, standing: Standing) {
        let Standing { session, fence, user, subscribed, unsubscribed, present, record } = standing;
        for key in present {
            self.tell_of(key).await;
        }
        if let Some(record) = record
            && !self.remake(session, fence, record).await
        {
            return;
        }
        if let Some(user) = user {
            self.register(session, &user, fence).await;
        }
        if !subscribed.is_empty() || !unsubscribed.is_empty() {
            Arc::clone(&self).save(session, fence, subscribed, unsubscribed, None).await;
        }
    }

    /// Makes the record of a session with a connection here, unless there is one. False: there is none.
    async fn remake(&self, session: SessionId, fence: Fence, record: Record) -> bool {
        match self.make(session, fence, &record).await {
            Ok(Created::Owned(_) | Created::Taken) => true,
            Ok(Created::Revoked) => {
                let close = Close { cause: CloseCause::Revoked, below: None, code: None, reason: None };
                self.order(session, Order::Close(close)).await;
                false
            }
            Err(unavailable) => {
                tracing::debug!(%unavailable, %session, "a session could not be made again");
                self.owed.attached(session, &[]);
                false
            }
        }
    }

    /// Makes a session's record.
    pub(super) fn make(&self, session: SessionId, fence: Fence, record: &Record) -> Answer<Created> {
        self.outside.sessions.create(NewSession {
            session,
            secret: record.secret,
            node: self.node.clone(),
            fence,
            identity: identity(&record.grants),
            ttl: self.terms.session_lease(),
        })
    }

    /// Writes what the store is owed, as far as it takes it.
    pub(super) async fn pay_debts(self: &Arc<Self>) {
        if self.outside.is_store_reachable() {
            let absences = self.attendance.take_owed().into_iter().map(|key| self.tell_of(key));
            stream::iter(absences).for_each_concurrent(UNDER_WAY_MAX, |told| told).await;
        }
        for _ in 0..ROUNDS_MAX {
            if !self.outside.is_store_reachable() {
                return;
            }
            let debts = self.owed.take(DEBTS_A_ROUND);
            let is_last = debts.len() < DEBTS_A_ROUND;
            let paid = debts.into_iter().map(|(session, debt)| self.pay(session, debt));
            stream::iter(paid).for_each_concurrent(UNDER_WAY_MAX, |paid| paid).await;
            if is_last {
                return;
            }
        }
    }

    /// Writes what is owed for one session.
    pub(super) async fn pay(self: &Arc<Self>, session: SessionId, debt: Debt) {
        match debt {
            Debt::Attached { left } => {
                // Without a connection it is over, or owed as what it is then.
                self.order(session, Order::Restate { left }).await;
            }
            Debt::Detached(departed) => {
                if departed.since.elapsed() < self.terms.session_ttl {
                    self.put_away(*departed).await;
                }
            }
            Debt::Ended { fence } => Arc::clone(self).end(session, fence, Vec::new()).await,
        }
    }

    /// Writes a session whose connection is gone, or notes that it is still to be written.
    pub(super) async fn put_away(&self, departed: Departed) {
        if let Err(unavailable) = self.write_departed(&departed.standing).await {
            tracing::debug!(%unavailable, "a session is kept in memory until the store is back");
            self.owed.detached(departed);
        }
    }

    async fn write_departed(&self, standing: &Standing) -> Result<(), Unavailable> {
        let Standing { session, fence, .. } = *standing;
        let (subscribed, unsubscribed) = (&standing.subscribed, &standing.unsubscribed);
        let mut written = self.write(session, fence, subscribed, unsubscribed, None).await?;
        if let (Written::Gone, Some(record)) = (written, &standing.record)
            && self.make(session, fence, record).await? != Created::Revoked
        {
            written = self.write(session, fence, subscribed, unsubscribed, None).await?;
        }
        if written == Written::Saved {
            // Whoever came in between has it.
            let _ = self.outside.sessions.detach(session, fence, self.terms.session_ttl).await?;
        }
        Ok(())
    }

    /// Says that a session is here.
    pub(super) async fn register(&self, session: SessionId, user: &Arc<str>, fence: Fence) {
        let registration = Registration { session, user: Arc::clone(user), node: self.node.clone(), fence };
        // Until it is registered, messages to the user miss this session.
        match self.outside.places.register(registration).await {
            Ok(Registered::Known | Registered::Fenced) => {}
            // Upkeep announces the node, and then registers all that it has.
            Ok(Registered::NoLease) => self.lacks_lease.store(true, Ordering::Relaxed),
            Err(unavailable) => {
                tracing::debug!(%unavailable, %session, "a session could not be registered");
                self.owed.attached(session, &[]);
            }
        }
    }
}
