//! Compares what this node has seen with the server whenever a connection was made anew: it may lead to another server, or
//! to one that has forgotten something.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;

/// Runs until the history is gone.
pub(super) fn start(inner: &Arc<Inner>) {
    let mut connected = inner.client.connected();
    let mut state = inner.client.state();
    let inner_or_gone = Arc::downgrade(inner);
    inner.client.runtime().spawn(async move {
        while connected.changed().await.is_ok() {
            loop {
                connected.mark_unchanged();
                if state.wait_for(|state| state.is_reachable()).await.is_err() {
                    return;
                }
                match sweep(&inner_or_gone).await {
                    Outcome::Done => break,
                    Outcome::Gone => return,
                    Outcome::Interrupted => tokio::time::sleep(RETRY_DELAY).await,
                }
            }
        }
    });
}

enum Outcome {
    Done,
    /// The server went away meanwhile.
    Interrupted,
    /// The history did.
    Gone,
}

async fn sweep(inner: &Weak<Inner>) -> Outcome {
    let Some(channels) = inner.upgrade().map(|inner| inner.known.channels()) else { return Outcome::Gone };
    for part in channels.chunks(CHANNELS_AT_ONCE) {
        let Some(inner) = inner.upgrade() else { return Outcome::Gone };
        if inner.heads(part).await.is_err() {
            return Outcome::Interrupted;
        }
    }
    match inner.upgrade() {
        Some(inner) => inner.totals.sweeps.add(1),
        None => return Outcome::Gone,
    }
    Outcome::Done
}

/// So many are under way together: the server has other things to do as well.
const CHANNELS_AT_ONCE: usize = 512;
const RETRY_DELAY: Duration = Duration::from_millis(200);
