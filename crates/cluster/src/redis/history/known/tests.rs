use tidegate_protocol::position::Epoch;

use super::*;

#[test]
fn the_latest_stays_whatever_the_order_it_is_told_in() {
    let known = Known::new(100);
    let channel = channel(1);
    for (told, expected) in [
        (seen(5, 3, 30), seen(5, 3, 30)),
        (seen(5, 2, 20), seen(5, 3, 30)),
        (seen(5, 3, 31), seen(5, 3, 30)),
        (seen(5, 4, 40), seen(5, 4, 40)),
        (seen(4, 9, 90), seen(5, 4, 40)),
        (seen(6, 0, 0), seen(6, 0, 0)),
    ] {
        known.note(&channel, told, known.get(&channel));
        assert_eq!(known.get(&channel), Some(expected), "after {told:?}");
    }
    assert_eq!(known.len(), 1);
}

#[test]
fn an_answer_hides_nothing_that_became_known_while_it_was_under_way() {
    let (known, channel) = (Known::new(100), channel(1));
    known.note(&channel, seen(5, 1, 10), None);
    let asked_with = known.get(&channel);
    known.note(&channel, seen(5, 2, 20), asked_with);

    known.note(&channel, seen(5, 3, 31), asked_with);
    assert_eq!(known.get(&channel), Some(seen(5, 2, 20)), "the server may have another second one");
    known.note(&channel, seen(6, 0, 0), asked_with);
    assert_eq!(known.get(&channel), Some(seen(6, 0, 0)), "whoever knew the fifth epoch is told");
}

#[test]
fn what_follows_on_another_publication_hides_nothing() {
    let (known, channel) = (Known::new(100), channel(1));
    let link = |tag, previous| Link { tag: Tag::new(tag), previous: Tag::new(previous) };
    for (offset, link, expected) in [
        (3, link(30, 20), seen(5, 3, 30)),
        (4, link(40, 30), seen(5, 4, 40)),
        (5, link(51, 41), seen(5, 4, 40)),
        (6, link(60, 50), seen(5, 4, 40)),
        (5, link(50, 40), seen(5, 5, 50)),
    ] {
        known.note_link(&channel, Position { epoch: Epoch::new(5), offset }, link);
        assert_eq!(known.get(&channel), Some(expected), "after {offset}");
    }
}

#[test]
fn one_more_than_there_is_room_for_drops_the_one_used_longest_ago() {
    let known = Known { shard_max: 2, ..Known::new(0) };
    // Enough of them that every shard gets more than its two.
    let channels: Vec<_> = (0..1000).map(channel).collect();
    for channel in &channels {
        known.note(channel, seen(1, 1, 1), None);
    }

    assert_eq!(known.len(), 64);
    assert_eq!(known.evicted_total(), 1000 - 64);
    assert_eq!(known.channels().len(), 64);
    assert_eq!(known.get(&channels[999]), Some(seen(1, 1, 1)));
    assert_eq!(known.get(&channels[0]), None);
}

#[test]
fn a_bound_is_met_exactly_in_each_shard() {
    let known = Known::new(32);
    let first = channel(0);
    known.note(&first, seen(1, 1, 1), None);
    known.note(&first, seen(1, 2, 2), None);
    assert_eq!((known.len(), known.evicted_total()), (1, 0), "the same channel takes no more room");

    let nothing = Known::new(0);
    nothing.note(&first, seen(1, 1, 1), None);
    assert_eq!((nothing.len(), nothing.get(&first)), (0, None));
}

fn seen(epoch: u64, offset: u64, tag: u64) -> Seen {
    Seen { position: Position { epoch: Epoch::new(epoch), offset }, tag: Tag::new(tag) }
}

fn channel(number: u32) -> ChannelName {
    ChannelName::parse(&format!("chat:{number}")).unwrap()
}
