//! From Kubernetes' objects to plain facts, one object at a time. Pure.
//!
//! Place in the path: `cluster.rs` keeps what these functions make of each watched object.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::view::{EndpointState, PodFacts, TerminatedBy};

/// The label by which a Deployment tells its revisions apart.
pub(crate) const REVISION_LABEL: &str = "pod-template-hash";
/// Where a detached pod remembers that label.
pub(crate) const DETACHED_FROM: &str = "tidegate.io/pod-template-hash";
/// The annotation that a scale-down sorts by.
pub(crate) const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Where a cloud's zone stands, on nodes and (from Kubernetes 1.35 on) on pods.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// The Deployment controller numbers its ReplicaSets by this annotation.
const REVISION_NUMBER: &str = "deployment.kubernetes.io/revision";
/// Name of the container port that the admin server listens on.
const ADMIN_PORT: &str = "admin";

/// What a pod says of itself; what others say of it (budgets, endpoints, who ends it) is added later.
pub(crate) fn pod_facts(pod: &Pod, admin_port: u16) -> PodFacts {
    let owned_as = pod.labels().get(REVISION_LABEL);
    let detached_from = pod.annotations().get(DETACHED_FROM);
    PodFacts {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        host: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        zone: pod.labels().get(ZONE_LABEL).cloned(),
        labels: pod.labels().clone(),
        revision: owned_as.or(detached_from).cloned(),
        detached: owned_as.is_none() && detached_from.is_some(),
        ready: condition(pod, "Ready").is_some_and(|ready| ready.status == "True"),
        stuck: stuck(pod),
        admin: admin_url(pod, admin_port),
        termination: None,
        gone: false,
        endpoint: None,
        budgets: Vec::new(),
        deletion_cost: pod.annotations().get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
    }
}

/// A pod that has come to its end and serves nobody, whatever else is said of it.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// When the kubelet ends a pod: Kubernetes adds the grace period to the timestamp itself.
pub(crate) fn deadline(pod: &Pod) -> Option<SystemTime> {
    pod.metadata.deletion_timestamp.as_ref().map(system_time)
}

/// The reason that a pod itself carries for its end, if whoever ended it left one.
pub(crate) fn disruption(pod: &Pod) -> Option<TerminatedBy> {
    let target = condition(pod, "DisruptionTarget").filter(|target| target.status == "True")?;
    match target.reason.as_deref() {
        Some("EvictionByEvictionAPI") => Some(TerminatedBy::Eviction),
        // DeletionByTaintManager, DeletionByPodGC, TerminationByKubelet, PreemptionByScheduler, and what may follow.
        _ => Some(TerminatedBy::Node),
    }
}

/// What is kept of a ReplicaSet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Revision {
    /// `pod-template-hash` of its pods.
    pub(crate) hash: String,
    /// The Deployment's number for it; the highest is the one that is wanted now.
    pub(crate) number: u64,
    /// Pods that it shall have.
    pub(crate) wanted: u32,
    /// The Deployment's name.
    pub(crate) deployment: Option<String>,
}

/// The revision that a ReplicaSet stands for; `None` if no Deployment made it.
pub(crate) fn revision(set: &ReplicaSet) -> Option<Revision> {
    let hash = set.labels().get(REVISION_LABEL)?.clone();
    let number = set.annotations().get(REVISION_NUMBER).and_then(|number| number.parse().ok())?;
    // Absent means 1, by the API's own default; it never is, once the server has written it.
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let owner = set.owner_references().iter().find(|owner| owner.controller == Some(true));
    let deployment = owner.filter(|owner| owner.kind == "Deployment").map(|owner| owner.name.clone());
    Some(Revision { hash, number, wanted: u32::try_from(wanted).unwrap_or(0), deployment })
}

/// What a slice says of each pod in it, by the pod's name: its state and its zone.
pub(crate) fn endpoints(slice: &EndpointSlice) -> BTreeMap<String, (EndpointState, Option<String>)> {
    let of_pods = slice.endpoints.iter().filter_map(|endpoint| {
        let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
        // "A nil value should be interpreted as true", says the API of both.
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
        let serving = conditions.and_then(|conditions| conditions.serving).unwrap_or(true);
        Some((target.name.clone()?, (EndpointState { ready, serving }, endpoint.zone.clone())))
    });
    of_pods.collect()
}

/// A point in time of the API, which has no fractions of seconds. None lies before 1970.
fn system_time(time: &Time) -> SystemTime {
    let seconds = u64::try_from(time.0.as_second()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn condition<'pod>(pod: &'pod Pod, kind: &str) -> Option<&'pod PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Why a pod does not come up: a container that waits, or no node that takes it.
fn stuck(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let waiting = containers.filter_map(waiting_reason).find(|reason| !is_on_its_way(reason));
    let unscheduled = || {
        let scheduled = condition(pod, "PodScheduled").filter(|scheduled| scheduled.status == "False")?;
        scheduled.reason.clone()
    };
    waiting.map(str::to_owned).or_else(unscheduled)
}

fn waiting_reason(container: &ContainerStatus) -> Option<&str> {
    container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

/// Every container waits like this for a moment.
fn is_on_its_way(reason: &str) -> bool {
    matches!(reason, "ContainerCreating" | "PodInitializing")
}

fn admin_url(pod: &Pod, otherwise: u16) -> Option<String> {
    let address: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let named = ports.find(|port| port.name.as_deref() == Some(ADMIN_PORT));
    let port = named.and_then(|port| u16::try_from(port.container_port).ok()).unwrap_or(otherwise);
    // Formatted by the socket address, which puts IPv6 in brackets.
    Some(format!("http://{}", std::net::SocketAddr::new(address, port)))
}

#[cfg(test)]
mod tests;
