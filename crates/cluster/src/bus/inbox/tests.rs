use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::*;

const CONFIG: InboxConfig = InboxConfig { messages_max: 3, bytes_max: 100, channels_max: 2 };

struct Fixture {
    inbox: Inbox,
    wakes: Arc<AtomicUsize>,
}

impl Fixture {
    fn new() -> Self {
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        let inbox = Inbox::new(CONFIG, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        Self { inbox, wakes }
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }

    fn take(&self) -> (Vec<Mail>, Losses) {
        let mut mail = Vec::new();
        let losses = self.inbox.take(usize::MAX, &mut mail);
        (mail, losses)
    }
}

fn owned(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn published(name: &str, bytes: usize) -> Mail {
    Mail::Publication { channel: owned(name), message: vec![0; bytes].into() }
}

fn direct() -> Mail {
    Mail::Direct { message: Bytes::from_static(b"1") }
}

#[test]
fn mail_is_taken_in_order_and_in_parts() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.inbox.receive(published(name, 10));
    }

    let mut mail = Vec::new();
    assert!(fixture.inbox.take(2, &mut mail).is_empty());
    assert_eq!(mail, [published("a", 10), published("b", 10)]);
    assert_eq!((fixture.inbox.stats().messages, fixture.inbox.stats().bytes), (1, 10));
    assert!(fixture.inbox.take(2, &mut mail).is_empty());
    assert_eq!((mail.len(), fixture.inbox.stats().bytes), (3, 0));
}

#[test]
fn one_wake_up_covers_all_that_came_before_the_take() {
    let fixture = Fixture::new();
    fixture.inbox.receive(direct());
    fixture.inbox.receive(direct());
    assert_eq!(fixture.wakes(), 1);

    fixture.take();
    fixture.inbox.receive(direct());
    assert_eq!(fixture.wakes(), 2);
}

#[test]
fn a_message_too_many_is_dropped_and_its_channel_named_once() {
    let fixture = Fixture::new();
    for _ in 0..3 {
        fixture.inbox.receive(published("a", 1));
    }
    assert_eq!(fixture.inbox.stats().overflowed_total, 0, "three may be");
    fixture.inbox.receive(published("a", 1));
    fixture.inbox.receive(published("b", 1));
    fixture.inbox.receive(direct());

    let (mail, losses) = fixture.take();
    assert_eq!(mail.len(), 3);
    let channels = [owned("a"), owned("b")].into();
    assert_eq!(losses, Losses { channels, unknown: false, direct: 1 });
    assert_eq!(fixture.inbox.stats().overflowed_total, 3);
    assert!(fixture.take().1.is_empty(), "it is told once");
}

#[test]
fn bytes_are_bounded_but_a_large_message_alone_comes_through() {
    let fixture = Fixture::new();
    fixture.inbox.receive(published("a", 60));
    fixture.inbox.receive(published("a", 40));
    fixture.inbox.receive(published("b", 1));
    let (mail, losses) = fixture.take();
    assert_eq!((mail.len(), losses.channels), (2, [owned("b")].into()));

    fixture.inbox.receive(published("a", 101));
    fixture.inbox.receive(published("b", 1));
    let (mail, losses) = fixture.take();
    assert_eq!((mail.len(), losses.channels), (1, [owned("b")].into()));
}

#[test]
fn more_channels_than_can_be_named_are_all_of_them() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.inbox.lose(Loss::Channel(owned(name)));
    }

    let (_, losses) = fixture.take();
    assert_eq!(losses, Losses { unknown: true, ..Losses::default() });
}

#[test]
fn a_loss_alone_wakes_the_taker() {
    let fixture = Fixture::new();
    fixture.inbox.lose(Loss::Unknown);

    assert_eq!((fixture.wakes(), fixture.take().1.unknown), (1, true));
    assert_eq!(fixture.inbox.stats().lost_total, 1);
}
