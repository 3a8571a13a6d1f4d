//! The demo page: a small chat on the native dialect, embedded in the program.
//!
//! Place in the data path: `router.rs` looks here for what no upgrade path takes, where `client.demo_page` is on. The client
//! that the page loads is the bundle of `clients/js` (`make bundle`), so that cargo needs no Node.js.

use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};

/// One file of the page.
#[derive(Debug)]
pub(super) struct Asset {
    path: &'static str,
    media_type: &'static str,
    pub(super) text: &'static str,
}

const ASSETS: [Asset; 7] = [
    Asset { path: "/", media_type: "text/html; charset=utf-8", text: include_str!("demo/chat.html") },
    Asset {
        path: "/demo/chat.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("demo/chat.css"),
    },
    script("/demo/chat.js", include_str!("demo/chat.js")),
    script("/demo/line.js", include_str!("demo/line.js")),
    script("/demo/people.js", include_str!("demo/people.js")),
    script("/demo/view.js", include_str!("demo/view.js")),
    script("/demo/tidegate.min.js", include_str!("demo/tidegate.min.js")),
];

/// The page needs its own files, the icon in it, and a WebSocket to where it came from; nothing else, and nobody may frame it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// The file at a path of the client port.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

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
