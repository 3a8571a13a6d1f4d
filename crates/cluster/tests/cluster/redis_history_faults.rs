//! A Redis that is flushed, set back, frozen or killed: nothing is lost without being told, and nothing new is taken for a
//! duplicate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_cluster::History;
use tidegate_cluster::answer::{Answer, Reason, Unavailable};
use tidegate_cluster::history::{Append, Appended, Coverage, Page, Read, Retention};
use tidegate_cluster::idempotency::{Idempotency, IdempotencyKey, Scope, Use};
use tidegate_cluster::redis::{
    Config, HistoryConfig, Operation, Outcome, RedisClient, RedisHistory, RedisIdempotency,
};
use tidegate_cluster::state::State;
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::position::{Epoch, Link, Position, Tag};
use tidegate_testkit::{DEADLINE, RedisServer, Sentinel};
use tokio::sync::mpsc;

use crate::redis_stores::{await_state, await_up, config, connect};

#[tokio::test]
async fn after_a_flush_old_positions_are_lost_and_new_ones_count_anew() {
    let server = RedisServer::start();
    let mut node = Node::connect(config(&server.url())).await;
    let before = node.append_keyed("k").await;

    server.command(&["FLUSHALL"]);
    let page = node.read_after(before.position).await;
    assert_eq!((page.coverage, page.head.offset), (Coverage::Lost, 0));
    assert_ne!(page.head.epoch, before.position.epoch);
    assert_eq!(node.restarted().await, page.head);

    let again = node.append_keyed("k").await;
    assert_eq!((again.duplicate, again.position.offset), (false, 1), "its key was forgotten as well");
    assert_eq!(again.position.epoch, page.head.epoch);
}

#[tokio::test]
async fn a_restart_without_persistence_is_noticed_before_anybody_asks() {
    let mut server = RedisServer::start();
    let mut node = Node::connect(config(&server.url())).await;
    let before = node.append().await;

    server.restart();
    let head = node.restarted().await;
    assert_eq!(head.offset, 0);
    assert_eq!(node.read_after(before.position).await.coverage, Coverage::Lost);
    assert_eq!(node.append().await.position, Position { offset: 1, ..head });
    assert!(node.client.stats().reconnects_total > 0);
}

#[tokio::test]
async fn a_restart_with_a_journal_keeps_epochs_offsets_and_keys() {
    let mut server = RedisServer::builder().appendonly().start();
    let mut node = Node::connect(config(&server.url())).await;
    node.append().await;
    let before = node.append_keyed("k").await;

    server.kill();
    await_state(&node.client, "down", |state| !state.is_reachable()).await;
    server.start_again();
    await_up(&node.client).await;

    let page = node.read_after(Position { offset: 1, ..before.position }).await;
    assert_eq!((page.head, page.coverage, page.entries.len()), (before.position, Coverage::Complete, 1));
    assert!(node.append_keyed("k").await.duplicate);
    assert_eq!(node.append().await.position, Position { offset: 3, ..before.position });
    assert!(node.restarts.try_recv().is_err(), "nothing was set back");
}

#[tokio::test]
async fn a_lagging_replica_that_becomes_the_master_starts_streams_again() {
    let mut master = RedisServer::start();
    let replica = RedisServer::builder().replica_of(&master).start();
    let sentinel = Sentinel::watching(&master);
    let mut node = Node::connect(config(&sentinel.url())).await;
    let kept = node.append().await;
    master.await_replica();
    // From here on it lags: it copies nothing any more, and the master goes on.
    replica.promote();
    node.append_keyed("k").await;
    let lost = node.append().await;
    assert_eq!(lost.position, Position { offset: 3, ..kept.position });

    master.kill();
    sentinel.name_master(&replica);
    let head = node.restarted().await;
    assert_ne!(head.epoch, kept.position.epoch);

    for seen in [kept.position, lost.position] {
        assert_eq!(node.read_after(seen).await.coverage, Coverage::Lost, "whoever was at {seen:?} is told");
    }
    let again = node.append_keyed("k").await;
    assert_eq!((again.duplicate, again.position), (false, Position { offset: 1, ..head }));
}

#[tokio::test]
async fn offsets_given_out_again_are_noticed_by_who_has_seen_the_first() {
    let mut master = RedisServer::start();
    let replica = RedisServer::builder().replica_of(&master).start();
    let sentinel = Sentinel::watching(&master);
    let mut node = Node::connect(config(&sentinel.url())).await;
    let kept = node.append().await;
    master.await_replica();
    replica.promote();
    let lost = node.append().await;

    // Somebody who has not seen it gives out its offset again before anybody who has comes along.
    let stranger = Node::connect(config(&replica.url())).await;
    let other = stranger.append().await;
    assert_eq!(other.position, lost.position);
    assert_ne!(other.link, lost.link);
    master.kill();
    sentinel.name_master(&replica);

    let head = node.restarted().await;
    assert_ne!(head.epoch, kept.position.epoch);
    assert_eq!(node.read_after(lost.position).await.coverage, Coverage::Lost);
    let next = stranger.append().await;
    assert_eq!(next.position, Position { offset: 1, ..head }, "everybody goes on in the new stream");
}

/// Of a publication that the server knows nothing of.
fn stray() -> Link {
    Link { tag: Tag::new(7), previous: Tag::new(6) }
}

#[tokio::test]
async fn another_tag_under_a_known_offset_is_a_fork() {
    let server = RedisServer::start();
    for (witnessed, offset_seen) in [("at the head", 2), ("behind it", 1), ("ahead of it", 3)] {
        server.command(&["FLUSHALL"]);
        let writer = Node::connect(config(&server.url())).await;
        let head = {
            writer.append().await;
            writer.append().await.position
        };

        let mut node = Node::connect(config(&server.url())).await;
        node.witness(Position { offset: offset_seen, ..head }, stray());
        let page = node.read_after(head).await;
        assert_eq!((page.coverage, page.head.offset), (Coverage::Lost, 0), "{witnessed}");
        assert_eq!(node.restarted().await, page.head);
        assert_eq!(node.history.stats().restarted_total, 1);
    }
}

#[tokio::test]
async fn what_subscribers_were_sent_is_compared_as_well_even_if_its_entry_is_gone() {
    let server = RedisServer::start();
    for (sent, asks_for_heads) in [(12, false), (11, false), (11, true), (3, false), (3, true)] {
        server.command(&["FLUSHALL"]);
        let writer = Node::connect(config(&server.url())).await;
        let mut links = Vec::new();
        for _ in 0..12 {
            links.push(writer.append().await.link.expect("it is the first time"));
        }
        // The last ten of thirteen are kept. This node saw the end of the stream, and nothing of what was before that.
        let mut node = Node::connect(config(&server.url())).await;
        let head = node.read_after(writer.append().await.position).await.head;
        let at = Position { offset: sent, ..head };
        let look = async |node: &Node| match asks_for_heads {
            true => {
                drop(node.history.heads(&[ChannelName::from(&channel())]).await.expect("the server answers"))
            }
            false => drop(node.read_after(head).await),
        };

        node.history.witness_sent(&ChannelName::from(&channel()), at, links[sent as usize - 1].tag);
        look(&node).await;
        assert!(node.restarts.try_recv().is_err(), "{sent} was sent rightly");
        node.history.witness_sent(&ChannelName::from(&channel()), at, stray().tag);
        look(&node).await;
        let anew = node.restarted().await;
        assert_eq!(anew.offset, 0, "{sent} was another one");
        assert_ne!(anew.epoch, head.epoch);
    }
}

#[tokio::test]
async fn what_was_seen_rightly_or_long_ago_changes_nothing() {
    let server = RedisServer::start();
    let writer = Node::connect(config(&server.url())).await;
    let first = writer.append().await;
    let head = writer.append().await.position;

    let mut node = Node::connect(config(&server.url())).await;
    node.witness(first.position, first.link.unwrap());
    assert_eq!(node.read_after(first.position).await.head, head);
    // A late message of an earlier stream, whose epoch began before.
    let earlier = Position { epoch: "1aaaa".parse().unwrap(), offset: 9 };
    node.witness(earlier, stray());
    let fresh = Node::connect(config(&server.url())).await;
    fresh.witness(earlier, stray());
    // And one that no store of this kind gives out.
    fresh.witness(Position { epoch: Epoch::new(u64::MAX), offset: 9 }, stray());
    assert_eq!(node.read_after(first.position).await.head, head);
    assert_eq!(fresh.read_after(first.position).await.head, head);
    assert!(node.restarts.try_recv().is_err());
}

#[tokio::test]
async fn a_frozen_server_times_calls_out_then_refuses_them_then_serves_again() {
    let server = RedisServer::start();
    let mut node = Node::connect(Config { timeout: SOON, ..config(&server.url()) }).await;
    let before = node.append().await;

    server.freeze();
    let asked = Instant::now();
    assert_eq!(node.try_append().await, Err(Reason::TimedOut));
    assert!(asked.elapsed() >= SOON);
    await_state(&node.client, "down", |state| matches!(state, State::Down { .. })).await;
    assert_eq!(node.try_append().await, Err(Reason::Down));
    let stats = node.client.stats();
    assert_eq!(stats.count(Operation::HistoryAppend, Outcome::Refused), 1);
    assert_eq!((stats.opened_total, stats.in_flight), (1, 0));

    server.thaw();
    await_up(&node.client).await;
    let after = node.append().await;
    assert_eq!(after.position.epoch, before.position.epoch, "it was late, not set back");
    assert!(node.restarts.try_recv().is_err());
}

#[tokio::test]
async fn one_call_more_than_there_may_be_is_refused() {
    let server = RedisServer::start();
    let given = Config { in_flight_max: 2, timeout: SOON, ..config(&server.url()) };
    let node = Node::connect(given).await;

    server.freeze();
    let (first, second) = (tokio::spawn(node.begin_append()), tokio::spawn(node.begin_append()));
    while node.client.stats().in_flight < 2 {
        tokio::task::yield_now().await;
    }
    let asked = Instant::now();
    assert_eq!(node.try_append().await, Err(Reason::Down));
    assert!(asked.elapsed() < SOON, "it waited for nothing");

    for call in [first, second] {
        assert_eq!(call.await.unwrap().map_err(|error| error.reason), Err(Reason::TimedOut));
    }
    assert_eq!(node.client.stats().in_flight, 0);
}

#[tokio::test]
async fn a_claim_without_an_answer_is_given_back() {
    let server = RedisServer::start();
    let client = connect(Config { timeout: SOON, ..config(&server.url()) }).await;
    let store = RedisIdempotency::new(client.clone());
    let key = IdempotencyKey { publisher: "ann", key: "k", window: Duration::from_secs(600) };

    server.freeze();
    let claimed = store.claim(Scope::User("bob"), key).await;
    assert_eq!(claimed.map_err(|error| error.reason), Err(Reason::TimedOut));
    server.thaw();
    await_up(&client).await;

    // Set and deleted again by what had been waiting for it.
    let deadline = Instant::now() + DEADLINE;
    while server.command(&["KEYS", "*"]) != Vec::<String>::new() || server.calls("set") == 0 {
        assert!(Instant::now() < deadline, "the claim was not given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.claim(Scope::User("bob"), key).await, Ok(Use::First));
}

#[tokio::test]
async fn a_server_without_room_says_so() {
    let server = RedisServer::start();
    let node = Node::connect(config(&server.url())).await;
    node.append().await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(node.try_append().await, Err(Reason::Full));
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(node.append().await.position.offset, 2);
}

#[test]
fn a_call_may_be_polled_first_where_there_is_no_runtime() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let node = runtime.block_on(Node::connect(config(&server.url())));

    let mut answer = node.begin_append();
    let first = answer.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    let appended = match first {
        std::task::Poll::Ready(appended) => appended,
        std::task::Poll::Pending => runtime.block_on(answer),
    };
    assert_eq!(appended.unwrap().position.offset, 1);
}

/// A node's history, and the restarts it was told of.
struct Node {
    client: RedisClient,
    history: RedisHistory,
    restarts: mpsc::UnboundedReceiver<(ChannelName, Position)>,
}

impl Node {
    async fn connect(config: Config) -> Self {
        let client = connect(config).await;
        let (told, restarts) = mpsc::unbounded_channel();
        let on_restart = Arc::new(move |channel: &ChannelName, head| {
            // A test that is over listens no more.
            let _ = told.send((channel.clone(), head));
        });
        let history = RedisHistory::new(client.clone(), HistoryConfig::default(), on_restart);
        Self { client, history, restarts }
    }

    fn begin(&self, key: Option<IdempotencyKey<'_>>) -> Answer<Appended> {
        self.history.append(Append {
            channel: &channel(),
            retention: Retention { entries_max: 10, ttl: Duration::from_secs(600) },
            key,
            data: b"1"[..].into(),
            from: None,
            conflate: None,
            trace: None,
        })
    }

    fn begin_append(&self) -> Answer<Appended> {
        self.begin(None)
    }

    async fn append(&self) -> Appended {
        self.begin(None).await.expect("the server answers")
    }

    async fn append_keyed(&self, key: &str) -> Appended {
        let key = IdempotencyKey { publisher: "ann", key, window: Duration::from_secs(600) };
        self.begin(Some(key)).await.expect("the server answers")
    }

    async fn try_append(&self) -> Result<Appended, Reason> {
        self.begin(None).await.map_err(|Unavailable { reason, .. }| reason)
    }

    async fn read_after(&self, position: Position) -> Page {
        let read = Read::after(position, 100, usize::MAX);
        self.history.read(&channel(), read).await.expect("the server answers")
    }

    fn witness(&self, position: Position, link: Link) {
        self.history.witness(&ChannelName::from(&channel()), position, link);
    }

    /// Where the stream's head is after it started again.
    async fn restarted(&mut self) -> Position {
        let told = tokio::time::timeout(DEADLINE, self.restarts.recv()).await;
        let (name, head) = told.expect("a stream that starts again is told of").expect("the history lives");
        assert_eq!(name.as_str(), channel().as_str());
        head
    }
}

fn channel() -> Channel<'static> {
    Channel::parse("chat:a").expect("it is a good name")
}

/// Short enough to wait for, longer than a loaded machine needs for a call.
const SOON: Duration = Duration::from_millis(1000);
