//! What nodes share, in Redis 7 or later: one server, one behind sentinels, or a cluster.
//!
//! Place in the data path: the gateway's `dispatch` calls the traits; each call becomes one step on the server, which
//! checks and writes without anything in between. Steps of calls that are under way together share round trips.
//!
//! What belongs to one entity has a common part of its keys' names in braces, so that it lies on one server of a cluster:
//!
//! | Keys after the prefix | Hold |
//! |---|---|
//! | `{h:CHANNEL}:m` | a stream's epoch, head and limits |
//! | `{h:CHANNEL}:s` | its entries: a Redis stream with ids `OFFSET-UNIX_MS` |
//! | `{h:CHANNEL}:k:…` | an idempotency key used for it, until its window ends |
//! | `{i:…}` | an idempotency key used where there is no history |

mod breaker;
mod client;
mod config;
mod script;
mod stats;

pub use client::RedisClient;
pub use config::{Config, ConfigError};
pub use stats::{Operation, OperationStats, Outcome, Stats};
