//! The servers that the control plane shares with the gateways, made as the configuration says.
//!
//! Place in the path: below everything. Nothing is waited for at the start: a control plane whose servers are away says so
//! and goes on trying.

use std::sync::Arc;

use tidegate_cluster::bus::{Loss, Mail, Receiver};
use tidegate_cluster::memory::{
    DirectoryConfig, MemoryDirectory, MemoryDocuments, MemoryLeadership, MemoryPresence, PresenceConfig,
};
use tidegate_cluster::nats::{self, Credentials, NatsBus, NatsConfig, Prefix, Servers};
use tidegate_cluster::redis::{
    self, DocumentsConfig, RedisClient, RedisDirectory, RedisDocuments, RedisLeadership, RedisPresence,
};
use tidegate_cluster::{Clock, Directory, Documents, Leadership, Presence, State};
use tidegate_protocol::id::{NodeName, NodeNameError};
use tidegate_service::config::Secret;
use tokio::runtime::Handle;

use crate::config::{Bus, Config, Store};

/// Operations with their history, and cordons, in the memory of a sole process.
const MEMORY_DOCUMENTS_MAX: usize = 8_192;

/// Each part behind its trait.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) leadership: Arc<dyn Leadership>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) presence: Arc<dyn Presence>,
    /// What of it is in Redis.
    pub(crate) redis: Option<OnRedis>,
    pub(crate) bus: Option<Arc<NatsBus>>,
}

/// What only Redis has.
#[derive(Clone)]
pub(crate) struct OnRedis {
    pub(crate) client: RedisClient,
    pub(crate) directory: Arc<RedisDirectory>,
}

/// A part that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// Of the store.
    #[error("store.url: {0}")]
    Store(#[from] redis::ConfigError),
    /// Of the bus' servers.
    #[error("bus.url: {0}")]
    Servers(#[from] nats::ConfigError),
    /// Of the subjects.
    #[error("bus.prefix: {0}")]
    Prefix(#[from] nats::PrefixError),
    /// Of the bus.
    #[error("bus: {0}")]
    Bus(#[from] nats::StartError),
    /// Of the replica's name.
    #[error("node.name: {0}")]
    Name(#[from] NodeNameError),
}

/// The control plane only speaks on the bus.
struct Deaf;

impl Receiver for Deaf {
    fn receive(&self, _: Mail) {}

    fn lose(&self, _: Loss) {}
}

impl Outside {
    /// Makes the parts, on this runtime.
    ///
    /// # Errors
    ///
    /// [`OutsideError`] names the key.
    pub(crate) async fn start(config: &Config, clock: &Clock) -> Result<Self, OutsideError> {
        let outside = if config.store.url.is_memory() {
            Self::in_memory(clock)
        } else {
            Self::on_redis(&config.store, clock)?
        };
        if config.bus.url.is_memory() {
            return Ok(outside);
        }
        let name = NodeName::parse(&config.node.name)?;
        let bus = NatsBus::start(nats_config(&config.bus)?, &name, Arc::new(Deaf)).await?;
        Ok(Self { bus: Some(Arc::new(bus)), ..outside })
    }

    /// Whether the store answers, as far as is known.
    pub(crate) fn store_state(&self) -> State {
        self.redis.as_ref().map_or(State::Up, |redis| *redis.client.state().borrow())
    }

    fn in_memory(clock: &Clock) -> Self {
        Self {
            documents: Arc::new(MemoryDocuments::new(MEMORY_DOCUMENTS_MAX)),
            leadership: Arc::new(MemoryLeadership::new(clock.clone())),
            directory: Arc::new(MemoryDirectory::new(DirectoryConfig::default(), clock.clone())),
            presence: Arc::new(MemoryPresence::new(PresenceConfig::default(), clock.clone())),
            redis: None,
            bus: None,
        }
    }

    fn on_redis(store: &Store, clock: &Clock) -> Result<Self, OutsideError> {
        let config = redis::Config {
            url: store.url.expose().to_owned(),
            prefix: store.prefix.clone(),
            username: store.username.clone(),
            password: exposed(store.password.as_ref()),
            sentinel_username: store.sentinel_username.clone(),
            sentinel_password: exposed(store.sentinel_password.as_ref()),
            tls_ca_file: store.tls_ca_file.clone(),
            timeout: store.timeout,
            ..redis::Config::default()
        };
        let client = RedisClient::connect(config, &Handle::current())?;
        let directory =
            Arc::new(RedisDirectory::new(client.clone(), redis::DirectoryConfig::default(), clock.clone()));
        Ok(Self {
            documents: Arc::new(RedisDocuments::new(client.clone(), DocumentsConfig::default())),
            leadership: Arc::new(RedisLeadership::new(client.clone())),
            presence: Arc::new(RedisPresence::new(
                client.clone(),
                redis::PresenceConfig::default(),
                clock.clone(),
            )),
            directory: Arc::clone(&directory) as _,
            redis: Some(OnRedis { client, directory }),
            bus: None,
        })
    }
}

fn exposed(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned())
}

fn nats_config(bus: &Bus) -> Result<NatsConfig, OutsideError> {
    let (nkey_seed, token) = (exposed(bus.nkey_seed.as_ref()), exposed(bus.token.as_ref()));
    Ok(NatsConfig {
        servers: Servers::parse(bus.url.expose())?,
        prefix: Prefix::parse(&bus.prefix)?,
        credentials: Credentials::chosen(bus.credentials_file.clone(), nkey_seed, token),
        tls_ca_file: bus.tls_ca_file.clone(),
        timeout: bus.timeout,
        ..NatsConfig::default()
    })
}
