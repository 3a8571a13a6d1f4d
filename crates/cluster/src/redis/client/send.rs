//! Brings one step to its server: over the connection of its entity, by hash, with its text where that is needed.

use std::future::poll_fn;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use fred::bytes_utils::Str;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::config::Options;
use fred::types::{ClusterHash, CustomCommand, Key, Value};
use fred::util::redis_keyslot;

use crate::answer::Reason;
use crate::redis::script::{Body, Lua, Script};

use super::order::{Fate, Place, Role};
use super::{Shared, reason_of};

impl Shared {
    pub(super) async fn send(
        &self,
        script: &'static Script,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Value, Error> {
        let entity = entity_of(keys.first());
        let client = self.client_of(entity);
        match &script.body {
            Body::Lua(lua) => {
                let mut place = self.lines.enter(entity);
                let answer = self.send_in_line(client, lua, &mut place, keys, args).await;
                place.leave(fate_of(&answer));
                answer
            }
            Body::Command(name) => {
                let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
                let all = keys.into_iter().map(Value::from).chain(args).collect();
                client.custom(command, all).await
            }
        }
    }

    async fn send_in_line(
        &self,
        client: &Client,
        lua: &Lua,
        place: &mut Place<'_>,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Value, Error> {
        let deadline = Instant::now() + self.config.timeout;
        place.turn(deadline).await?;
        let loads = lua.loads.load(Ordering::Relaxed);
        let sent = run(client, EVALSHA, lua.hash(), keys.clone(), args.clone());
        let error = match passing_on(place, sent).await {
            Err(error) if is_redirection(&error) || is_unknown_script(&error) => error,
            answer => return answer,
        };

        let role = place.turn_again(deadline).await?;
        let client = client.with_options(&within(left_until(deadline)));
        // By now the library knows where the slot has gone.
        let repeated = run(&client, EVALSHA, lua.hash(), keys.clone(), args.clone());
        match role {
            Role::Follows => passing_on(place, repeated).await,
            Role::Leads if is_unknown_script(&error) => {
                self.load(&client, lua, loads, deadline, keys, args).await
            }
            Role::Leads => match repeated.await {
                Err(error) if is_unknown_script(&error) => {
                    self.load(&client, lua, loads, deadline, keys, args).await
                }
                answer => answer,
            },
        }
    }

    /// Carries out a script that the server did not know when it had been sent `loads` times. After a restart that is so
    /// for all entities: a call for one of them sends the text, those for the others send the hash again behind it.
    async fn load(
        &self,
        client: &impl ClientLike,
        lua: &Lua,
        loads: u64,
        deadline: Instant,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Value, Error> {
        let timed_out = |_| Error::new(ErrorKind::Timeout, "The script was not loaded in time.");
        let loading =
            tokio::time::timeout_at(deadline.into(), lua.loading.lock()).await.map_err(timed_out)?;
        if lua.loads.load(Ordering::Relaxed) != loads {
            drop(loading);
            match run(client, EVALSHA, lua.hash(), keys.clone(), args.clone()).await {
                // It was sent to another server of a cluster.
                Err(error) if is_unknown_script(&error) => {}
                answer => return answer,
            }
        }
        self.counts.scripts_loaded.add(1);
        let answer = run(client, EVAL, Str::from_static(lua.text), keys, args).await;
        lua.loads.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// The connection of an entity.
    pub(super) fn client_of(&self, entity: u64) -> &Client {
        &self.clients[entity as usize % self.clients.len()]
    }
}

/// What tells apart the entities that keys belong to. Not random: which of a node's connections an entity has is nobody's
/// secret.
pub(super) fn entity_of(key: Option<&Key>) -> u64 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    key.map_or(0, |key| hasher.hash_one(hash_tag(key.as_bytes())))
}

/// Sends a call, lets the next one of its line go behind it, and waits for its answer.
async fn passing_on<T>(place: &mut Place<'_>, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    // The library takes it at the first poll.
    let first = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    place.pass();
    match first {
        Poll::Ready(answer) => answer,
        Poll::Pending => call.await,
    }
}

fn fate_of(answer: &Result<Value, Error>) -> Fate {
    match answer {
        Ok(_) => Fate::Done,
        Err(error) if reason_of(error) == Reason::TimedOut => Fate::Unknown,
        Err(_) => Fate::Nothing,
    }
}

fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Runs a script that is named by its text or by its hash.
pub(super) async fn run(
    client: &impl ClientLike,
    command: &'static str,
    script: Str,
    keys: Vec<Key>,
    args: Vec<Value>,
) -> Result<Value, Error> {
    // The library would take the script for the key that decides where it goes.
    let slot = keys.first().map_or(0, |key| redis_keyslot(key.as_bytes()));
    let command = CustomCommand::new_static(command, ClusterHash::Custom(slot), false);
    let count = i64::try_from(keys.len()).expect("a step has a few hundred keys at most");
    let mut all = Vec::with_capacity(2 + keys.len() + args.len());
    all.extend([Value::String(script), Value::Integer(count)]);
    all.extend(keys.into_iter().map(Value::from));
    all.extend(args);
    client.custom(command, all).await
}

pub(super) fn within(time: Duration) -> Options {
    Options { timeout: Some(time), ..Options::default() }
}

/// A call is written once, and the library counts that to another server as well: nothing was done.
pub(super) fn is_redirection(error: &Error) -> bool {
    error.details().starts_with("Too many failed write attempts")
}

fn is_unknown_script(error: &Error) -> bool {
    error.details().starts_with("NOSCRIPT")
}

/// What decides a key's slot: all keys of an entity have it in common.
fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(start) = key.iter().position(|byte| *byte == b'{') else { return key };
    let rest = &key[start + 1..];
    match rest.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(end) => &rest[..end],
    }
}

pub(super) const EVAL: &str = "EVAL";
const EVALSHA: &str = "EVALSHA";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_an_entity_share_what_decides_their_slot() {
        assert_eq!(hash_tag(b"tidegate:{h:chat:a}:s"), b"h:chat:a");
        assert_eq!(hash_tag(b"tidegate:{h:a}b}:m"), b"h:a");
        assert_eq!(hash_tag(b"plain"), b"plain");
        assert_eq!(hash_tag(b"{}plain"), b"{}plain");
        assert_eq!(hash_tag(b"{open"), b"{open");
    }
}
