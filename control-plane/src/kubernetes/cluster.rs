//! All watches together: who is there, who ends, by whom and until when. Pure; `now` is an argument.
//!
//! Place in the path: `watch.rs` feeds it and publishes its [`view`](Cluster::view) after each change.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use kube::runtime::watcher::Event;

use super::facts::{self, Revision};
use super::listing::Listing;
use super::view::{ClusterView, DisruptionBudget, EndpointState, PodFacts, TerminatedBy, Termination};

/// How long a deleted pod is still shown: several rounds of whoever looks, and longer than a node's own goodbye.
const GONE_SHOWN: Duration = Duration::from_secs(30);
/// The watches of pods and of ReplicaSets are two streams: within this time, the cause may be told after its effect.
const CAUSE_LATE: Duration = Duration::from_secs(2);

/// What the watches have told.
#[derive(Debug)]
pub(crate) struct Cluster {
    admin_port: u16,
    /// Whether there is a Service whose endpoints are watched.
    with_service: bool,
    pods: Listing<Seen>,
    sets: Listing<Revision>,
    budgets: Listing<Budget>,
    slices: Listing<BTreeMap<String, (EndpointState, Option<String>)>>,
    /// By the pod's identity. Holds those that are terminating or gone, and no others.
    ends: BTreeMap<String, End>,
    gone: Vec<Seen>,
}

/// One event of one of the watches.
#[derive(Debug)]
pub(crate) enum Change {
    Pod(Event<Pod>),
    Set(Event<ReplicaSet>),
    Budget(Event<PodDisruptionBudget>),
    Slice(Event<EndpointSlice>),
}

/// What is kept of a pod.
#[derive(Clone, Debug)]
struct Seen {
    facts: PodFacts,
    deadline: Option<SystemTime>,
    disruption: Option<TerminatedBy>,
}

/// What is kept of a disruption budget.
#[derive(Debug)]
struct Budget {
    selector: Option<Selector>,
    shown: DisruptionBudget,
}

/// The end of a pod, as it looked when it was first seen.
#[derive(Debug)]
struct End {
    seen_at: SystemTime,
    /// Pods of its ReplicaSet that were neither terminating nor gone then: fewer than wanted, if somebody took this one out.
    others: u32,
    by: TerminatedBy,
    /// Set once the object is gone.
    gone_at: Option<SystemTime>,
}

impl Cluster {
    /// Nothing is known yet.
    pub(crate) fn new(admin_port: u16, with_service: bool) -> Self {
        Self {
            admin_port,
            with_service,
            pods: Listing::default(),
            sets: Listing::default(),
            budgets: Listing::default(),
            slices: Listing::default(),
            ends: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    /// Takes one event.
    pub(crate) fn apply(&mut self, change: Change, now: SystemTime) {
        match change {
            Change::Pod(event) => {
                let admin_port = self.admin_port;
                let deleted = self.pods.apply(event, |pod| keep_pod(pod, admin_port));
                self.bury(deleted, now);
                self.note_ends(now);
            }
            Change::Set(event) => {
                self.sets.apply(event, facts::revision);
                self.correct_causes(now);
            }
            Change::Budget(event) => {
                self.budgets.apply(event, |budget| Some(keep_budget(budget)));
            }
            Change::Slice(event) => {
                self.slices.apply(event, |slice| Some(facts::endpoints(slice)));
            }
        }
        self.forget(now);
    }

    /// Lets go of pods that have been gone for long. To be called now and then, where nothing else happens.
    pub(crate) fn forget(&mut self, now: SystemTime) {
        let is_over = |end: &End| end.gone_at.is_some_and(|gone_at| gone_at + GONE_SHOWN <= now);
        self.ends.retain(|_, end| !is_over(end));
        self.gone.retain(|pod| self.ends.contains_key(&pod.facts.uid));
    }

    /// All that is known, put together.
    pub(crate) fn view(&self) -> ClusterView {
        let newest = self.newest();
        let replaced = |gone: &&Seen| self.pods.named(&gone.facts.name).is_none();
        let mut pods: Vec<PodFacts> =
            self.pods.iter().chain(self.gone.iter().filter(replaced)).map(|pod| self.show(pod)).collect();
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        ClusterView {
            complete: self.is_complete(),
            pods,
            newest_revision: newest.map(|set| set.hash.clone()),
            deployment: self.deployment(),
            replicas_wanted: self.sets.iter().map(|set| set.wanted).sum(),
            budgets: self.budgets.iter().map(|budget| budget.shown.clone()).collect(),
        }
    }

    fn is_complete(&self) -> bool {
        let slices = self.slices.is_listed() || !self.with_service;
        self.pods.is_listed() && self.sets.is_listed() && self.budgets.is_listed() && slices
    }

    fn newest(&self) -> Option<&Revision> {
        self.sets.iter().max_by_key(|set| set.number)
    }

    fn deployment(&self) -> Option<String> {
        let mut names = self.sets.iter().map(|set| set.deployment.as_ref());
        let first = names.next()??;
        names.all(|name| name == Some(first)).then(|| first.clone())
    }

    fn show(&self, pod: &Seen) -> PodFacts {
        let endpoint = self.slices.iter().find_map(|slice| slice.get(&pod.facts.name));
        let counted_by =
            |budget: &&Budget| budget.selector.as_ref().is_some_and(|it| it.matches(&pod.facts.labels));
        let end = self.ends.get(&pod.facts.uid);
        let gone_at = end.and_then(|end| end.gone_at);
        let termination = end
            .map(|end| Termination { deadline: gone_at.or(pod.deadline).unwrap_or(end.seen_at), by: end.by });
        PodFacts {
            zone: pod.facts.zone.clone().or_else(|| endpoint.and_then(|(_, zone)| zone.clone())),
            termination,
            gone: gone_at.is_some(),
            endpoint: endpoint.map(|(state, _)| *state),
            budgets: self.budgets.iter().filter(counted_by).map(|budget| budget.shown.name.clone()).collect(),
            ..pod.facts.clone()
        }
    }

    /// Keeps pods in sight that were deleted or have ended.
    fn bury(&mut self, deleted: Vec<Seen>, now: SystemTime) {
        for pod in deleted {
            let by = self.ends.get(&pod.facts.uid).map_or_else(|| self.cause(&pod), |end| end.by);
            let others = self.others(&pod);
            let end = self.ends.entry(pod.facts.uid.clone()).or_insert(End {
                seen_at: now,
                others,
                by,
                gone_at: None,
            });
            end.gone_at = Some(now);
            self.gone.push(pod);
        }
    }

    /// Writes down who ends a pod, when that is seen first: later, its replacement hides the cause.
    fn note_ends(&mut self, now: SystemTime) {
        let is_new = |pod: &&Seen| pod.deadline.is_some() && !self.ends.contains_key(&pod.facts.uid);
        let new: Vec<(String, End)> = self
            .pods
            .iter()
            .filter(is_new)
            .map(|pod| {
                let end = End { seen_at: now, others: self.others(pod), by: self.cause(pod), gone_at: None };
                (pod.facts.uid.clone(), end)
            })
            .collect();
        self.ends.extend(new);
    }

    /// A ReplicaSet that shrinks is at times heard of after the first of its pods has ended.
    fn correct_causes(&mut self, now: SystemTime) {
        let correct = |pod: &Seen| {
            let end = self.ends.get(&pod.facts.uid).filter(|end| end.seen_at + CAUSE_LATE > now)?;
            Some((pod.facts.uid.clone(), cause_among(self.newest(), self.set_of(pod), pod, end.others)))
        };
        let silent = self.pods.iter().chain(&self.gone).filter(|pod| pod.disruption.is_none());
        let corrected: Vec<(String, TerminatedBy)> = silent.filter_map(correct).collect();
        for (uid, by) in corrected {
            self.ends.entry(uid).and_modify(|end| end.by = by);
        }
    }

    fn cause(&self, pod: &Seen) -> TerminatedBy {
        pod.disruption.unwrap_or_else(|| cause_among(self.newest(), self.set_of(pod), pod, self.others(pod)))
    }

    fn set_of(&self, pod: &Seen) -> Option<&Revision> {
        let hash = pod.facts.revision.as_ref()?;
        self.sets.iter().find(|set| set.hash == *hash)
    }

    fn others(&self, pod: &Seen) -> u32 {
        let others = self.pods.iter().filter(|other| {
            other.deadline.is_none()
                && !other.facts.detached
                && other.facts.revision == pod.facts.revision
                && other.facts.uid != pod.facts.uid
        });
        u32::try_from(others.count()).unwrap_or(u32::MAX)
    }
}

/// Kubernetes does not say who deletes a pod; what the owner wants at that moment does.
fn cause_among(newest: Option<&Revision>, own: Option<&Revision>, pod: &Seen, others: u32) -> TerminatedBy {
    let is_newest = newest.is_none_or(|newest| Some(&newest.hash) == pod.facts.revision.as_ref());
    if pod.facts.detached {
        // What its ReplicaSet wants is no longer about it.
        TerminatedBy::Deletion
    } else if !is_newest {
        TerminatedBy::Rollout
    } else if own.is_some_and(|own| others >= own.wanted) {
        TerminatedBy::ScaleDown
    } else {
        TerminatedBy::Deletion
    }
}

fn keep_pod(pod: &Pod, admin_port: u16) -> Option<Seen> {
    // One that has ended serves nobody; a Deployment puts another in its place.
    (!facts::has_ended(pod)).then(|| Seen {
        facts: facts::pod_facts(pod, admin_port),
        deadline: facts::deadline(pod),
        disruption: facts::disruption(pod),
    })
}

fn keep_budget(budget: &PodDisruptionBudget) -> Budget {
    // No selector: no pod. An empty one: every pod. One that cannot be read is the API server's to refuse.
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
    let allowed = budget.status.as_ref().map_or(0, |status| status.disruptions_allowed);
    Budget {
        selector: selector.and_then(|selector| Selector::try_from(selector).ok()),
        shown: DisruptionBudget { name: budget.name_any(), allowed: u32::try_from(allowed).unwrap_or(0) },
    }
}

#[cfg(test)]
mod tests;
