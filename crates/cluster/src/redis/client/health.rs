//! Tasks beside the calls: they keep connections, probe the server, and say what state it is in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::Options;
use fred::types::{ClusterHash, CustomCommand, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::memory::shards::lock;
use crate::redis::breaker::Pace;
use crate::redis::script::Body;
use crate::redis::{history, sessions};

use super::{Shared, within};

/// Ends the tasks when it is dropped.
pub(super) struct Tasks {
    _running: JoinSet<()>,
}

pub(super) fn start(shared: &Arc<Shared>) -> Tasks {
    let mut running = JoinSet::new();
    for client in &shared.clients {
        running.spawn_on(keep_connected(Arc::clone(shared), client.clone()), &shared.runtime);
        running.spawn_on(note_events(Arc::clone(shared), client.clone()), &shared.runtime);
    }
    running.spawn_on(probe(Arc::clone(shared)), &shared.runtime);
    Tasks { _running: running }
}

/// The library's own task reconnects by itself, but ends with an error that it takes for final, such as a password that
/// is wrong: an operator may put that right on the server.
async fn keep_connected(shared: Arc<Shared>, client: Client) {
    loop {
        // Dropped with this task, it would run on.
        let connection = AbortOnDrop(client.connect());
        if let Ok(Err(error)) = connection.finished().await {
            *lock(&shared.last_error) = Some(error.to_string());
        }
        tokio::time::sleep(RESTART_DELAY).await;
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn finished(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn note_events(shared: Arc<Shared>, client: Client) {
    let (mut errors, mut reconnects) = (client.error_rx(), client.reconnect_rx());
    let mut first = true;
    loop {
        tokio::select! {
            error = errors.recv() => match error {
                Ok((error, _)) => {
                    *lock(&shared.last_error) = Some(error.to_string());
                    shared.suspect.store(true, Ordering::Relaxed);
                    shared.probe.notify_one();
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            reconnected = reconnects.recv() => {
                if matches!(reconnected, Err(RecvError::Closed)) {
                    return;
                }
                if !std::mem::take(&mut first) {
                    shared.counts.reconnects.add(1);
                }
                shared.connected.send_modify(|count| *count += 1);
                shared.probe.notify_one();
            }
        }
    }
}

/// Asks the server now and then, and often while it does not answer.
async fn probe(shared: Arc<Shared>) {
    let mut answered_before = shared.counts.answered();
    loop {
        let interval = if shared.breaker.is_open() { PROBE_INTERVAL_DOWN } else { PROBE_INTERVAL };
        let asked = tokio::time::timeout(interval, shared.probe.notified());
        // Whether somebody asked or it is time makes no difference.
        let _ = asked.await;

        // A connection that ended is either back in no time, or calls should stop waiting for it. A server that is only
        // slow gets the time that a call has.
        let suspect = shared.suspect.swap(false, Ordering::Relaxed);
        let deadline =
            if suspect { SUSPECT_TIMEOUT.min(shared.config.timeout) } else { shared.config.timeout };
        let started = Instant::now();
        let alive = tokio::select! {
            alive = ping_all(&shared.clients, deadline) => alive,
            // Something happened since it was sent: what it would say is old news.
            () = shared.probe.notified(), if !suspect => {
                shared.probe.notify_one();
                continue;
            }
        };
        if !alive {
            if !shared.breaker.is_open() {
                shared.counts.opened.add(1);
                shared.breaker.open(Instant::now());
            }
            continue;
        }
        if shared.breaker.is_open() {
            load_scripts(&shared).await;
        }
        let answered = shared.counts.answered();
        let calls = answered.0 - answered_before.0;
        let latency = started.elapsed() + answered.1.saturating_sub(answered_before.1);
        answered_before = answered;
        let average = latency / u32::try_from(calls + 1).unwrap_or(u32::MAX);
        let pace = if average > shared.config.slow_after { Pace::Slow } else { Pace::Fast };
        shared.breaker.close(pace);
    }
}

/// Whether every connection brings an answer.
async fn ping_all(clients: &[Client], deadline: Duration) -> bool {
    let mut pings = JoinSet::new();
    for client in clients {
        let client = client.clone();
        pings.spawn(async move {
            let ping = CustomCommand::new_static("PING", ClusterHash::Random, false);
            client.with_options(&within(deadline)).custom::<Value, Value>(ping, Vec::new()).await.is_ok()
        });
    }
    let mut all = true;
    while let Some(answered) = pings.join_next().await {
        all &= answered.unwrap_or(false);
    }
    all
}

/// Brings the scripts of everyday steps before the first calls: these would all be sent back. What cannot be loaded here is
/// brought by the call that needs it.
async fn load_scripts(shared: &Shared) {
    let client = &shared.clients[0];
    // Of a cluster each server has its own.
    let servers = match shared.is_cluster {
        true => client.active_connections().into_iter().map(Some).collect(),
        false => vec![None],
    };
    let mut loads = JoinSet::new();
    for server in servers {
        for script in history::EVERYDAY.into_iter().chain(sessions::EVERYDAY) {
            let Body::Lua(lua) = &script.body else { continue };
            let options = Options { cluster_node: server.clone(), ..Options::default() };
            let client = client.with_options(&options);
            loads.spawn(async move {
                let load = CustomCommand::new_static("SCRIPT", ClusterHash::Random, false);
                client.custom::<Value, Value>(load, vec!["LOAD".into(), lua.text.into()]).await.is_ok()
            });
        }
    }
    loads.join_all().await;
}

const PROBE_INTERVAL: Duration = Duration::from_millis(500);
const PROBE_INTERVAL_DOWN: Duration = Duration::from_millis(100);
const SUSPECT_TIMEOUT: Duration = Duration::from_millis(500);
const RESTART_DELAY: Duration = Duration::from_millis(500);
