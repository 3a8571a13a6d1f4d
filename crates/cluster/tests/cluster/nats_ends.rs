//! Ends of a bus over NATS, with what came to each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tidegate_cluster::answer::Unavailable;
use tidegate_cluster::bus::{Bus, Loss, Mail, Receiver};
use tidegate_cluster::contract::{self, Later};
use tidegate_cluster::nats::{NatsBus, NatsConfig, NatsStats, Prefix, Servers};
use tidegate_cluster::state::State;
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::id::NodeName;
use tidegate_testkit::DEADLINE;
use tokio::sync::Notify;
use tokio::time::timeout;

/// One node's end, and its mail.
pub(crate) struct End {
    pub(crate) bus: NatsBus,
    mailbox: Arc<Mailbox>,
}

/// Keeps what comes in until a test asks.
#[derive(Default)]
struct Mailbox {
    kept: Mutex<Kept>,
    changed: Notify,
}

#[derive(Default)]
struct Kept {
    mail: VecDeque<Mail>,
    losses: VecDeque<Loss>,
}

/// Networks for the contract, each under a prefix of its own.
pub(crate) struct Networks(pub(crate) NatsConfig);

struct Network(NatsConfig);

/// Reaches a server at once or hears of it soon.
pub(crate) fn config(url: &str) -> NatsConfig {
    NatsConfig {
        servers: Servers::parse(url).expect("tests use good URLs"),
        probe_interval: Duration::from_millis(200),
        timeout: Duration::from_secs(1),
        reconnect_delay_max: Duration::from_millis(100),
        ..NatsConfig::default()
    }
}

pub(crate) fn channel(name: &str) -> Channel<'_> {
    Channel::parse(name).expect("tests use good names")
}

pub(crate) fn publication(name: &str, text: impl Into<String>) -> Mail {
    Mail::Publication {
        channel: ChannelName::parse(name).expect("tests use good names"),
        message: Bytes::from(text.into()),
    }
}

impl End {
    /// Starts it and waits until it is up.
    pub(crate) async fn start(config: NatsConfig, node: &str) -> Self {
        let end = Self::start_down(config, node).await;
        end.until_up().await;
        end
    }

    /// Starts it, whether or not there is a server.
    pub(crate) async fn start_down(config: NatsConfig, node: &str) -> Self {
        let mailbox = Arc::<Mailbox>::default();
        let receiver = Arc::clone(&mailbox) as Arc<dyn Receiver>;
        let bus = NatsBus::start(config, &NodeName::parse(node).expect("tests use good names"), receiver)
            .await
            .expect("the configuration can be used");
        Self { bus, mailbox }
    }

    pub(crate) async fn subscribe(&self, name: &str) {
        self.bus.subscribe(&channel(name)).await.expect("the bus is up and has room");
    }

    pub(crate) async fn publish(&self, name: &str, text: impl Into<String>) -> Result<(), Unavailable> {
        self.bus.publish(&channel(name), Bytes::from(text.into())).await
    }

    /// The next message.
    pub(crate) async fn next(&self) -> Mail {
        self.wait("a message", |kept| kept.mail.pop_front()).await
    }

    /// The next message, as text.
    pub(crate) async fn next_text(&self) -> String {
        let (Mail::Publication { message, .. } | Mail::Direct { message }) = self.next().await;
        String::from_utf8(message.to_vec()).expect("tests send text")
    }

    /// What has come so far.
    pub(crate) fn take_all(&self) -> Vec<Mail> {
        self.mailbox.lock().mail.drain(..).collect()
    }

    /// The next time that something was lost.
    pub(crate) async fn next_loss(&self) -> Loss {
        self.wait("a loss", |kept| kept.losses.pop_front()).await
    }

    /// The losses so far.
    pub(crate) fn take_losses(&self) -> Vec<Loss> {
        self.mailbox.lock().losses.drain(..).collect()
    }

    pub(crate) async fn until_up(&self) {
        self.until_state("up", State::is_reachable).await;
    }

    pub(crate) async fn until_down(&self) {
        self.until_state("down", |state| !state.is_reachable()).await;
    }

    pub(crate) async fn until_stats(&self, what: &str, wanted: impl Fn(&NatsStats) -> bool) {
        let wait = async {
            while !wanted(&self.bus.stats()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(DEADLINE, wait).await.is_err() {
            panic!("waited in vain for {what}: {:?}", self.bus.stats());
        }
    }

    pub(crate) async fn until_state(&self, what: &str, wanted: impl Fn(State) -> bool) {
        let mut state = self.bus.state();
        let waited = timeout(DEADLINE, state.wait_for(|state| wanted(*state))).await;
        assert!(waited.is_ok(), "waited in vain to be {what}: {:?}", self.bus.last_fault());
    }

    async fn wait<T>(&self, what: &str, mut take: impl FnMut(&mut Kept) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = take(&mut self.mailbox.lock()) {
                    return found;
                }
                self.mailbox.changed.notified().await;
            }
        };
        timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver for Mailbox {
    fn receive(&self, mail: Mail) {
        self.lock().mail.push_back(mail);
        self.changed.notify_one();
    }

    fn lose(&self, loss: Loss) {
        self.lock().losses.push_back(loss);
        self.changed.notify_one();
    }
}

impl contract::bus::Harness for Networks {
    fn fresh(&self) -> Later<'_, Arc<dyn contract::bus::Network>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = Prefix::parse(&format!("test.{number}")).expect("it is made of tokens");
        let network = Network(NatsConfig { prefix, ..self.0.clone() });
        Box::pin(async { Arc::new(network) as Arc<_> })
    }
}

impl contract::bus::Network for Network {
    fn attach(&self, node: NodeName, receiver: Arc<dyn Receiver>) -> Later<'_, Arc<dyn Bus>> {
        Box::pin(async move {
            let bus =
                NatsBus::start(self.0.clone(), &node, receiver).await.expect("the configuration can be used");
            bus.state().wait_for(|state| state.is_reachable()).await.expect("the bus is there");
            Arc::new(bus) as Arc<_>
        })
    }
}
