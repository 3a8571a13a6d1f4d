//! The dashboard for operators: one page, embedded in the program.
//!
//! Place in the path: beside it. The files are the same for everyone and need no token; what the page shows and does goes
//! through the API, as a client of its own: `GET /v1/health/events` and the calls for operations.

use axum::Router;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

#[cfg(test)]
mod tests;

/// Serves the page at `/` and its parts below `/dashboard/`.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |router, asset| router.route(asset.path, get(async move || asset)))
}

/// One file of the page.
#[derive(Debug)]
struct Asset {
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

static ASSETS: [Asset; 11] = [
    Asset {
        path: "/",
        media_type: "text/html; charset=utf-8",
        text: include_str!("dashboard/dashboard.html"),
    },
    Asset {
        path: "/dashboard/dashboard.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("dashboard/dashboard.css"),
    },
    script("/dashboard/api.js", include_str!("dashboard/api.js")),
    script("/dashboard/cluster.js", include_str!("dashboard/cluster.js")),
    script("/dashboard/compose.js", include_str!("dashboard/compose.js")),
    script("/dashboard/dashboard.js", include_str!("dashboard/dashboard.js")),
    script("/dashboard/dialogs.js", include_str!("dashboard/dialogs.js")),
    script("/dashboard/nodes.js", include_str!("dashboard/nodes.js")),
    script("/dashboard/operations.js", include_str!("dashboard/operations.js")),
    script("/dashboard/stream.js", include_str!("dashboard/stream.js")),
    script("/dashboard/view.js", include_str!("dashboard/view.js")),
];

/// The page needs its own files, the icon in it, and the API where it came from; nothing else, and nobody may frame it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
);

impl IntoResponse for &'static Asset {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.media_type)),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            // The files belong together: after an upgrade none may be an older one.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        (headers, self.text).into_response()
    }
}

const fn script(path: &'static str, text: &'static str) -> Asset {
    Asset { path, media_type: "text/javascript; charset=utf-8", text }
}
