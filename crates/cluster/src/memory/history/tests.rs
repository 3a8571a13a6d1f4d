use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use crate::clock::ManualClock;
use crate::history::Retention;
use crate::idempotency::IdempotencyKey;

use super::super::testing::{channel as channel_of, got, manual_clock};
use super::*;

const TTL: Duration = Duration::from_secs(60);

struct Fixture {
    history: MemoryHistory,
    clock: ManualClock,
}

impl Fixture {
    fn new(config: HistoryConfig) -> Self {
        let clock = manual_clock();
        Self { history: MemoryHistory::new(config, clock.clock(), 1), clock }
    }

    fn append(&self, channel: &str, data: &str) -> Position {
        append(&self.history, channel, data)
    }

    fn after(&self, channel: &str, position: Position) -> Page {
        read(&self.history, channel, Read::after(position, usize::MAX, usize::MAX))
    }

    /// Tells without using the stream.
    fn exists(&self, channel: &str) -> bool {
        let name = ChannelName::parse(channel).unwrap();
        got(self.history.heads(&[name])).pop().unwrap().is_some()
    }
}

#[test]
fn one_stream_too_many_drops_the_one_used_longest_ago() {
    let fixture = Fixture::new(HistoryConfig { streams_max: 3, ..HistoryConfig::default() });
    let of_a = fixture.append("a", "1");
    fixture.append("b", "1");
    fixture.append("c", "1");
    assert_eq!(fixture.history.stats().streams_evicted_total, 0, "three may be");
    fixture.after("a", of_a);

    fixture.append("d", "1");
    let existing = ["a", "b", "c", "d"].map(|channel| fixture.exists(channel));
    assert_eq!(existing, [true, false, true, true], "reading is using");
    let stats = fixture.history.stats();
    assert_eq!((stats.streams, stats.streams_evicted_total), (3, 1));
}

#[test]
fn whoever_was_in_a_dropped_stream_is_told() {
    let fixture = Fixture::new(HistoryConfig { streams_max: 1, ..HistoryConfig::default() });
    let seen = fixture.append("a", "1");
    fixture.append("b", "1");

    let anew = fixture.append("a", "2");
    assert_eq!(anew.offset, seen.offset, "the offset alone would look as if nothing had happened");
    assert_ne!(anew.epoch, seen.epoch);
    let page = fixture.after("a", seen);
    assert_eq!((page.coverage, page.entries.len(), page.head), (Coverage::Lost, 0, anew));
    assert_eq!(fixture.history.stats().lost_total, 1);
}

#[test]
fn bytes_over_all_streams_stay_below_their_bound() {
    let bytes_max = 16 * 1024;
    let fixture = Fixture::new(HistoryConfig { bytes_max, ..HistoryConfig::default() });
    let data = format!("\"{}\"", "x".repeat(100));

    for number in 0..500 {
        fixture.append(&format!("chat:{}", number % 20), &data);
        assert!(fixture.history.stats().bytes <= bytes_max, "append {number}");
    }
    let stats = fixture.history.stats();
    assert!(stats.streams_evicted_total > 0 && stats.bytes > bytes_max / 2, "{stats:?}");
}

#[test]
fn a_stream_drops_its_oldest_entries_at_its_own_bounds_and_counts_them() {
    let config = HistoryConfig { entries_max: 3, ..HistoryConfig::default() };
    let fixture = Fixture::new(config);
    let first = fixture.append("a", "1");
    for data in ["2", "3"] {
        fixture.append("a", data);
    }
    assert_eq!(fixture.history.stats().entries_evicted_total, 0, "three may be");
    fixture.append("a", "4");

    assert_eq!(fixture.history.stats().entries_evicted_total, 1);
    assert_eq!(fixture.after("a", first).entries.len(), 3);
    assert_eq!(fixture.after("a", Position { offset: 0, ..first }).coverage, Coverage::Lost);
}

#[test]
fn a_publication_larger_than_a_stream_may_be_gets_an_offset_and_is_not_kept() {
    let config = HistoryConfig { stream_bytes_max: 1_000, ..HistoryConfig::default() };
    let fixture = Fixture::new(config);
    let seen = fixture.append("a", "1");

    let large = fixture.append("a", &format!("\"{}\"", "x".repeat(1_000)));
    assert_eq!(large, Position { offset: 2, ..seen });
    assert_eq!(fixture.after("a", seen).coverage, Coverage::Lost);
    let next = fixture.append("a", "3");
    assert_eq!(fixture.after("a", large).entries.len(), 1);
    assert_eq!((next.offset, fixture.history.stats().entries_evicted_total), (3, 2));
}

#[test]
fn one_key_too_many_drops_the_oldest_and_counts_it() {
    let fixture = Fixture::new(HistoryConfig { keys_max: 2, ..HistoryConfig::default() });
    let channel = channel_of("a");
    let keyed = |key| {
        let key = Some(IdempotencyKey { publisher: "ann", key, window: TTL });
        got(fixture.history.append(Append { key, ..publication(&channel, "1") })).duplicate
    };

    assert_eq!([keyed("1"), keyed("2"), keyed("1")], [false, false, true]);
    assert!(!keyed("3"));
    assert_eq!(fixture.history.stats().keys_evicted_total, 1);
    assert_eq!([keyed("3"), keyed("1")], [true, false]);
    assert_eq!(fixture.history.stats().duplicates_total, 2);
}

#[test]
fn a_sweep_gives_back_what_has_ended_and_leaves_the_epoch_for_a_while() {
    let idle_max = Duration::from_secs(3_600);
    let fixture = Fixture::new(HistoryConfig { idle_max, ..HistoryConfig::default() });
    let seen = fixture.append("a", "1");
    let full = fixture.history.stats().bytes;

    fixture.clock.advance(TTL);
    fixture.history.sweep();
    let swept = fixture.history.stats();
    assert!(swept.streams == 1 && swept.bytes < full);
    assert_eq!(fixture.after("a", seen).coverage, Coverage::Complete, "nothing was missed");

    fixture.clock.advance(idle_max);
    fixture.history.sweep();
    let empty = fixture.history.stats();
    assert_eq!((empty.streams, empty.bytes, empty.streams_evicted_total), (0, 0, 0));
}

#[test]
fn a_stream_with_a_key_in_its_window_is_not_idle() {
    let fixture = Fixture::new(HistoryConfig { idle_max: Duration::ZERO, ..HistoryConfig::default() });
    let channel = channel_of("a");
    let key = Some(IdempotencyKey { publisher: "ann", key: "k", window: TTL * 2 });
    got(fixture.history.append(Append { key, ..publication(&channel, "1") }));

    fixture.clock.advance(TTL);
    fixture.history.sweep();
    assert!(fixture.exists("a"));
    fixture.clock.advance(TTL);
    fixture.history.sweep();
    assert!(!fixture.exists("a"));
}

#[test]
fn threads_that_publish_under_tight_bounds_leave_the_books_in_balance() {
    let config = HistoryConfig { streams_max: 8, bytes_max: 8 * 1024, ..HistoryConfig::default() };
    let fixture = Fixture::new(config);
    let names: Vec<_> = (0..16).map(|number| format!("chat:{number}")).collect();

    thread::scope(|scope| {
        for start in 0..4 {
            let (names, history) = (&names, &fixture.history);
            scope.spawn(move || {
                for step in 0..500 {
                    let name = &names[(start * 5 + step * 7) % names.len()];
                    append(history, name, "\"0123456789\"");
                    if step % 50 == 0 {
                        got(history.remove(&channel_of(name)));
                    }
                }
            });
        }
    });

    let stats = fixture.history.stats();
    assert!(stats.streams <= 8 && stats.bytes <= 8 * 1024, "{stats:?}");
    assert_eq!(stats.appended_total, 2_000);
    for name in &names {
        got(fixture.history.remove(&channel_of(name)));
    }
    let empty = fixture.history.stats();
    assert_eq!((empty.streams, empty.bytes), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the bounds throw away, someone who comes back with a position gets all that was published since, or is
    /// told that it cannot be had.
    #[test]
    fn nobody_gets_a_part_for_the_whole(
        steps in prop::collection::vec((0..4_usize, 0..3_u8, any::<prop::sample::Index>()), 1..120),
    ) {
        let config = HistoryConfig { streams_max: 3, entries_max: 6, bytes_max: 4_096, ..HistoryConfig::default() };
        let fixture = Fixture::new(config);
        let names = ["a", "b", "c", "d"];
        // Every publication with its position, and every position someone was told.
        let mut published: HashMap<(&str, Epoch), Vec<u64>> = HashMap::new();
        let mut told = Vec::new();

        for (number, (name, step, pick)) in (0_u64..).zip(steps) {
            let name = names[name];
            match step {
                0 => {
                    let position = fixture.append(name, &number.to_string());
                    let stream = published.entry((name, position.epoch)).or_default();
                    stream.push(number);
                    prop_assert_eq!(stream.len() as u64, position.offset, "offsets have no gaps");
                    told.push((name, position));
                }
                1 => told.push((name, read(&fixture.history, name, Read::head()).head)),
                _ if told.is_empty() => {}
                _ => {
                    let (name, position) = told[pick.index(told.len())];
                    let page = fixture.after(name, position);
                    if page.coverage == Coverage::Lost {
                        prop_assert!(page.entries.is_empty());
                        continue;
                    }
                    prop_assert_eq!(page.head.epoch, position.epoch);
                    let seen = usize::try_from(position.offset).unwrap();
                    let stream = published.get(&(name, position.epoch)).map_or(&[][..], |all| &all[seen..]);
                    let replayed: Vec<_> = page.entries.iter().map(|entry| number_in(&entry.data)).collect();
                    prop_assert_eq!(replayed, stream);
                }
            }
        }
    }
}

fn number_in(data: &[u8]) -> u64 {
    std::str::from_utf8(data).unwrap().parse().unwrap()
}

fn publication<'a>(channel: &'a Channel<'a>, data: &str) -> Append<'a> {
    Append {
        channel,
        retention: Retention { entries_max: 1_000, ttl: TTL },
        key: None,
        data: Arc::from(data.as_bytes()),
        from: None,
        conflate: None,
        trace: None,
    }
}

fn append(history: &MemoryHistory, channel: &str, data: &str) -> Position {
    got(history.append(publication(&channel_of(channel), data))).position
}

fn read(history: &MemoryHistory, channel: &str, read: Read) -> Page {
    got(history.read(&channel_of(channel), read))
}
