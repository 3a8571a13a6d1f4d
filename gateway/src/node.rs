//! What all workers of a node share: settings that do not change, limits at the door, and each other's mailboxes.
//!
//! Nothing here is touched for a message: only when a connection begins or ends, a channel gets its first member on a
//! worker, or someone looks at the node.

#[cfg(test)]
pub(crate) mod testing;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rustls::ServerConfig;
use tidegate_wire::deflate::Policy;
use tidegate_wire::request::RequestLimits;

use crate::admission::origin::{AllowedOrigins, OriginPatternError};
use crate::config::{Config, Limits, RawMode};
use crate::http::HttpDoor;
use crate::http::raw_path::{RawPath, RawPathError};
use crate::hub::directory::Directory;
use crate::metrics::stats::WorkerStats;
use crate::net::address_limits::{AddressLimits, HandshakeRate};
use crate::net::proxy_protocol::Trusted;
use crate::worker::mail::Post;

/// The shared part of a node.
pub(crate) struct Node {
    pub(crate) limits: Limits,
    pub(crate) request_limits: RequestLimits,
    pub(crate) routes: Vec<Route>,
    pub(crate) origins: AllowedOrigins,
    pub(crate) compression: Policy,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) trusted: Trusted,
    pub(crate) proxy_header_required: bool,
    pub(crate) addresses: Arc<AddressLimits>,
    pub(crate) rate: Option<HandshakeRate>,
    pub(crate) http: HttpDoor,
    pub(crate) directory: Arc<Directory>,
    pub(crate) stats: Vec<Arc<WorkerStats>>,
    /// Filled once, before the first worker runs.
    pub(crate) posts: OnceLock<Vec<Post>>,
    pub(crate) started: Instant,
    draining: AtomicBool,
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
}

impl Node {
    /// Prepares the settings of `config` for `workers` workers.
    ///
    /// # Errors
    ///
    /// [`NodeError`] names the key.
    pub(crate) fn new(
        config: &Config,
        workers: usize,
        tls: Option<Arc<ServerConfig>>,
        http: HttpDoor,
    ) -> Result<Self, NodeError> {
        let started = Instant::now();
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
            compression: Policy {
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
            http,
            directory: Arc::default(),
            stats: (0..workers).map(|_| Arc::new(WorkerStats::new())).collect(),
            posts: OnceLock::new(),
            started,
            draining: AtomicBool::new(false),
        })
    }

    /// The mailbox of each worker; none before the workers are built.
    pub(crate) fn posts(&self) -> &[Post] {
        self.posts.get().map_or(&[], Vec::as_slice)
    }

    /// Connections of all workers in any state.
    pub(crate) fn connections(&self) -> u64 {
        self.stats.iter().map(|stats| stats.connections()).sum()
    }

    /// Refuses new clients from now on.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
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
