//! What every [`Bus`] promises.
//!
//! A bus may deliver late, so that something does not arrive is shown by what was sent after it and does.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use tidegate_protocol::id::NodeName;

use crate::bus::{Bus, Loss, Mail, Receiver};

use super::{Later, channel, get, node};

/// Where the suite's nodes meet.
pub trait Network: Send + Sync {
    /// Gives a node its end. Names are used again once their end was dropped.
    fn attach(&self, node: NodeName, receiver: Arc<dyn Receiver>) -> Later<'_, Arc<dyn Bus>>;
}

/// Makes networks that nothing of another reaches.
pub trait Harness: Sync {
    /// A network without nodes.
    fn fresh(&self) -> Later<'_, Arc<dyn Network>>;
}

/// Checks every rule, each on a fresh network.
pub async fn check(harness: &impl Harness) {
    a_publication_comes_to_every_node_that_subscribed_and_to_no_other(harness).await;
    a_publisher_hears_itself_only_by_subscribing(harness).await;
    publications_come_in_the_order_of_their_publisher(harness).await;
    subscribing_twice_is_subscribing_once(harness).await;
    a_node_that_unsubscribed_hears_no_more(harness).await;
    channels_are_told_apart_whatever_their_names(harness).await;
    direct_mail_comes_to_one_node_and_a_broadcast_to_all(harness).await;
    messages_of_any_bytes_come_as_they_were_sent(harness).await;
    a_node_that_left_gets_nothing_and_disturbs_nobody(harness).await;
}

async fn a_publication_comes_to_every_node_that_subscribed_and_to_no_other(harness: &impl Harness) {
    let [one, two, three] = nodes(harness, ["n1", "n2", "n3"]).await;
    for node in [&one, &two] {
        get(node.bus.subscribe(&channel("chat:a"))).await;
    }

    get(three.bus.publish(&channel("chat:a"), "1".into())).await;
    get(three.bus.publish(&channel("chat:b"), "nobody".into())).await;
    for node in [&one, &two] {
        assert_eq!(node.next().await, publication("chat:a", "1"));
    }
    nothing_came([&one, &two, &three]).await;
}

async fn a_publisher_hears_itself_only_by_subscribing(harness: &impl Harness) {
    let [one] = nodes(harness, ["n1"]).await;

    get(one.bus.publish(&channel("chat:a"), "before".into())).await;
    get(one.bus.subscribe(&channel("chat:a"))).await;
    get(one.bus.publish(&channel("chat:a"), "after".into())).await;
    assert_eq!(one.next().await, publication("chat:a", "after"));
    nothing_came([&one]).await;
}

async fn publications_come_in_the_order_of_their_publisher(harness: &impl Harness) {
    let [one, two, listener] = nodes(harness, ["n1", "n2", "n3"]).await;
    get(listener.bus.subscribe(&channel("chat:a"))).await;

    let count = 200_u32;
    for number in 0..count {
        get(one.bus.publish(&channel("chat:a"), format!("1 {number}").into())).await;
        get(two.bus.publish(&channel("chat:a"), format!("2 {number}").into())).await;
    }
    let mut next = [0; 2];
    for _ in 0..2 * count {
        let Mail::Publication { message, .. } = listener.next().await else { panic!("nobody sent directly") };
        let text = std::str::from_utf8(&message).expect("it was text");
        let publisher = usize::from(text.starts_with('2'));
        assert_eq!(text, format!("{} {}", publisher + 1, next[publisher]));
        next[publisher] += 1;
    }
}

async fn subscribing_twice_is_subscribing_once(harness: &impl Harness) {
    let [one] = nodes(harness, ["n1"]).await;
    get(one.bus.subscribe(&channel("chat:a"))).await;
    get(one.bus.subscribe(&channel("chat:a"))).await;

    get(one.bus.publish(&channel("chat:a"), "1".into())).await;
    assert_eq!(one.next().await, publication("chat:a", "1"));
    nothing_came([&one]).await;
    get(one.bus.unsubscribe(&channel("chat:a"))).await;
    get(one.bus.publish(&channel("chat:a"), "2".into())).await;
    nothing_came([&one]).await;
}

async fn a_node_that_unsubscribed_hears_no_more(harness: &impl Harness) {
    let [one, two] = nodes(harness, ["n1", "n2"]).await;
    for node in [&one, &two] {
        get(node.bus.subscribe(&channel("chat:a"))).await;
        get(node.bus.subscribe(&channel("chat:b"))).await;
    }

    get(one.bus.unsubscribe(&channel("chat:a"))).await;
    get(one.bus.unsubscribe(&channel("chat:never"))).await;
    get(one.bus.publish(&channel("chat:a"), "a".into())).await;
    get(one.bus.publish(&channel("chat:b"), "b".into())).await;
    assert_eq!(two.next().await, publication("chat:a", "a"));
    assert_eq!(two.next().await, publication("chat:b", "b"));
    assert_eq!(one.next().await, publication("chat:b", "b"));
    nothing_came([&one, &two]).await;
}

async fn channels_are_told_apart_whatever_their_names(harness: &impl Harness) {
    // What wire protocols give a meaning to, and names that an encoding could take for one another.
    let names = [
        "a", "A", "a.b", "a.*", "a.>", "*", ">", "a:b", "a%2eb", "a%2Eb", "a/b", "_", "$SYS.a", "ü",
        "u\u{308}",
    ];
    let longest = "x".repeat(255);
    let [one, two] = nodes(harness, ["n1", "n2"]).await;

    for name in names.into_iter().chain([longest.as_str()]) {
        get(one.bus.subscribe(&channel(name))).await;
        for other in names.into_iter().filter(|other| *other != name) {
            get(two.bus.publish(&channel(other), "another's".into())).await;
        }
        get(two.bus.publish(&channel(name), "its".into())).await;
        assert_eq!(one.next().await, publication(name, "its"));
        get(one.bus.unsubscribe(&channel(name))).await;
    }
    nothing_came([&one, &two]).await;
}

async fn direct_mail_comes_to_one_node_and_a_broadcast_to_all(harness: &impl Harness) {
    let [one, two, three] = nodes(harness, ["n1", "n2", "n2.x"]).await;

    get(one.bus.send(&node("n2"), "for two".into())).await;
    get(one.bus.send(&node("n1"), "for itself".into())).await;
    get(one.bus.send(&node("nobody"), "for nobody".into())).await;
    get(one.bus.broadcast("for all".into())).await;
    for (node, expected) in
        [(&one, &["for itself", "for all"][..]), (&two, &["for two", "for all"]), (&three, &["for all"])]
    {
        for text in expected {
            assert_eq!(node.next().await, direct(text));
        }
    }
    nothing_came([&one, &two, &three]).await;
}

async fn messages_of_any_bytes_come_as_they_were_sent(harness: &impl Harness) {
    let [one] = nodes(harness, ["n1"]).await;
    get(one.bus.subscribe(&channel("chat:a"))).await;

    let large: Vec<u8> = (0..=255).cycle().take(256 * 1024).collect();
    for message in [Bytes::new(), Bytes::from_static(b"\r\n\0\xff"), large.into()] {
        get(one.bus.publish(&channel("chat:a"), message.clone())).await;
        let expected = Mail::Publication { channel: (&channel("chat:a")).into(), message };
        assert!(one.next().await == expected);
    }
}

async fn a_node_that_left_gets_nothing_and_disturbs_nobody(harness: &impl Harness) {
    let network = harness.fresh().await;
    let (stays, leaves) = (attach(&*network, "n1").await, attach(&*network, "n2").await);
    for node in [&stays, &leaves] {
        get(node.bus.subscribe(&channel("chat:a"))).await;
    }

    let Node { bus, mail } = leaves;
    drop(bus);
    let again = attach(&*network, "n2").await;
    get(stays.bus.publish(&channel("chat:a"), "1".into())).await;
    assert_eq!(stays.next().await, publication("chat:a", "1"));
    get(stays.bus.send(&node("n2"), "2".into())).await;
    assert_eq!(again.next().await, direct("2"));
    nothing_came([&stays, &again]).await;
    assert!(mail.lock().mail.is_empty());
}

/// One end with what came to it.
struct Node {
    bus: Arc<dyn Bus>,
    mail: Arc<Pigeonhole>,
}

/// Keeps what comes in until a rule asks.
#[derive(Default)]
struct Pigeonhole(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    mail: VecDeque<Mail>,
    waiting: Option<Waker>,
}

impl Node {
    async fn next(&self) -> Mail {
        poll_fn(|cx| {
            let mut kept = self.mail.lock();
            match kept.mail.pop_front() {
                Some(mail) => Poll::Ready(mail),
                None => {
                    kept.waiting = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Pigeonhole {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver for Pigeonhole {
    fn receive(&self, mail: Mail) {
        let mut kept = self.lock();
        kept.mail.push_back(mail);
        if let Some(waiting) = kept.waiting.take() {
            waiting.wake();
        }
    }

    fn lose(&self, loss: Loss) {
        panic!("a rule sends less than any bus may lose: {loss:?}");
    }
}

async fn nodes<const N: usize>(harness: &impl Harness, names: [&str; N]) -> [Node; N] {
    let network = harness.fresh().await;
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(attach(&*network, name).await);
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!("there is one for each name"))
}

async fn attach(network: &dyn Network, name: &str) -> Node {
    let mail = Arc::new(Pigeonhole::default());
    let bus = network.attach(node(name), Arc::<Pigeonhole>::clone(&mail)).await;
    Node { bus, mail }
}

/// Whatever was on its way from one of these nodes to another has come before what is sent now.
async fn nothing_came<const N: usize>(nodes: [&Node; N]) {
    let marks = channel("suite:mark");
    for node in nodes {
        get(node.bus.subscribe(&marks)).await;
    }
    for publisher in nodes {
        get(publisher.bus.publish(&marks, MARK.into())).await;
        get(publisher.bus.broadcast(MARK.into())).await;
    }
    for node in nodes {
        for _ in 0..2 * N {
            let mail = node.next().await;
            assert!([publication(marks.as_str(), MARK), direct(MARK)].contains(&mail), "{mail:?}");
        }
        get(node.bus.unsubscribe(&marks)).await;
    }
}

/// What no rule sends.
const MARK: &str = "whatever came before this has arrived";

fn publication(name: &str, text: &str) -> Mail {
    let message = Bytes::copy_from_slice(text.as_bytes());
    Mail::Publication { channel: (&channel(name)).into(), message }
}

fn direct(text: &str) -> Mail {
    Mail::Direct { message: Bytes::copy_from_slice(text.as_bytes()) }
}
