use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const LINGER: Duration = Duration::from_secs(10);
const MAX: usize = 3;

#[test]
fn the_first_subscriber_waits_for_the_server_and_the_next_does_not() {
    let interest = interest();
    let mut first = soon(&interest, "a");
    let mut second = soon(&interest, "a");

    let asked = interest.take_asked(10);
    assert_eq!(names(&asked), ["a"]);
    assert!(!asked[0].has_subject);
    interest.keep(&asked[0].channel, Arc::default());
    assert!(first.try_recv().is_err());
    interest.confirm(&asked);
    assert_eq!((first.try_recv(), second.try_recv()), (Ok(Ok(())), Ok(Ok(()))));
    assert!(is_known(&interest, "a"));
    assert!(!interest.has_asked());
}

#[test]
fn a_round_takes_no_more_than_it_can_do() {
    let interest = interest();
    let _outcomes = ["a", "b", "c"].map(|name| soon(&interest, name));

    assert_eq!(names(&interest.take_asked(2)), ["a", "b"]);
    assert!(interest.has_asked());
    assert_eq!(names(&interest.take_asked(2)), ["c"]);
}

#[test]
fn a_channel_is_left_when_nobody_wanted_it_for_the_linger() {
    let interest = interest();
    let subject = open(&interest, "a");
    let start = Instant::now();

    interest.unsubscribe("a", start);
    assert!(!subject.is_wanted());
    interest.leave_due(start + LINGER - MOMENT);
    assert_eq!(interest.len(), 1);
    interest.leave_due(start + LINGER);
    assert_eq!(interest.len(), 0);
    assert_eq!(Arc::strong_count(&subject), 1);
}

#[test]
fn a_channel_that_comes_and_goes_stays() {
    let interest = interest();
    let subject = open(&interest, "a");
    let start = Instant::now();

    interest.unsubscribe("a", start);
    assert!(is_known(&interest, "a"));
    assert!(subject.is_wanted());
    interest.unsubscribe("a", start + LINGER / 2);
    interest.leave_due(start + LINGER);
    assert_eq!(interest.len(), 1, "it was left later");
    interest.leave_due(start + LINGER * 2);
    assert_eq!(interest.len(), 0);
}

#[test]
fn flapping_takes_no_room() {
    let interest = interest();
    let _subject = open(&interest, "a");
    for _ in 0..1_000 {
        interest.unsubscribe("a", Instant::now());
        assert!(is_known(&interest, "a"));
    }
    let table = interest.lock();
    assert_eq!((table.leaving.len(), table.asked.len()), (1, 0));
}

#[test]
fn channels_are_bounded_and_those_that_nobody_wants_go_first() {
    let interest = interest();
    let _subjects = ["a", "b", "c"].map(|name| open(&interest, name));
    assert!(matches!(interest.subscribe(&channel("d")), Err(Unavailable { .. })));
    assert!(is_known(&interest, "a"));

    interest.unsubscribe("b", Instant::now());
    interest.unsubscribe("c", Instant::now());
    assert!(is_known(&interest, "b"));
    assert!(matches!(interest.subscribe(&channel("d")), Ok(Subscribed::Soon(_))));
    assert_eq!(interest.len(), MAX);
    assert!(is_known(&interest, "a") && is_known(&interest, "b"));
    assert!(matches!(interest.subscribe(&channel("c")), Err(Unavailable { .. })));
}

#[test]
fn those_who_wait_for_one_channel_are_bounded_too() {
    let interest = interest();
    let _outcomes: Vec<_> = (0..MAX).map(|_| soon(&interest, "a")).collect();

    assert!(matches!(interest.subscribe(&channel("a")), Err(Unavailable { .. })));
}

#[test]
fn what_is_refused_is_answered_and_left() {
    let interest = interest();
    let start = Instant::now();
    let mut taken = soon(&interest, "a");
    let asked = interest.take_asked(10);
    let subject = Arc::<Flag>::default();
    interest.keep(&asked[0].channel, Arc::clone(&subject));
    let mut waiting = soon(&interest, "b");

    interest.refuse(&asked, Part::Bus.full(), start);
    assert_eq!(
        (taken.try_recv(), waiting.try_recv()),
        (Ok(Err(Part::Bus.full())), Ok(Err(Part::Bus.full())))
    );
    assert!(!subject.is_wanted());
    interest.leave_due(start + LINGER);
    assert_eq!(interest.len(), 0);
}

#[test]
fn a_subject_without_its_mark_is_asked_for_again_without_being_subscribed_twice() {
    let interest = interest();
    let _outcome = soon(&interest, "a");
    let asked = interest.take_asked(10);
    interest.keep(&asked[0].channel, Arc::default());
    interest.refuse(&asked, Part::Bus.full(), Instant::now());

    let mut again = soon(&interest, "a");
    let asked = interest.take_asked(10);
    assert!(asked[0].has_subject);
    interest.confirm(&asked);
    assert_eq!(again.try_recv(), Ok(Ok(())));
}

#[test]
fn a_channel_that_was_left_while_it_was_asked_for_is_not_handed_on() {
    let interest = interest();
    let mut outcome = soon(&interest, "a");
    interest.unsubscribe("a", Instant::now());
    let asked = interest.take_asked(10);
    let subject = Arc::<Flag>::default();
    interest.keep(&asked[0].channel, Arc::clone(&subject));
    interest.confirm(&asked);

    assert_eq!(outcome.try_recv(), Ok(Ok(())));
    assert!(!subject.is_wanted());
}

#[test]
fn a_denied_channel_is_forgotten() {
    let interest = interest();
    let mut outcome = soon(&interest, "a");

    assert!(interest.deny(&name("a"), Part::Bus.full()));
    assert_eq!(outcome.try_recv(), Ok(Err(Part::Bus.full())));
    assert!(!interest.deny(&name("a"), Part::Bus.full()));
    assert_eq!(interest.len(), 0);
}

const MOMENT: Duration = Duration::from_millis(1);

/// Stands for a subject.
#[derive(Debug, Default)]
struct Flag {
    is_unwanted: AtomicBool,
}

impl Flag {
    fn is_wanted(&self) -> bool {
        !self.is_unwanted.load(Ordering::Relaxed)
    }
}

impl Subject for Flag {
    fn set_wanted(&self, wanted: bool) {
        self.is_unwanted.store(!wanted, Ordering::Relaxed);
    }
}

fn interest() -> Interest<Flag> {
    Interest::new(MAX, LINGER)
}

fn soon(interest: &Interest<Flag>, name: &str) -> oneshot::Receiver<Outcome> {
    match interest.subscribe(&channel(name)) {
        Ok(Subscribed::Soon(outcome)) => outcome,
        other => panic!("{other:?}"),
    }
}

fn is_known(interest: &Interest<Flag>, name: &str) -> bool {
    matches!(interest.subscribe(&channel(name)), Ok(Subscribed::Already))
}

fn open(interest: &Interest<Flag>, name: &str) -> Arc<Flag> {
    let _outcome = soon(interest, name);
    let asked = interest.take_asked(10);
    let subject = Arc::<Flag>::default();
    interest.keep(&asked[0].channel, Arc::clone(&subject));
    interest.confirm(&asked);
    subject
}

fn names(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.channel.as_str()).collect()
}

fn name(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn channel(name: &str) -> Channel<'_> {
    Channel::parse(name).unwrap()
}
