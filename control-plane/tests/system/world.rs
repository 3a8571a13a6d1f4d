//! A cluster with its control plane, and clients that move when they are told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tidegate_testkit::{
    Builder, Cluster, ControlPlane, ControlPlaneBuilder, Gateway, HttpResponse, NativeClient, until,
};

/// The token of someone who may do everything.
const TOKEN: &str = "0123456789abcdef";

/// Gateways and replicas on the same servers.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) replicas: Vec<ControlPlane>,
    configured: fn(ControlPlaneBuilder) -> ControlPlaneBuilder,
}

/// A session with its connection, which is on the node with this number.
pub(crate) struct Client {
    connection: NativeClient,
    connected: Value,
}

impl World {
    /// Starts so many of each.
    #[track_caller]
    pub(crate) fn of(nodes: usize, replicas: usize) -> Self {
        Self::with(nodes, replicas, |builder| builder)
    }

    /// The same, with replicas that are told more.
    #[track_caller]
    pub(crate) fn with(
        nodes: usize,
        replicas: usize,
        configured: fn(ControlPlaneBuilder) -> ControlPlaneBuilder,
    ) -> Self {
        let mut world = Self { cluster: Cluster::of(nodes, gateway), replicas: Vec::new(), configured };
        for _ in 0..replicas {
            world.join();
        }
        until("every replica to see every node and a leader", || {
            let sees_all = |replica| {
                let health = world.health(replica);
                health["nodesReady"] == json!(nodes) && health["leader"]["name"].is_string()
            };
            (0..replicas).all(sees_all).then_some(())
        });
        world
    }

    /// Starts one more replica.
    #[track_caller]
    pub(crate) fn join(&mut self) {
        let builder = replica()
            .set("node.name", &format!("cp-{}", self.replicas.len()))
            .set("store.url", &self.cluster.redis.url())
            .set("bus.url", &self.cluster.nats.url());
        self.replicas.push((self.configured)(builder).start());
    }

    /// The health document as a replica has it.
    #[track_caller]
    pub(crate) fn health(&self, replica: usize) -> Value {
        body(&self.call(replica, "GET", "/v1/cluster", &json!(null)))
    }

    /// Number and epoch of the leader, as a replica knows it.
    #[track_caller]
    pub(crate) fn leader(&self, asked: usize) -> (usize, u64) {
        until("a leader", || {
            let leader = &self.health(asked)["leader"];
            let number = leader["name"].as_str()?.strip_prefix("cp-")?.parse().ok()?;
            Some((number, leader["epoch"].as_u64()?))
        })
    }

    /// Any call with the token.
    #[track_caller]
    pub(crate) fn call(&self, replica: usize, method: &str, target: &str, body: &Value) -> HttpResponse {
        let authorization = format!("Bearer {TOKEN}");
        let headers = [("authorization", &*authorization), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.replicas[replica].api_call(method, target, &headers, &body)
    }

    /// Begins an operation that is granted.
    #[track_caller]
    pub(crate) fn begin(&self, replica: usize, id: &str, spec: &Value) {
        let answer = self.call(replica, "PUT", &format!("/v1/operations/{id}"), spec);
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Tells an operation something it can do.
    #[track_caller]
    pub(crate) fn tell(&self, replica: usize, id: &str, command: &str) {
        let answer = self.call(replica, "POST", &format!("/v1/operations/{id}:{command}"), &json!(null));
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Waits until a replica shows an operation as `wanted`.
    #[track_caller]
    pub(crate) fn await_operation(
        &self,
        replica: usize,
        id: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        until(&format!("{id} to {what}"), || {
            let answer = self.call(replica, "GET", &format!("/v1/operations/{id}"), &json!(null));
            (answer.status == 200).then(|| body(&answer)).filter(|operation| wanted(operation))
        })
    }

    /// Waits until an operation is in this state.
    #[track_caller]
    pub(crate) fn await_state(&self, replica: usize, id: &str, state: &str) -> Value {
        self.await_operation(replica, id, &format!("be {state}"), |operation| operation["state"] == state)
    }

    /// So many sessions on a node.
    #[track_caller]
    pub(crate) fn clients(&self, node: usize, count: usize) -> Vec<Client> {
        (0..count).map(|_| Client::connect(&self.cluster[node], &json!({}))).collect()
    }

    /// What a node says of its drain.
    #[track_caller]
    pub(crate) fn report(&self, node: usize) -> Value {
        body(&self.cluster[node].admin_get("/drain"))
    }

    /// Waits until a node is in this phase.
    #[track_caller]
    pub(crate) fn await_phase(&self, node: usize, phase: &str) -> Value {
        until(&format!("node {node} to be {phase}"), || {
            Some(self.report(node)).filter(|report| report["phase"] == phase)
        })
    }
}

impl Client {
    #[track_caller]
    fn connect(gateway: &Gateway, command: &Value) -> Self {
        let socket = gateway.request("/ws").subprotocols(&["tidegate.v1.json"]).open();
        let mut connection = NativeClient::new(socket);
        let connected = connection.ask("connect", command.clone());
        Self { connection, connected }
    }

    /// Waits to be told to leave, and comes back on another node with its session.
    #[track_caller]
    pub(crate) fn move_to(mut self, gateway: &Gateway) -> Self {
        self.connection.expect("reconnect");
        let command = json!({ "session": self.connected["session"], "resume": self.connected["resume"] });
        self.connection.cut();
        let back = Self::connect(gateway, &command);
        assert_eq!(back.connected["resumed"], true, "{}", back.connected);
        back
    }

    /// Nobody tells it anything, and its connection works.
    #[track_caller]
    pub(crate) fn is_left_alone(&mut self) -> bool {
        self.connection.hears_nothing()
    }
}

/// A drain of some nodes without the time that balancers need.
pub(crate) fn drain(nodes: &[usize], more: &Value) -> Value {
    let pods: Vec<_> = nodes.iter().map(|number| Cluster::name(*number)).collect();
    let mut spec = json!({ "kind": "drain", "targets": { "pods": pods }, "lbPropagation": 0 });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

/// The document of an answer.
#[track_caller]
pub(crate) fn body(answer: &HttpResponse) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// A replica with a token.
pub(crate) fn replica() -> ControlPlaneBuilder {
    ControlPlane::builder(env!("CARGO_BIN_EXE_tidegate-control-plane"))
        .config(&format!("[[auth.tokens]]\nname = \"ann\"\nrole = \"admin\"\ntoken = \"{TOKEN}\""))
        .set("election.lease", "3s")
        .set("election.renew", "500ms")
        // That the machine of the tests is busy is no reason to move clients slower.
        .set("budget.handshake_p99", "60s")
}

/// Anonymous clients who may take as long as they like to leave.
fn gateway() -> Builder {
    Gateway::builder(gateway_binary())
        .set("auth.anonymous", "true")
        .set("node.lease", "3s")
        .set("drain.leave_grace", "60s")
}

/// `GATEWAY_BINARY`, else the one that lies beside the control plane's; built if there is none.
fn gateway_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(binary) = std::env::var_os("GATEWAY_BINARY") {
            return binary.into();
        }
        let binary =
            Path::new(env!("CARGO_BIN_EXE_tidegate-control-plane")).with_file_name("tidegate-gateway");
        if !binary.exists() {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--package", "tidegate-gateway"])
                .status();
            assert!(built.is_ok_and(|status| status.success()), "the gateway cannot be built");
        }
        binary
    })
}
