//! The watches: pods, their ReplicaSets, disruption budgets and endpoints, merged into one [`ClusterView`].
//!
//! Place in the path: API server → here → `cluster.rs` → a `tokio::sync::watch` that the coordinator reads. Read only.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as start};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::cluster::{Change, Cluster};
use super::view::ClusterView;

/// The label that ties an EndpointSlice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// How often deleted pods are looked at again while nothing happens.
const FORGET_EVERY: Duration = Duration::from_secs(5);
/// An API server that is away is said to be away this often, not with each try.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);

/// What to watch.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) namespace: String,
    pub(crate) selector: String,
    pub(crate) service: Option<String>,
    pub(crate) admin_port: u16,
}

/// Watches until nobody reads any more. Errors are retried with a growing pause; the last view stands meanwhile.
pub(crate) async fn run(client: Client, watched: Watched, views: watch::Sender<ClusterView>) {
    let mut cluster = Cluster::new(watched.admin_port, watched.service.is_some());
    let mut changes = changes(&client, &watched);
    let mut forget = interval(FORGET_EVERY);
    forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut complained_at: Option<Instant> = None;
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(change)) => cluster.apply(change, SystemTime::now()),
                Some(Err(error)) => complain(&error, &mut complained_at),
                // Watches never end by themselves.
                None => return,
            },
            _ = forget.tick() => cluster.forget(SystemTime::now()),
            () = views.closed() => return,
        }
        let view = cluster.view();
        views.send_if_modified(|shown| {
            let is_new = *shown != view;
            *shown = view;
            is_new
        });
    }
}

type Changes = BoxStream<'static, Result<Change, watcher::Error>>;

fn changes(client: &Client, watched: &Watched) -> Changes {
    let namespace = &watched.namespace;
    let all = watcher::Config::default();
    let ours = all.clone().labels(&watched.selector);
    let mut merged = vec![
        stream_of::<Pod>(Api::namespaced(client.clone(), namespace), ours.clone(), Change::Pod),
        stream_of::<ReplicaSet>(Api::namespaced(client.clone(), namespace), ours, Change::Set),
        // Those of other programs may select gateways as well, so no label narrows this down.
        stream_of::<PodDisruptionBudget>(
            Api::namespaced(client.clone(), namespace),
            all.clone(),
            Change::Budget,
        ),
    ];
    if let Some(service) = &watched.service {
        let slices = all.labels(&format!("{SERVICE_NAME}={service}"));
        merged.push(stream_of::<EndpointSlice>(
            Api::namespaced(client.clone(), namespace),
            slices,
            Change::Slice,
        ));
    }
    stream::select_all(merged).boxed()
}

fn stream_of<K>(api: Api<K>, config: watcher::Config, change: fn(Event<K>) -> Change) -> Changes
where
    K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    start(api, config).default_backoff().map(move |event| event.map(change)).boxed()
}

fn complain(error: &watcher::Error, complained_at: &mut Option<Instant>) {
    let is_due = complained_at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY);
    if is_due {
        *complained_at = Some(Instant::now());
        tracing::warn!(%error, "a watch of Kubernetes was cut off and is taken up again");
    }
}
