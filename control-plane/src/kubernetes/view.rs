//! What the control plane knows of Kubernetes, as plain data: the pods of the gateways and what stands around them.
//!
//! Place in the path: `watch.rs` publishes one [`ClusterView`] after each change; `feed.rs` tells the index what is new in
//! the newest one. It is a level, not a stream of events: whoever looks late misses nothing but the time in between.

use std::collections::BTreeMap;
use std::time::SystemTime;

/// Everything that was seen, at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// Every watch has listed its objects once. Before that, an absent pod means nothing.
    pub complete: bool,
    /// The pods that are gateways, by name.
    pub pods: Vec<PodFacts>,
    /// Pods that this revision and later ones shall have: the newest ReplicaSet's `pod-template-hash`.
    pub newest_revision: Option<String>,
    /// The Deployment that all of these ReplicaSets belong to; `None` if there is none, or more than one.
    pub deployment: Option<String>,
    /// How many pods all ReplicaSets together shall have.
    pub replicas_wanted: u32,
    /// The budgets that Kubernetes keeps for evictions.
    pub budgets: Vec<DisruptionBudget>,
}

/// One pod of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct PodFacts {
    /// Name of the pod, which is the gateway's node name too.
    pub name: String,
    /// Identity of this very pod: a later one of the same name has another.
    pub uid: String,
    /// The Kubernetes node that it runs on; `None` while it is not scheduled.
    pub host: Option<String>,
    /// Availability zone, as the pod's label or its endpoint tells it.
    pub zone: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `pod-template-hash`: pods of one revision have the same. A detached pod remembers its own.
    pub revision: Option<String>,
    /// It was taken from its ReplicaSet: nobody deletes it, and nobody replaces it when it goes.
    pub detached: bool,
    /// The pod's condition `Ready`.
    pub ready: bool,
    /// Why it is not running yet: `Unschedulable`, `ErrImagePull`, `CrashLoopBackOff`, …
    pub stuck: Option<String>,
    /// URL of the admin port; `None` until the pod has an address.
    pub admin: Option<String>,
    /// The end that Kubernetes has set, if the pod is being deleted.
    pub termination: Option<Termination>,
    /// The object is deleted already; it is shown for a while longer, so that an end without warning is seen too.
    pub gone: bool,
    /// Whether the Service sends it new connections; `None` if no Service is watched or it is not in it.
    pub endpoint: Option<EndpointState>,
    /// Names of the disruption budgets that count it.
    pub budgets: Vec<String>,
    /// `controller.kubernetes.io/pod-deletion-cost` as it stands.
    pub deletion_cost: i32,
}

/// A pod with a deletion timestamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Termination {
    /// When the kubelet kills what is left. It can come nearer, never move away.
    pub deadline: SystemTime,
    /// Who wanted it.
    pub by: TerminatedBy,
}

/// Who deleted a pod, as far as Kubernetes lets on.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TerminatedBy {
    /// The eviction API: `kubectl drain`, an autoscaler of nodes, or this control plane.
    Eviction,
    /// A rollout replaces its revision.
    Rollout,
    /// The Deployment wants fewer pods: `kubectl scale`, an autoscaler of pods.
    ScaleDown,
    /// Its node goes: taint, shutdown, preemption, pressure.
    Node,
    /// None of these: somebody deleted this one pod.
    Deletion,
}

/// What the Service's EndpointSlices say of a pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndpointState {
    /// New connections go to it.
    pub ready: bool,
    /// Its readiness probe succeeds, even if it is terminating: the last resort of `externalTrafficPolicy: Local`.
    pub serving: bool,
}

/// A PodDisruptionBudget that counts gateways.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DisruptionBudget {
    /// Name of the object.
    pub name: String,
    /// Evictions that would be granted now.
    pub allowed: u32,
}
