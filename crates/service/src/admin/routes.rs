//! The paths of the admin port and their answers.

use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Extension, Shown};
use crate::lifecycle::Phase;
use crate::metrics::TextFormat;

/// Shown to whoever asks for something else.
const PATHS: &str = "\
GET /livez              200 while every loop turns
GET /readyz             200 while new clients may come, else 503 with the reasons
GET /startupz           200 once clients are served
GET /metrics            Prometheus or OpenMetrics text
GET /info               version, addresses, phase and counts (JSON)
GET /debug/connections  connections with states and ages (JSON), ?limit=1..10000, default 100
GET /log-level          the level in force
PUT /log-level          sets it: a level such as debug, or a filter
";

const CONNECTIONS_DEFAULT: usize = 100;
const CONNECTIONS_MAX: usize = 10_000;
const BODY_BYTES_MAX: usize = 1024;

/// A request that takes longer is answered with 503.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

struct Admin {
    shown: Shown,
    started: Instant,
}

type Ask = State<Arc<Admin>>;

pub(super) fn router(shown: Shown) -> Router {
    let Extension { routes, paths: own } = shown.extension.clone();
    let admin = Arc::new(Admin { shown, started: Instant::now() });
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/startupz", get(startup))
        .route("/metrics", get(metrics))
        .route("/info", get(info))
        .route("/debug/connections", get(connections))
        .route("/log-level", get(log_level).put(set_log_level))
        .with_state(admin)
        .merge(routes)
        .fallback(async move || {
            (StatusCode::NOT_FOUND, format!("There is no such path. The paths are:\n{PATHS}{own}"))
        })
        .method_not_allowed_fallback(async move || {
            let text = format!("The path does not take this method. The paths are:\n{PATHS}{own}");
            (StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(give_up_in_time))
}

async fn give_up_in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refusal(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())),
    }
}

async fn live(State(admin): Ask) -> Response {
    match admin.shown.probe.live() {
        Ok(()) => "ok\n".into_response(),
        Err(stuck) => refusal(stuck),
    }
}

async fn ready(State(admin): Ask) -> Response {
    // While draining the application says itself how long it still takes clients: load balancers need time to learn.
    let mut reasons = match admin.shown.lifecycle.phase() {
        Phase::Serving | Phase::Draining => Vec::new(),
        phase @ (Phase::Starting | Phase::Stopped) => vec![phase.name().to_owned()],
    };
    reasons.extend(admin.shown.probe.ready());
    if !reasons.is_empty() {
        return refusal(reasons.join("\n"));
    }
    let notes = admin.shown.probe.notes();
    notes.iter().fold("ok\n".to_owned(), |page, note| page + note + "\n").into_response()
}

async fn startup(State(admin): Ask) -> Response {
    match admin.shown.lifecycle.phase() {
        phase @ Phase::Starting => refusal(phase.name().to_owned()),
        Phase::Serving | Phase::Draining | Phase::Stopped => "ok\n".into_response(),
    }
}

async fn metrics(State(admin): Ask, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = TextFormat::of_accept_header(accept);
    match admin.shown.metrics.encode(format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be written\n").into_response(),
    }
}

async fn info(State(admin): Ask) -> Json<Value> {
    let Shown { probe, lifecycle, build, log, .. } = &admin.shown;
    let mut info = json!({
        "program": build.program,
        "version": build.version,
        "pid": process::id(),
        "uptime_seconds": admin.started.elapsed().as_secs(),
        "phase": lifecycle.phase().name(),
        "log_level": log.level(),
    });
    if let (Some(info), Value::Object(own)) = (info.as_object_mut(), probe.info()) {
        info.extend(own);
    }
    Json(info)
}

#[derive(Deserialize)]
struct ConnectionsQuery {
    limit: Option<String>,
}

async fn connections(State(admin): Ask, Query(query): Query<ConnectionsQuery>) -> Response {
    let limit = query.limit.as_deref().map_or(Ok(CONNECTIONS_DEFAULT), str::parse);
    match limit {
        Ok(limit @ 1..=CONNECTIONS_MAX) => {
            Json(admin.shown.probe.debug_connections(limit).await).into_response()
        }
        Ok(_) | Err(_) => {
            let text = format!("limit must be a number from 1 to {CONNECTIONS_MAX}\n");
            (StatusCode::BAD_REQUEST, text).into_response()
        }
    }
}

async fn log_level(State(admin): Ask) -> String {
    admin.shown.log.level() + "\n"
}

async fn set_log_level(State(admin): Ask, filter: String) -> Response {
    match admin.shown.log.set_level(&filter) {
        Ok(()) => {
            let level = admin.shown.log.level();
            tracing::warn!(level, "log level changed over the admin port");
            format!("{level}\n").into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

fn refusal(text: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, text + "\n").into_response()
}
