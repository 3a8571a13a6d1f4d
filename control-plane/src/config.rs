//! The control plane's configuration tree: every section, key, default, unit and range, each written down once.
//!
//! Read once at start, before a port is bound; every other part is handed the section it needs. The doc comments are
//! the text of `docs/control-plane-configuration.md`, which a test regenerates.

#[cfg(test)]
mod reference;
mod servers;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_service::config::{Checks, Configuration, Environment, Sources};
use tidegate_service::config::{computed, section, value};
use tidegate_service::log::{Format as LogFormat, check_filter};
use tidegate_service::telemetry::{ExportSettings, Identity, Protocol, check_endpoint};
use tidegate_service::{config_section, process};

pub(crate) use self::servers::{Bus, Store};
use crate::external_metrics::config::ExternalMetrics;
use crate::http::{Auth, check_auth};
use crate::kubernetes::config::Kubernetes;
use crate::plan::{AutoRebalance, BudgetConfig, PlanConfig, SlowConfig};

config_section! {
    /// The whole configuration of a control plane.
    pub struct Config {
        /// What this replica is called.
        pub node: Node = section();
        /// The port for operations, cluster health and the dashboard.
        pub api: Api = section();
        /// The port for probes, metrics and inspection.
        pub admin: Admin = section();
        /// Who may ask for what. Without a token, and unless `anonymous_view` is set, every call is answered with 401.
        pub auth: Auth = section();
        /// Where operations are kept, and where the gateways say that they are there. The same as the gateways have.
        pub store: Store = section();
        /// How the gateways reach each other; the health document goes out over it.
        pub bus: Bus = section();
        /// How one replica becomes the leader, where there is no Kubernetes.
        pub election: Election = section();
        /// How gateways are asked and told.
        pub agents: Agents = section();
        /// How fast clients may move, over all operations and all who drain without being asked here.
        pub budget: Budget = section();
        /// Whether sessions are spread again without being asked, when nodes came.
        pub rebalance: Rebalance = section();
        /// Addresses that hold handshakes open on several nodes.
        pub slowloris: Slowloris = section();
        /// What dead nodes leave behind.
        pub reaper: Reaper = section();
        /// Operations that are over.
        pub history: History = section();
        /// Where the gateways are pods: what is watched there, and what may be changed.
        pub kubernetes: Kubernetes = section();
        /// The external metrics API of Kubernetes, by which a HorizontalPodAutoscaler follows connections. A cluster has one such
        /// server at most.
        pub external_metrics: ExternalMetrics = section();
        /// What the control plane tells about itself.
        pub telemetry: Telemetry = section();
    }
}

config_section! {
    /// What this replica is called.
    pub struct Node {
        /// Name of this replica, unique among those of its cluster.
        pub name: String = computed("`POD_NAME`, else the host name and a random tail", replica_name)
            .checked(|name: &String| check_name(name));
    }
}

config_section! {
    /// The port for operations, cluster health and the dashboard.
    pub struct Api {
        /// Address and port; port 0 takes a free one.
        pub listen: SocketAddr = value(SocketAddr::from(([0, 0, 0, 0], 8080)));
    }
}

config_section! {
    /// The port for probes, metrics and inspection. It has no authentication: keep it inside the cluster.
    pub struct Admin {
        /// Address and port; port 0 takes a free one.
        pub listen: SocketAddr = value(SocketAddr::from(([0, 0, 0, 0], 9000)));
    }
}

config_section! {
    /// How one replica becomes the leader, where there is no Kubernetes.
    pub struct Election {
        /// How long a leader that says nothing stays the leader; it steps down itself when two thirds have passed.
        pub lease: Duration = value(seconds(10)).within(seconds(1)..=seconds(300));
        /// How often the leader renews, and the others look; at most a third of `lease`. A new leader is there within the lease
        /// and this.
        pub renew: Duration = value(seconds(1)).within(milliseconds(100)..=seconds(100));
    }
}

config_section! {
    /// How gateways are asked and told.
    pub struct Agents {
        /// Admin ports of gateways that are not in the directory, as `http://10.0.0.7:9000`.
        pub urls: Vec<String> = value(Vec::new()).checked(|urls: &Vec<String>| check_urls(urls));
        /// How often every gateway is asked, and told what is wanted of it.
        pub interval: Duration = value(seconds(1)).within(milliseconds(100)..=seconds(10));
        /// How long one may take to answer.
        pub timeout: Duration = value(milliseconds(1_500)).within(milliseconds(50)..=seconds(30));
        /// Gateways that are asked at a time.
        pub parallel: usize = value(64).within(1..=1_024);
    }
}

config_section! {
    /// How fast clients may move, over all operations and all who drain without being asked here.
    pub struct Budget {
        /// Most clients sent away a second.
        pub max_rate: u32 = value(500).within(1..=1_000_000);
        /// Most sessions that were sent away and were not seen elsewhere yet.
        pub max_displaced: u64 = value(5_000).within(1..=100_000_000);
        /// How long a session counts as away if nobody sees it again.
        pub resume_timeout: Duration = value(seconds(30)).within(seconds(1)..=seconds(3_600));
        /// Gateways whose handshakes take longer (99th percentile) are busy: clients move slower then.
        pub handshake_p99: Duration = value(seconds(1)).within(milliseconds(1)..=seconds(60));
    }
}

config_section! {
    /// Addresses that hold handshakes open on several nodes.
    pub struct Slowloris {
        /// On at least so many nodes; 0: nobody is refused for it.
        pub nodes_min: u32 = value(2).within(0..=1_024);
        /// At least so many handshakes, on all nodes together.
        pub handshakes_min: u64 = value(64).within(1..=1_000_000);
        /// How long such an address is refused after it was last seen to.
        pub block_for: Duration = value(seconds(60)).within(seconds(1)..=seconds(86_400));
    }
}

config_section! {
    /// Whether sessions are spread again without being asked, when nodes came.
    pub struct Rebalance {
        /// Whether they are.
        pub automatic: bool = value(false);
        /// It begins when the fullest and the emptiest node are further apart than this share of the average …
        pub spread: f64 = value(0.1).within(0.01..=10.0);
        /// … and by at least this many sessions …
        pub sessions_min: u64 = value(20).within(1..=1_000_000);
        /// … for so long.
        pub hold: Duration = value(seconds(10)).within(Duration::ZERO..=seconds(3_600));
        /// How long it waits after the last one.
        pub cooldown: Duration = value(seconds(60)).within(Duration::ZERO..=seconds(86_400));
        /// Most sessions that one of them moves; 0: as many as it takes.
        pub max_moves: u64 = value(0).within(0..=100_000_000);
    }
}

config_section! {
    /// What dead nodes leave behind.
    pub struct Reaper {
        /// How often it is looked for. Zero: never; gateways clean up after each other then, as they find time.
        pub interval: Duration = value(seconds(5)).within(Duration::ZERO..=seconds(3_600));
    }
}

config_section! {
    /// Operations that are over.
    pub struct History {
        /// How long they are kept.
        pub keep: Duration = value(seconds(30 * 86_400)).within(seconds(60)..=seconds(3_650 * 86_400));
        /// How many are kept; the oldest go first.
        pub keep_max: usize = value(1_000).within(1..=4_000);
    }
}

config_section! {
    /// What the control plane tells about itself.
    pub struct Telemetry {
        /// Shape of log lines on standard output.
        pub log_format: LogFormat = value(LogFormat::Json);
        /// Level (`off`, `error`, `warn`, `info`, `debug`, `trace`) or filter; `PUT /log-level` on the admin port changes it
        /// while running. Lines of the target `audit` say who changed what.
        pub log_level: String = value("info".to_owned())
            .checked(|level| check_filter(level).map_err(|error| error.to_string()));
        /// Where the spans of operations are sent, as `http://collector:4317`. Not set: there are none. TLS is not spoken.
        pub otlp_endpoint: Option<String> = value(None)
            .checked(|endpoint: &Option<String>| endpoint.as_deref().map_or(Ok(()), check_endpoint));
        /// How they are sent: collectors take gRPC on port 4317, and HTTP on 4318 at `/v1/traces`, which is added.
        pub otlp_protocol: Protocol = value(Protocol::Grpc);
        /// Spans that may wait to be sent; more are lost.
        pub span_queue: usize = value(4096).within(1..=1_000_000);
        /// Name of the pod, which spans carry.
        pub pod: Option<String> = computed("`POD_NAME`", |environment| text(environment, "POD_NAME"));
        /// Kubernetes namespace of the pod, which spans carry.
        pub pod_namespace: Option<String> =
            computed("`POD_NAMESPACE`", |environment| text(environment, "POD_NAMESPACE"));
    }
}

fn text(environment: &Environment, variable: &str) -> Option<String> {
    environment.text(variable).map(str::to_owned)
}

impl Configuration for Config {
    const PROGRAM: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn settle(&mut self, _: &Sources) {}

    fn check(&self, checks: &mut Checks<'_>) {
        let ports = [
            ("api.listen", Some(self.api.listen)),
            ("admin.listen", Some(self.admin.listen)),
            ("external_metrics.listen", self.external_metrics.listen),
        ];
        let ports = ports.map(|(key, address)| (key, address.map_or(0, |address| address.port())));
        for (index, (key, port)) in ports.iter().enumerate() {
            if let Some((other, _)) = ports[..index].iter().find(|(_, taken)| *port != 0 && taken == port) {
                checks.fault(&[other, key], format!("both listen on port {port}; give each its own"));
            }
        }
        if self.election.renew * 3 > self.election.lease {
            checks.fault(
                &["election.renew", "election.lease"],
                "must be a third of the lease at most: a leader needs a second try before it steps down",
            );
        }
        servers::check(&self.store, &self.bus, checks);
        check_auth(&self.auth, checks);
        self.kubernetes.check(checks);
        self.external_metrics.check(self.kubernetes.enabled, checks);
    }
}

impl Config {
    /// How spans are exported; `None` when they are not.
    pub(crate) fn export(&self) -> Option<ExportSettings> {
        let telemetry = &self.telemetry;
        Some(ExportSettings {
            endpoint: telemetry.otlp_endpoint.clone()?,
            protocol: telemetry.otlp_protocol,
            // Operations are few: all of them are kept.
            sample_ratio: 1.0,
            queue_max: telemetry.span_queue,
            identity: Identity {
                program: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
                node: self.node.name.clone(),
                pod: telemetry.pod.clone(),
                namespace: telemetry.pod_namespace.clone(),
            },
        })
    }

    /// The part that the plan goes by.
    pub(crate) fn plan(&self) -> PlanConfig {
        let budget = &self.budget;
        PlanConfig {
            budget: BudgetConfig {
                max_rate: f64::from(budget.max_rate),
                max_displaced: budget.max_displaced,
                resume_timeout: budget.resume_timeout,
                handshake_p99: budget.handshake_p99,
            },
            rebalance: AutoRebalance {
                enabled: self.rebalance.automatic,
                spread: self.rebalance.spread,
                sessions_min: self.rebalance.sessions_min,
                hold: self.rebalance.hold,
                cooldown: self.rebalance.cooldown,
                max_moves: Some(self.rebalance.max_moves).filter(|moves| *moves > 0),
            },
            slow: SlowConfig {
                nodes_min: self.slowloris.nodes_min,
                handshakes_min: self.slowloris.handshakes_min,
                block_for: self.slowloris.block_for,
            },
            platform: self.kubernetes.platform(),
        }
    }
}

/// `POD_NAME`, else the host name with a tail that tells two replicas on one machine apart.
fn replica_name(environment: &Environment) -> String {
    if let Some(pod) = environment.text("POD_NAME") {
        return pod.to_owned();
    }
    // A kernel without randomness has process ids still, which are unique on one machine.
    let tail = getrandom::u32().unwrap_or(std::process::id());
    format!("{}-cp-{:04x}", process::host_name(), tail & 0xffff)
}

/// The name goes into log fields, metrics and the store.
fn check_name(name: &str) -> Result<(), String> {
    const NAME_BYTES_MAX: usize = 253;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(format!(
            "found {name:?}, expected 1 to {NAME_BYTES_MAX} letters, digits, hyphens, underscores and dots"
        ));
    }
    Ok(())
}

fn check_urls(urls: &[String]) -> Result<(), String> {
    match urls.iter().find(|url| !url.starts_with("http://")) {
        Some(url) => Err(format!("found {url:?}, expected http://HOST:PORT")),
        None => Ok(()),
    }
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}
