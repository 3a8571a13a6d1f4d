//! Kubernetes: sees the pods of the gateways, and does to them what the plan says. No type of `kube` leaves this folder.
//!
//! Place in the path: watch → index on the one side ([`Kubernetes::watch`]), push on the other ([`Kubernetes::evict`],
//! [`Kubernetes::detach`], [`Kubernetes::scale`], [`Kubernetes::set_costs`], [`Kubernetes::tell`]); the Lease stands in for
//! the store's lead. Nothing in here blocks an eviction: there is no webhook and no finalizer, and a control plane that is
//! away holds up nobody.
//!
//! Which permission each part needs, and which switch it belongs to, is in `docs/kubernetes-rbac.md`.

mod access_review;
mod attempts;
mod cluster;
pub mod config;
mod deletion_cost;
mod detach;
mod events;
mod evict;
mod facts;
mod feed;
mod front_proxy;
mod lease;
mod link;
mod listing;
mod scale;
mod token_review;
mod view;
mod watch;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, Config};
use tidegate_cluster::leadership::Leadership;
use tokio::sync::{Mutex, watch as levels};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::external_metrics::{AccessReviewer, Caller, Deciding, FrontProxy};
use crate::http::{ReviewError, Reviewing, TokenReviewer};

pub use self::deletion_cost::CostWish;
pub use self::detach::Detached;
pub use self::events::Note;
pub use self::evict::Evicted;
pub use self::feed::PodFeed;
pub use self::lease::KubernetesLease;
pub use self::link::PodLink;
pub use self::scale::Scaled;
pub use self::view::{ClusterView, DisruptionBudget, EndpointState, PodFacts, TerminatedBy, Termination};

/// How long one call to the API server may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The API server, and what this process may do there.
pub struct Kubernetes {
    client: Client,
    namespace: String,
    settings: config::Kubernetes,
    pods: Api<Pod>,
    costs: Mutex<deletion_cost::CostWriter>,
    events: events::Events,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// Finds the API server: by the service account of a pod, else by the kubeconfig of whoever runs it. Connects to
    /// nothing yet. `instance` is the name of this process.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: there is neither, or the certificates cannot be read.
    pub async fn new(settings: &config::Kubernetes, instance: &str) -> Result<Self, ConnectError> {
        let mut found = Config::infer().await.map_err(|error| ConnectError(error.to_string()))?;
        // A refused eviction (429) is an answer, and everything else here has its own time to be tried again.
        found.default_retry = false;
        let namespace = settings.namespace.clone().unwrap_or_else(|| found.default_namespace.clone());
        let client = Client::try_from(found).map_err(|error| ConnectError(error.to_string()))?;
        let changes_max =
            NonZeroU32::new(settings.deletion_cost_changes_per_minute).unwrap_or(NonZeroU32::MIN);
        Ok(Self {
            pods: Api::namespaced(client.clone(), &namespace),
            costs: Mutex::new(deletion_cost::CostWriter::new(changes_max, Instant::now())),
            events: events::Events::new(client.clone(), namespace.clone(), instance.to_owned()),
            client,
            namespace,
            settings: settings.clone(),
        })
    }

    /// Starts the watches. The task ends when no receiver is left; the first complete view says so.
    pub fn watch(&self) -> (levels::Receiver<ClusterView>, JoinHandle<()>) {
        let (views, receiver) = levels::channel(ClusterView::default());
        let watched = watch::Watched {
            namespace: self.namespace.clone(),
            selector: self.settings.selector.clone(),
            service: self.settings.service.clone(),
            admin_port: self.settings.admin_port,
        };
        (receiver, tokio::spawn(watch::run(self.client.clone(), watched, views)))
    }

    /// The namespace of the gateways.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Starts to watch who the API server's aggregator is. The task ends when no receiver is left.
    pub(crate) fn front_proxies(&self) -> levels::Receiver<Option<Arc<FrontProxy>>> {
        let (proxies, receiver) = levels::channel(None);
        tokio::spawn(front_proxy::run(self.client.clone(), proxies));
        receiver
    }

    /// The lead of this control plane's replicas.
    pub fn leadership(&self) -> Arc<dyn Leadership> {
        // Two tries that fail, and there is still time for a third before the leader has to step down.
        let patience = self.settings.lease_duration / 5;
        Arc::new(KubernetesLease::new(self.client.clone(), &self.namespace, &self.settings.lease, patience))
    }

    /// Evicts the pod `name`, if it is still the one with the identity `uid`.
    pub async fn evict(&self, name: &str, uid: &str) -> Evicted {
        if !self.settings.evict {
            return Evicted::Refused { message: "[kubernetes] evict is off".to_owned() };
        }
        let late = |_| Evicted::Unavailable { message: "the API server took too long".to_owned() };
        timeout(CALL_TIMEOUT, evict::evict(&self.pods, name, uid)).await.unwrap_or_else(late)
    }

    /// Takes the pod `name` from the ReplicaSet of `revision`, if it is still the one with the identity `uid`.
    pub async fn detach(&self, name: &str, uid: &str, revision: &str) -> Detached {
        if !self.settings.detach {
            return Detached::Refused { message: "[kubernetes] detach is off".to_owned() };
        }
        let late = |_| Detached::Unavailable { message: "the API server took too long".to_owned() };
        let detaching = detach::detach(&self.pods, name, uid, revision);
        timeout(CALL_TIMEOUT, detaching).await.unwrap_or_else(late)
    }

    /// Has the Deployment `name` want `to` pods, if it wants `from` now.
    pub async fn scale(&self, name: &str, from: u64, to: u64) -> Scaled {
        if !self.settings.scale {
            return Scaled::Refused { message: "[kubernetes] scale is off".to_owned() };
        }
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let late = |_| Scaled::Unavailable { message: "the API server took too long".to_owned() };
        timeout(CALL_TIMEOUT, scale::scale(&deployments, name, from, to)).await.unwrap_or_else(late)
    }

    /// Writes the deletion costs that differ from what stands there, as many as a minute allows; returns how many.
    pub async fn set_costs(&self, wishes: impl IntoIterator<Item = CostWish>) -> usize {
        if !self.settings.deletion_cost {
            return 0;
        }
        let changes = self.costs.lock().await.admit(wishes, Instant::now());
        for change in &changes {
            match timeout(CALL_TIMEOUT, deletion_cost::write(&self.pods, change)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(pod = change.pod, %error, "a deletion cost was not written")
                }
                Err(_) => tracing::debug!(pod = change.pod, "a deletion cost was not written in time"),
            }
        }
        changes.len()
    }

    /// Leaves an Event at a pod.
    pub async fn tell(&self, note: Note) {
        if !self.settings.events {
            return;
        }
        match timeout(CALL_TIMEOUT, self.events.write(note)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an Event was not written"),
            Err(_) => tracing::debug!("an Event was not written in time"),
        }
    }
}

impl TokenReviewer for Kubernetes {
    fn review<'a>(&'a self, token: &'a str) -> Reviewing<'a> {
        Box::pin(async move {
            let review = token_review::review(&self.client, token, &self.settings.token_audience);
            match timeout(CALL_TIMEOUT, review).await {
                Ok(answer) => answer.map_err(|error| ReviewError(error.to_string())),
                Err(_) => Err(ReviewError("the API server took too long".to_owned())),
            }
        })
    }
}

impl AccessReviewer for Kubernetes {
    fn may_read<'a>(&'a self, caller: &'a Caller, namespace: &'a str, metric: &'a str) -> Deciding<'a> {
        Box::pin(async move {
            let review = access_review::may_read(&self.client, caller, namespace, metric);
            match timeout(CALL_TIMEOUT, review).await {
                Ok(answer) => answer.map_err(|error| ReviewError(error.to_string())),
                Err(_) => Err(ReviewError("the API server took too long".to_owned())),
            }
        })
    }
}

/// The API server cannot be spoken to.
#[derive(Debug, thiserror::Error)]
#[error("Kubernetes: {0}; set [kubernetes] enabled = false where there is none")]
pub struct ConnectError(String);
