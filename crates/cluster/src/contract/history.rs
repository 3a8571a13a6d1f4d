//! What every [`History`] promises.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::position::{Epoch, Position};

use crate::history::{Append, Appended, Coverage, History, Order, Page, Read, Retention};
use crate::idempotency::IdempotencyKey;

use super::{Harness, LONG, PAST_SOON, SOON, channel, get};

/// Checks every rule, each on a fresh history.
pub async fn check(harness: &impl Harness<dyn History>) {
    offsets_start_at_one_and_count_up(harness).await;
    appends_under_way_together_get_neighbouring_offsets(harness).await;
    channels_do_not_share_a_stream(harness).await;
    a_channel_nobody_published_to_has_a_position_to_come_back_to(harness).await;
    entries_come_back_as_they_were_appended(harness).await;
    every_position_within_retention_is_continued_exactly(harness).await;
    a_position_that_cannot_be_continued_gets_nothing(harness).await;
    a_page_cut_short_says_so_and_can_be_continued(harness).await;
    a_page_is_cut_by_bytes_but_holds_one_entry_at_least(harness).await;
    the_newest_come_first_on_request(harness).await;
    a_read_of_no_entries_tells_whether_a_position_can_be_continued(harness).await;
    entries_end_with_their_ttl_and_offsets_go_on(harness).await;
    a_history_of_size_zero_only_counts(harness).await;
    a_key_used_again_gives_the_first_position_and_keeps_nothing(harness).await;
    a_key_outlives_its_entry_but_not_its_window(harness).await;
    a_removed_stream_comes_back_under_another_epoch(harness).await;
    heads_come_in_order_and_make_no_stream(harness).await;
}

async fn offsets_start_at_one_and_count_up(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;

    let first = append(&*history, "chat:a", "1", 10).await;
    let second = append(&*history, "chat:a", "2", 10).await;

    assert_eq!((first.position.offset, first.duplicate), (1, false));
    assert_eq!((second.position, second.duplicate), (Position { offset: 2, ..first.position }, false));
}

async fn appends_under_way_together_get_neighbouring_offsets(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let name = channel("chat:a");

    let under_way: Vec<_> = (0..50).map(|_| history.append(publication(&name, "1", 100, LONG))).collect();
    let mut positions = Vec::new();
    for answer in under_way {
        positions.push(get(answer).await.position);
    }

    let offsets: BTreeSet<_> = positions.iter().map(|position| position.offset).collect();
    assert_eq!(offsets, (1..=50).collect());
    assert!(positions.iter().all(|position| position.epoch == positions[0].epoch));
}

async fn channels_do_not_share_a_stream(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;

    append(&*history, "chat:a", "\"a\"", 10).await;
    let other = append(&*history, "chat:b", "\"b\"", 10).await;

    assert_eq!(other.position.offset, 1);
    let page = read(&*history, "chat:a", everything()).await;
    assert_eq!(texts(&page), ["\"a\""]);
}

async fn a_channel_nobody_published_to_has_a_position_to_come_back_to(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;

    let head = read(&*history, "chat:a", Read::head()).await.head;
    assert_eq!(head.offset, 0);
    assert_eq!(read(&*history, "chat:a", Read::head()).await.head, head, "the epoch stays");

    append(&*history, "chat:a", "1", 10).await;
    let missed = read(&*history, "chat:a", after(head)).await;
    assert_eq!((texts(&missed), missed.coverage), (vec!["1"], Coverage::Complete));
}

async fn entries_come_back_as_they_were_appended(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let name = channel("chat:grüße");
    let data = r#"{"text":"\u0000 \"\n 🌊"}"#.as_bytes();

    let whole = Append {
        data: data.into(),
        from: Some("ann".into()),
        conflate: Some("cursor".into()),
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        ..publication(&name, "", 10, LONG)
    };
    get(history.append(whole)).await;
    append(&*history, name.as_str(), "2", 10).await;

    let page = read(&*history, name.as_str(), everything()).await;
    let [whole, bare] = &page.entries[..] else { panic!("two were appended: {page:?}") };
    assert_eq!((whole.offset, &*whole.data), (1, data));
    assert_eq!((whole.from.as_deref(), whole.conflate.as_deref()), (Some("ann"), Some("cursor")));
    assert_eq!(whole.trace.as_deref(), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_eq!((bare.offset, &bare.from, &bare.conflate, &bare.trace), (2, &None, &None, &None));
    assert!(whole.at <= bare.at && whole.at.count() > 0);
}

async fn every_position_within_retention_is_continued_exactly(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let head = fill(&*history, "chat:a", 8, 5).await;

    // Entries 4 to 8 are kept, so whoever has seen 3 or more can go on.
    for seen in 3..=8 {
        let page = read(&*history, "chat:a", after(Position { offset: seen, ..head })).await;
        let offsets: Vec<_> = page.entries.iter().map(|entry| entry.offset).collect();
        assert_eq!((page.head, page.coverage), (head, Coverage::Complete), "after {seen}");
        assert_eq!(offsets, (seen + 1..=8).collect::<Vec<_>>(), "after {seen}");
    }
}

async fn a_position_that_cannot_be_continued_gets_nothing(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let head = fill(&*history, "chat:a", 8, 5).await;

    let too_old = [0, 1, 2].map(|offset| Position { offset, ..head });
    let ahead = [9, u64::MAX].map(|offset| Position { offset, ..head });
    let elsewhere = [0, 7, 8].map(|offset| Position { epoch: Epoch::new(head.epoch.number() ^ 1), offset });
    let lost = |order| match order {
        Order::OldestFirst => too_old.into_iter().chain(ahead).chain(elsewhere).collect::<Vec<_>>(),
        // What came before an old position is gone, and nothing of it is missing.
        Order::NewestFirst => ahead.into_iter().chain(elsewhere).collect(),
    };
    for order in [Order::OldestFirst, Order::NewestFirst] {
        for position in lost(order) {
            let page = read(&*history, "chat:a", Read { order, ..after(position) }).await;
            assert_eq!(
                (page.head, page.entries, page.coverage),
                (head, Vec::new(), Coverage::Lost),
                "{position:?}"
            );
        }
    }
}

async fn a_page_cut_short_says_so_and_can_be_continued(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let head = fill(&*history, "chat:a", 7, 100).await;

    let mut position = Position { offset: 0, ..head };
    for (expected, coverage) in [
        (vec!["1", "2", "3"], Coverage::More),
        (vec!["4", "5", "6"], Coverage::More),
        (vec!["7"], Coverage::Complete),
    ] {
        let page = read(&*history, "chat:a", Read::after(position, 3, usize::MAX)).await;
        assert_eq!((texts(&page), page.coverage), (expected, coverage));
        position.offset = page.entries.last().expect("none of these pages is empty").offset;
    }
    let exactly = read(&*history, "chat:a", Read::after(Position { offset: 4, ..head }, 3, usize::MAX)).await;
    assert_eq!(exactly.coverage, Coverage::Complete);
}

async fn a_page_is_cut_by_bytes_but_holds_one_entry_at_least(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    for data in ["11", "22", "33"] {
        append(&*history, "chat:a", data, 10).await;
    }

    for (bytes_max, expected) in
        [(0, vec!["11"]), (3, vec!["11"]), (4, vec!["11", "22"]), (6, vec!["11", "22", "33"])]
    {
        let page = read(&*history, "chat:a", Read { bytes_max, ..everything() }).await;
        let coverage = if expected.len() == 3 { Coverage::Complete } else { Coverage::More };
        assert_eq!((texts(&page), page.coverage), (expected, coverage), "{bytes_max} bytes");
    }
}

async fn the_newest_come_first_on_request(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let head = fill(&*history, "chat:a", 5, 100).await;

    let newest = read(&*history, "chat:a", Read::newest(2, usize::MAX)).await;
    assert_eq!((texts(&newest), newest.coverage), (vec!["5", "4"], Coverage::More));

    let all = read(&*history, "chat:a", Read::newest(10, usize::MAX)).await;
    assert_eq!((texts(&all), all.coverage), (vec!["5", "4", "3", "2", "1"], Coverage::Complete));

    let before = Read { order: Order::NewestFirst, ..after(Position { offset: 3, ..head }) };
    let before = read(&*history, "chat:a", before).await;
    assert_eq!((texts(&before), before.coverage), (vec!["2", "1"], Coverage::Complete));
    let first = Read { order: Order::NewestFirst, ..after(Position { offset: 1, ..head }) };
    assert_eq!(read(&*history, "chat:a", first).await.entries, []);
}

async fn a_read_of_no_entries_tells_whether_a_position_can_be_continued(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let head = fill(&*history, "chat:a", 5, 2).await;

    for (seen, coverage) in
        [(2, Coverage::Lost), (3, Coverage::More), (5, Coverage::Complete), (6, Coverage::Lost)]
    {
        let position = Position { offset: seen, ..head };
        let page = read(&*history, "chat:a", Read::after(position, 0, usize::MAX)).await;
        assert_eq!((page.head, page.entries, page.coverage), (head, Vec::new(), coverage), "after {seen}");
    }
}

async fn entries_end_with_their_ttl_and_offsets_go_on(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let name = channel("chat:a");
    let first = get(history.append(publication(&name, "1", 10, SOON))).await.position;
    harness.pass(PAST_SOON).await;

    let page = read(&*history, "chat:a", everything()).await;
    assert_eq!((page.head, texts(&page)), (first, vec![]));
    assert_eq!(read(&*history, "chat:a", after(first)).await.coverage, Coverage::Complete);
    let before = Position { offset: 0, ..first };
    assert_eq!(read(&*history, "chat:a", after(before)).await.coverage, Coverage::Lost);

    let second = get(history.append(publication(&name, "2", 10, SOON))).await.position;
    assert_eq!(second, Position { offset: 2, ..first });
    let missed = read(&*history, "chat:a", after(first)).await;
    assert_eq!((texts(&missed), missed.coverage), (vec!["2"], Coverage::Complete));
}

async fn a_history_of_size_zero_only_counts(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let head = fill(&*history, "chat:a", 3, 0).await;

    assert_eq!(head.offset, 3);
    assert_eq!(read(&*history, "chat:a", after(head)).await.coverage, Coverage::Complete);
    let behind = read(&*history, "chat:a", after(Position { offset: 2, ..head })).await;
    assert_eq!((behind.coverage, behind.entries), (Coverage::Lost, Vec::new()));
}

async fn a_key_used_again_gives_the_first_position_and_keeps_nothing(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    append(&*history, "chat:a", "0", 10).await;

    let first = append_keyed(&*history, "chat:a", "ann", "k", LONG).await;
    assert_eq!((first.position.offset, first.duplicate), (2, false));
    append(&*history, "chat:a", "3", 10).await;
    let again = append_keyed(&*history, "chat:a", "ann", "k", LONG).await;
    assert_eq!((again.position, again.duplicate), (first.position, true));

    let of_another = append_keyed(&*history, "chat:a", "bob", "k", LONG).await;
    assert_eq!((of_another.position.offset, of_another.duplicate), (4, false), "keys are their publisher's");
    assert!(!append_keyed(&*history, "chat:b", "ann", "k", LONG).await.duplicate, "and their channel's");
    assert_eq!(read(&*history, "chat:a", everything()).await.entries.len(), 4);
}

async fn a_key_outlives_its_entry_but_not_its_window(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let first = append_keyed(&*history, "chat:a", "ann", "k", SOON).await;
    fill(&*history, "chat:a", 3, 1).await;

    let again = append_keyed(&*history, "chat:a", "ann", "k", SOON).await;
    assert_eq!((again.position, again.duplicate), (first.position, true));

    harness.pass(PAST_SOON).await;
    let anew = append_keyed(&*history, "chat:a", "ann", "k", SOON).await;
    assert_eq!((anew.position.offset, anew.duplicate), (5, false));
}

async fn a_removed_stream_comes_back_under_another_epoch(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let name = channel("chat:a");
    assert!(!get(history.remove(&name)).await, "there is nothing to remove");
    let before = append_keyed(&*history, "chat:a", "ann", "k", LONG).await;

    assert!(get(history.remove(&name)).await);
    let anew = append_keyed(&*history, "chat:a", "ann", "k", LONG).await;
    assert_eq!((anew.position.offset, anew.duplicate), (1, false), "its keys went with it");
    assert_ne!(anew.position.epoch, before.position.epoch);
    let old = read(&*history, "chat:a", after(before.position)).await;
    assert_eq!((old.coverage, old.head), (Coverage::Lost, anew.position));
}

async fn heads_come_in_order_and_make_no_stream(harness: &impl Harness<dyn History>) {
    let history = harness.fresh().await;
    let of_b = fill(&*history, "chat:b", 3, 2).await;
    let of_c = fill(&*history, "chat:c", 1, 2).await;

    let names =
        ["chat:c", "chat:a", "chat:b"].map(|name| ChannelName::parse(name).expect("rules use good names"));
    for _ in 0..2 {
        assert_eq!(get(history.heads(&names)).await, [Some(of_c), None, Some(of_b)]);
    }
    assert_eq!(get(history.heads(&[])).await, []);
}

fn publication<'a>(
    name: &'a tidegate_protocol::channel::Channel<'a>,
    data: &str,
    entries_max: u32,
    ttl: Duration,
) -> Append<'a> {
    Append {
        channel: name,
        retention: Retention { entries_max, ttl },
        key: None,
        data: data.as_bytes().into(),
        from: None,
        conflate: None,
        trace: None,
    }
}

async fn append(history: &dyn History, name: &str, data: &str, entries_max: u32) -> Appended {
    get(history.append(publication(&channel(name), data, entries_max, LONG))).await
}

async fn append_keyed(
    history: &dyn History,
    name: &str,
    publisher: &str,
    key: &str,
    window: Duration,
) -> Appended {
    let name = channel(name);
    let key = Some(IdempotencyKey { publisher, key, window });
    get(history.append(Append { key, ..publication(&name, "1", 10, LONG) })).await
}

/// Appends its number `count` times; the position of the last one.
async fn fill(history: &dyn History, name: &str, count: u32, entries_max: u32) -> Position {
    let mut head = None;
    for number in 1..=count {
        head = Some(append(history, name, &number.to_string(), entries_max).await.position);
    }
    head.expect("rules fill in one at least")
}

async fn read(history: &dyn History, name: &str, read: Read) -> Page {
    get(history.read(&channel(name), read)).await
}

fn everything() -> Read {
    Read { after: None, order: Order::OldestFirst, entries_max: usize::MAX, bytes_max: usize::MAX }
}

fn after(position: Position) -> Read {
    Read::after(position, 1_000, usize::MAX)
}

fn texts(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| std::str::from_utf8(&entry.data).expect("rules append text")).collect()
}
