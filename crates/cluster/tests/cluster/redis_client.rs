//! The connections under the stores: what they say of a server that is slow, cut off, or lets nobody in.

use std::time::Duration;

use tidegate_cluster::History;
use tidegate_cluster::answer::Reason;
use tidegate_cluster::history::Read;
use tidegate_cluster::redis::{Config, ConfigError, RedisClient, RedisHistory};
use tidegate_cluster::state::State;
use tidegate_protocol::channel::Channel;
use tidegate_testkit::{ChaosProxy, DEADLINE, RedisCluster, RedisServer, Sentinel};
use tokio::runtime::Handle;

use crate::redis_stores::{await_state, await_up, config, connect, history};

#[tokio::test]
async fn a_slow_link_shows_and_so_does_its_end() {
    let server = RedisServer::start();
    let proxy = ChaosProxy::before(server.port());
    // A loaded machine takes some time as well: what counts as slow here is far beyond that, and the link slower still.
    let slow_after = Duration::from_secs(1);
    let client = connect(Config { slow_after, ..config(&url(&proxy)) }).await;
    let history = history(client.clone());
    read(&history).await.expect("the server answers");

    proxy.delay(slow_after);
    await_state(&client, "slow", |state| *state == State::Slow).await;
    read(&history).await.expect("late is not never");
    proxy.heal();
    await_state(&client, "up", |state| *state == State::Up).await;
}

#[tokio::test]
async fn a_link_cut_one_way_ends_calls_and_comes_back_by_itself() {
    let server = RedisServer::start();
    let proxy = ChaosProxy::before(server.port());
    let client = connect(Config { timeout: SOON, ..config(&url(&proxy)) }).await;
    let history = history(client.clone());

    proxy.cut_downstream();
    assert_eq!(read(&history).await, Err(Reason::TimedOut));
    await_state(&client, "down", |state| !state.is_reachable()).await;
    assert_eq!(read(&history).await, Err(Reason::Down));

    proxy.heal();
    await_up(&client).await;
    read(&history).await.expect("the link is whole again");
}

#[tokio::test]
async fn a_password_that_becomes_right_lets_the_node_in() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "tidegate", "on", ">other", "~*", "+@all"]);
    let url = server.url().replace("://", "://tidegate:secret@");
    let given = config(&url);
    let client = RedisClient::connect(given, &Handle::current()).expect("it can be used");
    let mut states = client.state();
    let refused = async {
        while client.last_error().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, refused).await.expect("the server refuses it");
    assert!(!states.borrow_and_update().is_reachable());
    let error = client.last_error().expect("there is one");
    assert!(!error.contains("secret"), "{error}");

    server.command(&["ACL", "SETUSER", "tidegate", ">secret"]);
    await_up(&client).await;
}

#[tokio::test]
async fn sentinels_that_ask_for_a_password_get_theirs_and_not_the_servers() {
    let master = RedisServer::start();
    let sentinel = Sentinel::watching(&master);
    sentinel.admit_only("tidegate", "secret");
    let stranger = config(&sentinel.url());
    let known = Config {
        sentinel_username: Some("tidegate".to_owned()),
        sentinel_password: Some("secret".to_owned()),
        ..stranger.clone()
    };

    let client = connect(known).await;
    read(&history(client)).await.expect("the master answers, which asks for none");
    let client = RedisClient::connect(stranger, &Handle::current()).expect("it can be used");
    let refused = async {
        while client.last_error().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, refused).await.expect("the sentinel refuses it");
    assert!(!client.state().borrow().is_reachable());
}

#[tokio::test]
async fn a_slot_that_moved_is_followed() {
    let cluster = RedisCluster::three_masters();
    let client = connect(config(&cluster.url())).await;
    let history = history(client);
    read(&history).await.expect("the server answers");
    let [owner] =
        cluster.masters().iter().filter(|master| master.calls("evalsha") > 0).collect::<Vec<_>>()[..]
    else {
        panic!("one channel belongs to one of them");
    };
    let heir = cluster.masters().iter().find(|master| master.port() != owner.port()).unwrap();

    // The slot goes without what is in it: that is a stream set back, not a failure.
    owner.command(&["FLUSHALL"]);
    let slot = &owner.command(&["CLUSTER", "KEYSLOT", "tidegate:{h:chat:a}:m"])[0];
    let id = &heir.command(&["CLUSTER", "MYID"])[0];
    for master in [heir, owner] {
        master.command(&["CLUSTER", "SETSLOT", slot, "NODE", id]);
    }
    read(&history).await.expect("the call goes where the slot is");
    assert!(heir.calls("evalsha") > 0);
}

#[tokio::test]
async fn certificate_authorities_that_are_none_are_refused_at_the_start() {
    let folder = RedisServer::builder();
    let missing = folder.folder().join("missing.pem");
    let empty = folder.folder().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for file in [missing, empty] {
        let given = Config { tls_ca_file: Some(file.clone()), ..config("rediss://localhost") };
        let Err(ConfigError::Tls(error)) = RedisClient::connect(given, &Handle::current()) else {
            panic!("{} was taken", file.display());
        };
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
}

async fn read(history: &RedisHistory) -> Result<u64, Reason> {
    let channel = Channel::parse("chat:a").expect("it is a good name");
    let page = history.read(&channel, Read::head()).await.map_err(|unavailable| unavailable.reason)?;
    Ok(page.head.offset)
}

fn url(proxy: &ChaosProxy) -> String {
    format!("redis://{}", proxy.address())
}

/// Short enough to wait for, longer than a loaded machine needs for a call.
const SOON: Duration = Duration::from_secs(1);
