//! Whether this replica leads: asked for again and again, believed for no longer than it is certain.
//!
//! Place in the path: the coordinator acts only while [`Elector::leading`] gives an epoch, and each order carries it. What
//! the lead is kept in is behind [`Leadership`]: Redis, a Kubernetes Lease, or memory for a sole process. Only this
//! process's steady clock is trusted here: a lead counts from before it was asked for, and for two thirds of its lease.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_cluster::Leadership;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Who leads, as this replica knows it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Standing {
    /// Nobody that is known of.
    #[default]
    Nobody,
    /// This replica, until then unless it renews.
    Leading { epoch: u64, until: Instant },
    /// Another one.
    Following { leader: Arc<str>, epoch: u64 },
}

/// This replica's part in the election.
pub(crate) struct Elector {
    leadership: Arc<dyn Leadership>,
    name: String,
    lease: Duration,
    renew: Duration,
    /// Highest epoch that gateways have seen.
    epoch_seen: AtomicU64,
    standing: watch::Sender<Standing>,
}

impl Elector {
    pub(crate) fn new(
        leadership: Arc<dyn Leadership>,
        name: String,
        lease: Duration,
        renew: Duration,
    ) -> Self {
        let standing = watch::Sender::default();
        Self { leadership, name, lease, renew, epoch_seen: AtomicU64::new(0), standing }
    }

    /// Asks for the lead for as long as the process runs.
    pub(crate) async fn run(&self) {
        // One that was killed may have led under this name, and how far its orders had come is not known here: they would be
        // refused as old. What it had is given up, so that the next lead has an epoch of its own.
        let _ = timeout(self.renew, self.leadership.resign(&self.name)).await;
        loop {
            self.campaign().await;
            let pause = match *self.standing.borrow() {
                // Not later than it is certain: without an answer the lead is given up at that moment.
                Standing::Leading { until, .. } => self.renew.min(until.duration_since(Instant::now())),
                Standing::Following { .. } | Standing::Nobody => self.renew,
            };
            sleep(pause).await;
        }
    }

    /// Asks once.
    pub(crate) async fn campaign(&self) {
        let asked_at = Instant::now();
        let certain = self.lease * 2 / 3;
        let seen = self.epoch_seen.load(Ordering::Relaxed);
        let claim = self.leadership.claim(&self.name, self.lease, seen);
        // A late answer is none: by then the lead may be another's.
        let answer = timeout(certain, claim).await;
        match answer {
            Ok(Ok(lead)) if *lead.holder == *self.name => {
                self.stand(Standing::Leading { epoch: lead.epoch, until: asked_at + certain });
            }
            Ok(Ok(lead)) => self.stand(Standing::Following { leader: lead.holder, epoch: lead.epoch }),
            Ok(Err(unavailable)) => {
                tracing::debug!(%unavailable, "the lead could not be asked for");
                self.step_down_if_late();
            }
            Err(_) => self.step_down_if_late(),
        }
    }

    /// The epoch of this replica, if it leads at this moment.
    pub(crate) fn leading(&self) -> Option<u64> {
        match *self.standing.borrow() {
            Standing::Leading { epoch, until } if Instant::now() < until => Some(epoch),
            _ => None,
        }
    }

    /// Who leads, for people.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Notes an epoch that a gateway has seen: whoever leads has to go on above it.
    pub(crate) fn note_epoch(&self, epoch: u64) {
        self.epoch_seen.fetch_max(epoch, Ordering::Relaxed);
    }

    /// Gives the lead up, so that another replica goes on at once.
    pub(crate) async fn resign(&self) {
        if self.leading().is_none() {
            return;
        }
        self.stand(Standing::Nobody);
        match timeout(self.renew, self.leadership.resign(&self.name)).await {
            Ok(Ok(_)) => tracing::info!("the lead is given up"),
            Ok(Err(unavailable)) => tracing::warn!(%unavailable, "the lead ends with its lease"),
            Err(_) => tracing::warn!("the lead ends with its lease"),
        }
    }

    fn step_down_if_late(&self) {
        let is_late = match *self.standing.borrow() {
            Standing::Leading { until, .. } => Instant::now() >= until,
            Standing::Following { .. } => true,
            Standing::Nobody => false,
        };
        if is_late {
            self.stand(Standing::Nobody);
        }
    }

    fn stand(&self, now: Standing) {
        let before = self.standing.send_replace(now.clone());
        match (before, now) {
            (Standing::Leading { epoch: before, .. }, Standing::Leading { epoch, .. }) if before == epoch => {
            }
            (_, Standing::Leading { epoch, .. }) => tracing::info!(epoch, "this replica leads"),
            (Standing::Leading { epoch, .. }, _) => tracing::warn!(epoch, "this replica leads no more"),
            (Standing::Following { leader: before, .. }, Standing::Following { leader, .. })
                if before == leader => {}
            (_, Standing::Following { leader, epoch }) => {
                tracing::info!(%leader, epoch, "another replica leads")
            }
            (_, Standing::Nobody) => tracing::warn!("nobody is known to lead"),
        }
    }
}
