//! The API: what people and programs ask of the control plane, and the dashboard, on one port.
//!
//! Place in the data path: beside the coordinator. [`guard`] lets a request with a good token and a sufficient role through
//! to its handler, which reads it into types and asks [`Control`]; what that answers goes back as JSON.
//! `docs/control-plane-api.md` is the user's side of this, `docs/control-plane-openapi.json` is generated from here.

mod audit;
mod auth;
mod call;
mod cluster;
mod control;
mod cursor;
mod document;
mod guard;
mod metrics;
#[expect(unused_qualifications, reason = "utoipa names types by their whole path")]
mod operations;
mod problem;
mod request;
#[cfg(test)]
pub(crate) mod tests;
#[expect(unused_qualifications, reason = "utoipa names types by their whole path")]
mod watching;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{self, HeaderValue};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use tidegate_service::http::ApiServer;
use tidegate_service::lifecycle::{Lifecycle, Phase};
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::auth::{
    Auth, AuthSubject, AuthToken, Authenticator, ReviewError, Reviewed, Reviewing, Role, TokenError,
    TokenReviewer, check as check_auth,
};
pub use self::control::{
    Answer, Control, Cordon, Expected, OperationsPage, OperationsQuery, Place, Put, Requester, Scope,
};
pub use self::metrics::ApiMetrics;

use crate::dashboard;

/// Bounds on what requests can make the process hold or wait for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ApiLimits {
    /// Requests in progress, until their answers are written; further ones are refused with 503.
    pub requests_max: usize,
    /// Waits and event streams; further ones are refused with 503.
    pub watchers_max: usize,
    /// Bytes of one body; a larger one is refused with 413.
    pub body_bytes_max: usize,
    /// From a request's head to its answer, waits left out; later is 503.
    pub answer_timeout: Duration,
}

/// What the API is made of.
pub struct ApiParts {
    /// Does what is asked for.
    pub control: Arc<dyn Control>,
    /// Who may ask for what.
    pub authenticator: Authenticator,
    /// Bounds.
    pub limits: ApiLimits,
    /// Where requests are counted.
    pub metrics: ApiMetrics,
    /// Event streams and waits end when the process leaves.
    pub lifecycle: Lifecycle,
}

/// What all requests share.
struct Shared {
    control: Arc<dyn Control>,
    authenticator: Authenticator,
    limits: ApiLimits,
    metrics: ApiMetrics,
    lifecycle: Lifecycle,
    requests: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
}

/// Pages may need nothing but their own style, and nobody may frame them.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            requests_max: 256,
            watchers_max: 512,
            body_bytes_max: 64 << 10,
            answer_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for ApiParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiParts").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Serves the API until the process is [`Phase::Stopped`]. Waits and event streams end at [`Phase::Draining`].
///
/// # Errors
///
/// The listener cannot be used.
pub async fn serve(server: ApiServer, parts: ApiParts) -> io::Result<()> {
    let lifecycle = parts.lifecycle.clone();
    let shared = Arc::new(Shared::new(parts));
    let router = router(&shared);
    tokio::select! {
        served = server.run(router, async move { lifecycle.reached(Phase::Stopped).await }) => served,
        () = shared.authenticator.keep_fresh(&shared.metrics) => unreachable!("it goes on for ever"),
    }
}

impl Shared {
    fn new(parts: ApiParts) -> Self {
        let ApiParts { control, authenticator, limits, metrics, lifecycle } = parts;
        let requests = Arc::new(Semaphore::new(limits.requests_max));
        let watchers = Arc::new(Semaphore::new(limits.watchers_max));
        Self { control, authenticator, limits, metrics, lifecycle, requests, watchers }
    }
}

/// The API port's HTTP application.
fn router(shared: &Arc<Shared>) -> Router {
    let (calls, mut description) = calls().split_for_parts();
    document::add_verbs(&mut description);
    let description = document::to_value(&description);
    let (json, page): (Arc<str>, Arc<str>) =
        (document::to_json(&description).into(), document::to_page(&description).into());
    calls
        .route("/v1/operations/{id}", post(operations::command))
        .route("/v1/nodes/{node}", post(cluster::cordon))
        .route("/v1/pods/{pod}", post(cluster::cordon))
        .route("/openapi.json", get(async move || served_json(&json)))
        .route("/docs", get(async move || served_page(&page)))
        .merge(dashboard::router())
        .fallback(guard::unknown_path)
        .method_not_allowed_fallback(guard::wrong_method)
        .layer(from_fn_with_state(Arc::clone(shared), guard::guard))
        .with_state(Arc::clone(shared))
}

/// The calls of `/v1` with their description.
fn calls() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(document::without_calls())
        .routes(routes!(operations::put_operation, watching::operation, operations::change_operation))
        .routes(routes!(operations::post_operation, operations::operations))
        .routes(routes!(operations::plan))
        .routes(routes!(watching::operation_events))
        .routes(routes!(cluster::nodes))
        .routes(routes!(cluster::node))
        .routes(routes!(cluster::pods))
        .routes(routes!(cluster::pod))
        .routes(routes!(cluster::cluster))
        .routes(routes!(cluster::health))
        .routes(routes!(watching::health_events))
}

fn served_json(json: &str) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "application/json")], json.to_owned())
}

fn served_page(page: &str) -> impl IntoResponse + use<> {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, Html(page.to_owned()))
}
