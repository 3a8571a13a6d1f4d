//! Brings one step to its server: over the connection of its entity, by hash, with its text where that is needed.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fred::bytes_utils::Str;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::config::Options;
use fred::types::{ClusterHash, CustomCommand, Key, Value};
use fred::util::redis_keyslot;

use crate::redis::script::{Body, Lua, Script};

use super::Shared;

impl Shared {
    pub(super) async fn send(
        &self,
        client: &Client,
        script: &'static Script,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Value, Error> {
        let lua = match &script.body {
            Body::Lua(lua) => lua,
            Body::Command(name) => {
                let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
                let all = keys.into_iter().map(Value::from).chain(args).collect();
                return client.custom(command, all).await;
            }
        };
        let (deadline, loads) = (Instant::now() + self.config.timeout, lua.loads.load(Ordering::Relaxed));
        let mut answer = run(client, EVALSHA, lua.hash(), keys.clone(), args.clone()).await;
        // By now the library knows where the slot has gone.
        if answer.as_ref().is_err_and(is_redirection) {
            answer = run(client, EVALSHA, lua.hash(), keys.clone(), args.clone()).await;
        }
        match answer {
            Err(error) if is_unknown_script(&error) => {
                let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                self.load(client, lua, loads, left, keys, args).await
            }
            answer => answer,
        }
    }

    /// Carries out a script that the server did not know when it had been sent `loads` times. After a restart that is so
    /// for all calls under way: one of them sends the text, the others send the hash again behind it.
    async fn load(
        &self,
        client: &Client,
        lua: &Lua,
        loads: u64,
        left: Duration,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Value, Error> {
        let timed_out = |_| Error::new(ErrorKind::Timeout, "The script was not loaded in time.");
        let loading = tokio::time::timeout(left, lua.loading.lock()).await.map_err(timed_out)?;
        let client = client.with_options(&within(left));
        if lua.loads.load(Ordering::Relaxed) != loads {
            drop(loading);
            match run(&client, EVALSHA, lua.hash(), keys.clone(), args.clone()).await {
                // It was sent to another server of a cluster.
                Err(error) if is_unknown_script(&error) => {}
                answer => return answer,
            }
        }
        self.counts.scripts_loaded.add(1);
        let answer = run(&client, EVAL, Str::from_static(lua.text), keys, args).await;
        lua.loads.fetch_add(1, Ordering::Relaxed);
        answer
    }

    pub(super) fn client_for(&self, key: Option<&Key>) -> &Client {
        // Not random: which of a node's connections an entity has is nobody's secret.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let number = key.map_or(0, |key| hasher.hash_one(hash_tag(key.as_bytes())));
        &self.clients[number as usize % self.clients.len()]
    }
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
