//! What all workers of a node share: settings that do not change, limits at the door, and each other's mailboxes.
//!
//! Nothing here is touched for a message: only when a connection begins or ends, a channel gets its first member on a
//! worker, or someone looks at the node.

#[cfg(test)]
pub(crate) mod testing;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rustls::ServerConfig;
use tidegate_cluster::Clock;
use tidegate_protocol::event::ClientLimits;
use tidegate_protocol::id::{NodeName, NodeNameError};
use tidegate_protocol::quota::Rate;
use tidegate_protocol::time::Millis;
use tidegate_service::config::ServerUrl;
use tidegate_service::trace::Tracer;
use tidegate_session::Policy;
use tidegate_wire::deflate;
use tidegate_wire::request::RequestLimits;
use tokio::runtime::Handle;

use crate::admission::clients::{Clients, ClientsError};
use crate::admission::cluster::ClusterBudget;
use crate::admission::origin::{AllowedOrigins, OriginPatternError};
use crate::admission::overload::{Bounds, Gate};
use crate::admission::permission::Namespaces;
use crate::admission::quota::SharedQuotas;
use crate::broker::attendance::Attendance;
use crate::broker::outside::Outside;
use crate::broker::owed::Owed;
use crate::broker::roster::Roster;
use crate::broker::tail::Tails;
use crate::broker::{Broker, BrokerStats, Terms};
use crate::config::{Config, Limits, RawMode};
use crate::drain::Drain;
use crate::http::HttpDoor;
use crate::http::raw_path::{RawPath, RawPathError};
use crate::hub::directory::Directory;
use crate::metrics::stats::WorkerStats;
use crate::net::address_limits::{AddressLimits, HandshakeRate};
use crate::net::proxy_protocol::Trusted;
use crate::spans::Spans;
use crate::worker::mail::{Post, SharedPosts};

/// A replay fits into an outbox with as much room again for what comes live meanwhile.
const REPLAY_SHARE_OF_OUTBOX: usize = 2;

/// The shared part of a node.
pub(crate) struct Node {
    pub(crate) limits: Limits,
    pub(crate) request_limits: RequestLimits,
    pub(crate) routes: Vec<Route>,
    pub(crate) origins: AllowedOrigins,
    pub(crate) compression: deflate::Policy,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) trusted: Trusted,
    pub(crate) proxy_header_required: bool,
    pub(crate) addresses: Arc<AddressLimits>,
    pub(crate) rate: Option<HandshakeRate>,
    pub(crate) gate: Gate,
    pub(crate) user_quotas: SharedQuotas<Arc<str>>,
    pub(crate) address_quotas: SharedQuotas<IpAddr>,
    pub(crate) http: HttpDoor,
    pub(crate) directory: Arc<Directory>,
    /// Path of the native dialect, if it is served.
    pub(crate) native_path: Option<String>,
    /// Query parameter of a handshake that may hold the token.
    pub(crate) query_parameter: Option<String>,
    pub(crate) session_policy: Policy,
    pub(crate) clients: Clients,
    pub(crate) broker: Arc<Broker>,
    /// Where that goes on what a worker cannot wait for.
    pub(crate) runtime: Handle,
    pub(crate) stats: Vec<Arc<WorkerStats>>,
    pub(crate) posts: SharedPosts,
    pub(crate) spans: Spans,
    pub(crate) started: Instant,
    /// The same moment in Unix time.
    pub(crate) started_unix: Millis,
    /// How it sends its clients to other nodes.
    pub(crate) drain: Drain,
}

/// What a node is made of, beside its settings.
pub(crate) struct Parts {
    pub(crate) workers: usize,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) http: HttpDoor,
    /// What the cgroup grants.
    pub(crate) memory_limit_bytes: Option<u64>,
    pub(crate) outside: Outside,
    pub(crate) clock: Clock,
    pub(crate) runtime: Handle,
    pub(crate) tracer: Tracer,
}

/// A `[[raw]]` path.
pub(crate) struct Route {
    pub(crate) path: RawPath,
    pub(crate) mode: RawMode,
    pub(crate) subprotocols: Vec<String>,
}

/// A setting that passed the configuration's own checks and still cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error("client.allowed_origins: {0}")]
    Origin(#[from] OriginPatternError),
    #[error("raw path {path:?}: {source}")]
    Path { path: String, source: RawPathError },
    #[error("node.name: {0}")]
    Name(#[from] NodeNameError),
    #[error(transparent)]
    Clients(#[from] ClientsError),
}

impl Node {
    /// Prepares the settings of `config` for the workers.
    ///
    /// # Errors
    ///
    /// [`NodeError`] names the key.
    pub(crate) fn new(config: &Config, parts: Parts) -> Result<Self, NodeError> {
        let Parts { workers, tls, http, memory_limit_bytes, outside, clock, runtime, tracer } = parts;
        let started = Instant::now();
        let started_unix = clock.now();
        let directory: Arc<Directory> = Arc::default();
        let posts = SharedPosts::default();
        let spans = Spans::new(tracer, system(config.store.url.expose()), system(config.bus.url.expose()));
        let is_shared = outside.is_store_shared();
        let broker = Broker {
            node: NodeName::parse(&config.node.name)?,
            budget: Arc::new(ClusterBudget::new(
                &config.limits.cluster,
                config.node.replicas,
                Arc::clone(&outside.budget),
            )),
            outside,
            spans: spans.clone(),
            clock,
            started_at: started_unix,
            phase: AtomicU8::default(),
            admin: OnceLock::new(),
            namespaces: Namespaces::new(&config.namespaces),
            terms: Terms {
                node_lease: config.node.lease,
                session_ttl: config.session.ttl,
                leave_grace: config.session.leave_grace,
                revocation: config.session.revocation,
                idempotency_window: config.session.idempotency_window,
                replay_bytes_max: config.limits.outbox_bytes / REPLAY_SHARE_OF_OUTBOX,
            },
            directory: Arc::clone(&directory),
            roster: Roster::default(),
            owed: Owed::new(config.store.sessions),
            attendance: Attendance::new(config.store.sessions),
            tails: Tails::default(),
            lacks_lease: AtomicBool::new(false),
            renews_again: AtomicBool::new(false),
            has_skew: AtomicBool::new(false),
            stats: BrokerStats::default(),
            posts: Arc::clone(&posts),
        };
        let compression = &config.client.compression;
        Ok(Self {
            limits: config.limits.clone(),
            request_limits: RequestLimits {
                bytes_max: config.limits.header_bytes,
                headers_max: config.limits.headers,
                target_bytes_max: config.limits.target_bytes,
            },
            routes: routes(config)?,
            origins: AllowedOrigins::parse(&config.client.allowed_origins)?,
            compression: deflate::Policy {
                enabled: compression.enabled,
                server_context_takeover: compression.server_context_takeover,
                client_context_takeover: compression.client_context_takeover,
                server_max_window_bits: compression.server_max_window_bits,
                level: compression.level,
                threshold_bytes: compression.threshold,
            },
            tls,
            trusted: Trusted::new(&config.client.proxy_protocol.trusted_cidrs),
            proxy_header_required: config.client.proxy_protocol.required,
            addresses: AddressLimits::new(config.limits.connections_per_ip),
            rate: NonZeroU32::new(config.limits.handshakes_per_second)
                .map(|rate| HandshakeRate::new(rate, started)),
            user_quotas: SharedQuotas::of_users(&config.limits.user),
            address_quotas: SharedQuotas::of_addresses(&config.limits.address),
            gate: Gate::new(Bounds::new(&config.overload, memory_limit_bytes)),
            http,
            directory,
            native_path: Some(config.client.native_path.clone()).filter(|path| !path.is_empty()),
            query_parameter: config.auth.jwt.query_parameter.clone(),
            session_policy: session_policy(config),
            clients: Clients::new(&config.auth)?,
            broker: Arc::new(broker),
            runtime,
            stats: (0..workers).map(|_| Arc::new(WorkerStats::new())).collect(),
            posts,
            spans,
            started,
            started_unix,
            drain: Drain::new(&config.drain, is_shared),
        })
    }

    /// The mailbox of each worker; none before the workers are built.
    pub(crate) fn posts(&self) -> &[Post] {
        self.posts.get().map_or(&[], Vec::as_slice)
    }

    /// The path pattern of an admitted upgrade's route, as it was configured.
    pub(crate) fn route_pattern(&self, route: u16) -> String {
        match self.routes.get(usize::from(route)) {
            Some(route) => route.path.to_string(),
            // What is no raw path is the native dialect's.
            None => self.native_path.clone().unwrap_or_default(),
        }
    }

    /// Connections of all workers in any state.
    pub(crate) fn connections(&self) -> u64 {
        self.stats.iter().map(|stats| stats.connections()).sum()
    }

    /// Connections of all workers that were answered with 101 and are not closing.
    pub(crate) fn open_connections(&self) -> u64 {
        self.stats.iter().map(|stats| stats.open_plain.get() + stats.open_tls.get()).sum()
    }
}

/// What spans call the system behind a URL.
fn system(url: &str) -> &'static str {
    match url {
        ServerUrl::MEMORY => "memory",
        redis if redis.starts_with("redis") => "redis",
        _ => "nats",
    }
}

/// What holds for every session of the native dialect.
fn session_policy(config: &Config) -> Policy {
    let (session, limits) = (&config.session, &config.limits);
    let rate = |per_second| NonZeroU32::new(per_second).map(|rate| Rate::new(rate, rate));
    let told = |per_second| Some(per_second).filter(|&rate| rate > 0);
    Policy {
        connect_timeout: limits.connect_timeout,
        ping_interval: limits.ping_interval,
        pings_missed: limits.pings_missed,
        expiring_notice: session.expiring_notice,
        session_ttl: session.ttl,
        messages: rate(session.messages_per_second),
        bytes: rate(session.bytes_per_second),
        limits: ClientLimits {
            message_bytes: limits.message_bytes as u64,
            subscriptions: session.subscriptions,
            messages_per_second: told(session.messages_per_second),
            bytes_per_second: told(session.bytes_per_second),
        },
        pending_max: session.pending as usize,
        gate_messages_max: session.gate_messages as usize,
        ..Policy::default()
    }
}

fn routes(config: &Config) -> Result<Vec<Route>, NodeError> {
    config
        .raw
        .iter()
        .map(|raw| {
            let path = RawPath::parse(&raw.path)
                .map_err(|source| NodeError::Path { path: raw.path.clone(), source })?;
            Ok(Route { path, mode: raw.mode, subprotocols: raw.subprotocols.clone() })
        })
        .collect()
}
