//! What nodes share, in Redis 7 or later: one server, one behind sentinels, or a cluster.
//!
//! Place in the data path: the gateway's `dispatch` calls the traits; each call becomes one step on the server, which
//! checks and writes without anything in between. Steps of calls that are under way together share round trips.
//!
//! The server must not evict keys to make room (`maxmemory-policy noeviction`, its default): one without room says so,
//! which is [`Reason::Full`](crate::answer::Reason::Full) here, but one that evicts forgets in part.
//!
//! What belongs to one entity has a common part of its keys' names in braces, so that it lies on one server of a cluster:
//!
//! | Keys after the prefix | Hold |
//! |---|---|
//! | `{h:CHANNEL}:m` | a stream's epoch, head and limits |
//! | `{h:CHANNEL}:s` | its entries: a Redis stream with ids `OFFSET-UNIX_MS` |
//! | `{h:CHANNEL}:k:…` | an idempotency key used for it, until its window ends |
//! | `{i:…}` | an idempotency key used where there is no history |
//! | `{s:SID}`, `{s:SID}:d`, `{s:SID}:r` | a session, its route, its revocation |
//! | `{s:SID}:b` | whose it was before its last claim, while that may be given back |
//! | `{u:USER}:s`, `{u:USER}:d`, `{u:USER}:r` | a user's sessions and routes, their revocation |
//! | `{t:TOKEN}:r`, `{r}` | a token's revocation; until when anybody is revoked |
//! | `{n:NODE}:s`, `{n}` | a node's sessions; the nodes that have some |
//! | `{p:CHANNEL}:m`, `{p:CHANNEL}:t`, `{pt:TENURE}` | a channel's members, and where a node's are |
//! | `{p}`, `{d}`, `{p}:e`, `{d}:e` | leases of nodes, and those that have ended |
//! | `{dt:TENURE}` | a node's routes |
//! | `{y:KEY}` | a sticky route |
//! | `{b:NAME}`, `{c:NAME}` | a budget: a bucket, a count |
//! | `{o}`, `{o}:c`, `{o}:n` | documents, their names by revision, their last revision |
//! | `{l}`, `{l}:e` | who leads; the last epoch |

mod breaker;
mod budget;
mod client;
mod config;
mod directory;
mod documents;
mod history;
mod idempotency;
mod leadership;
mod leases;
mod presence;
mod script;
mod sessions;
mod stats;
mod sticky;

pub use budget::{BudgetConfig, BudgetStats, RedisBudget};
pub use client::RedisClient;
pub use config::{Config, ConfigError};
pub use directory::{DirectoryConfig, DirectoryStats, RedisDirectory};
pub use documents::{DocumentsConfig, RedisDocuments};
pub use history::{HistoryConfig, HistoryStats, OnRestart, RedisHistory};
pub use idempotency::RedisIdempotency;
pub use leadership::RedisLeadership;
pub use presence::{PresenceConfig, PresenceStats, RedisPresence};
pub use sessions::{RedisSessions, SessionsConfig, SessionsStats};
pub use stats::{Operation, OperationStats, Outcome, Stats};
pub use sticky::RedisStickyRoutes;

/// For what must not repeat on any node: tags, epochs, marks.
fn random() -> u64 {
    getrandom::u64().expect("the system gives random numbers as long as it runs")
}
