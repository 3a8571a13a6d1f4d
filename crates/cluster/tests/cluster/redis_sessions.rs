//! Sessions in Redis: the contract, who may write after a takeover or a set-back, and what finds them.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::answer::Reason;
use tidegate_cluster::clock::Clock;
use tidegate_cluster::redis::{RedisClient, RedisSessions, SessionsConfig};
use tidegate_cluster::sessions::{
    Changes, Created, Filter, Identity, NewSession, Resume, Resumed, Subject, Subscription, Written,
};
use tidegate_cluster::{Fence, SessionStore, contract};
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::time::Millis;
use tidegate_testkit::{RedisCluster, RedisServer};

use crate::redis_stores::{Stores, config, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::sessions::check(&Stores::new(config(&server.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_a_cluster() {
    let cluster = RedisCluster::three_masters();
    contract::sessions::check(&Stores::new(config(&cluster.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_taken_over_by_another_node_writes_nothing() {
    let server = RedisServer::start();
    let (first, second) = (on(&server).await, on(&server).await);
    create(&first, 1, "n1").await;
    let fence = resume(&second, 1, "n2").await;

    assert_eq!(first.save(id(1), Fence::FIRST, changes(&[])).await, Ok(Written::Fenced));
    let late = first.save(id(1), fence, changes(&[])).await;
    assert_eq!(late, Ok(Written::Fenced), "the right fence from the wrong node");
    assert_eq!(first.end(id(1), fence).await, Ok(Written::Fenced));
    assert_eq!(first.touch(&[(id(1), fence)], LONG).await, Ok(vec![id(1)]));
    assert_eq!(second.save(id(1), fence, changes(&[])).await, Ok(Written::Saved));
    assert_eq!(first.stats().fenced_total, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_the_server_forgot_is_made_good_by_its_owner() {
    let server = RedisServer::start();
    let (first, second) = (on(&server).await, on(&server).await);
    create(&first, 1, "n1").await;
    create(&second, 2, "n2").await;
    let record = key(1);
    server.command(&["COPY", &record, "before"]);
    let fence = resume(&second, 1, "n2").await;
    server.command(&["COPY", "before", &record, "REPLACE"]);

    assert_eq!(second.save(id(1), fence, changes(&["chat:a"])).await, Ok(Written::Saved));
    assert_eq!(first.save(id(1), Fence::FIRST, changes(&[])).await, Ok(Written::Fenced));
    let view = second.get(id(1)).await.unwrap().unwrap();
    assert_eq!((view.node, view.fence), (node("n2"), fence));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_has_a_higher_fence_than_those_that_the_server_forgot() {
    let server = RedisServer::start();
    let (first, second, third) = (on(&server).await, on(&server).await, on(&server).await);
    create(&first, 1, "n1").await;
    let record = key(1);
    server.command(&["COPY", &record, "before"]);
    let mut forgotten = Fence::FIRST;
    for _ in 0..3 {
        forgotten = resume(&second, 1, "n2").await;
    }
    server.command(&["COPY", "before", &record, "REPLACE"]);
    let fence = resume(&third, 1, "n3").await;

    assert!(fence > forgotten, "{fence} after {forgotten}");
    assert_eq!(second.save(id(1), forgotten, changes(&[])).await, Ok(Written::Fenced));
    assert_eq!(third.save(id(1), fence, changes(&[])).await, Ok(Written::Saved));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_the_store_learns_no_secret() {
    let server = RedisServer::start();
    let store = on(&server).await;
    let made =
        store.create(NewSession { secret: ResumeSecret::from_bytes(*b"sixteen letters!"), ..new(1, "n1") });
    assert_eq!(made.await, Ok(Created::Owned(Fence::FIRST)));

    let record = server.command(&["HGETALL", &key(1)]);
    assert!(record.iter().any(|value| value == "ann"), "{record:?}");
    assert!(!record.iter().any(|value| value.contains("sixteen")), "{record:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_subscription_more_than_there_may_be_is_refused_whole() {
    let server = RedisServer::start();
    let limited = SessionsConfig { subscriptions_max: 3, ..SessionsConfig::default() };
    let store = RedisSessions::new(connect(config(&server.url())).await, limited, Clock::system());
    create(&store, 1, "n1").await;

    assert_eq!(store.save(id(1), Fence::FIRST, changes(&["a", "b", "c"])).await, Ok(Written::Saved));
    let refused = store.save(id(1), Fence::FIRST, changes(&["c", "d"])).await;
    assert_eq!(refused.map_err(|unavailable| unavailable.reason), Err(Reason::Full));
    let swapped = Changes { unsubscribed: vec![name("a"), name("x")], ..changes(&["b", "d"]) };
    assert_eq!(store.save(id(1), Fence::FIRST, swapped).await, Ok(Written::Saved));
    let again = Changes { unsubscribed: vec![name("b")], ..changes(&["b", "c"]) };
    assert_eq!(store.save(id(1), Fence::FIRST, again).await, Ok(Written::Saved));
    let channels: Vec<_> = store
        .get(id(1))
        .await
        .unwrap()
        .unwrap()
        .subscriptions
        .into_iter()
        .map(|known| known.channel)
        .collect();
    assert_eq!(channels, ["b", "c", "d"].map(name));
    assert_eq!(store.stats().refused_total, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_on_one_node_is_seen_by_a_resume_on_another() {
    let server = RedisServer::start();
    let (first, second) = (on(&server).await, on(&server).await);
    for number in 1..=4 {
        create(&first, number, "n1").await;
    }
    assert!(resume(&second, 1, "n2").await > Fence::FIRST);

    assert_eq!(first.revoke(Subject::User("ann".into()), Millis::MAX).await, Ok(()));
    assert_eq!(second.resume(resume_of(2, "n2")).await, Ok(Resumed::Revoked));
    // Who has seen that there is somebody goes on looking when the server does not know any more.
    server.command(&["DEL", "tidegate:{r}"]);
    for store in [&first, &second] {
        assert_eq!(store.resume(resume_of(3, "n3")).await, Ok(Resumed::Revoked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_of_a_node_loses_what_has_ended_and_regains_what_was_lost() {
    let server = RedisServer::start();
    let store = on(&server).await;
    create(&store, 1, "n1").await;
    let short = NewSession { ttl: Duration::from_millis(1), ..new(2, "n1") };
    assert_eq!(store.create(short).await, Ok(Created::Owned(Fence::FIRST)));
    tidegate_testkit::until("the session to end", || {
        (server.command(&["EXISTS", &key(2)]) == ["0"]).then_some(())
    });
    let index = "tidegate:{n:n1}:s";
    assert_eq!(server.command(&["ZCARD", index]), ["2"], "nobody has looked yet");

    assert_eq!(store.touch(&[(id(1), Fence::FIRST)], LONG).await, Ok(vec![]));
    assert_eq!(server.command(&["ZCARD", index]), ["1"]);
    assert_eq!(store.stats().unlisted_total, 1);

    server.command(&["DEL", index, "tidegate:{n}"]);
    assert_eq!(store.list(Filter::All, None, 10).await.unwrap().sessions, []);
    assert_eq!(store.touch(&[(id(1), Fence::FIRST)], LONG).await, Ok(vec![]));
    assert_eq!(store.list(Filter::All, None, 10).await.unwrap().sessions.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_ids_fills_no_index() {
    let server = RedisServer::start();
    let store = on(&server).await;
    create(&store, 1, "n1").await;

    for number in 2..50 {
        assert_eq!(store.resume(resume_of(number, "n1")).await, Ok(Resumed::NotResumable));
    }
    let wrong = Resume { secret: secret(9), ..resume_of(1, "n1") };
    assert_eq!(store.resume(wrong).await, Ok(Resumed::NotResumable));
    tidegate_testkit::until("the guesses to be taken out", || {
        (server.command(&["ZCARD", "tidegate:{n:n1}:s"]) == ["1"]).then_some(())
    });
    assert_eq!(store.list(Filter::All, None, 10).await.unwrap().sessions.len(), 1, "the real one stays");
    assert_eq!(store.stats().not_resumable_total, 49);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_users_sessions_so_many_are_found_as_may_be() {
    let server = RedisServer::start();
    let limited = SessionsConfig { user_sessions_max: 3, ..SessionsConfig::default() };
    let store = RedisSessions::new(connect(config(&server.url())).await, limited, Clock::system());

    for (number, found) in [(1, 1), (2, 2), (3, 3), (4, 3)] {
        create(&store, number, "n1").await;
        let page = store.list(Filter::User("ann"), None, 10).await.unwrap();
        assert_eq!(page.sessions.len(), found, "{number}");
    }
    assert_eq!(store.list(Filter::All, None, 10).await.unwrap().sessions.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_longer_than_one_read_of_the_index_are_whole() {
    let server = RedisServer::start();
    let store = on(&server).await;
    for number in 0..600 {
        create(&store, number, if number % 2 == 0 { "n1" } else { "n2" }).await;
    }

    for filter in [Filter::All, Filter::User("ann")] {
        let (mut walked, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(filter, after, 250).await.unwrap();
            walked.extend(page.sessions.into_iter().map(|view| view.session));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(walked, (0..600).map(id).collect::<Vec<_>>(), "{filter:?}");
    }
}

fn make(client: RedisClient) -> Arc<dyn SessionStore> {
    Arc::new(RedisSessions::new(client, SessionsConfig::default(), Clock::system()))
}

/// As another node sees it: a process of its own.
async fn on(server: &RedisServer) -> RedisSessions {
    RedisSessions::new(connect(config(&server.url())).await, SessionsConfig::default(), Clock::system())
}

async fn create(store: &RedisSessions, number: u16, node: &str) {
    assert_eq!(store.create(new(number, node)).await, Ok(Created::Owned(Fence::FIRST)));
}

async fn resume(store: &RedisSessions, number: u16, node: &str) -> Fence {
    match store.resume(resume_of(number, node)).await {
        Ok(Resumed::Owned(resumption)) => resumption.fence,
        other => panic!("session {number}: {other:?}"),
    }
}

fn new(number: u16, on: &str) -> NewSession {
    let identity = Identity { user: "ann".into(), claims: [].into(), token_id: None, token_expires_at: None };
    NewSession {
        session: id(number),
        secret: secret(number),
        node: node(on),
        fence: Fence::FIRST,
        identity,
        ttl: LONG,
    }
}

fn resume_of(number: u16, on: &str) -> Resume {
    Resume { session: id(number), secret: secret(number), node: node(on), ttl: LONG }
}

fn changes(channels: &[&str]) -> Changes {
    let subscribed = channels.iter().map(|channel| Subscription { channel: name(channel), position: None });
    Changes { subscribed: subscribed.collect(), unsubscribed: vec![], identity: None, ttl: LONG }
}

fn key(number: u16) -> String {
    format!("tidegate:{{s:{}}}", id(number))
}

/// In the order of their numbers.
fn id(number: u16) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

fn secret(number: u16) -> ResumeSecret {
    ResumeSecret::from_bytes(*SessionId::as_bytes(&id(number)))
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).expect("tests use good names")
}

fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).expect("tests use good names")
}

const LONG: Duration = Duration::from_secs(600);
