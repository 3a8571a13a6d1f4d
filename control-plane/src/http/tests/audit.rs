//! The audit: a line for every change that was asked for, and none for looking.

use std::sync::Mutex;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// Collects the lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Sends requests one after the other; gives the lines of the audit without time and words.
fn audited(requests: Vec<Request<Body>>) -> Vec<Value> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines.clone()).finish();
    // While there is one subscriber alone, tracing asks that of the thread which comes by a line first, and a test beside
    // this one has none: the line would be off for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut metrics = Metrics::new(&BuildInfo { program: "test", version: "1" });
    let shared = Arc::new(Shared::new(ApiParts {
        control: Arc::new(Fake::new()),
        authenticator: Authenticator::new(&auth(), None).unwrap(),
        limits: ApiLimits::default(),
        metrics: ApiMetrics::register(&mut metrics),
        lifecycle: Lifecycle::new(),
    }));
    tracing::subscriber::with_default(subscriber, || {
        for mut request in requests {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 7], 4711))));
            runtime.block_on(router(&shared).oneshot(request)).unwrap();
        }
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut audit: Vec<_> = lines.filter(|line| line["target"] == "audit").collect();
    for line in &mut audit {
        let line = line.as_object_mut().unwrap();
        for name in ["timestamp", "level", "target", "message"] {
            line.remove(name);
        }
    }
    audit
}

fn request(who: &str, method: &str, path: &str, body: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", token_of(who)))
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

#[test]
fn every_change_leaves_a_line_that_says_who_what_why_and_what_came_of_it() {
    let rollout = r#"{"kind":"rollout","reason":"version 1.4"}"#;
    let lines = audited(vec![
        request("otto", "PUT", "/v1/operations/r-1", rollout),
        request("otto", "PUT", "/v1/operations/r-1", r#"{"kind":"rollout"}"#),
        request("otto", "POST", "/v1/operations/r-1:pause?reason=lunch", ""),
        request("vera", "POST", "/v1/operations/r-1:abort", ""),
        request("otto", "POST", "/v1/nodes/gw-1:cordon", ""),
        request("nobody", "PATCH", "/v1/operations/r-1", "{}"),
        request("vera", "GET", "/v1/operations/r-1", ""),
        request("vera", "POST", "/v1/operations:plan", rollout),
    ]);

    let from = "10.0.0.7:4711";
    let otto = |what: &str, subject: &str, rest: Value| {
        let mut line =
            json!({ "who": "otto", "role": "operate", "what": what, "subject": subject, "from": from });
        line.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        line
    };
    assert_eq!(
        lines,
        [
            otto(
                "put_operation",
                "r-1",
                json!({ "reason": "version 1.4", "result": "created", "status": 201 })
            ),
            otto("put_operation", "r-1", json!({ "result": "refused", "status": 409, "code": "id_reused" })),
            otto("pause", "r-1", json!({ "reason": "lunch", "result": "done", "status": 200 })),
            json!({ "who": "vera", "role": "view", "what": "abort", "subject": "r-1", "from": from, "result": "denied", "status": 403,
                "code": "forbidden" }),
            otto("cordon_node", "gw-1", json!({ "result": "done", "status": 200 })),
            json!({ "who": "", "what": "change_operation", "subject": "r-1", "from": from, "result": "denied", "status": 401,
                "code": "unauthorized" }),
        ]
    );
}
