//! Presence in Redis: the contract, its bound, and ghosts that nobody would find.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::clock::{Clock, ManualClock};
use tidegate_cluster::directory::Lease;
use tidegate_cluster::presence::{Holder, Joined, Member};
use tidegate_cluster::redis::{PresenceConfig, RedisClient, RedisPresence};
use tidegate_cluster::{Fence, Presence, contract};
use tidegate_protocol::channel::Channel;
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::time::Millis;
use tidegate_testkit::{RedisCluster, RedisServer};

use crate::redis_stores::{Stores, config, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::presence::check(&Stores::new(config(&server.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_a_cluster() {
    let cluster = RedisCluster::three_masters();
    contract::presence::check(&Stores::new(config(&cluster.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_more_than_there_may_be_is_turned_away_until_another_goes() {
    let server = RedisServer::start();
    let limited = PresenceConfig { channel_members_max: 2, ..PresenceConfig::default() };
    let presence = RedisPresence::new(connect(config(&server.url())).await, limited, Clock::system());
    assert_eq!(presence.touch(&node("n1"), LONG).await, Ok(Lease::New));

    for (number, joined) in [(1, Joined::New), (2, Joined::New), (3, Joined::Full), (2, Joined::Kept)] {
        assert_eq!(join(&presence, "chat:a", number, "n1").await, joined, "{number}");
    }
    assert_eq!(join(&presence, "chat:b", 3, "n1").await, Joined::New, "each channel has its own bound");
    assert!(presence.leave(&channel("chat:a"), session(1), Fence::FIRST).await.unwrap().is_some());
    assert_eq!(join(&presence, "chat:a", 3, "n1").await, Joined::New);
    assert_eq!(presence.stats().refused_total, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_more_than_there_may_be_gets_no_lease() {
    let server = RedisServer::start();
    let limited = PresenceConfig { nodes_max: 2, ..PresenceConfig::default() };
    let presence = RedisPresence::new(connect(config(&server.url())).await, limited, Clock::system());

    for (name, is_there_room) in [("n1", true), ("n2", true), ("n3", false), ("n1", true)] {
        assert_eq!(presence.touch(&node(name), LONG).await.is_ok(), is_there_room, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ghosts_in_many_channels_are_handed_out_once_and_leave_nothing() {
    let server = RedisServer::start();
    let (first, second) = (on(&server).await, on(&server).await);
    assert_eq!(first.touch(&node("dead"), LONG).await, Ok(Lease::New));
    for number in 0..300 {
        join(&first, &format!("chat:{}", number % 150), number, "dead").await.expect_new();
    }
    end_lease(&server, "dead");

    let mut reaped = Vec::new();
    loop {
        let under_way = [first.reap(70), second.reap(70)];
        let mut found = 0;
        for answer in under_way {
            let ghosts = answer.await.unwrap();
            assert!(ghosts.len() <= 70);
            found += ghosts.len();
            reaped.extend(ghosts.into_iter().map(|ghost| ghost.member.session));
        }
        if found == 0 {
            break;
        }
    }
    reaped.sort();
    assert_eq!(reaped, (0..300).map(session).collect::<Vec<_>>());
    assert_eq!(first.stats().reaped_total + second.stats().reaped_total, 300);
    assert_eq!(server.command(&["DBSIZE"]), ["0"], "{:?}", server.command(&["KEYS", "*"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghost_that_no_index_knows_is_hidden_and_reaped_after_someone_looked() {
    let server = RedisServer::start();
    let presence = on(&server).await;
    assert_eq!(presence.touch(&node("dead"), LONG).await, Ok(Lease::New));
    join(&presence, "chat:a", 1, "dead").await.expect_new();
    // A server of a cluster that was flushed had the leases and the index, another one has the channel.
    let index = server.command(&["KEYS", "tidegate:{pt:*"]);
    server.command(&["DEL", "tidegate:{p}", &index[0]]);
    assert_eq!(presence.reap(10).await, Ok(vec![]));

    assert_eq!(presence.list(&channel("chat:a"), None, 10).await.unwrap().total, 0);
    let reaped = presence.reap(10).await.unwrap();
    assert_eq!(reaped.len(), 1);
    assert_eq!(presence.stats().strays_total, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_that_everybody_left_go_from_a_nodes_index_after_a_while() {
    let server = RedisServer::start();
    let manual = ManualClock::new(Millis::new(1_000_000));
    let client = connect(config(&server.url())).await;
    let presence = RedisPresence::new(client, PresenceConfig::default(), manual.clock());
    assert_eq!(presence.touch(&node("n1"), LONG).await, Ok(Lease::New));
    for number in 0..200 {
        join(&presence, &format!("chat:{number}"), number, "n1").await.expect_new();
        if number > 0 {
            let left =
                presence.leave(&channel(&format!("chat:{number}")), session(number), Fence::FIRST).await;
            assert!(left.unwrap().is_some());
        }
    }
    let index = server.command(&["KEYS", "tidegate:{pt:*"]);
    let indexed = || server.command(&["ZCARD", &index[0]]).concat();

    assert_eq!(presence.touch(&node("n1"), LONG).await, Ok(Lease::Kept));
    assert_eq!(indexed(), "200", "a join may be under way");
    manual.advance(Duration::from_secs(61));
    assert_eq!(presence.touch(&node("n1"), LONG).await, Ok(Lease::Kept));
    assert_eq!(indexed(), "1", "someone is there");
}

/// As if the time of its lease had passed.
fn end_lease(server: &RedisServer, name: &str) {
    let script = "local lease = redis.call('HGET', KEYS[1], ARGV[1])
        redis.call('HSET', KEYS[1], ARGV[1], string.rep('\\0', 8) .. lease:sub(9))";
    server.command(&["EVAL", script, "1", "tidegate:{p}", name]);
}

fn make(client: RedisClient) -> Arc<dyn Presence> {
    Arc::new(RedisPresence::new(client, PresenceConfig::default(), Clock::system()))
}

async fn on(server: &RedisServer) -> RedisPresence {
    RedisPresence::new(connect(config(&server.url())).await, PresenceConfig::default(), Clock::system())
}

async fn join(presence: &RedisPresence, name: &str, number: u16, holder: &str) -> Joined {
    let member = Member { session: session(number), user: "ann".into(), info: None, since: Millis::new(5) };
    let holder = Holder { node: node(holder), fence: Fence::FIRST };
    presence.join(&channel(name), member, holder).await.expect("the server answers")
}

trait ExpectNew {
    fn expect_new(self);
}

impl ExpectNew for Joined {
    #[track_caller]
    fn expect_new(self) {
        assert_eq!(self, Self::New);
    }
}

fn channel(name: &str) -> Channel<'_> {
    Channel::parse(name).expect("tests use good names")
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).expect("tests use good names")
}

/// In the order of their numbers.
fn session(number: u16) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

const LONG: Duration = Duration::from_secs(600);
