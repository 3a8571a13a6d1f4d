//! What is new in a view, in the words of the index.
//!
//! Place in the path: the coordinator takes the newest [`ClusterView`] once a tick and hands the index what comes out of
//! here. What an eviction was answered goes the same way: the pod stays in `drained` and people see why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_protocol::time::{Millis, whole_ms};

use super::attempts::Deed;
use super::view::{ClusterView, PodFacts, TerminatedBy};
use crate::index::{Deployment, Pod, Seen};
use crate::model::Source;

/// The pods as they were told last.
#[derive(Debug, Default)]
pub struct PodFeed {
    told: BTreeMap<Arc<str>, Pod>,
    /// What was refused, by the pod's identity. Holds nothing of pods that are not there.
    refusals: BTreeMap<(Arc<str>, Deed), (String, Millis)>,
    deployment_told: Option<Deployment>,
    scaling_refused: Option<(String, Millis)>,
}

impl PodFeed {
    /// What changed since the last time.
    pub fn take(&mut self, view: &ClusterView) -> Vec<Seen> {
        self.refusals.retain(|(uid, _), _| view.pods.iter().any(|pod| *pod.uid == **uid));
        let now: BTreeMap<Arc<str>, Pod> =
            view.pods.iter().map(|facts| (Arc::from(facts.name.as_str()), self.pod(facts))).collect();
        let gone = self.told.keys().filter(|name| !now.contains_key(*name)).cloned().map(Seen::PodGone);
        let is_new = |(name, pod): &(&Arc<str>, &Pod)| self.told.get(*name) != Some(*pod);
        let new = now.iter().filter(is_new).map(|(name, pod)| Seen::Pod(Arc::clone(name), pod.clone()));
        let mut seen: Vec<Seen> = gone.chain(new).collect();
        self.told = now;
        let deployment = view.deployment.as_deref().map(|name| Deployment {
            name: Arc::from(name),
            wanted: u64::from(view.replicas_wanted),
            scaling_refused: self.scaling_refused.clone(),
        });
        if deployment != self.deployment_told {
            self.deployment_told.clone_from(&deployment);
            seen.push(Seen::Deployment(deployment));
        }
        seen
    }

    /// What was asked for the pod with this identity was refused; it may be tried again at `retry_at` (Unix time).
    pub(super) fn refuse(&mut self, uid: &Arc<str>, deed: Deed, reason: String, retry_at: Millis) {
        self.refusals.insert((Arc::clone(uid), deed), (reason, retry_at));
    }

    /// What was asked for the pod with this identity was granted, or is not wanted any more.
    pub(super) fn forget_refusal(&mut self, uid: &Arc<str>, deed: Deed) {
        self.refusals.remove(&(Arc::clone(uid), deed));
    }

    /// What became of scaling the Deployment when that was asked for last: refused, and to be tried again then; or not.
    pub(super) fn note_scaling(&mut self, refused: Option<(String, Millis)>) {
        self.scaling_refused = refused;
    }

    fn pod(&self, facts: &PodFacts) -> Pod {
        let uid: Arc<str> = Arc::from(facts.uid.as_str());
        let refused = |deed| self.refusals.get(&(Arc::clone(&uid), deed)).cloned();
        Pod {
            zone: facts.zone.clone(),
            machine: facts.host.clone(),
            labels: facts.labels.clone(),
            revision: facts.revision.clone(),
            detached: facts.detached,
            deletion_deadline: facts.termination.as_ref().map(|end| unix(end.deadline)),
            deleted_by: facts.termination.as_ref().map(|end| source(end.by)),
            ready: facts.ready && !facts.gone,
            gone: facts.gone,
            deletion_cost: facts.deletion_cost,
            trouble: facts.stuck.clone(),
            eviction_refused: refused(Deed::Evict),
            detaching_refused: refused(Deed::Detach),
            uid,
        }
    }
}

/// Evictions are what `kubectl drain` and autoscalers of nodes do; our own belong to an operation that there is already.
fn source(by: TerminatedBy) -> Source {
    match by {
        TerminatedBy::Eviction | TerminatedBy::Node => Source::Node,
        TerminatedBy::Rollout => Source::Rollout,
        TerminatedBy::ScaleDown => Source::Hpa,
        TerminatedBy::Deletion => Source::Kubectl,
    }
}

fn unix(time: SystemTime) -> Millis {
    Millis::new(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, whole_ms))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kubernetes::view::Termination;

    #[test]
    fn only_what_changed_is_told() {
        let mut feed = PodFeed::default();

        assert_eq!(names(&feed.take(&view(vec![pod("a"), pod("b")]))), ["+a", "+b"]);
        assert!(feed.take(&view(vec![pod("a"), pod("b")])).is_empty());
        let ready = PodFacts { ready: true, ..pod("b") };
        assert_eq!(names(&feed.take(&view(vec![ready]))), ["-a", "+b"]);
    }

    #[test]
    fn an_end_is_told_with_its_deadline_and_its_source() {
        let deadline = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
        let termination = Some(Termination { deadline, by: TerminatedBy::ScaleDown });

        let seen = PodFeed::default().take(&view(vec![PodFacts { termination, ..pod("a") }]));
        let [Seen::Pod(_, told)] = &seen[..] else { panic!("one pod is told: {seen:?}") };
        assert_eq!(told.deletion_deadline, Some(Millis::new(600_000)));
        assert_eq!(told.deleted_by, Some(Source::Hpa));
    }

    #[test]
    fn a_refused_eviction_is_told_until_it_is_granted_and_kept_no_longer_than_the_pod() {
        let mut feed = PodFeed::default();
        feed.take(&view(vec![pod("a")]));

        let uid: Arc<str> = Arc::from("uid-of-a");
        feed.refuse(&uid, Deed::Evict, "not now".to_owned(), Millis::new(7));
        feed.forget_refusal(&uid, Deed::Detach);
        assert_eq!(names(&feed.take(&view(vec![pod("a")]))), ["+a"]);
        feed.forget_refusal(&uid, Deed::Evict);
        assert_eq!(names(&feed.take(&view(vec![pod("a")]))), ["+a"]);

        feed.refuse(&uid, Deed::Evict, "not now".to_owned(), Millis::new(7));
        feed.take(&view(Vec::new()));
        assert!(feed.refusals.is_empty());
    }

    #[test]
    fn the_deployment_is_told_when_it_wants_another_number_and_when_it_was_not_scaled() {
        let wants = |replicas_wanted| ClusterView {
            deployment: Some("gateway".to_owned()),
            replicas_wanted,
            ..ClusterView::default()
        };
        let told = |seen: Vec<Seen>| match &seen[..] {
            [Seen::Deployment(Some(deployment))] => {
                Some((deployment.wanted, deployment.scaling_refused.is_some()))
            }
            _ => None,
        };
        let mut feed = PodFeed::default();

        assert_eq!(told(feed.take(&wants(3))), Some((3, false)));
        assert!(feed.take(&wants(3)).is_empty());
        feed.note_scaling(Some(("no right".to_owned(), Millis::new(7))));
        assert_eq!(told(feed.take(&wants(3))), Some((3, true)));
        feed.note_scaling(None);
        assert_eq!(told(feed.take(&wants(2))), Some((2, false)));
    }

    fn names(seen: &[Seen]) -> Vec<String> {
        let name = |seen: &Seen| match seen {
            Seen::Pod(name, _) => format!("+{name}"),
            Seen::PodGone(name) => format!("-{name}"),
            other => panic!("nothing else comes from Kubernetes: {other:?}"),
        };
        seen.iter().map(name).collect()
    }

    fn view(pods: Vec<PodFacts>) -> ClusterView {
        ClusterView { pods, ..ClusterView::default() }
    }

    fn pod(name: &str) -> PodFacts {
        PodFacts {
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
            host: None,
            zone: None,
            labels: BTreeMap::new(),
            revision: None,
            detached: false,
            ready: false,
            stuck: None,
            admin: None,
            termination: None,
            gone: false,
            endpoint: None,
            budgets: Vec::new(),
            deletion_cost: 0,
        }
    }
}
