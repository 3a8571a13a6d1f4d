//! Which nodes there are, and which of them has a session.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::time::Millis;

use crate::answer::Answer;
use crate::fence::Fence;

/// Nodes under leases and the routes of sessions to them. When a node's lease ends its routes lead nowhere and go.
pub trait Directory: Send + Sync {
    /// Shows a node to the others, and starts or renews its lease.
    fn announce(&self, node: NodeRecord, ttl: Duration) -> Answer<Lease>;

    /// Ends a node's lease now.
    fn withdraw(&self, node: &NodeName) -> Answer<()>;

    /// Every node with a lease, by name.
    fn nodes(&self) -> Answer<Vec<NodeRecord>>;

    /// Says where a session is.
    fn register(&self, registration: Registration) -> Answer<Registered>;

    /// Takes a route away, if it is still that of `fence`; whether it was.
    fn unregister(&self, session: SessionId, fence: Fence) -> Answer<bool>;

    /// Where sessions are: at most `limit`, by session.
    fn locate(&self, target: Target<'_>, limit: usize) -> Answer<Vec<Route>>;
}

/// A node as the others see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeRecord {
    /// Its name.
    pub name: NodeName,
    /// Where it is between start and stop, in the words of its admin port. Text: nodes of other versions know others.
    pub phase: Arc<str>,
    /// Its program's version.
    pub version: Arc<str>,
    /// Connections it has.
    pub connections: u32,
    /// Connections it takes at most.
    pub capacity: u32,
    /// How busy its workers are, in thousandths.
    pub load_permille: u16,
    /// When it started: Unix time.
    pub started_at: Millis,
    /// URL of its admin port, as the others reach it; `None`: they do not, or its version does not say.
    pub admin: Option<Arc<str>>,
}

/// What became of a lease.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[must_use]
pub enum Lease {
    /// It is renewed.
    Kept,
    /// There was none, or it had ended: whatever the node held under one before is gone, and has to be given again.
    New,
}

/// A session's place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registration {
    /// The session.
    pub session: SessionId,
    /// Its user; one of nobody (empty) is found by session only.
    pub user: Arc<str>,
    /// The node that has its connection; it has a lease.
    pub node: NodeName,
    /// Under which fence.
    pub fence: Fence,
}

/// How a registration went.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[must_use]
pub enum Registered {
    /// The route is known.
    Known,
    /// There is one of a newer fence.
    Fenced,
    /// The node has no lease: [`Directory::announce`] first.
    NoLease,
}

/// Whom to find.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target<'a> {
    /// All sessions of a user. The empty user has none.
    User(&'a str),
    /// One session.
    Session(SessionId),
}

/// Where a session is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// The node.
    pub node: NodeName,
    /// The session.
    pub session: SessionId,
    /// Under which fence that node has it.
    pub fence: Fence,
}
