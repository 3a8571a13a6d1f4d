//! [`Leadership`] by a Lease (`coordination.k8s.io`): who holds it leads, and how often it changed hands is the epoch.
//!
//! Place in the path: where `[kubernetes]` is on, in place of the lead in the store. The rules are in `lease/rules.rs`
//! (pure); here is the reading and writing. A write carries the version that was read, so of two replicas that reach
//! for the Lease at once, one gets 409 and reads again.

mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tidegate_cluster::answer::{Answer, Part, Reason, Unavailable};
use tidegate_cluster::leadership::{Lead, Leadership};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use self::rules::{Record, Rules, Step};

/// The Lease of one control plane, as one process sees it.
#[derive(Clone, Debug)]
pub struct KubernetesLease(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    leases: Api<Lease>,
    name: String,
    patience: Duration,
    /// One call at a time: each reads, decides and writes.
    rules: Mutex<Rules>,
}

/// How often a claim that came second is begun anew.
const TRIES_MAX: u32 = 3;

impl KubernetesLease {
    /// The Lease `name` in `namespace`; a call that takes longer than `patience` has failed.
    pub fn new(client: Client, namespace: &str, name: &str, patience: Duration) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self(Arc::new(Shared { leases, name: name.to_owned(), patience, rules: Mutex::default() }))
    }
}

impl Leadership for KubernetesLease {
    fn claim(&self, candidate: &str, ttl: Duration, epoch_seen: u64) -> Answer<Lead> {
        let shared = Arc::clone(&self.0);
        let candidate = candidate.to_owned();
        Box::pin(async move { shared.in_time(shared.claim(&candidate, ttl, epoch_seen)).await })
    }

    fn resign(&self, candidate: &str) -> Answer<bool> {
        let shared = Arc::clone(&self.0);
        let candidate = candidate.to_owned();
        Box::pin(async move { shared.in_time(shared.resign(&candidate)).await })
    }
}

impl Shared {
    async fn in_time<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Unavailable> {
        let unavailable = |reason| Unavailable { part: Part::Leadership, reason };
        match timeout(self.patience, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the Lease could not be read or written");
                let is_answer = matches!(error, kube::Error::Api(_));
                Err(unavailable(if is_answer { Reason::Faulty } else { Reason::Down }))
            }
            Err(_) => Err(unavailable(Reason::TimedOut)),
        }
    }

    async fn claim(&self, candidate: &str, ttl: Duration, epoch_seen: u64) -> Result<Lead, kube::Error> {
        let mut rules = self.rules.lock().await;
        for _ in 1..TRIES_MAX {
            match self.try_claim(&mut rules, candidate, ttl, epoch_seen).await {
                // Another replica wrote first; what it wrote decides.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                answer => return answer,
            }
        }
        self.try_claim(&mut rules, candidate, ttl, epoch_seen).await
    }

    async fn try_claim(
        &self,
        rules: &mut Rules,
        candidate: &str,
        ttl: Duration,
        epoch_seen: u64,
    ) -> Result<Lead, kube::Error> {
        let lease = self.leases.get_opt(&self.name).await?;
        let epoch = match rules.decide(lease.as_ref().map(record), candidate, epoch_seen, Instant::now()) {
            Step::Wait(lead) => return Ok(lead),
            Step::Write { epoch } => epoch,
        };
        let written = self.write(lease, candidate, epoch, ttl).await?;
        rules.note_written(record(&written), Instant::now());
        Ok(Lead { holder: candidate.into(), epoch })
    }

    async fn resign(&self, candidate: &str) -> Result<bool, kube::Error> {
        let mut rules = self.rules.lock().await;
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            return Ok(false);
        };
        let held = record(&lease);
        if held.holder != candidate || rules.is_over(&held, Instant::now()) {
            return Ok(false);
        }
        // An empty name tells the next one that it need not wait. The epoch stays with who has it.
        let written = self.write(Some(lease), "", held.epoch, held.duration).await?;
        rules.note_written(record(&written), Instant::now());
        Ok(true)
    }

    async fn write(
        &self,
        lease: Option<Lease>,
        holder: &str,
        epoch: u64,
        ttl: Duration,
    ) -> Result<Lease, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let before = lease.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let is_same = before.lease_transitions.and_then(|count| u64::try_from(count).ok()) == Some(epoch);
        let acquired = before.acquire_time.filter(|_| is_same).unwrap_or_else(|| now.clone());
        let spec = LeaseSpec {
            acquire_time: Some(acquired),
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(whole_seconds(ttl)),
            // Epochs are counted one by one; the 31 bits of this field last longer than any cluster.
            lease_transitions: Some(i32::try_from(epoch).unwrap_or(i32::MAX)),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        let params = PostParams::default();
        match lease {
            Some(lease) => {
                self.leases.replace(&self.name, &params, &Lease { spec: Some(spec), ..lease }).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                self.leases.create(&params, &Lease { metadata, spec: Some(spec) }).await
            }
        }
    }
}

/// Leases are counted in whole seconds; rounded up, so that nobody takes one too early.
fn whole_seconds(ttl: Duration) -> i32 {
    i32::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        epoch: spec.lease_transitions.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
        duration: Duration::from_secs(seconds.unwrap_or(0)),
    }
}
