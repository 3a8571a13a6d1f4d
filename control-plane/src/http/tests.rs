//! The API over real sockets, in front of a coordinator whose answers the tests know.

mod audit;
mod bounds;
mod described;
mod fake;
mod operations;
mod refusals;
mod roles;
mod watching;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate_service::config::Secret;
use tidegate_service::metrics::{BuildInfo, Metrics, TextFormat};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::*;
pub(crate) use fake::Fake;

/// How long a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An API that answers.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) fake: Arc<Fake>,
    pub(crate) lifecycle: Lifecycle,
    metrics: Metrics,
    runtime: Runtime,
    serving: Option<JoinHandle<io::Result<()>>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A token for each role.
fn auth() -> Auth {
    let token = |name: &str, role| AuthToken {
        name: name.to_owned(),
        role,
        token: Some(Secret::new(token_of(name))),
        token_file: None,
    };
    let tokens = vec![token("vera", Role::View), token("otto", Role::Operate), token("ada", Role::Admin)];
    Auth { anonymous_view: false, tokens, subjects: Vec::new() }
}

pub(crate) fn token_of(name: &str) -> String {
    format!("token-of-{name}-0123456789")
}

fn bearer(name: &str) -> String {
    format!("Authorization: Bearer {}\r\n", token_of(name))
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::with(ApiLimits::default(), &auth(), None)
    }

    fn limited(limits: ApiLimits) -> Self {
        Self::with(limits, &auth(), None)
    }

    fn with(limits: ApiLimits, auth: &Auth, reviewer: Option<Arc<dyn TokenReviewer>>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = ApiServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = server.address();
        let (fake, lifecycle) = (Arc::new(Fake::new()), Lifecycle::new());
        lifecycle.advance(Phase::Serving);
        let mut metrics = Metrics::new(&BuildInfo { program: "test", version: "1" });
        let parts = ApiParts {
            control: Arc::clone(&fake) as Arc<dyn Control>,
            authenticator: Authenticator::new(auth, reviewer).unwrap(),
            limits,
            metrics: ApiMetrics::register(&mut metrics),
            lifecycle: lifecycle.clone(),
        };
        let serving = Some(runtime.spawn(serve(server, parts)));
        Self { address, fake, lifecycle, metrics, runtime, serving }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// As someone who may do everything.
    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &bearer("ada"), "")
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.json("POST", path, "", body)
    }

    fn put(&self, path: &str, body: &str) -> Answer {
        self.json("PUT", path, "", body)
    }

    fn json(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let headers = format!("{}Content-Type: application/json\r\n{headers}", bearer("ada"));
        self.ask(method, path, &headers, body)
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn send(&self, request: &str) -> Answer {
        let mut socket = self.connect();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let lines = head.split("\r\n").map(|line| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}\r\n", name.to_ascii_lowercase()),
            None => format!("{line}\r\n"),
        });
        Answer { status, head: lines.collect(), body: body.to_owned() }
    }

    /// Opens a stream of events.
    fn follow(&self, path: &str, headers: &str) -> Events {
        let mut socket = self.connect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{}{headers}\r\n", bearer("vera"));
        socket.write_all(head.as_bytes()).unwrap();
        let mut lines = BufReader::new(socket);
        let mut status = String::new();
        lines.read_line(&mut status).unwrap();
        Events { status: status.split(' ').nth(1).unwrap().parse().unwrap(), lines }
    }

    fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.metrics.encode(TextFormat::Prometheus).unwrap();
        text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until a metric has a value: requests are accounted for right after their answer.
    #[track_caller]
    fn await_metric(&self, sample: &str, value: f64) {
        let start = std::time::Instant::now();
        while self.metric(sample) != Some(value) {
            assert!(start.elapsed() < PATIENCE, "{sample}: {:?}", self.metric(sample));
            std::thread::yield_now();
        }
    }

    /// Tells the process to stop and waits for the API.
    fn stop(&mut self) {
        self.lifecycle.advance(Phase::Stopped);
        if let Some(serving) = self.serving.take() {
            let ended = async { tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap() };
            self.runtime.block_on(ended).unwrap();
        }
    }
}

/// A stream of events that is read.
struct Events {
    status: u16,
    lines: BufReader<TcpStream>,
}

impl Events {
    /// The next event's name, id and data; `None` at the end of the stream.
    fn next(&mut self) -> Option<(String, String, Value)> {
        let (mut name, mut id) = (String::new(), String::new());
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            } else if let Some(text) = line.strip_prefix("id: ") {
                text.clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("data: ") {
                return Some((name, id, serde_json::from_str(text).unwrap()));
            } else if line == "0" {
                // The last chunk.
                return None;
            }
        }
    }
}

impl Answer {
    /// The body of an answer with this status.
    #[track_caller]
    fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        serde_json::from_str(&self.body).unwrap()
    }

    /// The body of a refusal with this status and code.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
        problem
    }

    /// The part of the request that a 422 is about, and what it says of it.
    #[track_caller]
    fn fault(&self) -> (String, String) {
        let problem = self.problem(422, "bad_request");
        let text = |name: &str| problem["errors"][0][name].as_str().unwrap().to_owned();
        (text("path"), text("message"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}
