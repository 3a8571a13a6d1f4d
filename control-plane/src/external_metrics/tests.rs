//! The external metrics API over real TLS, asked as an API server's aggregator asks it.

pub(crate) mod pki;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_cluster::clock::ManualClock;
use tidegate_protocol::drain::DrainReport;
use tidegate_service::metrics::{BuildInfo, Metrics, TextFormat};
use tokio::runtime::Runtime;

use self::pki::{Authority, Issued};
use super::*;
use crate::model::{Millis, NodeHealth};

const PATIENCE: Duration = Duration::from_secs(30);
const NOW: Millis = Millis::new(1_795_300_059_000);
const AUTOSCALER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
const CONNECTIONS: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/tidegate/tidegate_connections";

/// A document of these nodes, made at a time.
pub(crate) fn document<const N: usize>(at: Millis, nodes: [NodeHealth; N]) -> ClusterHealth {
    ClusterHealth { nodes: nodes.into(), ..crate::health::unknown(at) }
}

/// A gateway that serves, has a lease, and answered just now.
pub(crate) fn node(name: &str, connections: u64) -> NodeHealth {
    NodeHealth {
        name: name.into(),
        report: Some(DrainReport { node: name.into(), connections, ready: true, ..DrainReport::default() }),
        report_age_ms: Some(0),
        reachable: true,
        operation: None,
        zone: None,
        revision: None,
        started_at: Some(Millis::new(1)),
    }
}

/// Lets the autoscaler read, and remembers what it was asked.
#[derive(Default)]
struct Rules {
    asked: Mutex<Vec<String>>,
    /// While held, nobody gets an answer.
    gate: tokio::sync::RwLock<()>,
    away: std::sync::atomic::AtomicBool,
}

impl AccessReviewer for Rules {
    fn may_read<'a>(&'a self, caller: &'a Caller, namespace: &'a str, metric: &'a str) -> Deciding<'a> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(format!("{} {namespace} {metric}", caller.groups.join(",")));
            let _open = self.gate.read().await;
            if self.away.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(ReviewError("away".to_owned()));
            }
            Ok(caller.user == AUTOSCALER)
        })
    }
}

struct Running {
    address: SocketAddr,
    front: Authority,
    server: Authority,
    folder: TempDir,
    health: watch::Sender<Arc<ClusterHealth>>,
    proxies: watch::Sender<Option<Arc<FrontProxy>>>,
    clock: ManualClock,
    rules: Arc<Rules>,
    lifecycle: Lifecycle,
    metrics: Metrics,
    runtime: Runtime,
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

type Client = StreamOwned<ClientConnection, TcpStream>;

impl Running {
    fn start() -> Self {
        let running = Self::without_aggregator();
        running.trust(&running.front);
        running
    }

    /// The API server has not said yet who its aggregator is.
    fn without_aggregator() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (front, own) = (Authority::new("front"), Authority::new("own"));
        let folder = tempfile::tempdir().unwrap();
        let files = own.issue("tidegate").write_to(folder.path());
        let health = watch::Sender::new(Arc::new(document(NOW, [node("a", 100), node("b", 23)])));
        let proxies = watch::Sender::new(None);
        let clock = ManualClock::new(NOW);
        let (rules, lifecycle) = (Arc::<Rules>::default(), Lifecycle::new());
        let mut metrics = Metrics::new(&BuildInfo { program: "test", version: "1" });
        let parts = ExternalMetricsParts {
            certificate: Certificate::load(files).unwrap(),
            reload_interval: Duration::from_millis(20),
            proxies: proxies.subscribe(),
            reviewer: Arc::clone(&rules) as _,
            health: health.subscribe(),
            clock: clock.clock(),
            namespace: "tidegate".to_owned(),
            selector: "app=tidegate,tier in (edge)".to_owned(),
            counts: Counts::register(&mut metrics),
            lifecycle: lifecycle.clone(),
        };
        let server = ApiServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = server.address();
        drop(runtime.spawn(serve(server, parts)));
        Self {
            address,
            front,
            server: own,
            folder,
            health,
            proxies,
            clock,
            rules,
            lifecycle,
            metrics,
            runtime,
        }
    }

    /// From now on the aggregator's authority is this one.
    fn trust(&self, authority: &Authority) {
        let proxy = FrontProxy::of_config_map(&pki::config_map(authority)).unwrap();
        self.proxies.send_replace(Some(Arc::new(proxy)));
        let aggregator = authority.issue("front-proxy-client");
        self.eventually("the aggregator to be let in", || self.connect(Some(&aggregator)).is_ok());
    }

    /// A connection that was let in: its server has looked at our certificate.
    fn connect(&self, certificate: Option<&Issued>) -> io::Result<Client> {
        let mut client = self.client(certificate);
        // With TLS 1.3 a client is through before its server has decided: only an answer says how.
        let answer = exchange(&mut client, "GET", "/nowhere", "X-Remote-User: x\r\n")?;
        assert!(matches!(answer.status, 401 | 404), "{}", answer.body);
        Ok(client)
    }

    fn client(&self, certificate: Option<&Issued>) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.certificate.clone()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match certificate {
            Some(own) => {
                config.with_client_auth_cert(vec![own.certificate.clone()], own.private_key()).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        // As Go's client, which would rather speak HTTP/2.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = "localhost".try_into().unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
    }

    fn aggregator(&self) -> Client {
        self.client(Some(&self.front.issue("front-proxy-client")))
    }

    /// As the aggregator, for the autoscaler.
    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &for_user(AUTOSCALER))
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        exchange(&mut self.aggregator(), method, path, headers).unwrap()
    }

    fn count(&self, outcome: &str) -> u64 {
        self.metric(&format!("tidegate_external_metrics_requests_total{{outcome=\"{outcome}\"}}"))
    }

    fn metric(&self, sample: &str) -> u64 {
        let text = self.metrics.encode(TextFormat::Prometheus).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{sample} in\n{text}")).parse().unwrap()
    }

    #[track_caller]
    fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
            std::thread::yield_now();
        }
    }
}

fn for_user(user: &str) -> String {
    format!(
        "X-Remote-User: {user}\r\nX-Remote-Group: system:serviceaccounts\r\nX-Remote-Group: system:authenticated\r\n"
    )
}

fn send(client: &mut Client, method: &str, path: &str, headers: &str) -> io::Result<()> {
    write!(client, "{method} {path} HTTP/1.1\r\nHost: tidegate.svc\r\n{headers}\r\n")?;
    client.flush()
}

fn receive(client: &mut Client) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    client.read_exact(&mut body)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, head, body: serde_json::from_slice(&body).unwrap() })
}

fn exchange(client: &mut Client, method: &str, path: &str, headers: &str) -> io::Result<Answer> {
    send(client, method, path, headers)?;
    receive(client)
}

impl Answer {
    /// What a refusal with this status says.
    #[track_caller]
    fn refusal(&self, status: u16, reason: &str) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.body["kind"], "Status");
        assert_eq!(
            (&self.body["code"], &self.body["reason"]),
            (&json!(status), &json!(reason)),
            "{}",
            self.body
        );
        self.body["message"].as_str().unwrap().to_owned()
    }
}

#[test]
fn an_autoscaler_reads_how_many_connections_there_are() {
    let running = Running::start();

    let answer = running.get(CONNECTIONS);

    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    let labels = json!({ "app": "tidegate", "tier": "edge" });
    let item = json!({
        "metricName": "tidegate_connections", "metricLabels": labels, "timestamp": "2026-11-21T22:27:39Z", "value": "123",
    });
    assert_eq!(answer.body["items"], json!([item]));
    assert_eq!(
        *running.rules.asked.lock().unwrap(),
        ["system:serviceaccounts,system:authenticated tidegate tidegate_connections"]
    );
    running.eventually("the request to be counted", || running.count("ok") == 1);
}

#[test]
fn the_aggregator_finds_what_is_served() {
    let running = Running::start();
    for (path, kind) in [
        ("/apis", "APIGroupList"),
        ("/apis/external.metrics.k8s.io", "APIGroup"),
        ("/apis/external.metrics.k8s.io/v1beta1", "APIResourceList"),
    ] {
        let answer = running.ask("GET", path, &for_user("system:kube-aggregator"));
        assert_eq!((answer.status, &answer.body["kind"]), (200, &json!(kind)));
    }
    assert!(running.rules.asked.lock().unwrap().is_empty(), "what is served is no secret");
    for path in ["/openapi/v2", "/openapi/v3", "/healthz", "/", "/apis/custom.metrics.k8s.io"] {
        running.get(path).refusal(404, "NotFound");
    }
    running.ask("POST", CONNECTIONS, &for_user(AUTOSCALER)).refusal(405, "MethodNotAllowed");
}

#[test]
fn labels_are_selected() {
    let running = Running::start();
    let items = |selector: &str| {
        let answer = running.get(&format!("{CONNECTIONS}?labelSelector={selector}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["items"].as_array().unwrap().len()
    };
    assert_eq!(items(""), 1);
    assert_eq!(items("app%3Dtidegate%2Ctier+in+%28edge%2Ccore%29"), 1);
    assert_eq!(items("app%3Dother"), 0);
    let message = running.get(&format!("{CONNECTIONS}?labelSelector=a%3E1")).refusal(400, "BadRequest");
    assert!(message.contains("\"a>1\" is no requirement"), "{message}");
}

#[test]
fn there_are_no_other_metrics_and_no_other_namespaces() {
    let running = Running::start();
    let message = running.get(&CONNECTIONS.replace("_connections", "_sessions")).refusal(404, "NotFound");
    assert!(message.contains("no metric tidegate_sessions in namespace tidegate"), "{message}");
    let message =
        running.get(&CONNECTIONS.replace("namespaces/tidegate", "namespaces/shop")).refusal(404, "NotFound");
    assert!(message.contains("gateways are in tidegate"), "{message}");
}

#[test]
fn a_replica_that_does_not_know_says_so_instead_of_zero() {
    let running = Running::start();
    running.health.send_replace(Arc::new(crate::health::unknown(NOW)));
    let message = running.get(CONNECTIONS).refusal(503, "ServiceUnavailable");
    assert!(message.contains("no gateway has told its connections"), "{message}");

    running.health.send_replace(Arc::new(document(NOW, [node("a", 0)])));
    assert_eq!(running.get(CONNECTIONS).body["items"][0]["value"], "0", "zero that is known");

    running.clock.advance(Duration::from_secs(16));
    let message = running.get(CONNECTIONS).refusal(503, "ServiceUnavailable");
    assert!(message.contains("has not looked at the cluster for 16 s"), "{message}");
    running.eventually("both to be counted", || running.count("unknown") == 2);
}

#[test]
fn only_who_may_read_the_metric_gets_it() {
    let running = Running::start();
    let message = running.ask("GET", CONNECTIONS, &for_user("mallory")).refusal(403, "Forbidden");
    assert!(message.starts_with("mallory may not list tidegate_connections"), "{message}");
    // Whether there is such a metric is for those who may read it.
    running
        .ask("GET", &CONNECTIONS.replace("_connections", "_x"), &for_user("mallory"))
        .refusal(403, "Forbidden");
    running.ask("GET", CONNECTIONS, "").refusal(401, "Unauthorized");

    running.rules.away.store(true, std::sync::atomic::Ordering::Relaxed);
    running.get(CONNECTIONS).refusal(503, "ServiceUnavailable");
    running.eventually("it to be counted", || running.count("unreviewed") == 1);
}

#[test]
fn only_the_aggregator_is_let_in() {
    let running = Running::start();
    let before = running.metric("tidegate_external_metrics_handshake_failures_total");
    assert!(running.connect(None).is_err(), "without a certificate");
    let forger = Authority::new("front");
    assert!(
        running.connect(Some(&forger.issue("front-proxy-client"))).is_err(),
        "with another authority's certificate"
    );
    running.eventually("both to be counted", || {
        running.metric("tidegate_external_metrics_handshake_failures_total") == before + 2
    });

    // The same authority may have signed for others: their headers are not believed.
    let mut stranger = running.client(Some(&running.front.issue("somebody")));
    let message = exchange(&mut stranger, "GET", CONNECTIONS, &for_user(AUTOSCALER)).unwrap();
    assert!(message.refusal(401, "Unauthorized").contains("certificate's name"));
}

#[test]
fn nobody_is_let_in_before_the_api_server_has_said_who_its_aggregator_is() {
    let running = Running::without_aggregator();
    let aggregator = running.front.issue("front-proxy-client");
    assert!(running.connect(Some(&aggregator)).is_err());
    running.trust(&running.front);
    assert_eq!(running.get(CONNECTIONS).status, 200);
}

#[test]
fn an_authority_that_is_exchanged_is_believed_no_more_not_even_on_its_connections() {
    let mut running = Running::start();
    let mut old = running.aggregator();
    assert_eq!(exchange(&mut old, "GET", CONNECTIONS, &for_user(AUTOSCALER)).unwrap().status, 200);

    let next = Authority::new("front, next");
    running.trust(&next);

    let answer = exchange(&mut old, "GET", CONNECTIONS, &for_user(AUTOSCALER)).unwrap();
    assert!(answer.refusal(401, "Unauthorized").contains("connect again"));
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    assert!(running.connect(Some(&running.front.issue("front-proxy-client"))).is_err());
    running.front = next;
    assert_eq!(running.get(CONNECTIONS).status, 200);
}

#[test]
fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let running = Running::start();
    let renewed = running.server.issue("tidegate");
    renewed.write_to(running.folder.path());
    let shown = || -> CertificateDer<'static> {
        let client = running.connect(Some(&running.front.issue("front-proxy-client"))).unwrap();
        client.conn.peer_certificates().unwrap()[0].clone()
    };
    running.eventually("the renewed certificate", || shown() == renewed.certificate);

    std::fs::write(running.folder.path().join("tls.crt"), "nothing").unwrap();
    running.eventually("the fault to be counted", || {
        running.metric("tidegate_external_metrics_reload_failures_total") >= 1
    });
    assert_eq!(shown(), renewed.certificate);
}

#[test]
fn a_pair_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("own");
    let files = authority.issue("tidegate").write_to(folder.path());
    let (cert, key) = (std::fs::read(&files.cert).unwrap(), std::fs::read(&files.key).unwrap());
    let other = tempfile::tempdir().unwrap();
    let other_key = std::fs::read(authority.issue("tidegate").write_to(other.path()).key).unwrap();
    for (new_cert, new_key, fault) in [
        (&b""[..], &key[..], "tls_cert_file"),
        (&key, &key, "holds no CERTIFICATE section"),
        (b"-----BEGIN CERTIFICATE-----\nx", &key, "not a valid PEM file"),
        (&cert, &cert, "holds no unencrypted PRIVATE KEY section"),
        (&cert, &other_key, "does not go with the other file"),
        (&vec![b'x'; (1 << 20) + 1], &key, "larger than 1 MiB"),
    ] {
        std::fs::write(&files.cert, new_cert).unwrap();
        std::fs::write(&files.key, new_key).unwrap();
        let error = Certificate::load(files.clone()).err().expect("a fault").to_string();
        assert!(error.contains(fault), "{error}");
    }
    std::fs::write(&files.cert, &cert).unwrap();
    std::fs::remove_file(&files.key).unwrap();
    assert!(Certificate::load(files).err().expect("a fault").to_string().contains("tls_key_file"));
}

#[test]
fn requests_beyond_the_bound_are_refused_until_one_has_ended() {
    let running = Running::start();
    let gate = running.runtime.block_on(running.rules.gate.write());
    let mut waiting: Vec<_> = (0..REQUESTS_MAX).map(|_| running.aggregator()).collect();
    for client in &mut waiting {
        send(client, "GET", CONNECTIONS, &for_user(AUTOSCALER)).unwrap();
    }
    running.eventually("all to wait", || running.rules.asked.lock().unwrap().len() == REQUESTS_MAX);

    running.get("/apis").refusal(503, "ServiceUnavailable");

    drop(gate);
    for client in &mut waiting {
        assert_eq!(receive(client).unwrap().status, 200);
    }
    assert_eq!(running.get(CONNECTIONS).status, 200);
    running.eventually("it to be counted", || running.count("busy") == 1);
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifecycle.advance(Phase::Stopped);
    }
}
