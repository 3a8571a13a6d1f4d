//! What dead nodes leave behind: their sessions' routes, and members of channels that nobody is left to tell of.
//!
//! Place in the path: beside the coordinator; the leader's only. A node that dies without a word loses its lease, and from
//! that moment its routes lead nowhere and its members are no longer listed: readers see to that. What is left is memory.
//! Sessions stay until their own time to live ends, since their clients may come back. Gateways give routes back with
//! their own leases' renewal, a thousand at a time; that is slow where a large node died and few are left, so the leader
//! goes on until nothing is left. Members are taken out by gateways, who know which channels are told of it
//! (`join_leave`); only when no gateway is left, and so nobody to tell, are they taken out here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_cluster::Unavailable;
use tokio::time::{Instant, sleep};

use crate::coordinator::Coordinator;

/// Steps in one round: a thousand routes each, so that other calls of the store come in between.
const STEPS_MAX: usize = 50;
/// Members taken out in one call.
const GHOSTS_A_CALL: usize = 1_000;

/// What was given back so far.
#[derive(Debug, Default)]
pub(crate) struct ReaperCounts {
    pub(crate) rounds: AtomicU64,
    pub(crate) routes: AtomicU64,
    pub(crate) members: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// How long what is left now has been waiting, at least: milliseconds; 0: nothing is left.
    pub(crate) lateness_ms: AtomicU64,
}

/// Cleans up every `interval` while this replica leads.
pub(crate) async fn run(coordinator: &Coordinator, counts: &ReaperCounts, interval: Duration) {
    let mut left_since: Option<Instant> = None;
    loop {
        sleep(interval).await;
        if coordinator.elector.leading().is_none() {
            left_since = None;
            continue;
        }
        counts.rounds.fetch_add(1, Ordering::Relaxed);
        let is_done = match reap(coordinator, counts).await {
            Ok(is_done) => is_done,
            Err(unavailable) => {
                counts.failures.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%unavailable, "what dead nodes left stays for now");
                false
            }
        };
        left_since = if is_done { None } else { Some(left_since.unwrap_or_else(Instant::now)) };
        let lateness = left_since.map_or(Duration::ZERO, |since| since.elapsed());
        let lateness_ms = u64::try_from(lateness.as_millis()).unwrap_or(u64::MAX);
        counts.lateness_ms.store(lateness_ms, Ordering::Relaxed);
    }
}

/// One round; whether nothing is left.
async fn reap(coordinator: &Coordinator, counts: &ReaperCounts) -> Result<bool, Unavailable> {
    let outside = &coordinator.outside;
    let mut is_done = true;
    if let Some(redis) = &outside.redis {
        let mut steps = 0;
        while let Some(looked_at) = redis.directory.sweep().await? {
            counts.routes.fetch_add(looked_at as u64, Ordering::Relaxed);
            steps += 1;
            if steps == STEPS_MAX {
                is_done = false;
                break;
            }
        }
    }
    if outside.directory.nodes().await?.is_empty() {
        let ghosts = outside.presence.reap(GHOSTS_A_CALL).await?.len();
        counts.members.fetch_add(ghosts as u64, Ordering::Relaxed);
        is_done &= ghosts < GHOSTS_A_CALL;
    }
    Ok(is_done)
}
