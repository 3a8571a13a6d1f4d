//! What plain HTTP requests on the client port are answered with.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::demo;
use super::raw_path::RawPath;

const UPGRADE_REQUIRED: &str = "This path speaks WebSocket: connect with ws:// or wss:// (Upgrade: websocket, Sec-WebSocket-Version: 13).\n";
const NOT_FOUND: &str = "Nothing here.\n";

/// Which paths of the client port mean something.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    /// Whether `/` is the demo page (`client.demo_page`).
    pub demo_page: bool,
    /// Paths that take an upgrade and nothing else.
    pub upgrade_only: Vec<RawPath>,
}

/// The client port's HTTP application.
///
/// The server adds `Connection: close` to each answer that has no `Connection` of its own.
pub(super) fn router(pages: Pages) -> Router {
    Router::new().fallback(answer).with_state(Arc::new(pages))
}

async fn answer(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    // Before the page: a raw route on "/" replaces it.
    if pages.upgrade_only.iter().any(|raw| raw.match_path(path).is_some()) {
        return if is_read { upgrade_required() } else { other_method(method, "GET") };
    }
    if let Some(asset) = demo::find(path).filter(|_| pages.demo_page) {
        return if is_read { asset.into_response() } else { other_method(method, "GET, HEAD") };
    }
    plain(StatusCode::NOT_FOUND, NOT_FOUND)
}

/// RFC 9110, sections 15.5.22 and 7.8: the answer names the protocol in `Upgrade`, and `Connection` names `Upgrade`. The
/// next try has to come on a connection of its own, hence `close` beside it.
fn upgrade_required() -> Response {
    let mut response = plain(StatusCode::UPGRADE_REQUIRED, UPGRADE_REQUIRED);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade, close"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// `OPTIONS` is told what is allowed; everything else that it is not.
fn other_method(method: &Method, allow: &'static str) -> Response {
    let mut response = if *method == Method::OPTIONS {
        (StatusCode::NO_CONTENT, Body::empty()).into_response()
    } else {
        plain(StatusCode::METHOD_NOT_ALLOWED, "This path takes another method: see Allow.\n")
    };
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// One line of text that no cache keeps and no browser takes for a page.
fn plain(status: StatusCode, line: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, line).into_response()
}
