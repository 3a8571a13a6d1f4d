//! What every store but the history says while the server does not answer, and after it forgot everything.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use tidegate_cluster::answer::{Answer, Reason};
use tidegate_cluster::budget::{Granted, Rate};
use tidegate_cluster::clock::Clock;
use tidegate_cluster::directory::{Lease, NodeRecord, Registered, Registration, Target};
use tidegate_cluster::presence::{Holder, Joined, Member};
use tidegate_cluster::redis::{
    BudgetConfig, Config, DirectoryConfig, Operation, Outcome, PresenceConfig, RedisBudget, RedisClient,
    RedisDirectory, RedisPresence, RedisSessions, RedisStickyRoutes, SessionsConfig,
};
use tidegate_cluster::sessions::{Changes, Created, Filter, Identity, NewSession, Resume, Resumed, Written};
use tidegate_cluster::{Budget, Directory, Fence, Presence, SessionStore, StickyRoutes};
use tidegate_protocol::channel::Channel;
use tidegate_protocol::id::{NodeName, ResumeSecret, SessionId};
use tidegate_protocol::time::Millis;
use tidegate_testkit::{DEADLINE, RedisServer};

use crate::redis_stores::{await_up, config, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_given_up_by_the_deadline_and_used_again_when_it_goes_on() {
    let server = RedisServer::start();
    let client = connect(Config { timeout: Duration::from_millis(300), ..config(&server.url()) }).await;
    let stores = Stores::new(&client);
    stores.fill().await;

    server.freeze();
    let started = Instant::now();
    let first = stores.sessions.resume(resume()).await;
    assert_eq!(first.map_err(|unavailable| unavailable.reason), Err(Reason::TimedOut));
    // Some of the next are sent, later ones find out that nothing comes back.
    given_up(stores.presence.list(&channel(), None, 10)).await;
    given_up(stores.directory.locate(Target::User("ann"), 10)).await;
    given_up(stores.sessions.list(Filter::All, None, 10)).await;
    given_up(stores.sticky.get("key")).await;
    given_up(stores.sessions.touch(&[(session(), Fence::FIRST)], LONG)).await;
    let granted = stores.budget.take("resumes", RATE, NonZeroU32::MIN).await;
    assert_eq!(granted, Ok(Granted::Now), "its share needs no server");
    assert!(started.elapsed() < DEADLINE);

    server.thaw();
    await_up(&client).await;
    let Ok(Resumed::Owned(resumption)) = stores.sessions.resume(resume()).await else {
        panic!("it has lost nothing");
    };
    assert!(resumption.fence > Fence::FIRST);
    assert_eq!(stores.presence.list(&channel(), None, 10).await.unwrap().total, 1);
    assert_eq!(stores.directory.locate(Target::User("ann"), 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_that_comes_about_after_it_was_given_up_takes_the_session_from_nobody() {
    let server = RedisServer::start();
    let hasty = connect(Config { timeout: Duration::from_millis(300), ..config(&server.url()) }).await;
    let patient = connect(config(&server.url())).await;
    let (hasty_sessions, sessions) = (Stores::new(&hasty).sessions, Stores::new(&patient).sessions);
    assert_eq!(sessions.create(new()).await, Ok(Created::Owned(Fence::FIRST)));
    let elsewhere = || Resume { node: NodeName::parse("n2").unwrap(), ..resume() };

    server.freeze();
    let given_up = hasty_sessions.resume(elsewhere()).await;
    assert_eq!(given_up.map_err(|unavailable| unavailable.reason), Err(Reason::TimedOut));
    server.thaw();
    await_given_back(&hasty, 1).await;
    assert_eq!(sessions.save(session(), Fence::FIRST, changes()).await, Ok(Written::Saved));

    server.freeze();
    let newer = tokio::spawn(sessions.resume(resume()));
    let given_up = hasty_sessions.resume(elsewhere()).await;
    assert_eq!(given_up.map_err(|unavailable| unavailable.reason), Err(Reason::TimedOut));
    server.thaw();
    await_given_back(&hasty, 2).await;
    let Ok(Ok(Resumed::Owned(newer))) = newer.await else { panic!("it had the time to wait") };
    assert_eq!(sessions.save(session(), newer.fence, changes()).await, Ok(Written::Saved));
}

/// Waits until so many claims were given back, whether or not they had come about.
async fn await_given_back(client: &RedisClient, claims: u64) {
    await_up(client).await;
    let deadline = Instant::now() + DEADLINE;
    while client.stats().count(Operation::SessionsGiveBack, Outcome::Answered) < claims {
        assert!(Instant::now() < deadline, "{:?}", client.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_flushed_holds_nobody_to_what_it_forgot() {
    let server = RedisServer::start();
    let stores = Stores::new(&connect(config(&server.url())).await);
    stores.fill().await;

    server.command(&["FLUSHALL"]);
    assert_eq!(stores.sessions.save(session(), Fence::FIRST, changes()).await, Ok(Written::Gone));
    assert_eq!(stores.sessions.detach(session(), Fence::FIRST, LONG).await, Ok(Written::Gone));
    assert_eq!(stores.sessions.touch(&[(session(), Fence::FIRST)], LONG).await, Ok(vec![session()]));
    assert_eq!(stores.sessions.resume(resume()).await, Ok(Resumed::NotResumable));
    assert_eq!(stores.presence.join(&channel(), member(), holder()).await, Ok(Joined::NoLease));
    assert_eq!(stores.directory.register(registration()).await, Ok(Registered::NoLease));
    assert_eq!(stores.directory.locate(Target::User("ann"), 10).await, Ok(vec![]));
    assert_eq!(stores.sticky.get("key").await, Ok(None));

    stores.fill().await;
    assert_eq!(stores.presence.list(&channel(), None, 10).await.unwrap().members, [member()]);
    assert_eq!(stores.directory.locate(Target::User("ann"), 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_says_so_and_keeps_what_it_has() {
    let server = RedisServer::start();
    let stores = Stores::new(&connect(config(&server.url())).await);
    stores.fill().await;

    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let created = stores.sessions.create(NewSession { session: other(), ..new() }).await;
    assert_eq!(created.map_err(|unavailable| unavailable.reason), Err(Reason::Full));
    let joined = stores.presence.join(&channel(), Member { session: other(), ..member() }, holder()).await;
    assert_eq!(joined.map_err(|unavailable| unavailable.reason), Err(Reason::Full));
    assert!(stores.sessions.get(session()).await.unwrap().is_some());
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(stores.sessions.save(session(), Fence::FIRST, changes()).await, Ok(Written::Saved));
}

/// One of each, seen from one node.
struct Stores {
    sessions: RedisSessions,
    presence: RedisPresence,
    directory: RedisDirectory,
    sticky: RedisStickyRoutes,
    budget: RedisBudget,
}

impl Stores {
    fn new(client: &RedisClient) -> Self {
        let clock = Clock::system();
        Self {
            sessions: RedisSessions::new(client.clone(), SessionsConfig::default(), clock.clone()),
            presence: RedisPresence::new(client.clone(), PresenceConfig::default(), clock.clone()),
            directory: RedisDirectory::new(client.clone(), DirectoryConfig::default(), clock.clone()),
            sticky: RedisStickyRoutes::new(client.clone()),
            budget: RedisBudget::new(client.clone(), BudgetConfig::default(), clock),
        }
    }

    /// One of everything.
    async fn fill(&self) {
        assert_eq!(self.sessions.create(new()).await, Ok(Created::Owned(Fence::FIRST)));
        assert_eq!(self.presence.touch(&node(), LONG).await, Ok(Lease::New));
        assert_eq!(self.presence.join(&channel(), member(), holder()).await, Ok(Joined::New));
        assert_eq!(self.directory.announce(record(), LONG).await, Ok(Lease::New));
        assert_eq!(self.directory.register(registration()).await, Ok(Registered::Known));
        assert_eq!(self.sticky.put("key", "backend".into(), LONG).await, Ok(()));
    }
}

async fn given_up<T: std::fmt::Debug>(answer: Answer<T>) {
    let reason = answer.await.expect_err("nothing answers").reason;
    assert!(matches!(reason, Reason::TimedOut | Reason::Down), "{reason:?}");
}

fn node() -> NodeName {
    NodeName::parse("n1").expect("tests use good names")
}

fn channel() -> Channel<'static> {
    Channel::parse("chat:a").expect("tests use good names")
}

fn session() -> SessionId {
    SessionId::from_bytes([1; 16])
}

fn other() -> SessionId {
    SessionId::from_bytes([2; 16])
}

fn secret() -> ResumeSecret {
    ResumeSecret::from_bytes([7; 16])
}

fn new() -> NewSession {
    let identity = Identity { user: "ann".into(), claims: [].into(), token_id: None, token_expires_at: None };
    NewSession {
        session: session(),
        secret: secret(),
        node: node(),
        fence: Fence::FIRST,
        identity,
        ttl: LONG,
    }
}

fn resume() -> Resume {
    Resume { session: session(), secret: secret(), node: node(), ttl: LONG }
}

fn changes() -> Changes {
    Changes { subscribed: vec![], unsubscribed: vec![], identity: None, ttl: LONG }
}

fn member() -> Member {
    Member { session: session(), user: "ann".into(), info: None, since: Millis::new(5) }
}

fn holder() -> Holder {
    Holder { node: node(), fence: Fence::FIRST }
}

fn registration() -> Registration {
    Registration { session: session(), user: "ann".into(), node: node(), fence: Fence::FIRST }
}

fn record() -> NodeRecord {
    NodeRecord {
        name: node(),
        phase: "serving".into(),
        version: "0.1.0".into(),
        connections: 0,
        capacity: 10,
        load_permille: 0,
        started_at: Millis::ZERO,
        admin: None,
    }
}

const LONG: Duration = Duration::from_secs(600);
const RATE: Rate = Rate { interval: Duration::from_millis(10), burst: NonZeroU32::new(10).unwrap() };
