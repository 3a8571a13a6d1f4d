//! The admin port over real sockets, with an application whose answers the tests set.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::lifecycle::Phase;
use crate::log;

#[derive(Default)]
struct Application {
    stuck: Mutex<Option<String>>,
    reasons: Mutex<Vec<String>>,
}

impl Probe for Application {
    fn live(&self) -> Result<(), String> {
        self.stuck.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn ready(&self) -> Vec<String> {
        self.reasons.lock().unwrap().clone()
    }

    fn info(&self) -> Value {
        json!({ "node": "here", "connections": 7 })
    }

    fn debug_connections(&self, limit: usize) -> Pin<Box<dyn Future<Output = Value> + Send + '_>> {
        Box::pin(async move { json!({ "limit": limit }) })
    }
}

struct Running {
    address: SocketAddr,
    application: Arc<Application>,
    lifecycle: Lifecycle,
    log: LogHandle,
    thread: Option<AdminThread>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Running {
    fn start() -> Self {
        let server = AdminServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = server.address();
        let build = BuildInfo { program: "test", version: "1.2.3" };
        let (application, lifecycle) = (Arc::<Application>::default(), Lifecycle::new());
        let log = log::tests::silent_handle();
        let shown = Shown {
            probe: Arc::clone(&application) as Arc<dyn Probe>,
            lifecycle: lifecycle.clone(),
            metrics: Arc::new(Metrics::new(&build)),
            log: log.clone(),
            build,
            extension: Extension {
                routes: Router::new().route("/own", axum::routing::get(async || "own\n")),
                paths: "GET /own  its own\n",
            },
        };
        let thread = Some(server.start(shown).unwrap());
        Self { address, application, lifecycle, log, thread }
    }

    fn ask(&self, request_line: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let head =
            format!("{request_line} HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.send(&(head + body))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "", "")
    }

    fn send(&self, bytes: &str) -> Answer {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(bytes.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A server that refuses before it has read everything may reset; what it said first has arrived by then.
        let _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifecycle.advance(Phase::Stopped);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn liveness_names_what_stands_still() {
    let admin = Running::start();
    assert_eq!((admin.get("/livez").status, admin.get("/livez").body.as_str()), (200, "ok\n"));

    *admin.application.stuck.lock().unwrap() = Some("worker 1 stands still".to_owned());

    let answer = admin.get("/livez");
    assert_eq!((answer.status, answer.body.as_str()), (503, "worker 1 stands still\n"));
}

#[test]
fn readiness_gives_one_reason_a_line_and_follows_the_phase_at_both_ends_only() {
    let admin = Running::start();
    *admin.application.reasons.lock().unwrap() = vec!["store is away".to_owned()];
    let answer = admin.get("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (503, "starting\nstore is away\n"));

    admin.application.reasons.lock().unwrap().clear();
    admin.lifecycle.advance(Phase::Serving);
    assert_eq!(admin.get("/readyz").status, 200);

    admin.lifecycle.advance(Phase::Draining);
    assert_eq!(
        admin.get("/readyz").status,
        200,
        "the application decides how long a drain takes new clients"
    );
}

#[test]
fn startup_is_done_once_clients_are_served_and_stays_done() {
    let admin = Running::start();
    assert_eq!(admin.get("/startupz").status, 503);

    admin.lifecycle.advance(Phase::Serving);
    assert_eq!(admin.get("/startupz").status, 200);

    admin.lifecycle.advance(Phase::Draining);
    assert_eq!(admin.get("/startupz").status, 200);
}

#[test]
fn metrics_come_in_the_format_that_was_asked_for() {
    let admin = Running::start();

    let plain = admin.get("/metrics");
    assert!(plain.head.contains("content-type: text/plain; version=0.0.4"), "{}", plain.head);
    assert!(plain.body.contains("# TYPE process_cpu_seconds_total counter\n"));

    let open = admin.ask("GET /metrics", "Accept: application/openmetrics-text\r\n", "");
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"));
}

#[test]
fn info_joins_facts_of_the_process_and_of_the_application() {
    let admin = Running::start();

    let info: Value = serde_json::from_str(&admin.get("/info").body).unwrap();

    assert_eq!(info["version"], "1.2.3");
    assert_eq!(info["pid"], std::process::id());
    assert_eq!(info["phase"], "starting");
    assert!(info["uptime_seconds"].is_u64());
    assert_eq!(info["connections"], 7);
}

#[test]
fn the_number_of_connections_shown_is_bounded() {
    let admin = Running::start();
    let limit = |path: &str| serde_json::from_str::<Value>(&admin.get(path).body).unwrap()["limit"].clone();

    assert_eq!(limit("/debug/connections"), 100);
    assert_eq!(limit("/debug/connections?limit=10000"), 10_000);
    for wrong in ["0", "10001", "many", "-1"] {
        let answer = admin.get(&format!("/debug/connections?limit={wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.body.contains("1 to 10000"), "{}", answer.body);
    }
}

#[test]
fn the_log_level_is_set_by_a_level_or_filter_and_by_nothing_else() {
    let admin = Running::start();

    let answer = admin.ask("PUT /log-level", "", "debug");
    assert_eq!((answer.status, answer.body.as_str()), (200, "debug\n"));
    assert_eq!(admin.get("/log-level").body, "debug\n");

    let refused = admin.ask("PUT /log-level", "", "debgu");
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("did you mean `debug`"), "{}", refused.body);
    assert_eq!(admin.log.level(), "debug");

    assert_eq!(admin.ask("PUT /log-level", "", &"x".repeat(1025)).status, 413);
}

#[test]
fn another_path_or_method_is_answered_with_the_list_of_paths() {
    let admin = Running::start();

    let missing = admin.get("/nope");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("GET /readyz"), "{}", missing.body);

    let wrong = admin.ask("POST /livez", "", "");
    assert_eq!(wrong.status, 405);
    assert!(wrong.head.contains("allow: get,head"), "{}", wrong.head);
    assert!(wrong.body.contains("GET /livez"), "{}", wrong.body);
}

#[test]
fn a_head_that_is_too_long_or_has_too_many_fields_is_refused() {
    let admin = Running::start();

    let long = admin.ask("GET /livez", &format!("X-Long: {}\r\n", "x".repeat(20_000)), "");
    assert_eq!(long.status, 431);

    let many = admin.ask("GET /livez", &"X: y\r\n".repeat(100), "");
    assert_eq!(many.status, 431);
}

#[test]
fn one_connection_serves_one_request() {
    let admin = Running::start();

    let answer = admin.send(&"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n".repeat(2));

    assert_eq!(answer.body, "ok\n");
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
}

#[test]
fn idle_connections_within_the_bound_do_not_keep_probes_out() {
    let admin = Running::start();
    let _idle: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(admin.address).unwrap()).collect();

    assert_eq!(admin.get("/livez").status, 200);
}

#[test]
fn an_application_adds_paths_of_its_own() {
    let admin = Running::start();
    assert_eq!((admin.get("/own").status, admin.get("/own").body.as_str()), (200, "own\n"));
    assert_eq!(admin.ask("PUT /own", "", "").status, 405);
    let missing = admin.get("/other");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("GET /own") && missing.body.contains("GET /livez"), "{}", missing.body);
}
