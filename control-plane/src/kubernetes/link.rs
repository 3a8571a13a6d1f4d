//! The coordinator's end of Kubernetes: once a tick it takes what is new and hands over what is wanted. Never waits.
//!
//! Place in the path: watch → [`PodLink::poll`] → index → plan → [`PodLink::push`] → API server. What an eviction was
//! answered comes back with the next poll. Only a leader pushes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_protocol::drain::OperationId;
use tidegate_protocol::time::Millis;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::attempts::{Answer, Attempts, Deed};
use super::deletion_cost::CostWish;
use super::events::Note;
use super::feed::PodFeed;
use super::view::ClusterView;
use super::{Kubernetes, PodFacts};
use crate::index::Seen;
use crate::plan::Action;

/// Deeds and Events that wait for the API server; what does not fit is asked again with the next tick, or not said.
const WAITING_MAX: usize = 256;

/// What the coordinator holds of Kubernetes.
#[derive(Debug)]
pub struct PodLink {
    views: watch::Receiver<ClusterView>,
    feed: PodFeed,
    attempts: Attempts,
    /// The Deployment's scale is on its way.
    is_scaling: bool,
    wanted: mpsc::Sender<Wanted>,
    answers: mpsc::Receiver<Answered>,
    costs: watch::Sender<Vec<CostWish>>,
    tasks: Vec<JoinHandle<()>>,
}

/// One thing to be done, by the task that speaks to the API server.
#[derive(Debug)]
enum Wanted {
    Eviction { pod: Arc<str>, uid: Arc<str> },
    Detachment { pod: Arc<str>, uid: Arc<str>, revision: String },
    Scaling { deployment: Arc<str>, from: u64, to: u64 },
    Event(Note),
}

/// What became of it.
#[derive(Debug)]
enum Answered {
    Pod { uid: Arc<str>, deed: Deed, answer: Answer },
    Scaling(Answer),
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
        let (feed, attempts) = (PodFeed::default(), Attempts::default());
        Self { views, feed, attempts, is_scaling: false, wanted, answers, costs, tasks }
    }

    /// What became known since the last time, for the index. `now` is Unix time.
    pub fn poll(&mut self, now: Millis) -> Vec<Seen> {
        while let Ok(answered) = self.answers.try_recv() {
            match answered {
                Answered::Pod { uid, deed, answer } => {
                    match self.attempts.answered(&uid, deed, answer, now) {
                        Some((reason, retry_at)) => self.feed.refuse(&uid, deed, reason, retry_at),
                        None => self.feed.forget_refusal(&uid, deed),
                    }
                }
                Answered::Scaling(answer) => {
                    self.is_scaling = false;
                    self.feed.note_scaling(answer.retry_at(now));
                }
            }
        }
        let view = self.views.borrow_and_update();
        // Half a list would make the other half look deleted.
        if !view.complete {
            return Vec::new();
        }
        self.attempts.keep(|uid| view.pods.iter().any(|pod| pod.uid == uid));
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
                Action::Evict { node, uid, .. } => {
                    let wanted = Wanted::Eviction { pod: Arc::clone(node), uid: Arc::clone(uid) };
                    self.attempt(uid, Deed::Evict, wanted, now);
                }
                Action::Detach { node, uid, revision, .. } => {
                    let (pod, revision) = (Arc::clone(node), revision.clone());
                    let wanted = Wanted::Detachment { pod, uid: Arc::clone(uid), revision };
                    self.attempt(uid, Deed::Detach, wanted, now);
                }
                Action::Scale { deployment, from, to, .. } => self.scale(deployment, *from, *to),
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

    fn attempt(&mut self, uid: &Arc<str>, deed: Deed, wanted: Wanted, now: Millis) {
        if self.attempts.begin(uid, deed, now) && self.wanted.try_send(wanted).is_err() {
            self.attempts.give_back(uid, deed);
        }
    }

    fn scale(&mut self, deployment: &Arc<str>, from: u64, to: u64) {
        let wanted = Wanted::Scaling { deployment: Arc::clone(deployment), from, to };
        self.is_scaling = self.is_scaling || self.wanted.try_send(wanted).is_ok();
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

async fn carry_out(
    kubernetes: Arc<Kubernetes>,
    mut to_do: mpsc::Receiver<Wanted>,
    answered: mpsc::Sender<Answered>,
) {
    while let Some(wanted) = to_do.recv().await {
        let answer = match wanted {
            Wanted::Event(note) => {
                kubernetes.tell(note).await;
                continue;
            }
            Wanted::Eviction { pod, uid } => {
                let evicted = kubernetes.evict(&pod, &uid).await;
                tracing::info!(%pod, answer = ?evicted, "asked for an eviction");
                Answered::Pod { uid, deed: Deed::Evict, answer: evicted.into() }
            }
            Wanted::Detachment { pod, uid, revision } => {
                let detached = kubernetes.detach(&pod, &uid, &revision).await;
                tracing::info!(%pod, answer = ?detached, "took a pod from its ReplicaSet");
                Answered::Pod { uid, deed: Deed::Detach, answer: detached.into() }
            }
            Wanted::Scaling { deployment, from, to } => {
                let scaled = kubernetes.scale(&deployment, from, to).await;
                tracing::info!(%deployment, from, to, answer = ?scaled, "asked for a scale-down");
                Answered::Scaling(scaled.into())
            }
        };
        if answered.send(answer).await.is_err() {
            return;
        }
    }
}

async fn keep_costs(kubernetes: Arc<Kubernetes>, mut wishes: watch::Receiver<Vec<CostWish>>) {
    while wishes.changed().await.is_ok() {
        let newest = wishes.borrow_and_update().clone();
        kubernetes.set_costs(newest).await;
    }
}
