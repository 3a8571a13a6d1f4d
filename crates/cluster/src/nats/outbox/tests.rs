use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::answer::Part;

/// Most bytes of a batch.
const BATCH: usize = 10;
const BOUNDS: Bounds = Bounds { messages_max: 4, bytes_max: 100 };

#[test]
fn neighbours_of_one_subject_make_a_batch_and_nothing_is_overtaken() {
    let outbox = Outbox::new(BOUNDS);
    let answers: Vec<_> =
        [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")].map(|(to, text)| put(&outbox, to, text)).into();
    assert_eq!(outbox.level(), (4, 4));

    assert_eq!(take(&outbox, BATCH), batch("a", &["1", "2"]));
    assert_eq!(take(&outbox, BATCH), batch("b", &["3"]));
    assert_eq!(take(&outbox, BATCH), batch("a", &["4"]));
    assert_eq!(take(&outbox, BATCH), None);
    assert_eq!(outbox.level(), (0, 0));
    assert!(outbox.is_idle());
    for answer in answers {
        assert_eq!(answer.unwrap().try_recv(), Ok(Ok(())));
    }
}

#[test]
fn a_batch_ends_at_its_bound_of_bytes() {
    let outbox = Outbox::new(BOUNDS);
    let _answers = ["12345", "67890", "x"].map(|text| put(&outbox, "a", text));

    assert_eq!(take(&outbox, BATCH), batch("a", &["12345", "67890"]));
    assert_eq!(take(&outbox, BATCH), batch("a", &["x"]));
}

#[test]
fn a_batch_ends_at_its_bound_of_messages() {
    let outbox = Outbox::new(Bounds { messages_max: 1_000, bytes_max: 10_000 });
    let _answers: Vec<_> = (0..=BATCH_MESSAGES_MAX).map(|_| put(&outbox, "a", "x")).collect();

    assert_eq!(take(&outbox, 10_000).unwrap().1.len(), BATCH_MESSAGES_MAX);
    assert_eq!(take(&outbox, 10_000).unwrap().1.len(), 1);
}

#[test]
fn a_message_that_does_not_fit_is_refused_at_once() {
    let outbox = Outbox::new(BOUNDS);
    let answers: Vec<_> = (0..=BOUNDS.messages_max).map(|_| put(&outbox, "a", "x")).collect();
    assert!(answers[..BOUNDS.messages_max].iter().all(Option::is_some));
    assert!(answers[BOUNDS.messages_max].is_none());

    let outbox = Outbox::new(BOUNDS);
    assert!(put(&outbox, "a", &"x".repeat(BOUNDS.bytes_max)).is_some());
    assert!(put(&outbox, "a", "x").is_none());
    assert!(take(&outbox, BATCH).is_some());
    let larger = "x".repeat(BOUNDS.bytes_max + 1);
    assert!(put(&outbox, "a", &larger).is_some(), "an empty outbox takes any message");
}

#[test]
fn whoever_waits_is_told_when_nothing_can_be_sent() {
    let outbox = Outbox::new(BOUNDS);
    let mut answer = put(&outbox, "a", "x").unwrap();
    assert!(!outbox.is_idle());

    assert_eq!(outbox.refuse(Part::Bus.full()), 1);
    assert_eq!(answer.try_recv(), Ok(Err(Part::Bus.full())));
    assert_eq!(outbox.level(), (0, 0));
}

fn put(outbox: &Outbox, subject: &str, text: &str) -> Option<oneshot::Receiver<Outcome>> {
    outbox.push(subject.into(), Bytes::copy_from_slice(text.as_bytes()))
}

/// A batch that is ready, answered.
fn take(outbox: &Outbox, bytes_max: usize) -> Option<(String, Vec<String>)> {
    let Poll::Ready(batch) = pin!(outbox.next(bytes_max)).poll(&mut Context::from_waker(Waker::noop()))
    else {
        return None;
    };
    let texts = batch.messages.iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect();
    let subject = batch.subject.to_string();
    assert!(!outbox.is_idle());
    outbox.finish(batch, Ok(()));
    Some((subject, texts))
}

fn batch(subject: &str, texts: &[&str]) -> Option<(String, Vec<String>)> {
    Some((subject.to_owned(), texts.iter().map(|text| (*text).to_owned()).collect()))
}
