//! What stands before every call: a place among the requests in progress, the key and its right, a deadline, a count.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tidegate_protocol::error::ErrorCode;
use tidegate_service::config::Choice;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Shared;
use super::call::{Access, Call};
use super::problem::Problem;
use super::stats::{ApiStats, Outcome};
use crate::config::api::Right;

/// Longest `Authorization` that is looked at.
const CREDENTIALS_BYTES_MAX: usize = 4096;

/// Who asks: a key that is known, without its secret.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    name: Arc<str>,
    rights: Box<[Right]>,
}

impl Caller {
    /// Whether this key may do something.
    pub(super) fn check(&self, right: Right) -> Result<(), Problem> {
        if self.rights.contains(&right) {
            return Ok(());
        }
        tracing::debug!(key = &*self.name, right = right.name(), "an API key lacks a right");
        Err(Problem::lacks(right))
    }
}

/// Every request comes through here.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let call = Call::of_path(path.map(MatchedPath::as_str));
    let mut counted =
        Counted { stats: &shared.stats, call, started: Instant::now(), outcome: Outcome::Abandoned };
    let mut response = match admit(&shared, call, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    counted.outcome = Outcome::of(response.status());
    tracing::debug!(call = call.row().name, status = response.status().as_u16(), "api request");
    harden(response.headers_mut());
    response
}

async fn admit(shared: &Shared, call: Call, mut request: Request, next: Next) -> Result<Response, Problem> {
    let slot = Arc::clone(&shared.slots)
        .try_acquire_owned()
        .map_err(|_| Problem::unavailable("as many requests as may be are in progress"))?;
    match call.row().access {
        Access::Open => {}
        Access::AnyKey => {
            let caller = authenticate(shared, request.headers())?;
            request.extensions_mut().insert(caller);
        }
        Access::Key(right) => authenticate(shared, request.headers())?.check(right)?,
    }
    let deadline = shared.limits.answer_timeout;
    let response = timeout(deadline, next.run(request)).await.map_err(|_elapsed| {
        Problem::unavailable(format!(
            "no answer within {} s; what was asked for may have been done",
            deadline.as_secs()
        ))
    })?;
    Ok(response.map(|body| Body::new(Occupying { body, _slot: slot })))
}

/// Finds the key of `Authorization: Bearer KEY` (RFC 6750, section 2.1). The scheme has no case (RFC 9110, section 11.1).
fn authenticate(shared: &Shared, headers: &HeaderMap) -> Result<Caller, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Problem::no_key()) };
    let credentials = value.to_str().ok().filter(|text| text.len() <= CREDENTIALS_BYTES_MAX);
    let Some((scheme, secret)) = credentials.and_then(|text| text.split_once(' ')) else {
        return Err(Problem::no_key());
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::no_key());
    }
    let key = shared.keys.find(secret.trim()).ok_or_else(Problem::unknown_key)?;
    Ok(Caller { name: key.name().into(), rights: key.grant().clone() })
}

/// Answers hold what nobody else may see or keep, and are never pages.
fn harden(headers: &mut HeaderMap) {
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// 404 for whatever is no call.
pub(super) async fn unknown_path(uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(200).collect();
    Problem::not_found(format!("there is no call at {shown}; GET /docs shows what there is"))
}

/// 405; axum adds `Allow`.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(200).collect();
    let detail = format!("{shown} does not take {method}: see Allow, and GET /docs");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadRequest, detail)
}

/// Counts a request at its end, however it comes.
struct Counted<'s> {
    stats: &'s ApiStats,
    call: Call,
    started: Instant,
    outcome: Outcome,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.stats.count(self.call, self.outcome, self.started.elapsed());
    }
}

/// An answer that keeps its place among the requests in progress until it is written: so the places bound the memory
/// that answers take, too.
struct Occupying {
    body: Body,
    _slot: OwnedSemaphorePermit,
}

impl HttpBody for Occupying {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
