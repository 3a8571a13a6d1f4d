//! What a client needs to come back to its session on any node.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::position::Position;
use tidegate_protocol::time::Millis;

use crate::answer::Answer;
use crate::fence::Fence;

/// Sessions under a fencing number, and who may not have one any more.
///
/// A record goes when its time to live has passed since the last write; its owner renews it with
/// [`touch`](Self::touch) or any other write, so a node that dies leaves records that can be resumed and then go.
pub trait SessionStore: Send + Sync {
    /// Makes a session, owned under its fence.
    ///
    /// [`Reason::Full`](crate::answer::Reason::Full) where all sessions there may be are attached; a detached one makes
    /// room, the one closest to its end first.
    fn create(&self, session: NewSession) -> Answer<Created>;

    /// Takes a session over, from whoever has it, under a higher fence. The secret is compared in constant time; a wrong
    /// one changes nothing and is answered as an unknown session is.
    fn resume(&self, resume: Resume) -> Answer<Resumed>;

    /// Writes what changed, coalesced by the owner, and renews the record.
    fn save(&self, session: SessionId, fence: Fence, changes: Changes) -> Answer<Written>;

    /// Renews many records at once. Returns those that are no longer the caller's, gone or taken over.
    fn touch(&self, held: &[(SessionId, Fence)], ttl: Duration) -> Answer<Vec<SessionId>>;

    /// The connection is gone, its client may come back within `ttl`.
    fn detach(&self, session: SessionId, fence: Fence, ttl: Duration) -> Answer<Written>;

    /// Ends a session for good.
    fn end(&self, session: SessionId, fence: Fence) -> Answer<Written>;

    /// Ends a session whoever owns it; for the server's API. Whether there was one.
    fn remove(&self, session: SessionId) -> Answer<bool>;

    /// Looks at a session.
    fn get(&self, session: SessionId) -> Answer<Option<SessionView>>;

    /// Sessions by id, those after `after`, at most `limit`. One that comes or goes meanwhile may be left out or in.
    fn list(&self, filter: Filter<'_>, after: Option<SessionId>, limit: usize) -> Answer<SessionPage>;

    /// Refuses a user, session or token from now on, at [`create`](Self::create) and [`resume`](Self::resume), until a
    /// time. A second one for the same moves that time further away, never closer.
    ///
    /// [`Reason::Full`](crate::answer::Reason::Full) where too many are kept: none is dropped for another.
    fn revoke(&self, subject: Subject, until: Millis) -> Answer<()>;

    /// Whether any of these is revoked; for a token that is refreshed in band.
    fn is_revoked(&self, session: SessionId, user: &str, token_id: Option<&str>) -> Answer<bool>;
}

/// A session to be made.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its name: random, made by the caller.
    pub session: SessionId,
    /// Proves ownership at a resume.
    pub secret: ResumeSecret,
    /// The node that has its connection.
    pub node: NodeName,
    /// Under which its connection owns it: [`Fence::FIRST`], but for a session that the store has forgotten and its owner
    /// makes again. A lower one would let its next owner be taken for an earlier one.
    pub fence: Fence,
    /// Whose it is.
    pub identity: Identity,
    /// How long the record stays without a write.
    pub ttl: Duration,
}

/// Who a session belongs to, as its token said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The user; empty for nobody in particular. A handle shared with whoever else keeps it costs no second copy.
    pub user: Arc<str>,
    /// What the gateway wants back at a resume; opaque here.
    pub claims: Arc<[u8]>,
    /// The token's id, by which it can be revoked.
    pub token_id: Option<Arc<str>>,
    /// When the token ends: Unix time.
    pub token_expires_at: Option<Millis>,
}

/// How a new session went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Created {
    /// It exists.
    Owned(Fence),
    /// Its user or token is revoked.
    Revoked,
    /// Its id is taken: make another.
    Taken,
}

/// A session to be taken over.
#[derive(Clone, Debug)]
pub struct Resume {
    /// Which.
    pub session: SessionId,
    /// The client's proof.
    pub secret: ResumeSecret,
    /// The node that has the new connection.
    pub node: NodeName,
    /// How long the record stays without a write.
    pub ttl: Duration,
}

/// How a take-over went.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Resumed {
    /// The caller owns it now.
    Owned(Box<Resumption>),
    /// There is no such session, or it is revoked, or this is not its secret.
    NotResumable,
    /// Its user or token is revoked. Said only to who knows the secret.
    Revoked,
}

/// A session as it was left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resumption {
    /// The new owner's fence.
    pub fence: Fence,
    /// Whose it is.
    pub identity: Identity,
    /// What it was subscribed to, by channel, with the positions last saved.
    pub subscriptions: Vec<Subscription>,
    /// When the session was made: Unix time.
    pub created_at: Millis,
    /// The owner before, unless it had let go: tell that node to close what it has under an older fence.
    pub taken_from: Option<NodeName>,
}

/// A channel a session is subscribed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// The channel.
    pub channel: ChannelName,
    /// The last publication delivered; `None` without history.
    pub position: Option<Position>,
}

/// What is different since the last save.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Channels that are new or whose position moved.
    pub subscribed: Vec<Subscription>,
    /// Channels that were left.
    pub unsubscribed: Vec<ChannelName>,
    /// A refreshed token's.
    pub identity: Option<Identity>,
    /// How long the record stays without a write.
    pub ttl: Duration,
}

/// How a write under a fence went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Written {
    /// It is written.
    Saved,
    /// Someone else owns the session: close what is left of it here.
    Fenced,
    /// There is no such session any more.
    Gone,
}

/// A session as operators see it: everything but its secrets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionView {
    /// Its name.
    pub session: SessionId,
    /// Its user.
    pub user: Arc<str>,
    /// The node that has it or had it last.
    pub node: NodeName,
    /// Under which fence.
    pub fence: Fence,
    /// Whether that node still has it.
    pub state: Attachment,
    /// When it was made: Unix time.
    pub created_at: Millis,
    /// When its token ends: Unix time.
    pub token_expires_at: Option<Millis>,
    /// What it is subscribed to, by channel.
    pub subscriptions: Vec<Subscription>,
}

/// Whether a session has a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Attachment {
    /// Its node has not let go.
    Attached,
    /// Its client may come back.
    Detached,
}

/// Which sessions to list.
#[derive(Clone, Copy, Debug)]
pub enum Filter<'a> {
    /// Every one.
    All,
    /// Those of a user.
    User(&'a str),
    /// Those a node has or had last.
    Node(&'a NodeName),
}

/// Some sessions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionPage {
    /// By id.
    pub sessions: Vec<SessionView>,
    /// Where to go on, if there may be more.
    pub next: Option<SessionId>,
}

/// Who is revoked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Subject {
    /// All sessions of a user.
    User(Arc<str>),
    /// One session.
    Session(SessionId),
    /// All sessions that show a token.
    Token(Arc<str>),
}
