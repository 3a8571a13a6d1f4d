use super::*;

#[test]
fn it_opens_at_the_last_of_several_failures_in_a_row() {
    let now = Instant::now();
    let breaker = closed(now);
    for _ in 1..FAILURES_MAX {
        assert!(!breaker.note_failure(now));
    }
    assert!(!breaker.is_open());

    assert!(breaker.note_failure(now));
    assert!(breaker.is_open());
    assert_eq!(*breaker.state().borrow(), State::Down { since: now });
}

#[test]
fn an_answer_between_failures_starts_the_count_anew() {
    let now = Instant::now();
    let breaker = closed(now);
    for _ in 0..3 {
        for _ in 1..FAILURES_MAX {
            assert!(!breaker.note_failure(now));
        }
        breaker.note_answer();
    }
    assert!(!breaker.is_open());
}

#[test]
fn only_a_probe_closes_it() {
    let now = Instant::now();
    let breaker = Breaker::new(now);
    assert!(breaker.is_open(), "nothing is known of the server at first");

    breaker.note_answer();
    assert!(breaker.is_open(), "a late answer says nothing about now");
    breaker.close(Pace::Fast);
    assert!(!breaker.is_open());
}

#[test]
fn watchers_hear_of_changes_only() {
    let now = Instant::now();
    let breaker = closed(now);
    let mut state = breaker.state();

    breaker.close(Pace::Fast);
    assert!(!state.has_changed().unwrap());
    breaker.close(Pace::Slow);
    assert_eq!(*state.borrow_and_update(), State::Slow);
    breaker.open(now);
    breaker.open(now + std::time::Duration::from_secs(1));
    assert_eq!(*state.borrow_and_update(), State::Down { since: now }, "since the first of them");
}

fn closed(now: Instant) -> Breaker {
    let breaker = Breaker::new(now);
    breaker.close(Pace::Fast);
    breaker
}
