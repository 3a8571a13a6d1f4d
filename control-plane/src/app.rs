//! The composition root: every part of a control plane, built in the order watch → index → plan → push, sockets bound last.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_cluster::Clock;
use tidegate_service::admin::{AdminServer, AdminThread, Extension, Probe, Shown};
use tidegate_service::http::ApiServer;
use tidegate_service::lifecycle::{Exit, Lifecycle, Phase, Signals, drain_on_signal};
use tidegate_service::log::LogHandle;
use tidegate_service::metrics::{BuildInfo, Metrics};
use tidegate_service::telemetry::{self, ExportError, SpanExport};
use tidegate_service::trace::Tracer;
use tokio::runtime::{self, Runtime};

use crate::config::Config;
use crate::coordinator::{Coordinator, Pods};
use crate::external_metrics::{
    self, Certificate, Counts as ExternalMetricsCounts, ExternalMetricsParts, TlsFileError, TlsFiles,
};
use crate::health;
use crate::http::{
    ApiLimits, ApiMetrics, ApiParts, Authenticator, ReviewError, Reviewed, Reviewing, TokenError,
    TokenReviewer, serve,
};
use crate::kubernetes::{ConnectError, Kubernetes};
use crate::metrics::ControlCollector;
use crate::outside::{Outside, OutsideError};
use crate::reaper::{self, ReaperCounts};

/// A loop that has not turned for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// How long requests in progress may take at the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);

/// A control plane that is built and bound, and does not act yet.
pub struct App {
    runtime: Runtime,
    parts: Parts,
}

struct Parts {
    coordinator: Arc<Coordinator>,
    outside: Outside,
    reaper: Arc<ReaperCounts>,
    reaper_interval: Duration,
    api: (ApiServer, ApiParts),
    external_metrics: Option<(ApiServer, ExternalMetricsParts)>,
    admin: AdminThread,
    lifecycle: Lifecycle,
    admin_address: SocketAddr,
    name: String,
    export: Option<SpanExport>,
}

/// Why a control plane could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A server that it shares with the gateways.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The API server.
    #[error(transparent)]
    Kubernetes(#[from] ConnectError),
    /// Whoever collects traces.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The certificate of the external metrics API.
    #[error(transparent)]
    ExternalMetricsTls(#[from] TlsFileError),
    /// Its port.
    #[error("external_metrics.listen: cannot listen on {address}: {source}")]
    ExternalMetrics {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The API port.
    #[error("api.listen: cannot listen on {address}: {source}")]
    Api {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The admin port.
    #[error("admin.listen: cannot listen on {address}: {source}")]
    Admin {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The operating system.
    #[error("{what}: {source}")]
    System {
        /// What of it.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// The control plane as the admin port sees it.
struct ControlProbe {
    coordinator: Arc<Coordinator>,
    name: String,
    api: SocketAddr,
    admin: SocketAddr,
    started: Instant,
}

/// Tokens of service accounts, for the API.
struct Reviewer(Arc<Kubernetes>);

impl BuildError {
    /// What whoever started the process is told.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Outside(_) | Self::Token(_) | Self::Kubernetes(_) | Self::ExternalMetricsTls(_) => {
                Exit::Config
            }
            Self::Api { source, .. } | Self::Admin { source, .. } | Self::ExternalMetrics { source, .. } => {
                Exit::of_bind_error(source)
            }
            Self::Export(ExportError::Setting(_)) => Exit::Config,
            Self::Export(ExportError::Thread(_)) | Self::System { .. } => Exit::Internal,
        }
    }
}

impl App {
    /// Builds every part.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; nothing is served then.
    pub fn build(config: &Config, log: LogHandle) -> Result<Self, BuildError> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| BuildError::System { what: "runtime", source })?;
        let parts = runtime.block_on(Parts::build(config, log))?;
        Ok(Self { runtime, parts })
    }

    /// Serves until a signal.
    pub fn run(self) -> Exit {
        let Self { runtime, mut parts } = self;
        let lifecycle = parts.lifecycle.clone();
        let export = parts.export.take();
        let served = runtime.block_on(parts.serve());
        lifecycle.advance(Phase::Stopped);
        // A collector that does not answer is not waited for long.
        drop(export);
        match served {
            Ok((exit, admin)) => {
                // Its thread ends by itself; if it panicked, the log has said so.
                let _ = admin.join();
                exit
            }
            Err(error) => {
                tracing::error!(%error, "the control plane could not be started");
                Exit::Internal
            }
        }
    }
}

impl Parts {
    async fn build(config: &Config, log: LogHandle) -> Result<Self, BuildError> {
        let clock = Clock::system();
        let lifecycle = Lifecycle::new();
        let outside = Outside::start(config, &clock).await?;
        let kubernetes = if config.kubernetes.enabled {
            Some(Arc::new(Kubernetes::new(&config.kubernetes, &config.node.name).await?))
        } else {
            None
        };
        let pods = kubernetes.clone().map(Pods::new);
        let (tracer, export) = match config.export() {
            Some(settings) => {
                let (tracer, export) = telemetry::start(&settings)?;
                (tracer, Some(export))
            }
            None => (Tracer::default(), None),
        };
        let coordinator = Arc::new(Coordinator::new(config, outside.clone(), pods, clock.clone(), tracer));
        let reviewer = kubernetes
            .clone()
            .filter(|_| config.kubernetes.token_review)
            .map(|kubernetes| Arc::new(Reviewer(kubernetes)) as Arc<dyn TokenReviewer>);
        let authenticator = Authenticator::new(&config.auth, reviewer)?;

        let admin = AdminServer::bind(config.admin.listen)
            .map_err(|source| BuildError::Admin { address: config.admin.listen, source })?;
        let server = ApiServer::bind(config.api.listen)
            .map_err(|source| BuildError::Api { address: config.api.listen, source })?;
        let build = BuildInfo { program: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
        let reaper = Arc::<ReaperCounts>::default();
        let mut metrics = Metrics::new(&build);
        let api_metrics = ApiMetrics::register(&mut metrics);
        let counts = ExternalMetricsCounts::register(&mut metrics);
        let external_metrics = match kubernetes {
            Some(kubernetes) => {
                external_metrics(config, kubernetes, &coordinator, (clock, counts, lifecycle.clone()))?
            }
            None => None,
        };
        let lines = log.clone();
        metrics.register_collector(Box::new(ControlCollector {
            coordinator: Arc::clone(&coordinator),
            reaper: Arc::clone(&reaper),
            log_lines_dropped: Box::new(move || lines.lines_dropped()),
        }));
        let admin_address = admin.address();
        let probe = ControlProbe {
            coordinator: Arc::clone(&coordinator),
            name: config.node.name.clone(),
            api: server.address(),
            admin: admin_address,
            started: Instant::now(),
        };
        let shown = Shown {
            probe: Arc::new(probe),
            lifecycle: lifecycle.clone(),
            metrics: Arc::new(metrics),
            log,
            build,
            extension: Extension::default(),
        };
        let admin =
            admin.start(shown).map_err(|source| BuildError::System { what: "admin thread", source })?;
        let api = ApiParts {
            control: Arc::clone(&coordinator) as _,
            authenticator,
            limits: ApiLimits::default(),
            metrics: api_metrics,
            lifecycle: lifecycle.clone(),
        };
        let name = config.node.name.clone();
        let reaper_interval = config.reaper.interval;
        Ok(Self {
            coordinator,
            outside,
            reaper,
            reaper_interval,
            api: (server, api),
            external_metrics,
            admin,
            lifecycle,
            admin_address,
            name,
            export,
        })
    }

    async fn serve(self) -> io::Result<(Exit, AdminThread)> {
        let mut signals = Signals::install()?;
        let (server, api) = self.api;
        let api_address = server.address();
        let mut api = tokio::spawn(serve(server, api));
        if let Some((server, parts)) = self.external_metrics {
            tracing::info!(external_metrics = %server.address(), "listening");
            tokio::spawn(async move {
                if let Err(error) = external_metrics::serve(server, parts).await {
                    tracing::error!(%error, "the external metrics API ended by itself");
                }
            });
        }
        let coordinator = Arc::clone(&self.coordinator);
        let acting = tokio::spawn(async move { coordinator.run().await });
        if let Some(bus) = self.outside.bus.clone() {
            let documents = self.coordinator.health();
            tokio::spawn(async move { health::publish(&bus, documents).await });
        }
        if !self.reaper_interval.is_zero() {
            let (coordinator, counts) = (Arc::clone(&self.coordinator), Arc::clone(&self.reaper));
            let interval = self.reaper_interval;
            tokio::spawn(async move { reaper::run(&coordinator, &counts, interval).await });
        }
        self.lifecycle.advance(Phase::Serving);
        tracing::info!(
            api = %api_address,
            admin = %self.admin_address,
            node = %self.name,
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
        let exit = tokio::select! {
            cut = drain_on_signal(&self.lifecycle, &mut signals) => cut,
            () = self.lifecycle.reached(Phase::Draining) => Exit::Clean,
            ended = &mut api => {
                tracing::error!(?ended, "the API ended by itself");
                return Ok((Exit::Internal, self.admin));
            }
        };
        // No order goes out any more, and another replica may begin at once.
        acting.abort();
        let _ = acting.await;
        self.coordinator.elector.resign().await;
        self.lifecycle.advance(Phase::Stopped);
        if exit == Exit::Clean {
            let _ = tokio::time::timeout(STOP_TIMEOUT, api).await;
        }
        tracing::info!("stopped");
        Ok((exit, self.admin))
    }
}

/// The external metrics API, where it is switched on: bound, and certain of its certificate.
fn external_metrics(
    config: &Config,
    kubernetes: Arc<Kubernetes>,
    coordinator: &Coordinator,
    (clock, counts, lifecycle): (Clock, ExternalMetricsCounts, Lifecycle),
) -> Result<Option<(ApiServer, ExternalMetricsParts)>, BuildError> {
    let settings = &config.external_metrics;
    let (Some(address), Some(cert), Some(key)) =
        (settings.listen, settings.tls_cert_file.clone(), settings.tls_key_file.clone())
    else {
        return Ok(None);
    };
    let certificate = Certificate::load(TlsFiles { cert, key })?;
    let server =
        ApiServer::bind(address).map_err(|source| BuildError::ExternalMetrics { address, source })?;
    let parts = ExternalMetricsParts {
        certificate,
        reload_interval: settings.reload_interval,
        proxies: kubernetes.front_proxies(),
        health: coordinator.health(),
        clock,
        namespace: kubernetes.namespace().to_owned(),
        selector: config.kubernetes.selector.clone(),
        reviewer: kubernetes,
        counts,
        lifecycle,
    };
    Ok(Some((server, parts)))
}

impl Probe for ControlProbe {
    fn live(&self) -> Result<(), String> {
        let silent = self.started.elapsed().saturating_sub(self.coordinator.turned_after());
        if silent > STUCK_AFTER {
            return Err(format!("the coordinator has not turned for {:.0} s", silent.as_secs_f64()));
        }
        Ok(())
    }

    /// A replica that cannot reach the store still answers what it knows, so only one that knows nothing is not ready.
    fn ready(&self) -> Vec<String> {
        if self.coordinator.has_read() { Vec::new() } else { vec!["the store was not read yet".to_owned()] }
    }

    fn notes(&self) -> Vec<String> {
        let health = self.coordinator.health().borrow().clone();
        health
            .complaints
            .iter()
            .map(|complaint| format!("{}: {}", complaint.code, complaint.message))
            .collect()
    }

    fn info(&self) -> Value {
        let health = self.coordinator.health().borrow().clone();
        json!({
            "node": self.name,
            "api": self.api,
            "admin": self.admin,
            "leader": health.leader,
            "nodes": health.nodes.len(),
            "operations": health.operations.len(),
        })
    }

    fn debug_connections(&self, _: usize) -> Pin<Box<dyn Future<Output = Value> + Send + '_>> {
        Box::pin(async { json!({ "total": 0, "shown": 0, "connections": [] }) })
    }
}

impl TokenReviewer for Reviewer {
    fn review<'a>(&'a self, token: &'a str) -> Reviewing<'a> {
        Box::pin(async move {
            let reviewed = self.0.review(token).await.map_err(|error| ReviewError(error.to_string()))?;
            Ok(reviewed.map(|holder| Reviewed { user: holder.user, groups: holder.groups }))
        })
    }
}
