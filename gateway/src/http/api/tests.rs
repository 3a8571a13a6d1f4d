//! The server API over real sockets, in front of a node whose answers the tests know.

mod bounds;
mod commands;
mod described;
mod fake;
mod lists;
mod refusals;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate_service::config::{Choice, Secret};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::config::api::{ApiKey, Right};
use fake::Fake;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The key with every right; see [`keys`].
const ALL_RIGHTS: &str = "secret-key-of-all";

struct Running {
    address: SocketAddr,
    fake: Arc<Fake>,
    stats: Arc<ApiStats>,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<io::Result<()>>>,
}

struct Answer {
    status: u16,
    /// In lower case.
    head: String,
    body: String,
}

fn limits() -> ApiLimits {
    ApiLimits { answer_timeout: PATIENCE, ..ApiLimits::for_messages(1024) }
}

/// A key for each right, and one for all.
fn keys() -> ApiKeys {
    let all = ("all", Right::ALL.iter().map(|(right, _)| *right).collect());
    let keys = Right::ALL.iter().map(|&(right, name)| (name, vec![right])).chain([all]);
    let config: Vec<_> = keys
        .map(|(name, rights)| ApiKey {
            name: name.to_owned(),
            secret: Some(Secret::new(secret_of(name))),
            secret_file: None,
            rights,
        })
        .collect();
    ApiKeys::from_config(&config).unwrap()
}

fn secret_of(name: &str) -> String {
    format!("secret-key-of-{name}")
}

impl Running {
    fn start() -> Self {
        Self::with(limits())
    }

    fn with(limits: ApiLimits) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = ApiServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = server.address();
        let (fake, stats) = (Arc::<Fake>::default(), Arc::<ApiStats>::default());
        let services = Arc::clone(&fake) as Arc<dyn Services>;
        let parts = ApiParts { services, keys: Arc::new(keys()), limits, stats: Arc::clone(&stats) };
        let (stop, stopped) = oneshot::channel();
        let serving = runtime.spawn(server.run(router(parts), async { drop(stopped.await) }));
        Self { address, fake, stats, runtime, stop: Some(stop), serving: Some(serving) }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &format!("{}Content-Type: application/json\r\n", bearer(ALL_RIGHTS)), body)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &bearer(ALL_RIGHTS), "")
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn send(&self, request: &str) -> Answer {
        self.send_bytes(request.as_bytes())
    }

    fn send_bytes(&self, request: &[u8]) -> Answer {
        let mut socket = self.connect();
        socket.write_all(request).unwrap();
        receive(socket)
    }

    /// Waits for the server, which was told to stop.
    fn await_end(&mut self) {
        let serving = self.serving.take().unwrap();
        let ended = async { tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap() };
        self.runtime.block_on(ended).unwrap();
    }
}

fn receive(mut socket: TcpStream) -> Answer {
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn bearer(secret: &str) -> String {
    format!("Authorization: Bearer {secret}\r\n")
}

impl Answer {
    /// The body of an answer that is none of an error.
    #[track_caller]
    fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
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

    /// The part of the request that a 422 or 413 is about, and what it says of it.
    #[track_caller]
    fn fault(&self, status: u16, code: &str) -> (String, String) {
        let problem = self.problem(status, code);
        let text = |name: &str| problem["errors"][0][name].as_str().unwrap().to_owned();
        (text("path"), text("message"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}
