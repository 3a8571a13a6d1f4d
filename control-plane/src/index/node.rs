//! One node as the control plane sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::drain::{DrainPhase, DrainReport};

use crate::model::{Millis, Source};

/// A node: what it says of itself, what others say of it, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    /// Its name; on Kubernetes that of its pod.
    pub name: Arc<str>,
    /// Its last report, if it ever answered.
    pub report: Option<DrainReport>,
    /// When that came.
    pub reported_at: Option<Millis>,
    /// Its entry in the directory, while it has a lease.
    pub entry: Option<NodeEntry>,
    /// When its process started, once the directory has told: kept when its lease ends.
    pub known_started_at: Option<Millis>,
    /// Its pod, where there is Kubernetes.
    pub pod: Option<Pod>,
    /// When it was first heard of.
    pub first_seen_at: Millis,
    /// When anything was last heard of it.
    pub last_seen_at: Millis,
    /// Since when it does not answer.
    pub unreachable_since: Option<Millis>,
    /// Clients that it sent away between its last two reports, and the time between these: what is measured of its rate.
    pub sent_away: Option<(u64, Duration)>,
}

/// A node's entry in the directory: the part that `plan` needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeEntry {
    /// Its program's version.
    pub version: Arc<str>,
    /// When the process started: Unix time.
    pub started_at: Millis,
    /// Connections it has.
    pub connections: u64,
    /// Connections it takes at most.
    pub capacity: u64,
    /// Where it stands, as it told the directory at once: known even while nobody reaches its admin port.
    pub phase: DrainPhase,
    /// URL of its admin port as others reach it.
    pub admin: Option<Arc<str>>,
}

/// A node's pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pod {
    /// Tells it from an earlier pod of that name.
    pub uid: Arc<str>,
    /// The zone of its machine.
    pub zone: Option<String>,
    /// Its machine.
    pub machine: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The hash of its template.
    pub revision: Option<String>,
    /// It belongs to no ReplicaSet any more.
    pub detached: bool,
    /// When it will be killed, once it was deleted: Unix time.
    pub deletion_deadline: Option<Millis>,
    /// Who deleted it, as far as can be told; without it `Source::Kubectl`.
    pub deleted_by: Option<Source>,
    /// Kubernetes calls it ready.
    pub ready: bool,
    /// It is not there any more, and is shown for a while so that everybody sees how it ended.
    pub gone: bool,
    /// How soon a scale-down takes it, as it stands at the pod: the lowest goes first.
    pub deletion_cost: i32,
    /// Why it is not running, such as `ImagePullBackOff` or `Unschedulable`.
    pub trouble: Option<String>,
    /// Why its eviction was refused last, and when it may be tried again.
    pub eviction_refused: Option<(String, Millis)>,
    /// Why it was not taken from its ReplicaSet, and when that may be tried again.
    pub detaching_refused: Option<(String, Millis)>,
}

impl NodeView {
    pub(super) fn new(name: Arc<str>, now: Millis) -> Self {
        Self {
            name,
            report: None,
            reported_at: None,
            entry: None,
            known_started_at: None,
            pod: None,
            first_seen_at: now,
            last_seen_at: now,
            unreachable_since: None,
            sent_away: None,
        }
    }

    /// When the process started; of one that never was in the directory, when it was first heard of.
    pub fn started_at(&self) -> Millis {
        self.known_started_at.unwrap_or(self.first_seen_at)
    }

    /// Its revision: its pod's, or else its program's version.
    pub fn revision(&self) -> Option<&str> {
        let of_pod = self.pod.as_ref().and_then(|pod| pod.revision.as_deref());
        of_pod
            .or(self.entry.as_ref().map(|entry| &*entry.version))
            .or(self.report.as_ref().map(|report| &*report.version))
    }

    /// Its zone; nodes without one are all in zone `""`.
    pub fn zone(&self) -> &str {
        self.pod.as_ref().and_then(|pod| pod.zone.as_deref()).unwrap_or("")
    }

    /// Connections it has, as it said last.
    pub fn connections(&self) -> u64 {
        let reported = self.report.as_ref().map(|report| report.connections);
        reported.or(self.entry.as_ref().map(|entry| entry.connections)).unwrap_or(0)
    }

    /// Connections it takes at most.
    pub fn capacity(&self) -> u64 {
        let reported = self.report.as_ref().map(|report| report.capacity);
        reported.or(self.entry.as_ref().map(|entry| entry.capacity)).unwrap_or(0)
    }

    /// Connections it would still take.
    pub fn free(&self) -> u64 {
        self.capacity().saturating_sub(self.connections())
    }

    /// It answers, takes clients, and was not told to end.
    pub fn is_ready(&self) -> bool {
        self.unreachable_since.is_none()
            && !self.is_ending()
            && self.report.as_ref().is_some_and(|report| report.ready && report.phase == DrainPhase::Serving)
    }

    /// Its pod is not there any more, and is only shown.
    pub fn is_gone(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| pod.gone)
    }

    /// Its process was told to end: by a signal, or by Kubernetes.
    pub fn is_ending(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.shutting_down)
            || self.pod.as_ref().is_some_and(|pod| pod.deletion_deadline.is_some())
    }

    /// When its process is killed, if it was told to end: the earliest that anybody says.
    pub fn ends_at(&self) -> Option<Millis> {
        let of_pod = self.pod.as_ref().and_then(|pod| pod.deletion_deadline);
        let of_itself = self.report.as_ref().filter(|report| report.shutting_down).and_then(|report| {
            let left = Duration::try_from_secs_f64(report.deadline_in?).ok()?;
            Some(self.reported_at? + left)
        });
        of_pod.into_iter().chain(of_itself).min()
    }

    /// It does not answer, and may be sending clients away by itself: so it told the directory.
    pub fn drains_unseen(&self) -> bool {
        let phase = self.entry.as_ref().map(|entry| &entry.phase);
        self.unreachable_since.is_some()
            && phase.is_some_and(|phase| match phase {
                DrainPhase::Announcing | DrainPhase::Evicting | DrainPhase::Bursting => true,
                DrainPhase::Serving
                | DrainPhase::Paused
                | DrainPhase::Settling
                | DrainPhase::Drained
                | DrainPhase::Rebalancing
                | DrainPhase::Other(_) => false,
            })
    }
}
