use tidegate_protocol::position::Epoch;

use super::*;

fn at(offset: u64) -> Position {
    Position { epoch: Epoch::new(7), offset }
}

/// The offsets that come out when the one at `offset` goes in.
fn take_in(feed: &mut Feed<u64>, offset: u64) -> Option<Vec<u64>> {
    match feed.handle_publication(at(offset), None, offset) {
        Intake::Deliver(ready) => Some(ready),
        Intake::Duplicate => Some(Vec::new()),
        Intake::Held => None,
    }
}

/// History has nothing behind the feed that it could say, and ends here.
fn lost_at(head: Position) -> Past<u64> {
    Past { head, head_tag: None, entries: None }
}

/// History has the publications with these offsets and tags.
fn past(entries: &[(u64, u64)]) -> Past<u64> {
    let &(last, tag) = entries.last().expect("tests name some");
    let entry = |&(offset, tag)| PastEntry { offset, tag: Some(Tag::new(tag)), publication: offset };
    Past { head: at(last), head_tag: Some(Tag::new(tag)), entries: Some(entries.iter().map(entry).collect()) }
}

#[test]
fn publications_come_out_once_and_in_order_whatever_order_they_come_in() {
    let mut feed = Feed::new(at(3), None);
    assert_eq!(take_in(&mut feed, 4), Some(vec![4]));
    assert_eq!(take_in(&mut feed, 6), None);
    assert_eq!(take_in(&mut feed, 7), None);
    assert!(feed.has_gap());
    assert_eq!(take_in(&mut feed, 4), Some(vec![]));
    assert_eq!(take_in(&mut feed, 5), Some(vec![5, 6, 7]));
    assert!(!feed.has_gap());
    assert_eq!(take_in(&mut feed, 7), Some(vec![]));
    assert_eq!(feed.head(), at(7));
}

#[test]
fn what_is_missing_is_read_once_at_a_time_and_comes_before_what_was_held() {
    let mut feed = Feed::new(at(3), Some(Tag::new(30)));
    assert_eq!(feed.begin_repair(), None, "nothing is missing");
    assert!(matches!(feed.handle_publication(at(6), link(60, 50), 6), Intake::Held));
    assert_eq!(feed.begin_repair(), Some(at(3)));
    assert_eq!(feed.begin_repair(), None, "it is under way");
    feed.handle_unreadable();
    assert_eq!(feed.begin_repair(), None, "a store that does not answer is not asked again at once");
    assert!(feed.compare(at(6)));
    assert_eq!(feed.begin_repair(), Some(at(3)));

    let repaired = feed.handle_past(past(&[(4, 40), (5, 50)]));
    assert_eq!((repaired.lost_before, repaired.ready), (None, vec![4, 5, 6]));
    assert!(!feed.has_gap());
}

#[test]
fn what_is_lost_is_skipped_and_what_was_held_behind_it_is_not() {
    let mut feed = Feed::new(at(1), None);
    assert_eq!(take_in(&mut feed, 4), None);
    assert_eq!(take_in(&mut feed, 9), None);
    let repaired = feed.handle_past(lost_at(at(3)));
    assert_eq!((repaired.lost_before, repaired.ready), (Some(at(4)), vec![4]));
    assert!(feed.has_gap(), "5 to 8 are still missing");
    assert_eq!(feed.handle_past(lost_at(at(8))).ready, [9]);
    assert!(!feed.has_gap());
}

#[test]
fn an_answer_that_was_overtaken_by_what_was_missing_takes_nothing_back() {
    let mut feed = Feed::new(at(1), None);
    assert_eq!(take_in(&mut feed, 4), None);
    for offset in [2, 3] {
        assert!(take_in(&mut feed, offset).is_some());
    }
    let repaired = feed.handle_past(lost_at(at(3)));
    assert_eq!((repaired.lost_before, repaired.ready), (None, vec![]));
    assert_eq!(take_in(&mut feed, 4), Some(vec![]), "it was delivered");
}

#[test]
fn more_than_can_be_held_is_left_to_history() {
    let mut feed = Feed::new(at(0), None);
    for offset in 2..HELD_MAX as u64 + 12 {
        assert_eq!(take_in(&mut feed, offset), None);
    }
    let last_held = HELD_MAX as u64 + 1;
    assert_eq!(take_in(&mut feed, 1), Some((1..=last_held).collect()));
    assert_eq!(feed.head(), at(last_held));
}

#[test]
fn a_channel_that_began_anew_waits_for_history_to_say_so_and_goes_on_from_its_beginning() {
    let mut feed = Feed::new(at(5), None);
    let [first, second] = [1, 2].map(|offset| Position { epoch: Epoch::new(8), offset });
    assert!(matches!(feed.handle_publication(second, None, 2), Intake::Held));
    assert!(feed.has_gap());
    let repaired = feed.handle_past(lost_at(second));
    assert_eq!((repaired.lost_before, repaired.ready), (Some(first), vec![]));
    assert!(feed.has_gap(), "both are still to be read");
    for position in [first, second] {
        assert!(matches!(feed.handle_publication(position, None, position.offset), Intake::Deliver(_)));
    }
    assert!(!feed.has_gap());
}

#[test]
fn a_channel_that_began_anew_and_is_empty_misses_nothing() {
    let mut feed = Feed::new(at(5), None);
    let repaired = feed.handle_past(lost_at(Position { epoch: Epoch::new(8), offset: 0 }));
    assert_eq!(repaired.lost_before.map(|first| first.offset), Some(1));
    assert!(!feed.has_gap());
}

fn link(tag: u64, previous: u64) -> Option<Link> {
    Some(Link { tag: Tag::new(tag), previous: Tag::new(previous) })
}

#[test]
fn a_publication_that_follows_on_another_one_is_not_delivered() {
    let mut feed = Feed::new(at(3), Some(Tag::new(30)));
    assert!(matches!(feed.handle_publication(at(4), link(40, 30), 4), Intake::Deliver(_)));
    assert!(matches!(feed.handle_publication(at(4), link(40, 30), 4), Intake::Duplicate));
    assert!(matches!(feed.handle_publication(at(3), link(30, 20), 3), Intake::Duplicate));

    assert!(matches!(feed.handle_publication(at(5), link(51, 41), 5), Intake::Held));
    assert!(feed.has_gap(), "history has to say what became of the fourth");
    assert_eq!(feed.head(), at(4));
}

#[test]
fn another_publication_under_an_offset_that_was_delivered_is_no_duplicate() {
    let mut feed = Feed::new(at(3), Some(Tag::new(30)));
    assert!(matches!(feed.handle_publication(at(3), link(31, 20), 3), Intake::Held));
    assert!(feed.has_gap());
    let nothing = Past { entries: Some(Vec::new()), ..past(&[(3, 30)]) };
    assert!(feed.handle_past(nothing).ready.is_empty());
    assert!(!feed.has_gap(), "history had nothing else");
}

#[test]
fn of_held_publications_those_behind_a_break_are_left_to_history() {
    let mut feed = Feed::new(at(3), Some(Tag::new(30)));
    for (offset, tag, previous) in [(5, 50, 40), (6, 61, 51)] {
        assert!(matches!(feed.handle_publication(at(offset), link(tag, previous), offset), Intake::Held));
    }
    let Intake::Deliver(ready) = feed.handle_publication(at(4), link(40, 30), 4) else {
        panic!("it is next")
    };
    assert_eq!(ready, [4, 5]);
    assert!(feed.has_gap());
}

#[test]
fn a_history_that_is_further_shows_that_something_did_not_come() {
    let mut feed = Feed::<u64>::new(at(3), None);
    assert!(!feed.compare(at(3)) && !feed.compare(at(2)));
    assert!(feed.compare(at(4)));
    assert!(!feed.compare(at(4)), "known");
    assert!(Feed::<u64>::new(at(3), None).compare(Position { epoch: Epoch::new(8), offset: 0 }));
}
