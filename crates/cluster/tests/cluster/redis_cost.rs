//! What a step costs the server, in commands and round trips, and the bounds of a stream.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidegate_cluster::History;
use tidegate_cluster::history::{Append, Read, Retention};
use tidegate_cluster::idempotency::IdempotencyKey;
use tidegate_cluster::redis::{HistoryConfig, RedisHistory};
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_testkit::RedisServer;

use crate::redis_stores::{config, connect, history};

#[tokio::test]
async fn a_step_is_one_command_and_touches_little() {
    let server = RedisServer::start();
    let history = history(connect(config(&server.url())).await);
    // The first ones bring the scripts and set what is set now and then.
    append(&history, "chat:a", 1, Some("j")).await;
    let head = history.read(&channel("chat:a"), Read::head()).await.unwrap().head;

    let costs = |before: &Cost| {
        let now = Cost::of(&server);
        [now.evalsha - before.evalsha, now.eval - before.eval, now.all - before.all]
    };
    let before = Cost::of(&server);
    append(&history, "chat:a", 1, None).await;
    // TIME, HMGET, XADD, HSET.
    assert_eq!(costs(&before), [1, 0, 5], "an append");

    let before = Cost::of(&server);
    append(&history, "chat:a", 1, Some("k")).await;
    // GET and SET as well.
    assert_eq!(costs(&before), [1, 0, 7], "an append with a key");

    let before = Cost::of(&server);
    history.read(&channel("chat:a"), Read::after(head, 10, usize::MAX)).await.unwrap();
    // TIME, HMGET, XRANGE.
    assert_eq!(costs(&before), [1, 0, 4], "a read");
}

#[tokio::test]
async fn appends_under_way_together_share_round_trips() {
    let server = RedisServer::start();
    let client = connect(config(&server.url())).await;
    let history = history(client.clone());
    append(&history, "chat:a", 1, None).await;
    let reads = || server.info("stats", "total_reads_processed").parse::<u64>().unwrap();
    let before = reads();

    // They do not wait for each other's answers: the server finds them together when it goes on.
    server.freeze();
    let sent_before = client.stats().sent_bytes_total;
    let appends = join_all((0..100).map(|_| append(&history, "chat:a", 1, None)));
    let thaw = async {
        let sent = || client.stats().sent_bytes_total - sent_before + 100 * FRAMING_BYTES;
        while client.stats().in_flight < 100 || unread_bytes(server.port()) < sent() {
            tokio::task::yield_now().await;
        }
        server.thaw();
    };
    let (offsets, ()) = tokio::join!(appends, thaw);
    assert_eq!(offsets, (2..=101).collect::<Vec<_>>(), "in the order they were made");
    // It reads 16 KiB at a time; those of probes and of this question come on top.
    let round_trips = reads() - before;
    assert!(round_trips < 50, "{round_trips} for 100 appends");
}

/// Bytes of a call beside keys and arguments, at least: `EVALSHA`, the script's hash, and the lengths of all.
const FRAMING_BYTES: u64 = 100;

/// What lies in the sockets of a server's port, and that nobody has read yet.
fn unread_bytes(port: u16) -> u64 {
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("the kernel lists its sockets");
    let unread = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next()?.rsplit_once(':')?.1.to_owned();
        let (_, unread) = fields.nth(2)?.split_once(':')?;
        let unread = u64::from_str_radix(unread, 16).ok()?;
        (u16::from_str_radix(&local, 16) == Ok(port)).then_some(unread)
    };
    sockets.lines().skip(1).filter_map(unread).sum()
}

#[tokio::test]
async fn of_many_calls_for_a_script_that_the_server_lacks_one_sends_it() {
    let server = RedisServer::start();
    let history = history(connect(config(&server.url())).await);
    append(&history, "chat:a", 1, None).await;
    server.command(&["SCRIPT", "FLUSH"]);

    let before = server.calls("eval");
    let appends = (0..100).map(|_| append(&history, "chat:a", 1, None));
    let offsets: BTreeSet<_> = join_all(appends).await.into_iter().collect();
    assert_eq!(offsets, (2..=101).collect());
    assert_eq!(server.calls("eval") - before, 1);
}

#[tokio::test]
async fn heads_of_many_channels_take_one_step_for_64_of_them() {
    let server = RedisServer::start();
    let history = history(connect(config(&server.url())).await);
    let names: Vec<_> = (0..130).map(|n| ChannelName::parse(&format!("chat:{n}")).unwrap()).collect();
    for name in &names {
        append(&history, name.as_str(), 1, None).await;
    }
    history.heads(&names[..1]).await.unwrap();

    let before = Cost::of(&server);
    let heads = history.heads(&names).await.unwrap();
    assert!(heads.iter().all(|head| head.is_some_and(|head| head.offset == 1)));
    assert_eq!(Cost::of(&server).evalsha - before.evalsha, 3);
}

#[tokio::test]
async fn a_stream_keeps_as_many_entries_and_bytes_as_it_may() {
    let server = RedisServer::start();
    let client = connect(config(&server.url())).await;
    // Room for three entries of 36 bytes, each with its overhead of 64.
    let bounds = HistoryConfig { entries_max: 4, stream_bytes_max: 300, ..HistoryConfig::default() };
    let history = RedisHistory::new(client, bounds, Arc::new(|_, _| {}));
    let kept = async |name: &'static str| {
        history.read(&channel(name), Read::newest(100, usize::MAX)).await.unwrap().entries.len()
    };

    for (appended, expected) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 3)] {
        append(&history, "chat:bytes", 36, None).await;
        assert_eq!(kept("chat:bytes").await, expected, "after {appended} appends");
    }
    assert_eq!(history.stats().entries_evicted_total, 2);

    for (appended, expected) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4)] {
        append(&history, "chat:entries", 1, None).await;
        assert_eq!(kept("chat:entries").await, expected, "after {appended} appends");
    }
}

/// Commands the server has carried out, also those within scripts.
struct Cost {
    evalsha: u64,
    eval: u64,
    all: u64,
}

impl Cost {
    fn of(server: &RedisServer) -> Self {
        let lines = server.command(&["INFO", "commandstats"]).join("\n");
        let calls = lines.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            // Those of probes and of this question.
            let is_ours = !matches!(name, "ping" | "info");
            is_ours.then(|| rest.split(',').next()?.parse::<u64>().ok())?
        });
        Self { evalsha: server.calls("evalsha"), eval: server.calls("eval"), all: calls.sum() }
    }
}

async fn append(history: &RedisHistory, name: &str, bytes: usize, key: Option<&str>) -> u64 {
    let window = Duration::from_secs(60);
    let append = Append {
        channel: &channel(name),
        retention: Retention { entries_max: 1000, ttl: Duration::from_secs(600) },
        key: key.map(|key| IdempotencyKey { publisher: "ann", key, window }),
        data: vec![b'1'; bytes].into(),
        from: None,
        conflate: None,
        trace: None,
    };
    history.append(append).await.expect("the server answers").position.offset
}

fn channel(name: &str) -> Channel<'_> {
    Channel::parse(name).expect("tests use good names")
}
