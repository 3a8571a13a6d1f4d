//! What becomes of the bus when servers die, freeze or are cut off: nothing hangs, and no loss goes untold.

use std::time::{Duration, Instant};

use tidegate_cluster::answer::Reason;
use tidegate_cluster::bus::{Bus, Loss};
use tidegate_cluster::nats::{NatsConfig, Servers};
use tidegate_cluster::state::State;
use tidegate_protocol::channel::ChannelName;
use tidegate_testkit::{ChaosProxy, NatsServer};
use tokio::time::timeout;

use crate::nats_ends::{End, channel, config, publication};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_without_a_server_and_comes_up_with_it() {
    let mut server = NatsServer::start();
    server.kill();
    let end = End::start_down(config(&server.url()), "n1").await;
    assert_eq!(end.publish("chat:a", "x").await.unwrap_err().reason, Reason::Down);
    assert_eq!(end.bus.subscribe(&channel("chat:a")).await.unwrap_err().reason, Reason::Down);
    assert_eq!(end.bus.stats().refused_down_total, 2);

    server.restart();
    end.until_up().await;
    end.subscribe("chat:a").await;
    end.publish("chat:a", "1").await.unwrap();
    assert_eq!(end.next().await, publication("chat:a", "1"));
    assert!(end.take_losses().is_empty(), "nothing could be lost before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_noticed_at_once_and_a_new_one_knows_what_the_old_one_knew() {
    let mut server = NatsServer::start();
    let end = End::start(config(&server.url()), "n1").await;
    end.subscribe("chat:a").await;

    server.kill();
    end.until_down().await;
    assert_eq!(end.publish("chat:a", "lost").await.unwrap_err().reason, Reason::Down);
    server.restart();
    assert_eq!(end.next_loss().await, Loss::Unknown);
    end.until_up().await;
    end.publish("chat:a", "1").await.unwrap();
    end.bus.broadcast("2".into()).await.unwrap();
    assert_eq!((end.next_text().await, end.next_text().await), ("1".into(), "2".into()));
    assert!(end.take_losses().is_empty(), "one loss is told once");
    assert_eq!(end.bus.stats().reconnects_total, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_takes_over() {
    let mut servers = NatsServer::cluster_of_two();
    let first = servers[0].url();
    let both = Servers::parse(&format!("{first},{}", servers[1].url())).unwrap();
    let end = End::start(NatsConfig { servers: both, ..config(&first) }, "n1").await;
    end.subscribe("chat:a").await;

    for at in 0..2 {
        servers[at].kill();
        servers[1 - at].await_log("Server is ready");
        end.until_up().await;
        wait_published(&end, "chat:a").await;
        servers[at].restart();
    }
    assert!((1..=2).contains(&end.bus.stats().reconnects_total), "{:?}", end.bus.stats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_holds_nobody_up() {
    let server = NatsServer::start();
    let config = NatsConfig { queue_messages_max: 50, ..config(&server.url()) };
    let timeout_of_calls = config.timeout;
    let end = End::start(config, "n1").await;
    end.subscribe("chat:a").await;

    server.freeze();
    let asked_at = Instant::now();
    let subscribing = end.bus.subscribe(&channel("chat:b"));
    // What does not fit into the connection and the queue is refused at once.
    let large = "x".repeat(100_000);
    let answers: Vec<_> =
        (0..600).map(|_| end.bus.publish(&channel("chat:a"), large.clone().into())).collect();
    assert!(end.bus.stats().refused_full_total > 0, "{:?}", end.bus.stats());
    for answer in answers {
        let _ = timeout(timeout_of_calls * 5, answer).await.expect("every publish is answered");
    }
    assert!([Reason::Down, Reason::TimedOut].contains(&subscribing.await.unwrap_err().reason));
    assert!(asked_at.elapsed() < timeout_of_calls * 10, "{:?}", asked_at.elapsed());
    end.until_down().await;
    assert_eq!(end.publish("chat:a", "x").await.unwrap_err().reason, Reason::Down);

    server.thaw();
    end.until_up().await;
    end.subscribe("chat:b").await;
    wait_published(&end, "chat:b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_cut_either_way_or_both_is_noticed_and_mended() {
    let server = NatsServer::start();
    let cuts: [fn(&ChaosProxy); 3] = [ChaosProxy::cut, ChaosProxy::cut_upstream, ChaosProxy::cut_downstream];
    for cut in cuts {
        let proxy = ChaosProxy::before(server.port());
        let end = End::start(config(&format!("nats://{}", proxy.address())), "n1").await;
        let other = End::start(config(&server.url()), "n2").await;
        end.subscribe("chat:a").await;

        cut(&proxy);
        end.until_down().await;
        assert_eq!(end.publish("chat:a", "x").await.unwrap_err().reason, Reason::Down);
        other.publish("chat:a", "cut").await.unwrap();
        proxy.heal();
        end.until_up().await;
        wait_published(&end, "chat:a").await;
        assert!(other.take_losses().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_slow_is_called_so() {
    let server = NatsServer::start();
    let proxy = ChaosProxy::before(server.port());
    let config = NatsConfig {
        slow_after: Duration::from_millis(100),
        ..config(&format!("nats://{}", proxy.address()))
    };
    let end = End::start(config, "n1").await;

    proxy.delay(Duration::from_millis(100));
    end.until_state("slow", |state| state == State::Slow).await;
    end.subscribe("chat:a").await;
    end.publish("chat:a", "late").await.unwrap();
    assert_eq!(end.next().await, publication("chat:a", "late"));
    proxy.heal();
    end.until_state("quick again", |state| state == State::Up).await;
    assert!(end.take_losses().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_again_and_again_neither_reorder_nor_repeat_and_losses_are_told() {
    let server = NatsServer::start();
    let [up, down] = [(); 2].map(|()| ChaosProxy::before(server.port()));
    let listener = End::start(config(&format!("nats://{}", down.address())), "n1").await;
    let publisher = End::start(config(&format!("nats://{}", up.address())), "n2").await;
    listener.subscribe("chat:a").await;

    let mut accepted = Vec::new();
    for number in 0..2_000_u32 {
        if publisher.publish("chat:a", number.to_string()).await.is_ok() {
            accepted.push(number);
        }
        if number % 200 == 100 {
            if number % 400 == 100 { up.reset() } else { down.reset() }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    publisher.until_up().await;
    listener.until_up().await;
    publisher.publish("chat:a", "end").await.unwrap();
    let mut came = Vec::new();
    loop {
        match listener.next_text().await.as_str() {
            "end" => break,
            number => came.push(number.parse::<u32>().unwrap()),
        }
    }

    assert!(came.is_sorted_by(|one, next| one < next), "reordered or repeated");
    assert!(came.iter().all(|number| accepted.contains(number)), "what was refused came");
    assert!(came.len() > accepted.len() / 2, "{} of {}", came.len(), accepted.len());
    let reconnects = listener.bus.stats().reconnects_total;
    assert!(reconnects >= 1);
    assert!(!listener.take_losses().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_channels_are_subscribed_again_before_anything_is_published() {
    let mut server = NatsServer::start();
    let end = End::start(config(&server.url()), "n1").await;
    let names: Vec<_> = (0..10_000).map(|number| format!("chat:{number}")).collect();
    let started_at = Instant::now();
    let answers: Vec<_> = names.iter().map(|name| end.bus.subscribe(&channel(name))).collect();
    for answer in answers {
        answer.await.unwrap();
    }
    println!(
        "10,000 channels subscribed in {:?}, {} marks",
        started_at.elapsed(),
        end.bus.stats().marks_total
    );
    assert!(end.bus.stats().marks_total < 100, "{:?}", end.bus.stats());

    server.restart();
    let restarted_at = Instant::now();
    assert_eq!(end.next_loss().await, Loss::Unknown);
    end.until_up().await;
    println!("and again {:?} after the restart", restarted_at.elapsed());
    for (number, name) in names.iter().enumerate() {
        end.publish(name, number.to_string()).await.unwrap();
        assert_eq!(end.next().await, publication(name, number.to_string()));
    }
    assert!(end.take_losses().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_too_slow_for_its_server_is_told_what_that_cost() {
    let mut server = NatsServer::builder().config("max_pending: 262144\nmax_payload: 131072").start();
    let proxy = ChaosProxy::before(server.port());
    // Long pauses between marks: the server is to be the first that has enough.
    let config_slow = NatsConfig {
        probe_interval: Duration::from_secs(20),
        timeout: Duration::from_secs(20),
        ..config(&format!("nats://{}", proxy.address()))
    };
    let slow = End::start(config_slow, "n1").await;
    let publisher = End::start(config(&server.url()), "n2").await;
    slow.subscribe("chat:a").await;

    proxy.throttle(1);
    let text = "x".repeat(100_000);
    for _ in 0..400 {
        publisher.publish("chat:a", text.clone()).await.unwrap();
    }
    server.await_log("Slow Consumer Detected");
    proxy.heal();
    proxy.reset();
    assert_eq!(slow.next_loss().await, Loss::Unknown);
    slow.until_up().await;
    wait_published(&slow, "chat:a").await;
    assert!(publisher.take_losses().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_the_server_denies_is_told_as_lost() {
    let server = NatsServer::builder()
        .config(
            "authorization { users = [ { user: me, password: it, permissions: {
                subscribe: { deny: \"tidegate.c.secret\" }, publish: { allow: \">\" } } } ] }",
        )
        .start();
    let end = End::start(config(&server.url().replace("//", "//me:it@")), "n1").await;

    let outcome = end.bus.subscribe(&channel("secret")).await;
    if let Err(denied) = outcome {
        assert_eq!(denied.reason, Reason::Faulty);
    }
    assert_eq!(end.next_loss().await, Loss::Channel(ChannelName::parse("secret").unwrap()));
    assert_eq!((end.bus.stats().channels, end.bus.stats().denied_total), (0, 1));
    end.subscribe("open").await;
    wait_published(&end, "open").await;
}

/// Publishes until something comes: what was sent just before or after a fault may be lost.
async fn wait_published(end: &End, name: &str) {
    let wait = async {
        loop {
            let sent = end.publish(name, "are you there?").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            let came = end.take_all();
            if sent.is_ok() && came.contains(&publication(name, "are you there?")) {
                return;
            }
        }
    };
    let waited = timeout(tidegate_testkit::DEADLINE, wait).await;
    assert!(waited.is_ok(), "{:?} {:?}", end.bus.stats(), end.bus.last_fault());
}
