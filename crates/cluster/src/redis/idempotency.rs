//! [`Idempotency`] in Redis: a key that the server forgets by itself when its window ends.
//!
//! A claim whose answer did not come may have been taken: the message was not sent then, and the publisher will ask again
//! with the same key. So it is given back behind the claim, on the same connection.

use std::fmt;
use std::sync::Arc;

use fred::types::{Key, Value};
use tidegate_protocol::time::whole_ms;

use crate::answer::{Answer, Reason};
use crate::idempotency::{Idempotency, IdempotencyKey, Scope, Use};
use crate::memory::count::Counter;

use super::client::RedisClient;
use super::script::{Args, Script, number};
use super::stats::Operation;

/// Keys of messages without a history, of a whole cluster. How many there are is bounded by windows and quotas; the server
/// frees each when its window ends.
#[derive(Clone, Debug)]
pub struct RedisIdempotency {
    client: RedisClient,
    duplicates: Arc<Counter>,
}

impl RedisIdempotency {
    /// Keys over these connections.
    pub fn new(client: RedisClient) -> Self {
        Self { client, duplicates: Arc::default() }
    }

    /// Messages that were recognised as sent before.
    pub fn duplicates_total(&self) -> u64 {
        self.duplicates.total()
    }

    fn key(&self, scope: Scope<'_>, key: IdempotencyKey<'_>) -> Key {
        self.client.key(Name { scope, key })
    }
}

impl Idempotency for RedisIdempotency {
    fn claim(&self, scope: Scope<'_>, key: IdempotencyKey<'_>) -> Answer<Use> {
        let name = self.key(scope, key);
        // The claim's own mark: what is given back must not be somebody else's.
        let mark = format!("{:x}", super::random());
        let window_ms = whole_ms(key.window).max(1);
        let args = Args::new().text(mark.as_str()).text("NX").text("PX").number(window_ms);
        let duplicates = Arc::clone(&self.duplicates);
        let claimed = self.client.call(&CLAIM, vec![name.clone()], args, move |answer| match answer {
            Value::Null => {
                duplicates.add(1);
                Some(Use::Again)
            }
            Value::String(ok) if ok == "OK" => Some(Use::First),
            _ => None,
        });
        let client = self.client.clone();
        self.client.enter(async move {
            let claimed = claimed.await;
            if claimed.is_err_and(|unavailable| unavailable.reason == Reason::TimedOut) {
                client.undo(&GIVE_BACK, vec![name], Args::new().text(mark));
            }
            claimed
        })
    }

    fn release(&self, scope: Scope<'_>, key: IdempotencyKey<'_>) -> Answer<()> {
        let name = self.key(scope, key);
        self.client.call(&RELEASE, vec![name], Args::new(), |removed| number(&removed).map(drop))
    }
}

/// A key's name: the lengths keep any two from being the same text.
struct Name<'a> {
    scope: Scope<'a>,
    key: IdempotencyKey<'a>,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IdempotencyKey { publisher, key, .. } = self.key;
        let lengths = (publisher.len(), key.len());
        write!(f, "{{i:{}:{}:", lengths.0, lengths.1)?;
        match self.scope {
            Scope::Channel(channel) => write!(f, "c:{channel}"),
            Scope::User(user) => write!(f, "u:{user}"),
            Scope::Session(session) => write!(f, "s:{session}"),
        }?;
        write!(f, ":{publisher}{key}}}")
    }
}

static CLAIM: Script = Script::command(Operation::IdempotencyClaim, "SET");
static RELEASE: Script = Script::command(Operation::IdempotencyRelease, "DEL");
static GIVE_BACK: Script =
    Script::lua(Operation::IdempotencyRelease, include_str!("idempotency/give_back.lua"));
