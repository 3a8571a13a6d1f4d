//! Stores over a Redis of a test: what the suites of all of them need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cluster::contract::{Harness, Later};
use tidegate_cluster::redis::{Config, HistoryConfig, RedisClient, RedisHistory};
use tidegate_cluster::state::State;
use tokio::runtime::Handle;

/// Makes stores that share a server and nothing on it: each has a prefix of its own.
pub(crate) struct Stores<T: ?Sized> {
    config: Config,
    made: AtomicU32,
    make: fn(RedisClient) -> Arc<T>,
}

impl<T: ?Sized> Stores<T> {
    pub(crate) fn new(config: Config, make: fn(RedisClient) -> Arc<T>) -> Self {
        Self { config, made: AtomicU32::new(0), make }
    }
}

impl<T: ?Sized + Send + Sync> Harness<T> for Stores<T> {
    fn fresh(&self) -> Later<'_, Arc<T>> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let config = Config { prefix: format!("{}{number}:", self.config.prefix), ..self.config.clone() };
        Box::pin(async move { (self.make)(connect(config).await) })
    }

    fn pass(&self, time: Duration) -> Later<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// Settings for a server at `url`. The deadline is long, because a loaded machine is no fault.
pub(crate) fn config(url: &str) -> Config {
    Config { url: url.to_owned(), timeout: Duration::from_secs(20), ..Config::default() }
}

/// Connections that stand.
pub(crate) async fn connect(config: Config) -> RedisClient {
    let client = RedisClient::connect(config, &Handle::current()).expect("tests configure what can be used");
    await_up(&client).await;
    client
}

pub(crate) async fn await_up(client: &RedisClient) {
    await_state(client, "up", |state| state.is_reachable()).await;
}

pub(crate) async fn await_state(client: &RedisClient, what: &str, wanted: impl FnMut(&State) -> bool) {
    let mut states = client.state();
    let reached = tokio::time::timeout(tidegate_testkit::DEADLINE, states.wait_for(wanted)).await;
    assert!(reached.is_ok(), "waited in vain for the store to be {what}: {:?}", client.last_error());
}

pub(crate) fn history(client: RedisClient) -> RedisHistory {
    RedisHistory::new(client, HistoryConfig::default(), Arc::new(|_, _| {}))
}
