//! Faults that a server could hide from clients that count less closely.

use tidegate_protocol::position::Epoch;

use super::*;

const PLACE: Place<'static> = Place { subscriber: 3, channel: "kept-1" };

#[test]
fn a_replay_after_a_cut_makes_a_channel_with_history_whole() {
    let (mut feed, mut tally) = entered(Some(10));
    live(&mut feed, &mut tally, 0..5, 11);
    feed.handle_away();
    feed.handle_return(Some(position(20)));
    feed.handle_state(state(15, Some(true)), PLACE, &mut tally);
    assert!(!feed.is_caught_up());

    for number in 5..10 {
        let age = feed.handle_message(of(0, number), Some(number + 11), PLACE, &mut tally);
        assert_eq!(age, Age::Replayed);
    }
    assert!(feed.is_caught_up());
    live(&mut feed, &mut tally, 10..12, 21);
    feed.settle(|_| 12, PLACE, &mut tally);

    assert_eq!((tally.faults.count, tally.recovered), (0, 1));
}

#[test]
fn a_replay_in_part_that_claims_to_be_whole_is_found() {
    let (mut feed, mut tally) = entered(Some(10));
    feed.handle_away();
    feed.handle_return(Some(position(15)));
    feed.handle_state(state(10, Some(true)), PLACE, &mut tally);
    // Of 11 to 15, 11 to 13 are left out; then the next live message comes where 15 is due.
    feed.handle_message(of(0, 3), Some(14), PLACE, &mut tally);
    feed.handle_message(of(0, 5), Some(16), PLACE, &mut tally);
    feed.settle(|_| 6, PLACE, &mut tally);

    assert_eq!(tally.count_of(Wrong::FalseClaim), 4, "{tally:?}");
    assert_eq!(tally.count_of(Wrong::Lost), 4);
    assert_eq!(
        tally.faults.first[0],
        "subscriber 3 on kept-1: recovered: true, but 3 messages after offset 10 are not replayed"
    );
}

#[test]
fn a_replay_that_never_comes_is_found_at_the_end() {
    let (mut feed, mut tally) = entered(Some(10));
    feed.handle_away();
    feed.handle_return(Some(position(15)));
    feed.handle_state(state(10, Some(true)), PLACE, &mut tally);
    feed.settle(|_| 5, PLACE, &mut tally);

    assert_eq!((tally.count_of(Wrong::FalseClaim), tally.count_of(Wrong::Lost)), (5, 5));
}

#[test]
fn a_head_in_the_reply_is_a_promise_as_well() {
    let (mut feed, mut tally) = entered(Some(10));
    feed.handle_away();
    feed.handle_return(Some(Position { epoch: Epoch::new(1), offset: 1_000 }));
    feed.handle_state(state(12, Some(true)), PLACE, &mut tally);
    feed.settle(|_| 2, PLACE, &mut tally);
    assert_eq!(tally.count_of(Wrong::FalseClaim), 2, "of another epoch nothing is known: {tally:?}");
}

#[test]
fn recovered_false_excuses_what_is_lost_but_allows_no_replay() {
    let (mut feed, mut tally) = entered(Some(10));
    feed.handle_away();
    feed.handle_state(state(15, Some(false)), PLACE, &mut tally);
    assert_eq!(feed.position().unwrap().offset, 15);
    live(&mut feed, &mut tally, 5..6, 16);
    assert_eq!(tally.faults.count, 0);

    feed.handle_message(of(0, 4), Some(15), PLACE, &mut tally);
    feed.settle(|_| 6, PLACE, &mut tally);

    assert!(tally.faults.first.iter().any(|fault| fault.contains("after recovered: false")), "{tally:?}");
    assert_eq!((tally.count_of(Wrong::LostAsTold), tally.count_of(Wrong::Lost)), (4, 0));
}

#[test]
fn without_history_only_what_was_published_while_away_may_be_missing() {
    let (mut feed, mut tally) = entered(None);
    live_without_offsets(&mut feed, &mut tally, [0, 1]);
    feed.handle_away();
    feed.handle_state(ChannelState::default(), PLACE, &mut tally);
    live_without_offsets(&mut feed, &mut tally, [4, 5, 7]);
    feed.settle(|_| 8, PLACE, &mut tally);

    assert_eq!((tally.missed_away, tally.count_of(Wrong::Lost)), (2, 1));
}

#[test]
fn a_first_connection_excuses_nothing() {
    let (mut feed, mut tally) = entered(None);
    live_without_offsets(&mut feed, &mut tally, [1]);
    feed.settle(|_| 2, PLACE, &mut tally);
    assert_eq!((tally.missed_away, tally.count_of(Wrong::Lost)), (0, 1));
}

#[test]
fn offsets_that_go_back_over_publishers_are_a_wrong_order() {
    let mut feed = Feed::new(0, 2);
    let mut tally = Tally::new();
    feed.handle_state(state(0, None), PLACE, &mut tally);
    feed.handle_message(of(0, 0), Some(2), PLACE, &mut tally);
    feed.handle_message(of(1, 0), Some(1), PLACE, &mut tally);
    assert_eq!(tally.count_of(Wrong::Reordered), 1);
    assert!(feed.is_complete(|_| 1));
}

#[test]
fn a_gap_that_the_server_tells_of_is_lost_as_told() {
    let (mut feed, mut tally) = entered(Some(0));
    feed.handle_gap(Some(position(3)));
    live(&mut feed, &mut tally, 3..4, 4);
    feed.settle(|_| 4, PLACE, &mut tally);
    assert_eq!((tally.count_of(Wrong::LostAsTold), tally.count_of(Wrong::Lost)), (3, 0));
}

#[test]
fn messages_before_the_reply_and_silence_about_recovery_are_against_the_protocol() {
    let (mut feed, mut tally) = entered(Some(0));
    feed.handle_away();
    feed.handle_message(of(0, 0), Some(1), PLACE, &mut tally);
    feed.handle_state(state(1, None), PLACE, &mut tally);
    assert_eq!(tally.count_of(Wrong::Protocol), 2, "{tally:?}");
}

/// One publisher, and the first reply: with history the head is at this offset.
fn entered(head: Option<u64>) -> (Feed, Tally) {
    let (mut feed, mut tally) = (Feed::new(0, 1), Tally::new());
    let first = head.map_or_else(ChannelState::default, |head| state(head, None));
    feed.handle_state(first, PLACE, &mut tally);
    assert!(feed.is_caught_up());
    (feed, tally)
}

fn live(feed: &mut Feed, tally: &mut Tally, numbers: std::ops::Range<u64>, offset: u64) {
    for (number, offset) in numbers.zip(offset..) {
        assert_eq!(feed.handle_message(of(0, number), Some(offset), PLACE, tally), Age::Live);
    }
}

fn live_without_offsets<const N: usize>(feed: &mut Feed, tally: &mut Tally, numbers: [u64; N]) {
    for number in numbers {
        assert_eq!(feed.handle_message(of(0, number), None, PLACE, tally), Age::Live);
    }
}

fn state(offset: u64, recovered: Option<bool>) -> ChannelState {
    ChannelState { position: Some(position(offset)), recovered }
}

fn position(offset: u64) -> Position {
    Position { epoch: Epoch::new(7), offset }
}

fn of(publisher: usize, number: u64) -> Numbered {
    Numbered { publisher, number, was_overtaken: false }
}
