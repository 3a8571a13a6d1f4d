use std::time::Duration;

use super::super::testing::{got, manual_clock};
use super::*;

const TTL: Duration = Duration::from_secs(60);

fn claim(store: &MemoryIdempotency, key: &str) -> Use {
    got(store.claim(Scope::Channel("a"), IdempotencyKey { publisher: "ann", key, window: TTL }))
}

#[test]
fn keys_stay_within_their_bound_and_what_it_dropped_is_counted() {
    let store = MemoryIdempotency::new(IdempotencyConfig { keys_max: 64 }, manual_clock().clock());

    for number in 0..1_000 {
        assert_eq!(claim(&store, &number.to_string()), Use::First);
        assert!(store.stats().keys <= 64);
    }
    let stats = store.stats();
    assert_eq!(stats.keys as u64 + stats.evicted_total, 1_000);
    assert_eq!(claim(&store, "999"), Use::Again, "the newest is kept");
    assert_eq!(store.stats().duplicates_total, 1);
}

#[test]
fn a_sweep_gives_back_keys_whose_window_has_ended() {
    let clock = manual_clock();
    let store = MemoryIdempotency::new(IdempotencyConfig::default(), clock.clock());
    for number in 0..100 {
        assert_eq!(claim(&store, &number.to_string()), Use::First);
    }
    store.sweep();
    assert_eq!(store.stats().keys, 100);

    clock.advance(TTL);
    store.sweep();
    assert_eq!((store.stats().keys, store.stats().evicted_total), (0, 0));
}
