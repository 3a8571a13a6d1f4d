//! The composition root: every part of a gateway, built in the order of the data path, sockets bound last.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use tidegate_cluster::Clock;
use tidegate_protocol::id::{NodeName, NodeNameError};
use tidegate_service::admin::{AdminServer, AdminThread, Shown};
use tidegate_service::lifecycle::{Exit, Lifecycle, Phase, Signals, drain_on_signal};
use tidegate_service::log::LogHandle;
use tidegate_service::metrics::{BuildInfo, Metrics};
use tidegate_service::process::{MemoryMeter, raise_descriptors};
use tidegate_service::telemetry::{self, ExportError, SpanExport};
use tidegate_service::trace::Tracer;
use tokio::runtime::{self, Runtime};
use tokio::sync::{Notify, mpsc};

use crate::admission::api_key::{ApiKeys, KeySetupError};
use crate::admission::overload::watch::watch;
use crate::broker::BrokerServices;
use crate::broker::outside::{Outside, OutsideError};
use crate::config::telemetry::export_settings;
use crate::config::{Config, Tls};
use crate::drain::http::extension;
use crate::drain::run::Task;
use crate::http::api::{ApiLimits, ApiParts, ApiServer, ApiStats, router};
use crate::http::raw_path::RawPath;
use crate::http::{HttpDeadlines, HttpServer, Pages};
use crate::hub::directory::WORKERS_MAX;
use crate::metrics::NodeCollector;
use crate::net::listener::{ListenError, SocketBuffers, bind};
use crate::net::tls::{Certificates, TlsFileError, TlsFiles, TlsReloader, TlsSetupError, server_config};
use crate::node::{self, Node, NodeError};
use crate::probe::GatewayProbe;
use crate::worker::driver::Driver;
use crate::worker::mail::Mail;

/// Plain HTTP requests in progress; more are told to come back.
const HTTP_REQUESTS_MAX: usize = 256;
/// Descriptors for everything but clients: event loops, admin port, log, files being read.
const DESCRIPTORS_RESERVED: u64 = 128;
/// How long the servers that nodes share may take to answer before the node serves without them.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long clients may at least take to answer their close frames.
const CLOSE_TIMEOUT_MIN: Duration = Duration::from_millis(500);
/// How long the servers that nodes share may take to get the last messages and writes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long workers may take to end once they were told to drop everything.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A gateway that is built and bound, and does not serve yet.
pub(crate) struct App {
    runtime: Runtime,
    parts: Parts,
}

/// Everything that serves.
struct Parts {
    node: Arc<Node>,
    memory: Option<MemoryMeter>,
    drivers: Vec<Driver>,
    http: HttpServer,
    api: (ApiServer, Router),
    reloader: Option<(TlsReloader, Duration)>,
    admin: AdminThread,
    lifecycle: Lifecycle,
    client: SocketAddr,
    admin_address: SocketAddr,
    name: String,
    export: Option<SpanExport>,
}

/// Why a gateway could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Setting(#[from] NodeError),
    #[error(transparent)]
    TlsFiles(#[from] TlsFileError),
    #[error(transparent)]
    TlsSetup(#[from] TlsSetupError),
    #[error("client.listen: {0}")]
    Listen(#[from] ListenError),
    #[error("admin.listen: cannot listen on {address}: {source}")]
    Admin { address: SocketAddr, source: io::Error },
    #[error("api.listen: cannot listen on {address}: {source}")]
    Api { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    ApiKey(#[from] KeySetupError),
    #[error(transparent)]
    Outside(#[from] OutsideError),
    #[error("node.name: {0}")]
    Name(#[from] NodeNameError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("{what}: {source}")]
    System { what: &'static str, source: io::Error },
}

impl BuildError {
    /// What whoever started the process is told.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Setting(_) | Self::TlsFiles(_) | Self::ApiKey(_) | Self::Outside(_) | Self::Name(_) => {
                Exit::Config
            }
            Self::Listen(_) => Exit::Unavailable,
            Self::Admin { source, .. } | Self::Api { source, .. } => Exit::of_bind_error(source),
            Self::Export(ExportError::Setting(_)) => Exit::Config,
            Self::TlsSetup(_) | Self::Export(ExportError::Thread(_)) | Self::System { .. } => Exit::Internal,
        }
    }
}

impl App {
    /// Builds every part.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; nothing serves then.
    pub(crate) fn build(config: &Config, log: LogHandle) -> Result<Self, BuildError> {
        let descriptors = raise_descriptors()
            .map_err(|source| BuildError::System { what: "limit of descriptors", source })?;
        let workers = worker_count(config.node.workers);
        let lifecycle = Lifecycle::new();

        let (certificates, reloader) = load_tls(&config.client.tls)?.unzip();
        let tls = certificates.clone().map(server_config).transpose()?;
        let (door, http) = HttpServer::new(pages(config), HTTP_REQUESTS_MAX, HttpDeadlines::default());
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| BuildError::System { what: "runtime", source })?;
        let memory = MemoryMeter::of_this_process();
        let memory_limit_bytes = memory.as_ref().map(MemoryMeter::limit_bytes);
        let clock = Clock::system();
        let outside = Outside::start(config, &NodeName::parse(&config.node.name)?, &clock, &runtime)?;
        let (tracer, export) = start_export(config)?;
        let parts = node::Parts {
            workers,
            tls,
            http: door,
            memory_limit_bytes,
            outside,
            clock,
            runtime: runtime.handle().clone(),
            tracer,
        };
        let node = Arc::new(Node::new(config, parts)?);
        warn_of_limits(config, descriptors.allowed, memory_limit_bytes);

        let admin = AdminServer::bind(config.admin.listen)
            .map_err(|source| BuildError::Admin { address: config.admin.listen, source })?;
        let buffers = SocketBuffers {
            send_bytes: config.limits.socket_send_bytes,
            receive_bytes: config.limits.socket_receive_bytes,
        };
        let listeners = bind(config.client.listen, workers, buffers)?;
        let built: io::Result<Vec<_>> = listeners.sockets.into_iter().map(Driver::new).collect();
        let (drivers, posts): (Vec<_>, Vec<_>) =
            built.map_err(|source| BuildError::System { what: "event loop", source })?.into_iter().unzip();
        // Just built, so nobody has filled it before.
        let _ = node.posts.set(posts);

        let api_server = ApiServer::bind(config.api.listen)
            .map_err(|source| BuildError::Api { address: config.api.listen, source })?;
        let api_keys = Arc::new(ApiKeys::from_config(&config.api.keys)?);
        let api_stats = Arc::new(ApiStats::default());
        let api = router(ApiParts {
            services: Arc::new(BrokerServices(Arc::clone(&node.broker))),
            keys: Arc::clone(&api_keys),
            limits: ApiLimits::for_messages(config.limits.message_bytes),
            stats: Arc::clone(&api_stats),
        });
        let (client, admin_address) = (listeners.address, admin.address());
        let build = BuildInfo { program: "tidegate-gateway", version: env!("CARGO_PKG_VERSION") };
        let mut metrics = Metrics::new(&build);
        let lines = log.clone();
        metrics.register_collector(Box::new(NodeCollector {
            node: Arc::clone(&node),
            api: api_stats,
            api_keys,
            certificates,
            log_lines_dropped: Box::new(move || lines.lines_dropped()),
        }));
        // Just built, so nobody has filled it before.
        let _ = node.broker.admin.set(advertised(&config.node.advertise, admin_address).into());
        let probe = Arc::new(GatewayProbe {
            node: Arc::clone(&node),
            name: config.node.name.clone(),
            client,
            admin: admin_address,
            lifecycle: lifecycle.clone(),
        });
        let shown = Shown {
            extension: extension(Arc::clone(&probe)),
            probe,
            lifecycle: lifecycle.clone(),
            metrics: Arc::new(metrics),
            log,
            build,
        };
        let admin =
            admin.start(shown).map_err(|source| BuildError::System { what: "admin thread", source })?;
        let parts = Parts {
            node,
            memory,
            drivers,
            http,
            api: (api_server, api),
            reloader: reloader.map(|reloader| (reloader, config.client.tls.reload_interval)),
            admin,
            lifecycle,
            client,
            admin_address,
            name: config.node.name.clone(),
            export,
        };
        Ok(Self { runtime, parts })
    }

    /// Serves until a signal and the drain that follows it.
    pub(crate) fn run(self) -> Exit {
        let Self { runtime, mut parts } = self;
        let lifecycle = parts.lifecycle.clone();
        let export = parts.export.take();
        let admin = runtime.block_on(parts.serve());
        lifecycle.advance(Phase::Stopped);
        // Spans that ended in the drain are sent too; a collector that does not answer is not waited for long.
        drop(export);
        match admin {
            Ok((exit, admin)) => {
                // Its thread ends by itself; if it panicked, the log has said so.
                let _ = admin.join();
                exit
            }
            Err(error) => {
                tracing::error!(%error, "the gateway could not be started");
                Exit::Internal
            }
        }
    }
}

impl Parts {
    async fn serve(self) -> io::Result<(Exit, AdminThread)> {
        let mut signals = Signals::install()?;
        // A node without a lease takes clients whom nobody finds.
        self.node.broker.outside.settle(SETTLE_TIMEOUT).await;
        self.node.broker.warn_of_small_bus(self.node.limits.message_bytes);
        self.node.broker.announce(u32::try_from(self.node.limits.connections).unwrap_or(u32::MAX), 0).await;
        let (ended, endings) = mpsc::channel(self.drivers.len());
        let workers = self.drivers.len();
        for (index, driver) in self.drivers.into_iter().enumerate() {
            start_worker(index, driver, Arc::clone(&self.node), ended.clone())?;
        }
        if let Some(keys) = self.node.clients.published_keys() {
            tokio::spawn(keys.run());
        }
        let counted = Arc::clone(&self.node);
        let connections = move || u32::try_from(counted.connections()).unwrap_or(u32::MAX);
        let capacity = u32::try_from(self.node.limits.connections).unwrap_or(u32::MAX);
        tokio::spawn(Arc::clone(&self.node.broker).run_upkeep(capacity, connections));
        let (counted, name) = (Arc::clone(&self.node), self.node.broker.node.clone());
        let lease = self.node.broker.terms.node_lease;
        tokio::spawn(
            Arc::clone(&self.node.broker.budget).run(name, lease, move || counted.open_connections()),
        );
        if self.node.broker.outside.is_shared() {
            let (broker, ingress) = (&self.node.broker, self.node.broker.outside.ingress.clone());
            tokio::spawn(Arc::clone(broker).run_ingress(ingress));
            tokio::spawn(Arc::clone(broker).run_looks());
        }
        tokio::spawn(watch(Arc::clone(&self.node), self.memory));
        // What is left are the workers' own senders: the channel ends when the last worker does.
        drop(ended);
        if let Some((reloader, interval)) = self.reloader {
            tokio::spawn(reloader.run(interval, Arc::new(Notify::new())));
        }
        let stopped = self.lifecycle.clone();
        let http = tokio::spawn(self.http.run(async move { stopped.reached(Phase::Stopped).await }));
        let (server, router) = self.api;
        let (api_address, stopped) = (server.address(), self.lifecycle.clone());
        let api = tokio::spawn(server.run(router, async move { stopped.reached(Phase::Stopped).await }));
        self.lifecycle.advance(Phase::Serving);
        tracing::info!(
            client = %self.client,
            api = %api_address,
            admin = %self.admin_address,
            node = %self.name,
            workers,
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
        let exit = tokio::select! {
            cut = drain_on_signal(&self.lifecycle, &mut signals) => return Ok((cut, self.admin)),
            exit = serve_until_drained(&self.lifecycle, &self.node, endings) => exit,
        };
        self.node.broker.finish(FLUSH_TIMEOUT).await;
        self.lifecycle.advance(Phase::Stopped);
        // Its task does not panic, and answers that are under way have their own deadline.
        let _ = (http.await, api.await);
        Ok((exit, self.admin))
    }
}

/// Runs the drain's task until it has drained the node after a signal, and lets the workers end then.
async fn serve_until_drained(
    lifecycle: &Lifecycle,
    node: &Arc<Node>,
    mut endings: mpsc::Receiver<io::Result<()>>,
) -> Exit {
    let ending = tokio::select! {
        ending = Task::new(Arc::clone(node)).run(lifecycle.clone()) => ending,
        ending = endings.recv() => {
            tracing::error!(?ending, "a worker ended by itself");
            return Exit::Internal;
        }
    };
    tell_workers(node, || Mail::Drain).await;
    let patience = ending.last_moment.saturating_duration_since(Instant::now()).max(CLOSE_TIMEOUT_MIN);
    if tokio::time::timeout(patience, all_ended(&mut endings)).await.is_err() {
        tracing::warn!(
            connections = node.connections(),
            "the time of the drain is over, dropping who is left"
        );
        tell_workers(node, || Mail::Stop).await;
        // A worker that is stuck must not keep the process from ending.
        let _ = tokio::time::timeout(STOP_TIMEOUT, all_ended(&mut endings)).await;
    }
    tracing::info!("drained");
    Exit::Clean
}

async fn all_ended(endings: &mut mpsc::Receiver<io::Result<()>>) {
    while endings.recv().await.is_some() {}
}

/// Leaves the same letter for every worker; a full mailbox is tried again, a worker that has ended is not.
async fn tell_workers(node: &Node, letter: impl Fn() -> Mail) {
    const RETRIES_MAX: usize = 100;
    for post in node.posts() {
        for _ in 0..RETRIES_MAX {
            if post.try_send(letter()).is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn start_worker(
    index: usize,
    driver: Driver,
    node: Arc<Node>,
    ended: mpsc::Sender<io::Result<()>>,
) -> io::Result<()> {
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let ending = driver.run(index, node);
        // Nobody listens any more once the process was told to end at once.
        let _ = ended.try_send(ending);
    })?;
    Ok(())
}

/// The URL by which others reach the admin port that is bound to `bound`.
fn advertised(configured: &str, bound: SocketAddr) -> String {
    if configured.contains("://") {
        return configured.to_owned();
    }
    let with_port = |host: IpAddr| format!("http://{}", SocketAddr::new(host, bound.port()));
    let own = if bound.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { bound.ip() };
    match (configured, configured.parse::<IpAddr>()) {
        ("", _) => with_port(own),
        (_, Ok(host)) => with_port(host),
        (host, _) if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            format!("http://{host}")
        }
        (host, _) => format!("http://{host}:{}", bound.port()),
    }
}

/// The configured number of workers, or one for each core this process may use.
fn worker_count(configured: usize) -> usize {
    let wanted = match configured {
        0 => thread::available_parallelism().map_or(1, usize::from),
        configured => configured,
    };
    wanted.min(WORKERS_MAX)
}

/// Tracing, where the configuration says to whom spans go.
fn start_export(config: &Config) -> Result<(Tracer, Option<SpanExport>), ExportError> {
    let Some(settings) = export_settings(config) else { return Ok((Tracer::default(), None)) };
    let (tracer, export) = telemetry::start(&settings)?;
    Ok((tracer, Some(export)))
}

fn load_tls(tls: &Tls) -> Result<Option<(Arc<Certificates>, TlsReloader)>, TlsFileError> {
    let (Some(cert_file), Some(key_file)) = (tls.cert_file.clone(), tls.key_file.clone()) else {
        return Ok(None);
    };
    TlsReloader::load(TlsFiles { cert_file, key_file }).map(Some)
}

/// Says at start which limits this process would never reach: the kernel's come first, and are less polite.
fn warn_of_limits(config: &Config, descriptors: Option<u64>, memory_bytes: Option<u64>) {
    let limits = &config.limits;
    if let Some(allowed) = descriptors.filter(|&allowed| allowed < limits.connections + DESCRIPTORS_RESERVED)
    {
        tracing::warn!(
            allowed,
            connections = limits.connections,
            "fewer descriptors are allowed than limits.connections needs: raise RLIMIT_NOFILE or lower the limit"
        );
    }
    if let Some(granted) = memory_bytes.filter(|&granted| granted < 2 * limits.pool_bytes as u64) {
        tracing::warn!(
            granted,
            pool_bytes = limits.pool_bytes,
            "limits.pool_bytes is more than half of the memory that the cgroup grants: lower it"
        );
    }
}

/// What plain HTTP finds on the client port.
fn pages(config: &Config) -> Pages {
    // A path that cannot be parsed stops the node from being built.
    let upgrade_only = config.raw.iter().filter_map(|raw| RawPath::parse(&raw.path).ok()).collect();
    Pages { demo_page: config.client.demo_page, upgrade_only }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_port_is_advertised_as_configured_or_as_it_is_bound() {
        for (configured, bound, url) in [
            ("", "0.0.0.0:9000", "http://127.0.0.1:9000"),
            ("", "10.0.0.7:9000", "http://10.0.0.7:9000"),
            ("10.1.2.3", "0.0.0.0:9000", "http://10.1.2.3:9000"),
            ("fd00::7", "[::]:9000", "http://[fd00::7]:9000"),
            ("[fd00::7]:1", "[::]:9000", "http://[fd00::7]:1"),
            ("pod-7.gateways", "0.0.0.0:9000", "http://pod-7.gateways:9000"),
            ("pod-7:9001", "0.0.0.0:9000", "http://pod-7:9001"),
            ("https://pod-7/admin", "0.0.0.0:9000", "https://pod-7/admin"),
        ] {
            assert_eq!(advertised(configured, bound.parse().unwrap()), url);
        }
    }
}
