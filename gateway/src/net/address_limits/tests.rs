use std::thread;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_limit_holds_at_n_and_n_plus_one() {
    let limits = AddressLimits::new(3);
    let mut held: Vec<_> = (0..3).map(|_| limits.try_acquire(ip("192.0.2.1")).unwrap()).collect();
    assert_eq!(limits.try_acquire(ip("192.0.2.1")).unwrap_err(), AddressFull { open: 3 });
    held.pop();
    held.push(limits.try_acquire(ip("192.0.2.1")).unwrap());
    assert!(limits.try_acquire(ip("192.0.2.1")).is_err());
}

#[test]
fn addresses_do_not_share_a_limit() {
    let limits = AddressLimits::new(1);
    let _first = limits.try_acquire(ip("192.0.2.1")).unwrap();
    let _second = limits.try_acquire(ip("192.0.2.2")).unwrap();
    assert_eq!(limits.addresses(), 2);
}

#[test]
fn an_ipv6_client_counts_by_its_64_bit_network() {
    let limits = AddressLimits::new(1);
    let _held = limits.try_acquire(ip("2001:db8:0:1::1")).unwrap();
    assert!(limits.try_acquire(ip("2001:db8:0:1:ffff::2")).is_err());
    let _other_network = limits.try_acquire(ip("2001:db8:0:2::1")).unwrap();
}

#[test]
fn a_mapped_address_is_the_ipv4_client() {
    let limits = AddressLimits::new(1);
    let _held = limits.try_acquire(ip("192.0.2.1")).unwrap();
    assert!(limits.try_acquire(ip("::ffff:192.0.2.1")).is_err());
    let _not_everyone_mapped = limits.try_acquire(ip("::ffff:192.0.2.2")).unwrap();
}

#[test]
fn nothing_stays_behind_when_connections_end() {
    let limits = AddressLimits::new(10);
    let permits: Vec<_> =
        (0..50_000_u32).map(|n| limits.try_acquire(IpAddr::from(n.to_be_bytes())).unwrap()).collect();
    assert_eq!(limits.addresses(), 50_000);
    drop(permits);
    assert_eq!(limits.addresses(), 0);
    let kept: usize = limits.shards.iter().map(|shard| lock_ignoring_poison(shard).capacity()).sum();
    assert!(kept <= SHARDS * 64, "room for {kept} entries is still held");
}

#[test]
fn a_limit_of_zero_is_off() {
    let limits = AddressLimits::new(0);
    let _permits: Vec<_> = (0..1000).map(|_| limits.try_acquire(ip("192.0.2.1")).unwrap()).collect();
    assert_eq!(limits.addresses(), 0);
}

#[test]
fn a_permit_is_three_words() {
    assert!(size_of::<AddressPermit>() <= 24);
    assert_eq!(size_of::<Option<AddressPermit>>(), size_of::<AddressPermit>());
}

#[test]
fn workers_that_race_never_exceed_the_limit() {
    let limits = AddressLimits::new(5);
    let admitted: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let permits: Vec<_> =
                        (0..100).filter_map(|_| limits.try_acquire(ip("192.0.2.1")).ok()).collect();
                    // Leaked on purpose: an ended worker's permits must not make room for another's.
                    permits.into_iter().map(std::mem::forget).count()
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().unwrap()).sum()
    });
    assert_eq!(admitted, 5);
}

fn rate(per_second: u32, now: Instant) -> HandshakeRate {
    HandshakeRate::new(NonZeroU32::new(per_second).unwrap(), now)
}

fn admitted(rate: &HandshakeRate, now: Instant, attempts: usize) -> usize {
    (0..attempts).filter(|_| rate.try_take(now) == RateVerdict::Admit).count()
}

#[test]
fn a_second_s_worth_may_come_at_once_and_then_the_rate_holds() {
    let start = Instant::now();
    let rate = rate(100, start);
    assert_eq!(admitted(&rate, start, 500), 100);
    assert_eq!(admitted(&rate, start + Duration::from_millis(9), 500), 0);
    assert_eq!(admitted(&rate, start + Duration::from_millis(10), 500), 1);
    assert_eq!(admitted(&rate, start + Duration::from_millis(500), 500), 49);
    assert_eq!(admitted(&rate, start + Duration::from_secs(60), 500), 100);
}

#[test]
fn a_flood_does_not_push_the_schedule_away() {
    let start = Instant::now();
    let rate = rate(1, start);
    assert_eq!(rate.try_take(start), RateVerdict::Admit);
    for _ in 0..1000 {
        assert_eq!(rate.try_take(start), RateVerdict::Defer { retry_after_s: 1 });
    }
    assert_eq!(rate.try_take(start + Duration::from_secs(1)), RateVerdict::Admit);
}

#[test]
fn retry_after_is_at_least_a_second() {
    let start = Instant::now();
    let rate = rate(1000, start);
    assert_eq!(admitted(&rate, start, 1000), 1000);
    assert_eq!(rate.try_take(start), RateVerdict::Defer { retry_after_s: 1 });
}

#[test]
fn a_clock_reading_from_before_the_start_is_the_start() {
    let start = Instant::now() + Duration::from_secs(10);
    let rate = rate(2, start);
    assert_eq!(admitted(&rate, start - Duration::from_secs(5), 10), 2);
}

#[test]
fn a_rate_beyond_the_clock_s_resolution_still_admits() {
    let start = Instant::now();
    let rate = rate(u32::MAX, start);
    assert_eq!(admitted(&rate, start, 10), 10);
}

#[test]
fn as_many_handshakes_are_free_as_would_be_admitted_now() {
    let start = Instant::now();
    let rate = rate(10, start);
    for (later_ms, taken, free) in [(0, 0, 10), (0, 7, 3), (100, 0, 4), (100, 4, 0), (5_000, 0, 10)] {
        let now = start + Duration::from_millis(later_ms);
        assert_eq!(admitted(&rate, now, taken), taken);
        assert_eq!(rate.free(now), free, "{later_ms} ms");
    }
}
