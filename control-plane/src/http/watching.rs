//! Calls that stay until something happens: `?wait=`, and streams of events (HTML, section 9.2).
//!
//! Every event is a whole document, so nothing has to be sent again to someone who comes back: `Last-Event-ID` only tells
//! whether that one is still the latest. A slow reader gets fewer events, never older ones.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tidegate_protocol::drain::OperationId;
use tidegate_service::lifecycle::{Lifecycle, Phase};
use tokio::sync::watch;
use utoipa::IntoParams;

use super::Shared;
use super::document::ReadProblems;
use super::operations::{answer, etag, no_operation};
use super::problem::Problem;
use super::request::{OperationPath, Params, in_query, known_revision};
use crate::model::{ClusterHealth, Operation, Period};

/// Longest `wait`.
pub(super) const WAIT_MAX: Period = Period::from_secs(600);

/// A stream is never silent for longer, so that both ends notice when the other is gone.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// What to wait for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitParams {
    /// Answer when it has come to what `until` says, or after this time as it is then: at most `10m`.
    #[param(value_type = Option<String>, example = "60s")]
    wait: Option<Period>,
    /// With `wait`: `terminal`, until it is over; `change`, until it is another revision than that of `If-None-Match`, or
    /// than now.
    #[param(value_type = Option<String>, default = "terminal")]
    until: Option<Until>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Until {
    #[default]
    Terminal,
    Change,
}

/// Look at an operation
///
/// With `wait` it is answered once it is over, or has changed. With `If-None-Match`, 304 where the revision is the same.
#[utoipa::path(
    get,
    path = "/v1/operations/{id}",
    operation_id = "operation",
    tag = "Operations",
    security(("token" = ["view"])),
    params(
        ("id" = String, Path, description = "The operation's id.", example = "deploy-42"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that is known."),
        WaitParams,
    ),
    responses(
        (status = 200, description = "The operation, with a step for each of its nodes.", body = Operation,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 304, description = "It is still the revision of `If-None-Match`."),
        ReadProblems,
    ),
)]
pub(super) async fn operation(
    State(shared): State<Arc<Shared>>,
    OperationPath(id): OperationPath,
    Params(params): Params<WaitParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = known_revision(&headers);
    let Some(wait) = params.wait else {
        if params.until.is_some() {
            return Err(in_query("until", "belongs to `wait`, which is missing"));
        }
        let found = shared.control.operation(id.clone()).await?.ok_or_else(|| no_operation(&id))?;
        return Ok(unless_known(&found, known));
    };
    if wait > WAIT_MAX {
        return Err(in_query("wait", format!("at most {WAIT_MAX}: ask again after that")));
    }
    let watch = watch_operation(&shared, &id).await?;
    let until = params.until.unwrap_or_default();
    let found = await_operation(watch, until, wait, known, &shared.lifecycle).await;
    Ok(unless_known(&found, known))
}

async fn await_operation(
    mut watch: watch::Receiver<Arc<Operation>>,
    until: Until,
    wait: Period,
    known: Option<u64>,
    lifecycle: &Lifecycle,
) -> Arc<Operation> {
    let known = known.unwrap_or_else(|| watch.borrow().revision);
    let is_there = |operation: &Arc<Operation>| match until {
        Until::Terminal => operation.state.is_terminal(),
        // What is over changes no more.
        Until::Change => operation.revision != known || operation.state.is_terminal(),
    };
    tokio::select! {
        // An error says that nothing more comes: the last is what there is.
        _there_or_closed = watch.wait_for(is_there) => {}
        () = tokio::time::sleep(wait.duration()) => {}
        () = lifecycle.reached(Phase::Draining) => {}
    }
    Arc::clone(&watch.borrow())
}

fn unless_known(operation: &Operation, known: Option<u64>) -> Response {
    if known == Some(operation.revision) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag(operation.revision))]).into_response();
    }
    answer(operation)
}

/// Follow an operation
///
/// A stream of events `operation`, each with the whole operation as data and its revision as id. It ends when the
/// operation is over; who comes back after that with `Last-Event-ID` gets 204.
#[utoipa::path(
    get,
    path = "/v1/operations/{id}/events",
    operation_id = "operation_events",
    tag = "Operations",
    security(("token" = ["view"])),
    params(
        ("id" = String, Path, description = "The operation's id.", example = "deploy-42"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received."),
    ),
    responses(
        (status = 200, description = "Server-sent events, and a comment every 10 s.", content_type = "text/event-stream"),
        (status = 204, description = "It is over, and `Last-Event-ID` is its last revision."),
        ReadProblems,
    ),
)]
pub(super) async fn operation_events(
    State(shared): State<Arc<Shared>>,
    OperationPath(id): OperationPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let watch = watch_operation(&shared, &id).await?;
    let last = last_event(&headers);
    let is_all_told = {
        let operation = watch.borrow();
        operation.state.is_terminal() && last == Some(operation.revision)
    };
    if is_all_told {
        // This is how an `EventSource` is told not to come back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(events(Following { watch, last, lifecycle: shared.lifecycle.clone() }))
}

/// Follow the cluster
///
/// A stream of events `health`, about one a second, each with the document of `GET /v1/cluster` as data.
#[utoipa::path(
    get,
    path = "/v1/health/events",
    operation_id = "health_events",
    tag = "Cluster",
    security(("token" = ["view"])),
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received.")),
    responses(
        (status = 200, description = "Server-sent events, and a comment after 10 s without one.",
            content_type = "text/event-stream"),
        ReadProblems,
    ),
)]
pub(super) async fn health_events(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let (watch, last) = (shared.control.watch_cluster(), last_event(&headers));
    events(Following { watch, last, lifecycle: shared.lifecycle.clone() })
}

/// Something that a stream of events can be about.
trait Told: Serialize + Send + Sync + 'static {
    /// What its events are called.
    const NAME: &'static str;

    /// Tells one state of it from the next.
    fn id(&self) -> u64;

    /// Nothing follows it.
    fn is_last(&self) -> bool;
}

impl Told for Operation {
    const NAME: &'static str = "operation";

    fn id(&self) -> u64 {
        self.revision
    }

    fn is_last(&self) -> bool {
        self.state.is_terminal()
    }
}

impl Told for ClusterHealth {
    const NAME: &'static str = "health";

    fn id(&self) -> u64 {
        self.at.count()
    }

    fn is_last(&self) -> bool {
        false
    }
}

/// Where a stream of events is.
struct Following<T> {
    watch: watch::Receiver<Arc<T>>,
    /// The event that the reader has.
    last: Option<u64>,
    lifecycle: Lifecycle,
}

fn events<T: Told>(following: Following<T>) -> Response {
    let stream = stream::unfold(following, async |mut following| {
        let event = following.next().await?;
        Some((Ok::<_, Infallible>(event), following))
    });
    // Proxies such as nginx would collect a stream otherwise.
    let headers = [("x-accel-buffering", "no")];
    (headers, Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT_INTERVAL))).into_response()
}

impl<T: Told> Following<T> {
    /// The next event; `None`: the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let latest = Arc::clone(&self.watch.borrow_and_update());
            if self.last != Some(latest.id()) {
                self.last = Some(latest.id());
                let data = serde_json::to_string(&*latest).expect("documents have text for keys");
                return Some(Event::default().id(latest.id().to_string()).event(T::NAME).data(data));
            }
            if latest.is_last() {
                return None;
            }
            tokio::select! {
                changed = self.watch.changed() => changed.ok()?,
                () = self.lifecycle.reached(Phase::Draining) => return None,
            }
        }
    }
}

async fn watch_operation(
    shared: &Shared,
    id: &OperationId,
) -> Result<watch::Receiver<Arc<Operation>>, Problem> {
    shared.control.watch_operation(id.clone()).await?.ok_or_else(|| no_operation(id))
}

/// What is no id of ours is as none: then the latest state is sent.
fn last_event(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}
