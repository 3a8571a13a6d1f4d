//! What the bus costs over a bare NATS client, against the same server in the same run: `cargo bench -p tidegate-cluster`.
//!
//! Processor time is this process's, of all its threads, by the kernel's clock for it: the server is another process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use rustix::time::{ClockId, clock_gettime};
use tidegate_cluster::bus::{Bus, Loss, Mail, Receiver};
use tidegate_cluster::nats::{NatsBus, NatsConfig, Servers};
use tidegate_protocol::channel::Channel;
use tidegate_protocol::id::NodeName;
use tidegate_protocol::node::{NodeMessage, Publication, PublicationKind, append};
use tidegate_protocol::position::{Epoch, Link, Position, Tag};
use tidegate_testkit::NatsServer;
use tokio::sync::mpsc;

const ROUNDS: usize = 5;
const HOPS: usize = 3_000;
const BURST: usize = 100;
const BURSTS: usize = 300;

/// Passes on that something came.
struct Bell(mpsc::UnboundedSender<()>);

impl Receiver for Bell {
    fn receive(&self, _: Mail) {
        let _ = self.0.send(());
    }

    fn lose(&self, loss: Loss) {
        panic!("the bench sends less than a bus may lose: {loss:?}");
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let server = NatsServer::start();
    let message = message();
    for _ in 0..ROUNDS {
        bare(&server, &message).await;
        for headers in [false, true] {
            bus(&server, &message, headers).await;
        }
    }
}

async fn bare(server: &NatsServer, message: &Bytes) {
    let client = async_nats::connect(server.url()).await.expect("it runs");
    let mut subscriber = client.subscribe("bare").await.expect("it is connected");
    let mut hops = Vec::new();
    for _ in 0..HOPS {
        let sent_at = Instant::now();
        client.publish("bare", message.clone()).await.expect("it is connected");
        subscriber.next().await.expect("it is subscribed");
        hops.push(sent_at.elapsed());
    }
    subscriber.unsubscribe().await.expect("it is connected");
    let start = processor_time();
    for _ in 0..BURSTS {
        for _ in 0..BURST {
            client.publish("bare", message.clone()).await.expect("it is connected");
        }
        client.flush().await.expect("it is connected");
    }
    report("bare", hops, processor_time() - start, 1.0);
}

async fn bus(server: &NatsServer, message: &Bytes, headers: bool) {
    let (bell, mut rings) = mpsc::unbounded_channel();
    let config = NatsConfig {
        servers: Servers::parse(&server.url()).expect("it is a URL"),
        headers,
        ..NatsConfig::default()
    };
    let node = NodeName::parse("n1").expect("it is a name");
    let bus = NatsBus::start(config, &node, Arc::new(Bell(bell))).await.expect("it can be used");
    bus.state().wait_for(|state| state.is_reachable()).await.expect("the bus is there");
    let channel = Channel::parse("chat:room").expect("it is a name");
    bus.subscribe(&channel).await.expect("it is connected");
    let mut hops = Vec::new();
    for _ in 0..HOPS {
        let sent_at = Instant::now();
        bus.publish(&channel, message.clone()).await.expect("it is connected");
        rings.recv().await.expect("it is subscribed");
        hops.push(sent_at.elapsed());
    }

    let other = Channel::parse("chat:nobody").expect("it is a name");
    let (before, start) = (bus.stats(), processor_time());
    for _ in 0..BURSTS {
        let answers: Vec<_> = (0..BURST).map(|_| bus.publish(&other, message.clone())).collect();
        for answer in answers {
            answer.await.expect("it is connected");
        }
    }
    bus.flush().await.expect("it is connected");
    let spent = processor_time() - start;
    let batches = (bus.stats().batches_total - before.batches_total) as f64;
    report(if headers { "bus, headers" } else { "bus" }, hops, spent, batches / (BURSTS * BURST) as f64);
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn report(what: &str, mut hops: Vec<Duration>, spent: Duration, messages: f64) {
    hops.sort_unstable();
    let (p50, p99) = (hops[hops.len() / 2], hops[hops.len() * 99 / 100]);
    let each = spent.as_secs_f64() * 1e6 / (BURSTS * BURST) as f64;
    println!(
        "{what:14} hop p50 {p50:>8.1?} p99 {p99:>8.1?}; publish {each:.2} us, {messages:.2} NATS messages"
    );
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).expect("it is below a second");
    Duration::new(u64::try_from(time.tv_sec).expect("it began at zero"), nanos)
}

fn message() -> Bytes {
    let mut bytes = Vec::new();
    let publication = Publication {
        channel: Channel::parse("chat:room").expect("it is a name"),
        kind: PublicationKind::Message,
        object: &[b'x'; 128],
        position: Some(Position { epoch: Epoch::new(1_234_567), offset: 4_711 }),
        from: Some("user-1"),
        origin: None,
        conflate: None,
        trace: None,
        link: Some(Link { tag: Tag::new(7), previous: Tag::new(6) }),
    };
    append(&mut bytes, &NodeMessage::Publication(publication));
    bytes.into()
}
