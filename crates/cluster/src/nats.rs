//! [`Bus`] over NATS: what is published on one node reaches those that listen, in one message for each batch.
//!
//! Two tasks of the runtime and a connection of async-nats' stand behind an end:
//!
//! ```text
//! publish, send, broadcast → outbox → pump → async-nats → servers
//! servers → async-nats → tap (in place, in order) → Receiver
//! subscribe, unsubscribe → interest → link (taps opened and left, marks, state)
//! ```
//!
//! A mark is a message that a node sends to itself: when it is back, the server knows all that was said before it. The
//! link sends one for each round of subscriptions, after a reconnect, and now and then, so that a connection that carries
//! nothing is known as such. In a cluster of servers, interest spreads among them a moment after that: a message of a
//! node at another server may still be missed, as may those on their way when a connection breaks. Whoever needs all has
//! offsets and a history.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_nats::{Client, Subject};
use bytes::Bytes;
use tidegate_protocol::channel::Channel;
use tidegate_protocol::id::NodeName;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::answer::{Answer, Part, Reason, Unavailable, ready};
use crate::bus::{Bus, Receiver};
use crate::state::State;

use self::interest::{Interest, Subscribed};
use self::outbox::{Bounds, Outbox};
use self::stats::Counts;
use self::tap::{Sink, Tap};

mod config;
mod envelope;
mod events;
mod interest;
mod link;
mod outbox;
mod pump;
mod stats;
mod subject;
mod tap;

pub use config::{ConfigError, Credentials, NatsConfig, Servers};
pub use stats::NatsStats;
pub use subject::{Prefix, PrefixError};

/// One node's end of a bus over NATS. Dropped, it has left: nothing is received afterwards, and what has not been
/// [flushed](Self::flush) may not be sent.
#[derive(Debug)]
pub struct NatsBus {
    shared: Arc<Shared>,
    client: Client,
    tasks: [AbortHandle; 2],
}

/// Why a node gets no end.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// async-nats does not take the servers' addresses.
    #[error("the bus cannot be started: {0}")]
    Client(async_nats::ConnectErrorKind),
}

/// What the end and its tasks have in common. It holds no client: the client's events lead here.
#[derive(Debug)]
struct Shared {
    config: NatsConfig,
    state: watch::Sender<State>,
    outbox: Outbox,
    interest: Interest<Tap>,
    sink: Arc<Sink>,
    counts: Arc<Counts>,
    /// NATS messages that async-nats was given.
    handed: AtomicU64,
    /// Number of the newest mark that was sent.
    marked: AtomicU64,
    /// Someone subscribes, or flushes.
    asked: Notify,
    /// Something happened to the connection.
    changed: Notify,
    /// Why the last attempt to connect failed, or what the server last complained about.
    fault: Mutex<Option<String>>,
    message_bytes_max: AtomicUsize,
}

/// There is no connection, or none that carries both ways.
const DOWN: Unavailable = Unavailable { part: Part::Bus, reason: Reason::Down };
const TIMED_OUT: Unavailable = Unavailable { part: Part::Bus, reason: Reason::TimedOut };
const FAULTY: Unavailable = Unavailable { part: Part::Bus, reason: Reason::Faulty };

impl NatsBus {
    /// Gives a node its end, which begins [`Down`](State::Down) and comes up when a server answers: a node starts whether
    /// or not there is one. Two ends of one name both get what is sent to the node.
    ///
    /// Called within a tokio runtime, which it keeps two tasks on.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is wrong with the configuration.
    pub async fn start(
        config: NatsConfig,
        node: &NodeName,
        receiver: Arc<dyn Receiver>,
    ) -> Result<Self, StartError> {
        let (addresses, options) = config.connect_options(node)?;
        let shared = Arc::new(Shared::new(config, receiver));
        let options = options.event_callback({
            let shared = Arc::clone(&shared);
            move |event| {
                shared.handle_event(&event);
                std::future::ready(())
            }
        });
        let connected = async_nats::connect_with_options(addresses, options).await;
        let client = connected.map_err(|error| StartError::Client(error.kind()))?;
        let link = tokio::spawn(link::run(Arc::clone(&shared), client.clone(), node.clone()));
        let pump = tokio::spawn(pump::run(Arc::clone(&shared), client.clone()));
        Ok(Self { shared, client, tasks: [link.abort_handle(), pump.abort_handle()] })
    }

    /// Waits until the server has everything that was answered as on its way. Called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Reason::TimedOut`], when the server does not say so in time.
    pub async fn flush(&self) -> Result<(), Unavailable> {
        let shared = &*self.shared;
        let mut marks = shared.sink.marks();
        let next = shared.marked.load(Ordering::Acquire) + 1;
        shared.asked.notify_one();
        match timeout(shared.config.timeout, marks.wait_for(|newest| *newest >= next)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(TIMED_OUT),
        }
    }

    /// How the connection is doing, from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// What it holds and has done.
    pub fn stats(&self) -> NatsStats {
        let shared = &*self.shared;
        let (queued, queued_bytes) = shared.outbox.level();
        NatsStats {
            channels: shared.interest.len(),
            queued,
            queued_bytes,
            message_bytes_max: shared.message_bytes_max.load(Ordering::Relaxed),
            ..shared.counts.read()
        }
    }

    /// The longest message that the server takes, headers and all. `None` before the first connection.
    pub fn message_bytes_max(&self) -> Option<usize> {
        Some(self.shared.message_bytes_max.load(Ordering::Relaxed)).filter(|&bytes| bytes > 0)
    }

    /// In words, why there was no connection the last time one was tried, or what the server last complained about.
    pub fn last_fault(&self) -> Option<String> {
        self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how the cluster is to whoever listens to `PREFIX.health`. The answer says that it is on its way.
    pub fn publish_health(&self, document: Bytes) -> Answer<()> {
        self.post(self.shared.config.prefix.health(), document)
    }

    fn post(&self, subject: Subject, message: Bytes) -> Answer<()> {
        let shared = &*self.shared;
        if !shared.is_reachable() {
            shared.counts.refused_down.add(1);
            return ready(Err(DOWN));
        }
        if let Some(outcome) = pump::try_send(shared, &self.client, &subject, &message) {
            return ready(outcome);
        }
        let Some(outcome) = shared.outbox.push(subject, message) else {
            shared.counts.refused_full.add(1);
            return ready(Err(Part::Bus.full()));
        };
        // Without an outcome the end was dropped with the message in it.
        Box::pin(async { outcome.await.unwrap_or(Err(DOWN)) })
    }
}

impl Bus for NatsBus {
    fn publish(&self, channel: &Channel<'_>, message: Bytes) -> Answer<()> {
        self.post(self.shared.config.prefix.channel(channel.as_str()), message)
    }

    fn send(&self, node: &NodeName, message: Bytes) -> Answer<()> {
        self.post(self.shared.config.prefix.node(node), message)
    }

    fn broadcast(&self, message: Bytes) -> Answer<()> {
        self.post(self.shared.config.prefix.all(), message)
    }

    /// While the bus is down nothing is subscribed. An answer that is an error leaves the channel unwanted.
    fn subscribe(&self, channel: &Channel<'_>) -> Answer<()> {
        let shared = &*self.shared;
        if !shared.is_reachable() {
            shared.counts.refused_down.add(1);
            return ready(Err(DOWN));
        }
        match shared.interest.subscribe(channel) {
            Ok(Subscribed::Already) => ready(Ok(())),
            Ok(Subscribed::Soon(outcome)) => {
                shared.asked.notify_one();
                Box::pin(async { outcome.await.unwrap_or(Err(DOWN)) })
            }
            Err(full) => {
                shared.counts.refused_full.add(1);
                ready(Err(full))
            }
        }
    }

    fn unsubscribe(&self, channel: &Channel<'_>) -> Answer<()> {
        self.shared.interest.unsubscribe(channel.as_str(), Instant::now());
        ready(Ok(()))
    }
}

impl Drop for NatsBus {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.sink.close();
        self.shared.interest.clear();
        self.shared.outbox.refuse(DOWN);
    }
}

impl Shared {
    fn new(config: NatsConfig, receiver: Arc<dyn Receiver>) -> Self {
        let counts = Arc::<Counts>::default();
        Self {
            state: watch::Sender::new(State::Down { since: Instant::now() }),
            outbox: Outbox::new(Bounds {
                messages_max: config.queue_messages_max,
                bytes_max: config.queue_bytes_max,
            }),
            interest: Interest::new(config.channels_max, config.linger),
            sink: Arc::new(Sink::new(receiver, Arc::clone(&counts))),
            counts,
            handed: AtomicU64::new(0),
            marked: AtomicU64::new(0),
            asked: Notify::new(),
            changed: Notify::new(),
            fault: Mutex::default(),
            message_bytes_max: AtomicUsize::new(0),
            config,
        }
    }

    fn is_reachable(&self) -> bool {
        self.state.borrow().is_reachable()
    }
}
