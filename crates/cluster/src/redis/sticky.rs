//! [`StickyRoutes`] in Redis: a key for each, which its time to live ends. Every step is one command.

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Key, Value};
use tidegate_protocol::time::whole_ms;

use crate::answer::Answer;
use crate::sticky::StickyRoutes;

use super::client::RedisClient;
use super::script::{Args, Script, number, text};
use super::stats::Operation;

/// Sticky routes of a cluster: `{y:KEY}` holds where a key goes.
#[derive(Clone, Debug)]
pub struct RedisStickyRoutes(RedisClient);

impl RedisStickyRoutes {
    /// The routes that the server holds.
    pub fn new(client: RedisClient) -> Self {
        Self(client)
    }

    fn key(&self, key: &str) -> Vec<Key> {
        vec![self.0.key(format_args!("{{y:{key}}}"))]
    }
}

impl StickyRoutes for RedisStickyRoutes {
    fn get(&self, key: &str) -> Answer<Option<Arc<str>>> {
        self.0.call(&GET, self.key(key), Args::new(), backend)
    }

    fn claim(&self, key: &str, backend: Arc<str>, ttl: Duration) -> Answer<Arc<str>> {
        let args = Args::new().text(&*backend).text("NX").text("GET").text("PX").number(ttl_ms(ttl));
        self.0.call(&CLAIM, self.key(key), args, |value| Some(self::backend(value)?.unwrap_or(backend)))
    }

    fn put(&self, key: &str, backend: Arc<str>, ttl: Duration) -> Answer<()> {
        let args = Args::new().text(&*backend).text("PX").number(ttl_ms(ttl));
        self.0.call(&PUT, self.key(key), args, |_| Some(()))
    }

    fn touch(&self, key: &str, ttl: Duration) -> Answer<bool> {
        let args = Args::new().number(ttl_ms(ttl));
        self.0.call(&TOUCH, self.key(key), args, |value| Some(number(&value)? > 0))
    }

    fn remove(&self, key: &str) -> Answer<bool> {
        self.0.call(&REMOVE, self.key(key), Args::new(), |value| Some(number(&value)? > 0))
    }
}

fn backend(value: Value) -> Option<Option<Arc<str>>> {
    match value {
        Value::Null => Some(None),
        name => Some(Some(Arc::from(&*text(name)?))),
    }
}

fn ttl_ms(ttl: Duration) -> u64 {
    whole_ms(ttl).clamp(1, TTL_MAX_MS)
}

/// Ten years: whoever wants longer renews.
const TTL_MAX_MS: u64 = 10 * 365 * 24 * 3_600_000;

static GET: Script = Script::command(Operation::StickyGet, "GET");
static CLAIM: Script = Script::command(Operation::StickyClaim, "SET");
static PUT: Script = Script::command(Operation::StickyPut, "SET");
static TOUCH: Script = Script::command(Operation::StickyTouch, "PEXPIRE");
static REMOVE: Script = Script::command(Operation::StickyRemove, "DEL");
