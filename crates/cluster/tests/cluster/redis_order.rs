//! Calls for one entity are carried out in the order in which they were begun, also where the server sends them back: it
//! does not know their script, or their slot has gone to another one.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate_cluster::History;
use tidegate_cluster::answer::{Answer, Unavailable};
use tidegate_cluster::history::{Append, Appended, Read, Retention};
use tidegate_cluster::redis::RedisHistory;
use tidegate_protocol::channel::Channel;
use tidegate_testkit::{RedisCluster, RedisServer};
use tokio::task::JoinHandle;

use crate::redis_stores::{config, connect, history};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_to_a_server_that_forgot_their_script_keep_their_order() {
    let server = RedisServer::start();
    let history = Arc::new(history(connect(config(&server.url())).await));
    begin(&history).await.expect("it runs").expect("the server answers");
    server.command(&["SCRIPT", "FLUSH"]);

    // All of the first ones are sent back; the others are begun while these are sent again.
    server.freeze();
    let mut calls: Vec<_> = (0..100).map(|_| begin(&history)).collect();
    server.thaw();
    for _ in 0..400 {
        calls.push(begin(&history));
        tokio::task::yield_now().await;
    }
    let offsets = offsets(calls).await;
    assert_eq!(offsets, (2..=501).collect::<Vec<_>>(), "in the order they were begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_that_are_led_to_another_server_keep_their_order() {
    let cluster = RedisCluster::three_masters();
    let history = Arc::new(history(connect(config(&cluster.url())).await));
    begin(&history).await.expect("it runs").expect("the server answers");
    let owner = cluster.masters().iter().find(|master| master.calls("eval") + master.calls("evalsha") > 0);
    let owner = owner.expect("the channel belongs to one of them");
    let heir = cluster.masters().iter().find(|master| master.port() != owner.port()).unwrap();

    // The slot goes without what is in it: the stream starts again there.
    owner.command(&["FLUSHALL"]);
    let slot = &owner.command(&["CLUSTER", "KEYSLOT", "tidegate:{h:chat:a}:m"])[0];
    let id = &heir.command(&["CLUSTER", "MYID"])[0];
    for master in [heir, owner] {
        master.command(&["CLUSTER", "SETSLOT", slot, "NODE", id]);
    }
    let mut calls: Vec<_> = (0..100).map(|_| begin(&history)).collect();
    for _ in 0..400 {
        calls.push(begin(&history));
        tokio::task::yield_now().await;
    }
    let offsets = offsets(calls).await;
    assert!(offsets.is_sorted(), "in the order they were begun: {offsets:?}");
    let page = history.read(&channel(), Read::head()).await.expect("the server answers");
    assert_eq!(page.head.offset, offsets.len() as u64);
    assert!(heir.calls("evalsha") > 0);
}

/// Begins an append as a gateway's worker does: polls it once in place, and leaves the rest to the runtime.
fn begin(history: &Arc<RedisHistory>) -> JoinHandle<Result<Appended, Unavailable>> {
    let mut answer: Answer<Appended> = history.append(Append {
        channel: &channel(),
        retention: Retention { entries_max: 10, ttl: Duration::from_secs(600) },
        key: None,
        data: b"1"[..].into(),
        from: None,
        conflate: None,
        trace: None,
    });
    let first = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    tokio::spawn(async move {
        match first {
            Poll::Ready(appended) => appended,
            Poll::Pending => answer.await,
        }
    })
}

/// Of those that were carried out, in the order of the calls.
async fn offsets(calls: Vec<JoinHandle<Result<Appended, Unavailable>>>) -> Vec<u64> {
    let mut offsets = Vec::with_capacity(calls.len());
    for call in calls {
        if let Ok(appended) = call.await.expect("it runs") {
            offsets.push(appended.position.offset);
        }
    }
    offsets
}

fn channel() -> Channel<'static> {
    Channel::parse("chat:a").expect("it is a good name")
}
