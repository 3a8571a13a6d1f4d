//! Who is in a channel.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::time::Millis;

use crate::answer::Answer;
use crate::directory::Lease;
use crate::fence::Fence;

/// Members of channels. Each is held by a node under the session's fence; when that node's lease ends, its members are
/// ghosts: no longer listed, and handed out once for their leave to be announced.
pub trait Presence: Send + Sync {
    /// Starts or renews the lease under which a node holds members.
    fn touch(&self, node: &NodeName, ttl: Duration) -> Answer<Lease>;

    /// Makes a session a member, or moves one to its new owner.
    fn join(&self, channel: &Channel<'_>, member: Member, holder: Holder) -> Answer<Joined>;

    /// Ends a membership and returns it; `None` where there was none, or someone holds it under a newer fence.
    fn leave(&self, channel: &Channel<'_>, session: SessionId, fence: Fence) -> Answer<Option<Member>>;

    /// Members by session, those after `after`, at most `limit`.
    fn list(&self, channel: &Channel<'_>, after: Option<SessionId>, limit: usize) -> Answer<Members>;

    /// Removes at most `limit` ghosts and returns them, each to one caller only: it announces their leave.
    fn reap(&self, limit: usize) -> Answer<Vec<Ghost>>;
}

/// A session in a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The session.
    pub session: SessionId,
    /// Its user; empty for nobody in particular.
    pub user: Arc<str>,
    /// JSON that the token or the client gave to be shown.
    pub info: Option<Arc<[u8]>>,
    /// When it joined: Unix time.
    pub since: Millis,
}

/// Who answers for a member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// The node; it has a lease.
    pub node: NodeName,
    /// The session's owner.
    pub fence: Fence,
}

/// How a join went.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[must_use]
pub enum Joined {
    /// A new member: announce it.
    New,
    /// It was one already, and is as it was but for `info` and its holder. Nothing to announce.
    Kept,
    /// The channel has as many members as it may. Not joined.
    Full,
    /// Someone holds it under a newer fence. Not joined.
    Fenced,
    /// The node has no lease. Not joined: [`Presence::touch`] first.
    NoLease,
}

/// Some members of a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Members {
    /// By session.
    pub members: Vec<Member>,
    /// How many there are in all.
    pub total: usize,
}

/// A member whose node has died.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ghost {
    /// Where it was.
    pub channel: ChannelName,
    /// What it was.
    pub member: Member,
}
