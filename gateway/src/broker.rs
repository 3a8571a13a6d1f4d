//! What the node does for sessions and servers beyond one connection: publish, send, remember, tell who is there.
//!
//! Place in the data path: behind the workers for what clients ask, behind the server API for what servers ask. It
//! talks to the outside through the traits of `tidegate-cluster`; what it answers is a future that borrows nothing. With
//! the memory implementations such a future is ready at once, so a worker polls it in place.

pub(crate) mod attendance;
mod catch_up;
mod exchange;
pub(crate) mod ingress;
pub(crate) mod modes;
pub(crate) mod outcome;
pub(crate) mod outside;
pub(crate) mod owed;
mod presence;
mod publish;
pub(crate) mod roster;
mod services;
mod sessions;
pub(crate) mod standing;
pub(crate) mod tail;
mod upkeep;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_cluster::{Clock, Unavailable};
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::json::OwnedJson;
use tidegate_protocol::time::Millis;

use crate::admission::cluster::ClusterBudget;
use crate::admission::permission::{Namespaces, Permissions};
use crate::hub::directory::{Directory, Realm};
use crate::metrics::stats::SharedDurations;
use crate::spans::Spans;
use crate::worker::mail::{Close, Mail, Order, Publication, SharedPosts};
use attendance::Attendance;
pub(crate) use catch_up::CaughtUp;
use outside::Outside;
use owed::Owed;
pub(crate) use presence::info_of;
pub(crate) use publish::data_of;
pub(crate) use publish::{Publish, Turn};
use roster::Roster;
pub(crate) use services::BrokerServices;
pub(crate) use sessions::{Connection, Opening};
use tail::Tails;

/// How long a mailbox may stay full before what is for its worker is given up.
const MAILBOX_PATIENCE: Duration = Duration::from_secs(2);
const MAILBOX_RETRY: Duration = Duration::from_millis(1);
/// Shortest time after which a session with a connection would have to be renewed.
const SESSION_LEASE_MIN: Duration = Duration::from_secs(15);

/// The services of one node.
pub(crate) struct Broker {
    pub(crate) node: NodeName,
    pub(crate) clock: Clock,
    pub(crate) started_at: Millis,
    /// Where the node stands, as the others are told: a [`drain::machine::Phase`](crate::drain::machine::Phase).
    pub(crate) phase: AtomicU8,
    /// Where the others find the admin port, once that is known.
    pub(crate) admin: OnceLock<Arc<str>>,
    pub(crate) namespaces: Namespaces,
    pub(crate) terms: Terms,
    pub(crate) outside: Outside,
    /// What all nodes together take on.
    pub(crate) budget: Arc<ClusterBudget>,
    pub(crate) spans: Spans,
    /// Channels with subscribers on this node.
    pub(crate) directory: Arc<Directory>,
    pub(crate) roster: Roster,
    /// What could not be written.
    pub(crate) owed: Owed,
    /// What the store is being told of who is where.
    pub(crate) attendance: Attendance,
    /// Readings of histories that are under way.
    pub(crate) tails: Tails,
    /// The node has no lease, or was told so: it has to announce itself.
    pub(crate) lacks_lease: AtomicBool,
    /// Of some sessions it is not known whether the store still has them: they are to be renewed again.
    pub(crate) renews_again: AtomicBool,
    /// Nodes of other versions serve beside this one.
    pub(crate) has_skew: AtomicBool,
    pub(crate) stats: BrokerStats,
    pub(crate) posts: SharedPosts,
}

/// What the broker counts; what clients do is counted by their workers.
#[derive(Debug, Default)]
pub(crate) struct BrokerStats {
    pub(crate) sessions_opened: AtomicU64,
    /// From asking for a session to having it.
    pub(crate) resume_durations: SharedDurations,
    /// Sessions that came back while their connection was still there.
    pub(crate) sessions_taken_over: AtomicU64,
    /// Writes of sessions that the store had forgotten.
    pub(crate) sessions_forgotten: AtomicU64,
    /// Publications of the server API that were accepted, and not for the second time.
    pub(crate) server_publications: AtomicU64,
    /// Letters for workers whose mailbox stayed full.
    pub(crate) letters_lost: AtomicU64,
    /// Publications that have their place in a history and did not go over the bus.
    pub(crate) stored_only: AtomicU64,
    /// Subscriptions made while the bus could not be asked for their channel.
    pub(crate) unheard: AtomicU64,
    /// Messages of other nodes that could not be read.
    pub(crate) undecodable: AtomicU64,
    /// By [`Mode`](modes::Mode).
    pub(crate) modes_entered: [AtomicU64; modes::Mode::ALL.len()],
}

/// What the operator decided about sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// How long this node counts as there without saying so.
    pub(crate) node_lease: Duration,
    /// How long a dropped client may come back.
    pub(crate) session_ttl: Duration,
    /// How long a dropped client still counts as present.
    pub(crate) leave_grace: Duration,
    /// How long a revocation lasts.
    pub(crate) revocation: Duration,
    /// How long the same key means the same publication.
    pub(crate) idempotency_window: Duration,
    /// Bytes of one replay; who missed more is told that it cannot be caught up.
    pub(crate) replay_bytes_max: usize,
}

impl Terms {
    /// How long a session with a connection lives without being renewed: however soon a dropped one ends, long enough for
    /// the upkeep to come round several times.
    pub(crate) fn session_lease(&self) -> Duration {
        self.session_ttl.max(SESSION_LEASE_MIN)
    }
}

/// What the node knows of a client: who it is and what it may do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    /// Empty: anonymous.
    pub(crate) user: Arc<str>,
    pub(crate) permissions: Permissions,
    pub(crate) token_id: Option<Arc<str>>,
    /// Unix time.
    pub(crate) expires_at: Option<Millis>,
    /// Subscribed by the server at connect.
    pub(crate) channels: Vec<ChannelName>,
    /// Shown in presence.
    pub(crate) info: Option<OwnedJson>,
    /// The `traceparent` of the upgrade that the session began with, if that was traced.
    pub(crate) trace: Option<Box<str>>,
}

impl Broker {
    /// Whether there are no other nodes to talk to.
    pub(crate) fn is_alone(&self) -> bool {
        self.outside.bus.is_none()
    }

    /// Gives a publication to every worker with subscribers of its channel.
    pub(crate) async fn distribute(&self, channel: &str, publication: Publication) {
        let Some(entry) = self.directory.find(Realm::Native, channel) else { return };
        let publication = Arc::new(publication);
        for worker in entry.workers() {
            self.post(worker, Mail::Publication(Arc::clone(&entry), Arc::clone(&publication))).await;
        }
    }

    /// Tells a session's connection on this node something. False: it has none here.
    pub(crate) async fn order(&self, session: SessionId, order: Order) -> bool {
        let Some(seat) = self.roster.find(session) else { return false };
        // A connection whose session was opened a moment ago does not know its own fence yet.
        if let Order::Close(Close { below: Some(below), .. }) = &order
            && seat.fence >= *below
        {
            return false;
        }
        self.post(seat.worker.into(), Mail::Order(seat.token, order)).await
    }

    /// Leaves a letter, and waits for a mailbox that is full. False: it stayed full, or its worker has ended.
    pub(crate) async fn post(&self, worker: usize, letter: Mail) -> bool {
        let Some(post) = self.posts.get().and_then(|posts| posts.get(worker)) else { return false };
        let Err(mut letter) = post.try_send(letter) else { return true };
        let mut waited = Duration::ZERO;
        while waited < MAILBOX_PATIENCE {
            tokio::time::sleep(MAILBOX_RETRY).await;
            waited += MAILBOX_RETRY;
            match post.try_send(letter) {
                Ok(()) => return true,
                Err(back) => letter = back,
            }
        }
        self.stats.letters_lost.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(worker, "a worker's mailbox stayed full: a letter is lost");
        false
    }
}

/// What a client is told when a part of the cluster gave no answer.
fn refusal(unavailable: Unavailable) -> ErrorBody {
    const COME_BACK_MS: u64 = 1_000;
    ErrorBody::new(ErrorCode::Unavailable, format!("{unavailable}: try again")).retry_after_ms(COME_BACK_MS)
}
