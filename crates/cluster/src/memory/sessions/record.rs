//! One session's record, packed: an idle one costs what is counted in `tests/memory_cost.rs`.

use std::mem;
use std::sync::Arc;

use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::time::Millis;

use crate::fence::Fence;
use crate::sessions::{Attachment, Changes, Identity, NewSession, Resumption, SessionView, Subscription};

#[derive(Debug)]
pub(super) struct Record {
    secret: ResumeSecret,
    user: Arc<str>,
    claims: Arc<[u8]>,
    token_id: Option<Arc<str>>,
    /// [`Millis::MAX`] where the token does not end: no room for an `Option`.
    token_expires_at: Millis,
    created_at: Millis,
    pub(super) node: NodeName,
    pub(super) fence: Fence,
    pub(super) ends_at: Millis,
    /// By channel.
    subscriptions: Box<[Subscription]>,
    pub(super) attachment: Attachment,
}

const _: () = assert!(size_of::<Record>() <= 144);

impl Record {
    pub(super) fn new(session: NewSession, now: Millis) -> Self {
        let Identity { user, claims, token_id, token_expires_at } = session.identity;
        Self {
            secret: session.secret,
            user,
            claims,
            token_id,
            token_expires_at: token_expires_at.unwrap_or(Millis::MAX),
            created_at: now,
            node: session.node,
            fence: session.fence,
            ends_at: now + session.ttl,
            subscriptions: Box::default(),
            attachment: Attachment::Attached,
        }
    }

    pub(super) fn secret(&self) -> &ResumeSecret {
        &self.secret
    }

    pub(super) fn user(&self) -> &Arc<str> {
        &self.user
    }

    pub(super) fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// Applies all of the changes, or none if there would be more than `subscriptions_max` subscriptions.
    pub(super) fn try_apply(&mut self, changes: Changes, subscriptions_max: usize) -> bool {
        if !self.fits(&changes, subscriptions_max) {
            return false;
        }
        // Mostly positions move and nothing else: then the list stays where it is.
        let mut subscriptions = mem::take(&mut self.subscriptions).into_vec();
        for channel in &changes.unsubscribed {
            if let Ok(at) = subscriptions.binary_search_by(|known| known.channel.cmp(channel)) {
                subscriptions.remove(at);
            }
        }
        for changed in changes.subscribed {
            match subscriptions.binary_search_by(|known| known.channel.cmp(&changed.channel)) {
                Ok(at) => subscriptions[at].position = changed.position,
                Err(at) => {
                    subscriptions.reserve_exact(1);
                    subscriptions.insert(at, changed);
                }
            }
        }
        self.subscriptions = subscriptions.into_boxed_slice();

        if let Some(identity) = changes.identity {
            // The user stays: a token of another one is refused before it comes here.
            (self.claims, self.token_id) = (identity.claims, identity.token_id);
            self.token_expires_at = identity.token_expires_at.unwrap_or(Millis::MAX);
        }
        true
    }

    pub(super) fn resumption(&self, taken_from: Option<NodeName>) -> Resumption {
        Resumption {
            fence: self.fence,
            identity: Identity {
                user: Arc::clone(&self.user),
                claims: Arc::clone(&self.claims),
                token_id: self.token_id.clone(),
                token_expires_at: self.token_expires_at(),
            },
            subscriptions: self.subscriptions.to_vec(),
            created_at: self.created_at,
            taken_from,
        }
    }

    pub(super) fn view(&self, session: SessionId) -> SessionView {
        SessionView {
            session,
            user: Arc::clone(&self.user),
            node: self.node.clone(),
            fence: self.fence,
            state: self.attachment,
            created_at: self.created_at,
            token_expires_at: self.token_expires_at(),
            subscriptions: self.subscriptions.to_vec(),
        }
    }

    fn fits(&self, changes: &Changes, subscriptions_max: usize) -> bool {
        let count = self.subscriptions.len() + changes.subscribed.len();
        if count <= subscriptions_max {
            return true;
        }
        // Near the bound it has to be counted: changes may name channels that are known, or left in the same save.
        let known = |channel| self.subscriptions.binary_search_by(|known| known.channel.cmp(channel)).is_ok();
        let left = changes.unsubscribed.iter().filter(|channel| known(channel)).count();
        let moved = changes
            .subscribed
            .iter()
            .filter(|changed| known(&changed.channel) && !changes.unsubscribed.contains(&changed.channel));
        count - left - moved.count() <= subscriptions_max
    }

    fn token_expires_at(&self) -> Option<Millis> {
        Some(self.token_expires_at).filter(|at| *at < Millis::MAX)
    }
}
