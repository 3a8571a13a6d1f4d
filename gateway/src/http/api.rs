//! The server API: what other servers ask of the cluster, over HTTP on a port of its own.
//!
//! Place in the data path: beside it. [`guard`] lets a request with a good key through to its handler, which reads it into
//! types and asks [`Services`]; what that answers goes back as JSON. `docs/http-api.md` is the user's side of this,
//! `docs/openapi.json` is generated from here.

mod answers;
mod batch;
mod bodies;
mod call;
mod commands;
mod cursor;
mod document;
mod fields;
mod guard;
mod problem;
#[expect(unused_qualifications, reason = "utoipa names types by their whole path")]
mod reads;
mod request;
mod services;
mod stats;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{self, HeaderValue};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admission::api_key::ApiKeys;

pub(crate) use answers::{
    ChannelInfo, HistoryMessage, Member, NodeInfo, Published, Reached, SessionInfo, Subscription,
};
pub(crate) use call::Call;
pub(crate) use services::{
    Answer, ChannelsQuery, Disconnect, History, HistoryQuery, Page, Presence, PresenceQuery, Publish, Send,
    Services, SessionsQuery, Subject, SubscriptionChange,
};
pub(crate) use stats::{ApiStats, Outcome};
pub(crate) use tidegate_service::http::ApiServer;

/// Bounds on what requests can make the node hold or wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiLimits {
    /// Requests in progress, until their answers are written; further ones are refused with 503.
    pub requests_max: usize,
    /// Bytes of one `data`: `limits.message_bytes`.
    pub data_bytes_max: usize,
    /// Bytes of one body; a larger one is refused with 413.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are being received or worked on; more are refused with 503.
    pub bodies_bytes_max: usize,
    /// From a request's head to its answer; later is 503.
    pub answer_timeout: Duration,
}

/// What the API port is made of.
pub(crate) struct ApiParts {
    /// Does what is asked for.
    pub services: Arc<dyn Services>,
    /// Who may ask for what.
    pub keys: Arc<ApiKeys>,
    /// Bounds.
    pub limits: ApiLimits,
    /// Where requests are counted.
    pub stats: Arc<ApiStats>,
}

/// What all requests share.
struct Shared {
    services: Arc<dyn Services>,
    keys: Arc<ApiKeys>,
    limits: ApiLimits,
    stats: Arc<ApiStats>,
    slots: Arc<Semaphore>,
    body_bytes: Arc<Semaphore>,
}

/// Pages may need nothing but their own style, and nobody may frame them.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

impl ApiLimits {
    /// Smallest limit of a body: a broadcast names up to 1,000 channels.
    const BODY_BYTES_MIN: usize = 1 << 20;

    /// What follows from `limits.message_bytes`: bodies of four times as much, so that a batch is worth its while, and
    /// sixteen such bodies at once.
    pub(crate) fn for_messages(message_bytes: usize) -> Self {
        let body_bytes_max = message_bytes.saturating_mul(4).max(Self::BODY_BYTES_MIN);
        Self {
            requests_max: 256,
            data_bytes_max: message_bytes,
            body_bytes_max,
            bodies_bytes_max: body_bytes_max.saturating_mul(16).min(Semaphore::MAX_PERMITS),
            answer_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for ApiParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiParts").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The API port's HTTP application.
pub(crate) fn router(parts: ApiParts) -> Router {
    let ApiParts { services, keys, limits, stats } = parts;
    let (slots, body_bytes) = (Semaphore::new(limits.requests_max), Semaphore::new(limits.bodies_bytes_max));
    let (slots, body_bytes) = (Arc::new(slots), Arc::new(body_bytes));
    let shared = Arc::new(Shared { services, keys, limits, stats, slots, body_bytes });
    let (calls, description) = calls().split_for_parts();
    let (json, page): (Arc<str>, Arc<str>) =
        (document::to_json(&description).into(), document::to_page(&description).into());
    calls
        .route("/openapi.json", get(async move || served_json(&json)))
        .route("/docs", get(async move || served_page(&page)))
        .fallback(guard::unknown_path)
        .method_not_allowed_fallback(guard::wrong_method)
        .layer(from_fn_with_state(Arc::clone(&shared), guard::guard))
        .with_state(shared)
}

/// The calls of `/v1` with their description.
fn calls() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(document::without_calls())
        .routes(routes!(commands::publish))
        .routes(routes!(commands::broadcast))
        .routes(routes!(batch::batch))
        .routes(routes!(commands::send))
        .routes(routes!(commands::subscribe))
        .routes(routes!(commands::unsubscribe))
        .routes(routes!(commands::disconnect))
        .routes(routes!(reads::channels))
        .routes(routes!(reads::channel))
        .routes(routes!(reads::presence))
        .routes(routes!(reads::history))
        .routes(routes!(reads::sessions))
        .routes(routes!(reads::session))
        .routes(routes!(reads::nodes))
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
