//! What sessions cost the server, in commands and in memory: the figures in the documentation of `RedisSessions` are these.

use std::time::Duration;

use futures_util::future::join_all;
use tidegate_cluster::clock::Clock;
use tidegate_cluster::directory::{Lease, NodeRecord, Registered, Registration, Target};
use tidegate_cluster::presence::{Holder, Joined, Member};
use tidegate_cluster::redis::{
    DirectoryConfig, PresenceConfig, RedisClient, RedisDirectory, RedisPresence, RedisSessions,
    SessionsConfig,
};
use tidegate_cluster::sessions::{
    Changes, Created, Identity, NewSession, Resume, Resumed, Subject, Subscription, Written,
};
use tidegate_cluster::{Directory, Fence, Presence, SessionStore};
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::position::{Epoch, Position};
use tidegate_protocol::time::Millis;
use tidegate_testkit::RedisServer;

use crate::redis_stores::{config, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_session_with_one_subscription_takes_less_than_1300_bytes_of_the_server() {
    let server = RedisServer::start();
    let client = connect(config(&server.url())).await;
    let (sessions, directory) = (sessions(&client), directory(&client).await);
    fill(&sessions, &directory, 0..16).await;
    let before = used(&server);

    fill(&sessions, &directory, 16..16 + FILLED).await;
    let bytes = (used(&server) - before) / u64::from(FILLED);
    let record = server.command(&["MEMORY", "USAGE", &format!("tidegate:{{s:{}}}", id(20))]).concat();
    println!("{bytes} bytes a session, {record} of them its record");
    assert!((600..1_300).contains(&bytes), "{bytes} bytes a session");
    let encoding = server.command(&["OBJECT", "ENCODING", &format!("tidegate:{{s:{}}}", id(20))]);
    assert_eq!(encoding, ["listpack"], "or a record takes three times as much");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_one_round_trip_of_three_commands_unless_somebody_is_revoked() {
    let server = RedisServer::start();
    let client = connect(config(&server.url())).await;
    let sessions = sessions(&client);
    // The first one also says that the node has an index.
    create(&sessions, 1).await;

    assert_eq!(commands(&client, create(&sessions, 2)).await, 4, "record, user's and node's index, token");
    let mut fence = Fence::FIRST;
    let claim = async { fence = resume(&sessions, 1).await };
    assert_eq!(commands(&client, claim).await, 3, "record, node's index, is anybody revoked");
    assert_eq!(commands(&client, save(&sessions, 1, fence)).await, 1);
    assert_eq!(commands(&client, detach(&sessions, 1, fence)).await, 1);
    let until = Millis::new(253_000_000_000_000);
    let revoke = async { sessions.revoke(Subject::User("bob".into()), until).await.unwrap() };
    assert_eq!(commands(&client, revoke).await, 2);
    let claim = async { fence = resume(&sessions, 1).await };
    assert_eq!(commands(&client, claim).await, 5, "and whether it is this user or token");
    let end = async { assert_eq!(sessions.end(id(1), fence).await, Ok(Written::Saved)) };
    assert_eq!(commands(&client, end).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewing_a_thousand_sessions_takes_a_step_for_each_and_a_few_more() {
    let server = RedisServer::start();
    let client = connect(config(&server.url())).await;
    let sessions = sessions(&client);
    join_all((0..1_000).map(|number| create(&sessions, number))).await;

    let held: Vec<_> = (0..1_000).map(|number| (id(number), Fence::FIRST)).collect();
    let touch = async { assert_eq!(sessions.touch(&held, TTL).await, Ok(vec![])) };
    assert_eq!(commands(&client, touch).await, 1_005, "put in the index, its life, the nodes' list, a walk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_and_members_take_a_handful_of_commands() {
    let server = RedisServer::start();
    let client = connect(config(&server.url())).await;
    let directory = directory(&client).await;
    let presence = RedisPresence::new(client.clone(), PresenceConfig::default(), Clock::system());
    assert_eq!(presence.touch(&node(), TTL).await, Ok(Lease::New));
    let channel = Channel::parse("chat:a").unwrap();

    assert_eq!(commands(&client, register(&directory, 1)).await, 4, "lease, route, two indexes");
    let locate = async { assert_eq!(directory.locate(Target::Session(id(1)), 1).await.unwrap().len(), 1) };
    assert_eq!(commands(&client, locate).await, 2);
    let locate = async { assert_eq!(directory.locate(Target::User(&user(1)), 9).await.unwrap().len(), 1) };
    assert_eq!(commands(&client, locate).await, 3);
    let join = async {
        let member = Member { session: id(1), user: "ann".into(), info: None, since: Millis::ZERO };
        let holder = Holder { node: node(), fence: Fence::FIRST };
        assert_eq!(presence.join(&channel, member, holder).await, Ok(Joined::New));
    };
    assert_eq!(commands(&client, join).await, 3, "lease, seat, index");
    let list = async { assert_eq!(presence.list(&channel, None, 9).await.unwrap().total, 1) };
    assert_eq!(commands(&client, list).await, 2);
    let leave = async { assert!(presence.leave(&channel, id(1), Fence::FIRST).await.unwrap().is_some()) };
    assert_eq!(commands(&client, leave).await, 1);
}

/// Commands sent while something happens.
async fn commands(client: &RedisClient, happens: impl Future<Output = ()>) -> u64 {
    let sent = || client.stats().calls.iter().flat_map(|calls| calls.outcomes).sum::<u64>();
    let before = sent();
    happens.await;
    sent() - before
}

fn used(server: &RedisServer) -> u64 {
    let memory = server.command(&["INFO", "memory"]).concat();
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.expect("every server says so").trim().parse().expect("it is a number")
}

fn sessions(client: &RedisClient) -> RedisSessions {
    RedisSessions::new(client.clone(), SessionsConfig::default(), Clock::system())
}

async fn directory(client: &RedisClient) -> RedisDirectory {
    let directory = RedisDirectory::new(client.clone(), DirectoryConfig::default(), Clock::system());
    let record = NodeRecord {
        name: node(),
        phase: "serving".into(),
        version: "0.1.0".into(),
        connections: 0,
        capacity: 10,
        load_permille: 0,
        started_at: Millis::ZERO,
        admin: None,
    };
    assert_eq!(directory.announce(record, TTL).await, Ok(Lease::New));
    directory
}

async fn fill(sessions: &RedisSessions, directory: &RedisDirectory, numbers: std::ops::Range<u32>) {
    let numbers: Vec<_> = numbers.collect();
    for part in numbers.chunks(500) {
        join_all(part.iter().map(|number| async move {
            create(sessions, *number).await;
            save(sessions, *number, Fence::FIRST).await;
            register(directory, *number).await;
        }))
        .await;
    }
}

async fn create(sessions: &RedisSessions, number: u32) {
    let identity = Identity {
        user: user(number).into(),
        claims: br#"{"subscribe":["chat:*","user:0000123"],"publish":["chat:*"],"info":{"name":"Ann"}}"#[..]
            .into(),
        token_id: Some(format!("0b51bc7a-0000-4000-8000-{number:012}").into()),
        token_expires_at: Some(Millis::new(1_900_000_000_000)),
    };
    let session = NewSession {
        session: id(number),
        secret: secret(number),
        node: node(),
        fence: Fence::FIRST,
        identity,
        ttl: TTL,
    };
    assert_eq!(sessions.create(session).await, Ok(Created::Owned(Fence::FIRST)));
}

async fn resume(sessions: &RedisSessions, number: u32) -> Fence {
    let resume = Resume { session: id(number), secret: secret(number), node: node(), ttl: TTL };
    match sessions.resume(resume).await {
        Ok(Resumed::Owned(resumption)) => resumption.fence,
        other => panic!("{other:?}"),
    }
}

async fn save(sessions: &RedisSessions, number: u32, fence: Fence) {
    let position = Some(Position { epoch: Epoch::new(u64::MAX), offset: 7 });
    let channel = ChannelName::parse(&format!("chat:room-{number}")).expect("tests use good names");
    let subscribed = vec![Subscription { channel, position }];
    let changes = Changes { subscribed, unsubscribed: vec![], identity: None, ttl: TTL };
    assert_eq!(sessions.save(id(number), fence, changes).await, Ok(Written::Saved));
}

async fn detach(sessions: &RedisSessions, number: u32, fence: Fence) {
    assert_eq!(sessions.detach(id(number), fence, TTL).await, Ok(Written::Saved));
}

async fn register(directory: &RedisDirectory, number: u32) {
    let (session, user) = (id(number), user(number).into());
    let registration = Registration { session, user, node: node(), fence: Fence::FIRST };
    assert_eq!(directory.register(registration).await, Ok(Registered::Known));
}

fn user(number: u32) -> String {
    format!("user-{number:07}")
}

/// Spread like random ones.
fn id(number: u32) -> SessionId {
    let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    SessionId::from_bytes(spread.to_be_bytes())
}

fn secret(number: u32) -> ResumeSecret {
    ResumeSecret::from_bytes(*id(number).as_bytes())
}

fn node() -> NodeName {
    NodeName::parse("gateway-0").expect("tests use good names")
}

const FILLED: u32 = 4_000;
const TTL: Duration = Duration::from_secs(600);
