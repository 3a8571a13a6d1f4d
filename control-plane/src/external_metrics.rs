//! The external metrics API of Kubernetes: how many connections there are, for whoever scales the gateways by it.
//!
//! Place in the path: beside the API. An autoscaler asks its API server, whose aggregator passes the question on to this port:
//! [`tls`] lets nobody else in, [`front_proxy`] says for whom it asks, the API server says whether they may (RBAC), and
//! [`measure`] reads the answer off the health document, which every replica has. Read only.
//! `docs/autoscaling.md` is the user's side of this.

pub(crate) mod config;
mod documents;
mod front_proxy;
mod measure;
mod metrics;
mod selector;
mod subject;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tidegate_cluster::Clock;
use tidegate_service::http::ApiServer;
use tidegate_service::lifecycle::{Lifecycle, Phase};
use tokio::sync::{Semaphore, watch};

pub(crate) use self::front_proxy::{Caller, FrontProxy};
pub(crate) use self::metrics::Counts;
pub use self::tls::TlsFileError;
pub(crate) use self::tls::{Certificate, TlsFiles};

use self::documents::{Document, GROUP, Refusal, VERSION};
use self::measure::Metric;
use self::metrics::Outcome;
use self::selector::Selector;
use self::tls::{Peer, Tls};
use crate::http::ReviewError;
use crate::model::ClusterHealth;

/// Requests in progress; further ones are refused with 503. An autoscaler asks every 15 s.
const REQUESTS_MAX: usize = 64;

/// Whether somebody may read a metric, on its way.
pub(crate) type Deciding<'a> = Pin<Box<dyn Future<Output = Result<bool, ReviewError>> + Send + 'a>>;

/// Someone who knows what callers may do.
pub(crate) trait AccessReviewer: Send + Sync {
    /// Asks whether `caller` may read the metric in the namespace.
    fn may_read<'a>(&'a self, caller: &'a Caller, namespace: &'a str, metric: &'a str) -> Deciding<'a>;
}

/// What the port is made of.
pub(crate) struct ExternalMetricsParts {
    pub(crate) certificate: Certificate,
    /// How often the certificate's files are looked at.
    pub(crate) reload_interval: Duration,
    /// Who the aggregator is; nobody, until the API server has said it.
    pub(crate) proxies: watch::Receiver<Option<Arc<FrontProxy>>>,
    pub(crate) reviewer: Arc<dyn AccessReviewer>,
    pub(crate) health: watch::Receiver<Arc<ClusterHealth>>,
    pub(crate) clock: Clock,
    /// The namespace of the gateways; there is no metric in another one.
    pub(crate) namespace: String,
    /// The label selector of the gateways: its labels are those of the metrics.
    pub(crate) selector: String,
    pub(crate) counts: Counts,
    pub(crate) lifecycle: Lifecycle,
}

/// What all requests share.
struct Shared {
    tls: Tls,
    reviewer: Arc<dyn AccessReviewer>,
    health: watch::Receiver<Arc<ClusterHealth>>,
    clock: Clock,
    namespace: String,
    labels: BTreeMap<String, String>,
    counts: Counts,
    requests: Semaphore,
}

/// Serves until the process is [`Phase::Stopped`].
///
/// # Errors
///
/// The listener cannot be used.
pub(crate) async fn serve(server: ApiServer, parts: ExternalMetricsParts) -> io::Result<()> {
    let tls = Tls::new(parts.counts.clone());
    let shared = Arc::new(Shared {
        tls: tls.clone(),
        reviewer: parts.reviewer,
        health: parts.health,
        clock: parts.clock,
        namespace: parts.namespace,
        // A selector that only Kubernetes understands has no labels to offer.
        labels: Selector::parse(&parts.selector).unwrap_or_default().labels(),
        counts: parts.counts,
        requests: Semaphore::new(REQUESTS_MAX),
    });
    let lifecycle = parts.lifecycle;
    let stop = async move { lifecycle.reached(Phase::Stopped).await };
    tokio::select! {
        served = server.run_over(tls.clone(), router(&shared), stop) => served,
        () = tls.keep_current(parts.certificate, parts.proxies, parts.reload_interval) => {
            unreachable!("it goes on for ever")
        }
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    let version = format!("/apis/{GROUP}/{VERSION}");
    Router::new()
        .route("/apis", get(async || Document(documents::groups())))
        .route(&format!("/apis/{GROUP}"), get(async || Document(documents::group())))
        .route(&version, get(async || Document(documents::resources())))
        .route(&format!("{version}/namespaces/{{namespace}}/{{metric}}"), get(values))
        .fallback(async || {
            Refusal::new(Outcome::NotFound, format!("only /apis/{GROUP}/{VERSION} is served here"))
        })
        .method_not_allowed_fallback(async || Refusal::new(Outcome::WrongMethod, "metrics can only be read"))
        .layer(from_fn_with_state(Arc::clone(shared), guard))
        .with_state(Arc::clone(shared))
}

/// Every request comes through here: from the aggregator, for somebody, and counted.
async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let response = match shared.admit(&mut request) {
        Ok(_place) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    // Whatever is no answer of ours is the router's own, for a path that cannot be decoded.
    let outcome = response.extensions().get().copied().unwrap_or(Outcome::BadRequest);
    shared.counts.count_request(outcome);
    tracing::debug!(?outcome, "external metrics request");
    response
}

/// The metric's value.
async fn values(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    uri: Uri,
    request: Request,
) -> Result<Document, Refusal> {
    let caller = request.extensions().get::<Caller>().expect("the guard has put it there");
    shared.check_access(caller, &namespace, &name).await?;
    let not_found = || {
        let message = format!(
            "there is no metric {name} in namespace {namespace}: gateways are in {}",
            shared.namespace
        );
        Refusal::new(Outcome::NotFound, message)
    };
    let metric = Metric::of_name(&name).filter(|_| namespace == shared.namespace).ok_or_else(not_found)?;
    let selector = selector(&uri)?;
    let health = Arc::clone(&shared.health.borrow());
    let reading = metric
        .read(&health, shared.clock.now())
        .map_err(|unknown| Refusal::new(Outcome::Unknown, unknown.to_string()))?;
    let reading = selector.selects(&shared.labels).then_some(reading);
    Ok(Document(documents::values(metric, &shared.labels, reading)))
}

impl Shared {
    /// A place for the request, and for whom it is made.
    fn admit(&self, request: &mut Request) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        let place = self.requests.try_acquire().map_err(|_| {
            Refusal::new(Outcome::Busy, "as many requests as may be are in progress: try again")
        })?;
        let unauthenticated = |message: &str| Refusal::new(Outcome::Unauthenticated, message);
        let proxy = match request.extensions().get::<Peer>() {
            Some(Peer::Aggregator(proxy)) => Arc::clone(proxy),
            Some(Peer::Stranger) | None => {
                return Err(unauthenticated(
                    "this certificate's name is not that of the API server's aggregator",
                ));
            }
        };
        if !self.tls.still_has(&proxy) {
            let message = "the aggregator's authority has changed: connect again";
            return Err(Refusal { hangs_up: true, ..unauthenticated(message) });
        }
        let caller = proxy.caller(request.headers());
        let caller = caller.ok_or_else(|| unauthenticated("the aggregator does not say for whom it asks"))?;
        request.extensions_mut().insert(caller);
        Ok(place)
    }

    /// RBAC's word on it. Whether a metric exists is for those who may read it.
    async fn check_access(&self, caller: &Caller, namespace: &str, metric: &str) -> Result<(), Refusal> {
        match self.reviewer.may_read(caller, namespace, metric).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let message =
                    format!("{} may not list {metric} of {GROUP} in namespace {namespace}", caller.user);
                Err(Refusal::new(Outcome::Forbidden, message))
            }
            Err(error) => {
                tracing::warn!(%error, "what a caller may do cannot be asked");
                let message = "the API server cannot be asked what the caller may do: try again";
                Err(Refusal::new(Outcome::Unreviewed, message))
            }
        }
    }
}

fn selector(uri: &Uri) -> Result<Selector, Refusal> {
    let query = uri.query().unwrap_or_default().as_bytes();
    let text = form_urlencoded::parse(query).find(|(name, _)| name == "labelSelector");
    let text = text.map(|(_, text)| text).unwrap_or_default();
    Selector::parse(&text)
        .map_err(|error| Refusal::new(Outcome::BadRequest, format!("labelSelector: {error}")))
}
