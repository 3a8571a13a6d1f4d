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
    feed.settle(&acked(12, Some(11)), PLACE, &mut tally);

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
    feed.settle(&acked(6, Some(11)), PLACE, &mut tally);

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
    feed.settle(&acked(5, Some(11)), PLACE, &mut tally);

    assert_eq!((tally.count_of(Wrong::FalseClaim), tally.count_of(Wrong::Lost)), (5, 5));
}

#[test]
fn a_head_in_the_reply_is_a_promise_as_well() {
    let (mut feed, mut tally) = entered(Some(10));
    feed.handle_away();
    feed.handle_return(Some(Position { epoch: Epoch::new(1), offset: 1_000 }));
    feed.handle_state(state(12, Some(true)), PLACE, &mut tally);
    feed.settle(&acked(2, Some(11)), PLACE, &mut tally);
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
    feed.settle(&acked(6, Some(11)), PLACE, &mut tally);

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
    feed.settle(&acked(8, None), PLACE, &mut tally);

    assert_eq!((tally.missed_away, tally.count_of(Wrong::Lost)), (2, 1));
}

#[test]
fn a_first_connection_excuses_nothing() {
    let (mut feed, mut tally) = entered(None);
    live_without_offsets(&mut feed, &mut tally, [1]);
    feed.settle(&acked(2, None), PLACE, &mut tally);
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
    feed.handle_gap(Some(position(4)));
    live(&mut feed, &mut tally, 3..4, 4);
    feed.settle(&acked(4, Some(1)), PLACE, &mut tally);
    assert_eq!((tally.count_of(Wrong::LostAsTold), tally.count_of(Wrong::Lost)), (3, 0));
}

#[test]
fn a_gap_excuses_nothing_behind_it() {
    let (mut feed, mut tally) = entered(Some(0));
    feed.handle_gap(Some(position(3)));
    live(&mut feed, &mut tally, 3..4, 4);
    feed.settle(&acked(4, Some(1)), PLACE, &mut tally);
    assert_eq!((tally.count_of(Wrong::LostAsTold), tally.count_of(Wrong::Lost)), (2, 1));
}

#[test]
fn what_was_acknowledged_before_the_loss_is_told_though_an_earlier_one_that_was_sent_again_came() {
    let (mut feed, mut tally) = entered(Some(10));
    feed.handle_away();
    feed.handle_state(ChannelState { position: Some(anew(5)), recovered: Some(false) }, PLACE, &mut tally);
    // 0 had no answer and has a place in the new epoch; 1 was answered in the old one, and 3 came later.
    live_at(&mut feed, &mut tally, [(0, 6), (2, 7), (4, 8)]);
    let places = [anew(6), position(11), anew(7), anew(3), anew(8)];
    feed.settle(&Acked(places.map(Some).to_vec()), PLACE, &mut tally);
    assert_eq!((tally.count_of(Wrong::LostAsTold), tally.count_of(Wrong::Lost)), (2, 0));

    let places = [anew(6), position(10), anew(7), anew(3), anew(8)];
    feed.settle(&Acked(places.map(Some).to_vec()), PLACE, &mut tally);
    assert_eq!(tally.count_of(Wrong::Lost), 1, "it stood before what the subscriber had");
}

#[test]
fn who_is_not_back_at_the_end_has_lost_only_what_is_missing_before_its_position() {
    let (mut feed, mut tally) = entered(Some(10));
    live_at(&mut feed, &mut tally, [(0, 11), (2, 13)]);
    feed.handle_away();
    let places = [position(11), position(12), position(13), position(14), anew(1)];
    feed.settle(&Acked(places.map(Some).to_vec()), PLACE, &mut tally);
    assert_eq!(
        (tally.count_of(Wrong::Lost), tally.count_of(Wrong::LostAsTold), tally.missed_away),
        (1, 0, 2)
    );
}

#[test]
fn only_what_was_sent_again_may_come_again_and_only_once_the_channel_began_anew() {
    let (mut feed, mut tally) = entered(Some(0));
    let again = |number| Numbered { was_repeated: true, ..of(0, number) };
    live(&mut feed, &mut tally, 0..3, 1);
    feed.handle_message(again(0), Some(4), PLACE, &mut tally);
    assert_eq!((tally.count_of(Wrong::DuplicatedAsTold), tally.count_of(Wrong::Duplicated)), (0, 1));

    feed.handle_gap(Some(anew(1)));
    feed.handle_message(again(1), Some(1), PLACE, &mut tally);
    feed.handle_message(of(0, 2), Some(2), PLACE, &mut tally);
    feed.handle_message(again(1), Some(3), PLACE, &mut tally);
    assert_eq!((tally.count_of(Wrong::DuplicatedAsTold), tally.count_of(Wrong::Duplicated)), (1, 3));

    let by_a_new_session = Numbered { has_lost_key: true, ..again(1) };
    feed.handle_message(by_a_new_session, Some(4), PLACE, &mut tally);
    assert_eq!((tally.count_of(Wrong::DuplicatedAsTold), tally.count_of(Wrong::Duplicated)), (2, 3));
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

fn live_at<const N: usize>(feed: &mut Feed, tally: &mut Tally, numbers: [(u64, u64); N]) {
    for (number, offset) in numbers {
        feed.handle_message(of(0, number), Some(offset), PLACE, tally);
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
    Numbered { publisher, number, was_overtaken: false, was_repeated: false, has_lost_key: false }
}

/// A position in the epoch after that.
fn anew(offset: u64) -> Position {
    Position { epoch: Epoch::new(9), offset }
}

/// What one publisher was told of its messages: their places.
struct Acked(Vec<Option<Position>>);

/// So many, the first of them at this offset; `None`: the channel keeps nothing.
fn acked(count: u64, first: Option<u64>) -> Acked {
    Acked((0..count).map(|number| first.map(|first| position(first + number))).collect())
}

impl Published for Acked {
    fn count(&self, _publisher: usize) -> u64 {
        self.0.len() as u64
    }

    fn ack(&self, _publisher: usize, number: u64) -> Option<Ack> {
        self.0.get(usize::try_from(number).unwrap()).map(|position| Ack { position: *position })
    }

    fn head(&self) -> Option<Position> {
        *self.0.last()?
    }
}
