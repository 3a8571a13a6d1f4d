//! The coordinator's end of Kubernetes: once a tick it takes what is new and hands over what is wanted. Never waits.
//!
//! Place in the path: watch → [`PodLink::poll`] → index → plan → [`PodLink::push`] → API server. What an eviction was
//! answered comes back with the next poll. Only a leader pushes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::drain::OperationId;
use tidegate_protocol::time::Millis;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::deletion_cost::CostWish;
use super::events::Note;
use super::evict::Evicted;
use super::feed::PodFeed;
use super::view::ClusterView;
use super::{Kubernetes, PodFacts};
use crate::index::Seen;
use crate::plan::Action;

/// Evictions and Events that wait for the API server; what does not fit is asked again with the next tick, or not said.
const WAITING_MAX: usize = 256;
/// How soon an eviction that came to nothing for no reason of its own is tried again.
const RETRY_SOON: Duration = Duration::from_secs(2);
/// How soon one is tried again that somebody has to make possible first.
const RETRY_LATE: Duration = Duration::from_secs(30);

/// What the coordinator holds of Kubernetes.
#[derive(Debug)]
pub struct PodLink {
    views: watch::Receiver<ClusterView>,
    feed: PodFeed,
    evictions: Evictions,
    wanted: mpsc::Sender<Wanted>,
    answers: mpsc::Receiver<(Arc<str>, Evicted)>,
    costs: watch::Sender<Vec<CostWish>>,
    tasks: Vec<JoinHandle<()>>,
}

/// One thing to be done, by the task that speaks to the API server.
#[derive(Debug)]
enum Wanted {
    Eviction { pod: Arc<str>, uid: Arc<str> },
    Event(Note),
}

impl Drop for PodLink {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl PodLink {
    /// Starts the watches and the tasks that write.
    pub fn start(kubernetes: &Arc<Kubernetes>) -> Self {
        let (views, watching) = kubernetes.watch();
        let (wanted, to_do) = mpsc::channel(WAITING_MAX);
        let (answered, answers) = mpsc::channel(WAITING_MAX);
        let (costs, wishes) = watch::channel(Vec::new());
        let pushing = tokio::spawn(carry_out(Arc::clone(kubernetes), to_do, answered));
        let costing = tokio::spawn(keep_costs(Arc::clone(kubernetes), wishes));
        let tasks = vec![watching, pushing, costing];
        Self {
            views,
            feed: PodFeed::default(),
            evictions: Evictions::default(),
            wanted,
            answers,
            costs,
            tasks,
        }
    }

    /// What became known since the last time, for the index. `now` is Unix time.
    pub fn poll(&mut self, now: Millis) -> Vec<Seen> {
        while let Ok((uid, answer)) = self.answers.try_recv() {
            match self.evictions.answered(&uid, answer, now) {
                Some((reason, retry_at)) => self.feed.refuse(&uid, reason, retry_at),
                None => self.feed.forget_refusal(&uid),
            }
        }
        let view = self.views.borrow_and_update();
        // Half a list would make the other half look deleted.
        if !view.complete {
            return Vec::new();
        }
        self.evictions.keep(|uid| view.pods.iter().any(|pod| pod.uid == uid));
        self.feed.take(&view)
    }

    /// Where the admin port of each pod is, by the pod's name.
    pub fn admin_urls(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        let view = self.views.borrow();
        let there = view.pods.iter().filter(|pod| !pod.gone);
        there.filter_map(|pod| Some((pod.name.as_str().into(), pod.admin.as_deref()?.into()))).collect()
    }

    /// Does what the plan wants of Kubernetes; what it wants of others is theirs. `nodes_of` names the nodes that an
    /// operation is about. `now` is Unix time.
    pub fn push(
        &mut self,
        actions: &[Action],
        nodes_of: impl Fn(&OperationId) -> Vec<Arc<str>>,
        now: Millis,
    ) {
        let mut costs = BTreeMap::new();
        for action in actions {
            match action {
                Action::Evict { node, uid, .. } => self.evict(node, uid, now),
                Action::DeletionCost { node, cost } => {
                    costs.insert(Arc::clone(node), *cost);
                }
                Action::Event { op, is_warning, reason, message } => {
                    self.tell(&nodes_of(op), *is_warning, reason, &format!("{op}: {message}"));
                }
                Action::Order { .. } | Action::Persist { .. } | Action::Block { .. } => {}
            }
        }
        let wishes = self.wishes(&costs);
        self.costs.send_replace(wishes);
    }

    fn evict(&mut self, node: &Arc<str>, uid: &Arc<str>, now: Millis) {
        if self.evictions.begin(uid, now) {
            let eviction = Wanted::Eviction { pod: Arc::clone(node), uid: Arc::clone(uid) };
            if self.wanted.try_send(eviction).is_err() {
                self.evictions.give_back(uid);
            }
        }
    }

    fn tell(&self, nodes: &[Arc<str>], is_warning: bool, reason: &str, text: &str) {
        let view = self.views.borrow();
        for pod in view.pods.iter().filter(|pod| nodes.iter().any(|node| **node == *pod.name)) {
            let note = Note {
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                is_warning,
                reason: reason.to_owned(),
                text: text.to_owned(),
            };
            // Events are for people; one that finds no room is not worth waiting for.
            let _ = self.wanted.try_send(Wanted::Event(note));
        }
    }

    fn wishes(&self, wanted: &BTreeMap<Arc<str>, i32>) -> Vec<CostWish> {
        let view = self.views.borrow();
        let wish = |pod: &PodFacts| {
            let cost = *wanted.get(pod.name.as_str())?;
            Some(CostWish { pod: pod.name.clone(), uid: pod.uid.clone(), cost, stands: pod.deletion_cost })
        };
        // One that is ending already is past all choice.
        view.pods.iter().filter(|pod| pod.termination.is_none()).filter_map(wish).collect()
    }
}

/// Evictions that were asked for, by the pod's identity: each is tried again only when that makes sense.
#[derive(Debug, Default)]
struct Evictions {
    /// On their way, or granted.
    begun: BTreeSet<Arc<str>>,
    /// Refused, and not to be tried before.
    refused: BTreeMap<Arc<str>, Millis>,
}

impl Evictions {
    /// Whether the eviction is to be asked for now.
    fn begin(&mut self, uid: &Arc<str>, now: Millis) -> bool {
        let is_early = self.refused.get(uid).is_some_and(|retry_at| now < *retry_at);
        !is_early && self.begun.insert(Arc::clone(uid))
    }

    fn give_back(&mut self, uid: &str) {
        self.begun.remove(uid);
    }

    /// Takes the answer; why it was refused and when to ask again, if it was.
    fn answered(&mut self, uid: &Arc<str>, answer: Evicted, now: Millis) -> Option<(String, Millis)> {
        let (reason, after) = match answer {
            Evicted::Granted | Evicted::Gone => {
                self.refused.remove(uid);
                return None;
            }
            Evicted::Blocked { retry_after, message } => (message, retry_after),
            Evicted::Refused { message } => (message, RETRY_LATE),
            Evicted::Unavailable { message } => (message, RETRY_SOON),
        };
        self.begun.remove(uid);
        self.refused.insert(Arc::clone(uid), now + after);
        Some((reason, now + after))
    }

    /// Forgets pods that are gone.
    fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.begun.retain(|uid| is_there(uid));
        self.refused.retain(|uid, _| is_there(uid));
    }
}

async fn carry_out(
    kubernetes: Arc<Kubernetes>,
    mut to_do: mpsc::Receiver<Wanted>,
    answered: mpsc::Sender<(Arc<str>, Evicted)>,
) {
    while let Some(wanted) = to_do.recv().await {
        match wanted {
            Wanted::Event(note) => kubernetes.tell(note).await,
            Wanted::Eviction { pod, uid } => {
                let answer = kubernetes.evict(&pod, &uid).await;
                tracing::info!(%pod, ?answer, "asked for an eviction");
                if answered.send((uid, answer)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn keep_costs(kubernetes: Arc<Kubernetes>, mut wishes: watch::Receiver<Vec<CostWish>>) {
    while wishes.changed().await.is_ok() {
        let newest = wishes.borrow_and_update().clone();
        kubernetes.set_costs(newest).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eviction_is_asked_for_once_and_again_when_its_refusal_is_over() {
        let mut evictions = Evictions::default();
        let uid: Arc<str> = Arc::from("8d6c");
        let start = Millis::new(1_000);

        assert!(evictions.begin(&uid, start));
        assert!(!evictions.begin(&uid, start), "it is on its way");

        let blocked = Evicted::Blocked { retry_after: Duration::from_secs(5), message: "not now".to_owned() };
        let refusal = evictions.answered(&uid, blocked, start);
        assert_eq!(refusal, Some(("not now".to_owned(), Millis::new(6_000))));
        assert!(!evictions.begin(&uid, Millis::new(5_999)));
        assert!(evictions.begin(&uid, Millis::new(6_000)));

        assert_eq!(evictions.answered(&uid, Evicted::Granted, Millis::new(6_100)), None);
        assert!(!evictions.begin(&uid, Millis::new(60_000)), "it is granted and only takes its time");
        evictions.keep(|_| false);
        assert!(evictions.begun.is_empty() && evictions.refused.is_empty());
    }
}
