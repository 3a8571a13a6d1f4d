//! The bus over NATS: the contract, what it adds to it, and its bounds.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::StreamExt;
use tidegate_cluster::answer::{Part, Reason};
use tidegate_cluster::bus::{Bus, Mail};
use tidegate_cluster::contract;
use tidegate_cluster::nats::NatsConfig;
use tidegate_protocol::node::{NodeMessage, Publication, PublicationKind, append};
use tidegate_protocol::position::{Epoch, Position};
use tidegate_testkit::NatsServer;

use crate::nats_ends::{End, Networks, channel, config, publication};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = NatsServer::start();
    contract::bus::check(&Networks(config(&server.url()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_cross_from_one_server_to_another() {
    let servers = NatsServer::cluster_of_two();
    let [one, two] = [0, 1].map(|at: usize| config(&servers[at].url()));
    let (one, two) = (End::start(one, "n1").await, End::start(two, "n2").await);
    two.subscribe("chat:a").await;

    // Servers tell each other of subscriptions a moment after they answer.
    let mut sent = 0;
    while two.bus.stats().received_total == 0 {
        one.publish("chat:a", "1").await.unwrap();
        sent += 1;
        assert!(sent < 10_000, "nothing comes across");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(two.next().await, publication("chat:a", "1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_keep_their_order_across_channels_and_share_messages_under_load() {
    let server = NatsServer::start();
    let listener = End::start(config(&server.url()), "n0").await;
    let names = ["chat:a", "chat:b", "chat:c"];
    for name in names {
        listener.subscribe(name).await;
    }

    let (publishers, count) = (4, 1_000);
    let mut tasks = Vec::new();
    for publisher in 0..publishers {
        let end = End::start(config(&server.url()), &format!("p{publisher}")).await;
        tasks.push(tokio::spawn(async move {
            // Runs of one channel, as they come where many talk in a room.
            let texts = (0..count).map(|number| (names[number / 10 % 3], format!("{publisher} {number}")));
            let answers: Vec<_> =
                texts.map(|(name, text)| end.bus.publish(&channel(name), Bytes::from(text))).collect();
            for answer in answers {
                answer.await.unwrap();
            }
            // Without it the last of them would go with the end.
            end.bus.flush().await.unwrap();
            end.bus.stats()
        }));
    }
    let mut next = vec![0; publishers];
    for _ in 0..publishers * count {
        let text = listener.next_text().await;
        let (publisher, number) = text.split_once(' ').unwrap();
        let expected = &mut next[publisher.parse::<usize>().unwrap()];
        assert_eq!(number.parse::<usize>().unwrap(), *expected, "of publisher {publisher}");
        *expected += 1;
    }
    for task in tasks {
        let stats = task.await.unwrap();
        assert_eq!(stats.published_total, count as u64);
        assert!(stats.batches_total < stats.published_total / 2, "{stats:?}");
    }
    assert!(listener.take_losses().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_left_after_the_linger_and_not_before() {
    let server = NatsServer::start();
    let linger = Duration::from_millis(300);
    let end = End::start(NatsConfig { linger, ..config(&server.url()) }, "n1").await;
    end.subscribe("chat:a").await;
    let marks = end.bus.stats().marks_total;

    end.bus.unsubscribe(&channel("chat:a")).await.unwrap();
    end.publish("chat:a", "unwanted").await.unwrap();
    end.until_stats("what comes in the linger", |stats| stats.unwanted_total == 1).await;
    end.subscribe("chat:a").await;
    end.publish("chat:a", "wanted").await.unwrap();
    assert_eq!(end.next().await, publication("chat:a", "wanted"));

    end.bus.unsubscribe(&channel("chat:a")).await.unwrap();
    end.until_stats("the channel to be left", |stats| stats.channels == 0).await;
    end.publish("chat:a", "left").await.unwrap();
    end.until_stats("a mark behind it", |stats| stats.marks_total > marks + 2).await;
    assert_eq!((end.bus.stats().unwanted_total, end.take_all()), (1, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_bounded() {
    let server = NatsServer::start();
    let end = End::start(NatsConfig { channels_max: 3, ..config(&server.url()) }, "n1").await;
    for name in ["a", "b", "c"] {
        end.subscribe(name).await;
    }

    assert_eq!(end.bus.subscribe(&channel("d")).await, Err(Part::Bus.full()));
    assert_eq!((end.bus.stats().channels, end.bus.stats().refused_full_total), (3, 1));
    end.bus.unsubscribe(&channel("b")).await.unwrap();
    end.subscribe("d").await;
    assert_eq!(end.bus.stats().channels, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_server_does_not_take_is_refused() {
    let server = NatsServer::builder().config("max_payload: 16384").start();
    let end = End::start(config(&server.url()), "n1").await;
    end.subscribe("chat:a").await;
    assert_eq!(end.bus.stats().message_bytes_max, 16_384);

    let refused = end.publish("chat:a", "x".repeat(16_385)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Faulty);
    // Each fits; together they would not.
    let texts = ["a", "b", "c", "d"].map(|letter| letter.repeat(5_000));
    let answers = texts.clone().map(|text| end.bus.publish(&channel("chat:a"), text.into()));
    for answer in answers {
        answer.await.unwrap();
    }
    for text in texts {
        assert_eq!(end.next_text().await, text);
    }
    assert_eq!(end.bus.stats().oversized_total, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_looks_on_sees_where_a_publication_stands() {
    let server = NatsServer::start();
    let end = End::start(config(&server.url()), "n1").await;
    let onlooker = async_nats::connect(server.url()).await.unwrap();
    let mut seen = onlooker.subscribe("tidegate.c.>").await.unwrap();
    onlooker.flush().await.unwrap();
    end.until_stats("a mark behind the subscription", |stats| stats.marks_total > 2).await;

    let message = encoded(Position { epoch: Epoch::new(36), offset: 18 });
    end.bus.publish(&channel("chat:a.b"), message.clone()).await.unwrap();
    let seen = seen.next().await.unwrap();
    let headers = seen.headers.unwrap();
    assert_eq!(&*seen.subject, "tidegate.c.chat:a%2Eb");
    assert_eq!(seen.payload, message);
    assert_eq!(headers.get("Tidegate-Epoch").unwrap().as_str(), "10");
    assert_eq!(headers.get("Tidegate-Offset").unwrap().as_str(), "18");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_node_sends_is_counted_and_goes_nowhere() {
    let server = NatsServer::start();
    let end = End::start(config(&server.url()), "n1").await;
    end.subscribe("chat:a").await;
    let stranger = async_nats::connect(server.url()).await.unwrap();

    let mut headers = HeaderMap::new();
    headers.insert("Tidegate-Parts", "1,2,3");
    stranger.publish_with_headers("tidegate.c.chat:a", headers, "12345".into()).await.unwrap();
    stranger.publish("tidegate.n.n1", "at least bytes".into()).await.unwrap();
    assert_eq!(end.next().await, Mail::Direct { message: "at least bytes".into() });
    assert_eq!(end.bus.stats().malformed_total, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_dropped_leaves_the_server() {
    let server = NatsServer::builder().config("max_connections: 1").start();
    let first = End::start(config(&server.url()), "n1").await;
    first.subscribe("chat:a").await;

    drop(first);
    // It would not come up while the other is there.
    End::start(config(&server.url()), "n2").await;
}

fn encoded(position: Position) -> Bytes {
    let mut bytes = Vec::new();
    let publication = Publication {
        channel: channel("chat:a.b"),
        kind: PublicationKind::Message,
        object: b"{}",
        position: Some(position),
        from: None,
        origin: None,
        conflate: None,
        trace: None,
        link: None,
    };
    append(&mut bytes, &NodeMessage::Publication(publication));
    bytes.into()
}
