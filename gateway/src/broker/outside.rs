//! The parts of the cluster that a node talks to, made as the configuration says: in its own memory, or on servers.
//!
//! Place in the data path: behind the broker. A node starts whether or not its servers can be reached: it is degraded
//! then, and says so.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::bus::{Loss, Receiver};
use tidegate_cluster::memory::{
    DirectoryConfig, HistoryConfig, Memory, MemoryConfig, MemoryStats, PresenceConfig, SessionsConfig,
};
use tidegate_cluster::nats::{self, Credentials, NatsBus, NatsConfig, Prefix, Servers};
use tidegate_cluster::redis::{
    self, RedisBudget, RedisClient, RedisDirectory, RedisHistory, RedisIdempotency, RedisPresence,
    RedisSessions,
};
use tidegate_cluster::{Budget, Bus, Clock, Directory, History, Idempotency, Presence, SessionStore};
use tidegate_protocol::id::NodeName;
use tidegate_service::config::Secret;
use tokio::runtime::Runtime;

use super::ingress::Ingress;
use crate::config::Config;
use crate::config::session::Session;
use crate::config::store;

/// How often it is looked whether the store has answered everything.
const FLUSH_POLL: Duration = Duration::from_millis(10);

/// The parts of the cluster, each behind its trait.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) history: Arc<dyn History>,
    pub(crate) idempotency: Arc<dyn Idempotency>,
    pub(crate) presence: Arc<dyn Presence>,
    pub(crate) sessions: Arc<dyn SessionStore>,
    pub(crate) places: Arc<dyn Directory>,
    pub(crate) budget: Arc<dyn Budget>,
    /// `None`: this node is alone.
    pub(crate) bus: Option<Arc<dyn Bus>>,
    /// What holds all of these but the bus.
    pub(crate) store: Store,
    /// The bus again, for what is counted of it.
    pub(crate) nats: Option<Arc<NatsBus>>,
    /// What comes in from the bus.
    pub(crate) ingress: Ingress,
}

/// Where sessions, histories and the rest are kept.
#[derive(Clone)]
pub(crate) enum Store {
    /// In the memory of this process.
    Memory(Box<Memory>),
    /// On a server that all nodes share.
    Redis(Arc<OnRedis>),
}

/// The parts on Redis, for what is counted of them.
pub(crate) struct OnRedis {
    pub(crate) client: RedisClient,
    pub(crate) history: RedisHistory,
    pub(crate) sessions: Arc<RedisSessions>,
    pub(crate) presence: Arc<RedisPresence>,
    pub(crate) directory: Arc<RedisDirectory>,
    pub(crate) idempotency: Arc<RedisIdempotency>,
    pub(crate) budget: Arc<RedisBudget>,
}

/// A part that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutsideError {
    #[error("store.url: {0}")]
    Store(#[from] redis::ConfigError),
    #[error("bus.url: {0}")]
    Servers(#[from] nats::ConfigError),
    #[error("bus.prefix: {0}")]
    Prefix(#[from] nats::PrefixError),
    #[error("bus: {0}")]
    Bus(#[from] nats::StartError),
    #[error("the kernel gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl Outside {
    /// Makes the parts. Nothing is waited for: servers are connected to while the node runs.
    ///
    /// # Errors
    ///
    /// [`OutsideError`] names the key.
    pub(crate) fn start(
        config: &Config,
        node: &NodeName,
        clock: &Clock,
        runtime: &Runtime,
    ) -> Result<Self, OutsideError> {
        let outside = if config.store.url.is_memory() {
            Self::in_memory(&config.store, &config.session, clock)?
        } else {
            Self::on_redis(config, clock, runtime)?
        };
        if config.bus.url.is_memory() {
            return Ok(outside);
        }
        let bus_config = nats_config(&config.bus)?;
        let receiver: Arc<dyn Receiver> = Arc::clone(&outside.ingress.inbox) as _;
        let bus = Arc::new(runtime.block_on(NatsBus::start(bus_config, node, receiver))?);
        Ok(Self { bus: Some(Arc::clone(&bus) as _), nats: Some(bus), ..outside })
    }

    /// Everything in the memory of this process.
    ///
    /// # Errors
    ///
    /// When the kernel gives no random numbers.
    pub(crate) fn in_memory(
        store: &store::Store,
        session: &Session,
        clock: &Clock,
    ) -> Result<Self, getrandom::Error> {
        let config = MemoryConfig {
            sessions: SessionsConfig {
                sessions_max: store.sessions,
                subscriptions_max: session.subscriptions as usize,
                ..SessionsConfig::default()
            },
            history: HistoryConfig {
                streams_max: store.history_channels,
                bytes_max: store.history_bytes,
                stream_bytes_max: store.history_bytes,
                ..HistoryConfig::default()
            },
            presence: PresenceConfig { members_max: store.presence_members, ..PresenceConfig::default() },
            directory: DirectoryConfig { routes_max: store.sessions, ..DirectoryConfig::default() },
            ..MemoryConfig::default()
        };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed)?;
        let memory = Memory::new(&config, clock, u64::from_ne_bytes(seed));
        Ok(Self {
            history: memory.history.clone(),
            idempotency: memory.idempotency.clone(),
            presence: memory.presence.clone(),
            sessions: memory.sessions.clone(),
            places: memory.directory.clone(),
            budget: memory.budget.clone(),
            bus: None,
            store: Store::Memory(Box::new(memory)),
            nats: None,
            ingress: Ingress::new(),
        })
    }

    fn on_redis(config: &Config, clock: &Clock, runtime: &Runtime) -> Result<Self, OutsideError> {
        let store = &config.store;
        let client = RedisClient::connect(
            redis::Config {
                url: store.url.expose().to_owned(),
                prefix: store.prefix.clone(),
                username: store.username.clone(),
                password: exposed(store.password.as_ref()),
                sentinel_username: store.sentinel_username.clone(),
                sentinel_password: exposed(store.sentinel_password.as_ref()),
                tls_ca_file: store.tls_ca_file.clone(),
                timeout: store.timeout,
                connections: store.connections,
                ..redis::Config::default()
            },
            runtime.handle(),
        )?;
        let ingress = Ingress::new();
        let inbox = Arc::clone(&ingress.inbox);
        // A stream that began again is looked at as one that something was lost of: its subscribers are told.
        let on_restart: redis::OnRestart =
            Arc::new(move |channel, _| inbox.lose(Loss::Channel(channel.clone())));
        let history = redis::HistoryConfig {
            idle_max: redis::HistoryConfig::default().idle_max.max(2 * config.session.ttl),
            ..redis::HistoryConfig::default()
        };
        let history = RedisHistory::new(client.clone(), history, on_restart);
        let sessions = redis::SessionsConfig {
            subscriptions_max: config.session.subscriptions as usize,
            ..redis::SessionsConfig::default()
        };
        let parts = OnRedis {
            history,
            sessions: Arc::new(RedisSessions::new(client.clone(), sessions, clock.clone())),
            presence: Arc::new(RedisPresence::new(
                client.clone(),
                redis::PresenceConfig::default(),
                clock.clone(),
            )),
            directory: Arc::new(RedisDirectory::new(
                client.clone(),
                redis::DirectoryConfig::default(),
                clock.clone(),
            )),
            idempotency: Arc::new(RedisIdempotency::new(client.clone())),
            budget: Arc::new(RedisBudget::new(client.clone(), redis::BudgetConfig::default(), clock.clone())),
            client,
        };
        Ok(Self {
            history: Arc::new(parts.history.clone()),
            idempotency: Arc::clone(&parts.idempotency) as _,
            presence: Arc::clone(&parts.presence) as _,
            sessions: Arc::clone(&parts.sessions) as _,
            places: Arc::clone(&parts.directory) as _,
            budget: Arc::clone(&parts.budget) as _,
            bus: None,
            store: Store::Redis(Arc::new(parts)),
            nats: None,
            ingress,
        })
    }
}

impl Outside {
    /// Waits until the servers answer, or `timeout` has passed.
    pub(crate) async fn settle(&self, timeout: Duration) {
        let mut states = Vec::new();
        if let Store::Redis(redis) = &self.store {
            states.push(redis.client.state());
        }
        states.extend(self.nats.as_ref().map(|bus| bus.state()));
        let all_up = async {
            for state in &mut states {
                // It ends only with the process.
                let _ = state.wait_for(|state| state.is_reachable()).await;
            }
        };
        let _ = tokio::time::timeout(timeout, all_up).await;
    }

    /// Waits until the servers have what was given out for them, or `timeout` has passed.
    pub(crate) async fn flush(&self, timeout: Duration) {
        let store = async {
            while let Store::Redis(redis) = &self.store
                && redis.client.stats().in_flight > 0
            {
                tokio::time::sleep(FLUSH_POLL).await;
            }
        };
        let bus = async {
            if let Some(nats) = &self.nats
                && let Err(unavailable) = nats.flush().await
            {
                tracing::warn!(%unavailable, "the last messages for other nodes may not have arrived");
            }
        };
        let _ = tokio::time::timeout(timeout, async { tokio::join!(store, bus) }).await;
    }

    /// The longest message that the bus takes, where it has said so.
    pub(crate) fn bus_bytes_max(&self) -> Option<usize> {
        self.nats.as_ref()?.message_bytes_max()
    }

    /// Whether anything of it is on a server.
    pub(crate) fn is_shared(&self) -> bool {
        self.bus.is_some() || self.is_store_shared()
    }

    /// Whether the store is on a server, where each question costs a way there and back.
    pub(crate) fn is_store_shared(&self) -> bool {
        matches!(self.store, Store::Redis(_))
    }

    /// A number that grows whenever a connection to the store was made: what it was told before may be void then.
    pub(crate) fn store_connects(&self) -> u64 {
        match &self.store {
            Store::Memory(_) => 0,
            Store::Redis(redis) => *redis.client.connected().borrow(),
        }
    }

    /// Whether calls of the store have a prospect.
    pub(crate) fn is_store_reachable(&self) -> bool {
        match &self.store {
            Store::Memory(_) => true,
            Store::Redis(redis) => redis.client.state().borrow().is_reachable(),
        }
    }

    /// What the store holds and has done, as far as this node knows.
    pub(crate) fn stats(&self) -> MemoryStats {
        let redis = match &self.store {
            Store::Memory(memory) => return memory.stats(),
            Store::Redis(redis) => redis,
        };
        let (sessions, history, presence) =
            (redis.sessions.stats(), redis.history.stats(), redis.presence.stats());
        let mut stats = MemoryStats::default();
        stats.sessions.resumed_total = sessions.resumed_total;
        stats.sessions.not_resumable_total = sessions.not_resumable_total;
        stats.sessions.fenced_total = sessions.fenced_total;
        stats.sessions.expired_total = sessions.gone_total;
        stats.sessions.refused_total = sessions.refused_total;
        stats.history.appended_total = history.appended_total;
        stats.history.duplicates_total = history.duplicates_total;
        stats.history.entries_evicted_total = history.entries_evicted_total;
        stats.history.lost_total = history.lost_total;
        stats.presence.reaped_total = presence.reaped_total;
        stats.presence.refused_total = presence.refused_total;
        stats.idempotency.duplicates_total = redis.idempotency.duplicates_total();
        stats
    }
}

fn exposed(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned())
}

fn nats_config(bus: &store::Bus) -> Result<NatsConfig, OutsideError> {
    let (nkey_seed, token) = (exposed(bus.nkey_seed.as_ref()), exposed(bus.token.as_ref()));
    Ok(NatsConfig {
        servers: Servers::parse(bus.url.expose())?,
        prefix: Prefix::parse(&bus.prefix)?,
        credentials: Credentials::chosen(bus.credentials_file.clone(), nkey_seed, token),
        tls_ca_file: bus.tls_ca_file.clone(),
        timeout: bus.timeout,
        linger: bus.linger,
        channels_max: bus.channels,
        ..NatsConfig::default()
    })
}
