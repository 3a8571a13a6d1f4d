use std::time::Duration;

use tidegate_protocol::id::SessionId;

use super::*;

const MAX: usize = 3;

fn at(ms: u64) -> Millis {
    Millis::new(ms)
}

#[test]
fn a_key_is_known_until_its_window_ends() {
    let mut window = Window::default();
    window.insert(1, 'a', at(10), at(0), MAX);

    assert_eq!(window.get(1, at(9)), Some('a'));
    assert_eq!(window.get(1, at(10)), None);
    assert_eq!(window.get(2, at(0)), None);
}

#[test]
fn one_key_too_many_drops_the_oldest_and_counts_it() {
    let mut window = Window::default();
    for key in 0..3 {
        assert_eq!(window.insert(key, key, at(10), at(0), MAX), 0);
    }

    assert_eq!(window.insert(3, 3, at(10), at(0), MAX), 1);
    assert_eq!((window.get(0, at(0)), window.get(1, at(0)), window.len()), (None, Some(1), MAX));
}

#[test]
fn keys_that_have_ended_are_dropped_without_being_counted() {
    let mut window = Window::default();
    for key in 0..3 {
        window.insert(key, key, at(10), at(0), MAX);
    }

    assert_eq!(window.insert(3, 3, at(30), at(20), MAX), 0);
    assert_eq!(window.len(), 1);
    window.expire(at(30));
    assert_eq!(window.len(), 0);
}

#[test]
fn a_key_that_was_released_and_used_again_stays_its_second_time() {
    let mut window = Window::default();
    window.insert(1, 'a', at(10), at(0), MAX);
    window.remove(1);
    assert_eq!(window.get(1, at(0)), None);

    window.insert(1, 'b', at(20), at(5), MAX);
    window.expire(at(15));
    assert_eq!(window.get(1, at(15)), Some('b'));
}

#[test]
fn releasing_again_and_again_stays_within_the_bound() {
    let mut window = Window::default();
    for round in 0..10 {
        window.insert(1, round, at(1000), at(round), MAX);
        window.remove(1);
    }

    assert!(window.len() <= MAX);
}

#[test]
fn a_key_is_the_same_only_in_the_same_place_and_of_the_same_publisher() {
    let fingerprints = Fingerprints::default();
    let key = |publisher, key| IdempotencyKey { publisher, key, window: Duration::from_secs(1) };
    let session = SessionId::from_bytes([0; 16]);
    let numbers = [
        fingerprints.of(Scope::Channel("a"), key("b", "c")),
        fingerprints.of(Scope::User("a"), key("b", "c")),
        fingerprints.of(Scope::Session(session), key("b", "c")),
        fingerprints.of(Scope::Channel("ab"), key("", "c")),
        fingerprints.of(Scope::Channel("a"), key("bc", "")),
        fingerprints.of(Scope::Channel("a"), key("b", "d")),
    ];

    for (at, number) in numbers.iter().enumerate() {
        assert!(!numbers[..at].contains(number), "{at}");
    }
    assert_eq!(fingerprints.of(Scope::Channel("a"), key("b", "c")), numbers[0]);
}
