//! What stands before every call: the caller and its role, a place among the requests, a deadline, a count, the audit.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Shared;
use super::audit::{Ended, Notes};
use super::auth::Caller;
use super::call::{Access, Call};
use super::metrics::{ApiMetrics, Bound, Outcome, WatcherKind, Watching};
use super::problem::{Problem, ProblemCode};

/// Longest part of a path that is quoted to callers.
const SHOWN_CHARS_MAX: usize = 200;

/// Every request comes through here.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let call = Call::of(request.method(), route.map(MatchedPath::as_str), request.uri().path());
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let from = from.map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |ConnectInfo(from)| *from);
    let notes = Notes::about(call.subject(request.uri().path()));
    request.extensions_mut().insert(notes.clone());
    request.extensions_mut().insert(call);
    let stay = Stay::of(call, request.uri());
    let mut account = Account {
        metrics: &shared.metrics,
        call,
        stay,
        from,
        notes,
        started: Instant::now(),
        caller: None,
        end: None,
    };
    let mut response = match admit(&shared, &mut account, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    account.end = Some((response.status(), response.extensions().get::<ProblemCode>().cloned()));
    if let Some(caller) = &account.caller {
        let role = HeaderValue::try_from(caller.role.to_string()).expect("roles are plain words");
        response.headers_mut().insert("tidegate-role", role);
    }
    harden(response.headers_mut());
    response
}

async fn admit(
    shared: &Shared,
    account: &mut Account<'_>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let place = shared.place(account.stay)?;
    if let Access::Needs(role) = account.call.row().access {
        let caller = shared.authenticator.identify(request.headers(), account.from, &shared.metrics).await?;
        let caller = account.caller.insert(caller);
        caller.check(role)?;
        request.extensions_mut().insert(caller.clone());
    }
    let response = match account.stay {
        Stay::Watching(_) => next.run(request).await,
        Stay::Brief => {
            let deadline = shared.limits.answer_timeout;
            timeout(deadline, next.run(request)).await.map_err(|_elapsed| {
                Problem::unavailable(format!(
                    "no answer within {} s; what was asked for may have been done: look, then try again",
                    deadline.as_secs()
                ))
            })?
        }
    };
    Ok(response.map(|body| Body::new(Occupying { body, _place: place })))
}

/// How long a request stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stay {
    /// Until it is answered.
    Brief,
    /// As long as there may be something to tell.
    Watching(WatcherKind),
}

impl Stay {
    fn of(call: Call, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default().as_bytes();
        match call {
            Call::OperationEvents => Self::Watching(WatcherKind::OperationEvents),
            Call::HealthEvents => Self::Watching(WatcherKind::HealthEvents),
            Call::Operation if form_urlencoded::parse(query).any(|(name, _)| name == "wait") => {
                Self::Watching(WatcherKind::Wait)
            }
            _ => Self::Brief,
        }
    }
}

/// A place among the requests in progress, or among those that watch.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    _watching: Option<Watching>,
}

impl Shared {
    fn place(&self, stay: Stay) -> Result<Place, Problem> {
        let (places, bound, detail) = match stay {
            Stay::Brief => {
                (&self.requests, Bound::Requests, "as many requests as may be are in progress: try again")
            }
            Stay::Watching(_) => (
                &self.watchers,
                Bound::Watchers,
                "as many callers as may be are waiting: ask without `wait`, or later",
            ),
        };
        let permit = Arc::clone(places).try_acquire_owned().map_err(|_| {
            self.metrics.count_refused(bound);
            Problem::unavailable(detail)
        })?;
        let watching = match stay {
            Stay::Brief => None,
            Stay::Watching(kind) => Some(self.metrics.watcher(kind)),
        };
        Ok(Place { _permit: permit, _watching: watching })
    }
}

/// Counts a request and writes its line of the audit at its end, however it comes.
struct Account<'s> {
    metrics: &'s ApiMetrics,
    call: Call,
    stay: Stay,
    from: SocketAddr,
    notes: Notes,
    started: Instant,
    caller: Option<Caller>,
    /// `None`: the caller left before there was an answer.
    end: Option<(StatusCode, Option<ProblemCode>)>,
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        let status = self.end.as_ref().map_or(0, |(status, _)| status.as_u16());
        let outcome = if status == 0 { Outcome::Abandoned } else { Outcome::of_status(status) };
        self.metrics.count_request(self.call, outcome);
        if self.stay == Stay::Brief {
            self.metrics.time_request(self.call, self.started.elapsed());
        }
        tracing::debug!(call = self.call.row().name, status, "api request");
        let code = self.end.as_ref().and_then(|(_, code)| code.as_ref()).map(ProblemCode::as_str);
        self.notes.write(self.call, self.caller.as_ref(), self.from, Ended { status, code });
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::no_token)
    }
}

/// Answers hold what nobody else may see or keep, and are never taken for pages.
fn harden(headers: &mut HeaderMap) {
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// 404 for whatever is no call.
pub(super) async fn unknown_path(uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(SHOWN_CHARS_MAX).collect();
    Problem::not_found(format!("there is no call at {shown}; GET /docs shows what there is"))
}

/// 405; axum adds `Allow`.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(SHOWN_CHARS_MAX).collect();
    let detail = format!("{shown} does not take {method}: see Allow, and GET /docs");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "bad_request", detail)
}

/// An answer that keeps its place until it is written: so the places bound the memory that answers take, too.
struct Occupying {
    body: Body,
    _place: Place,
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
