//! Shared quotas in virtual time, and from several threads.

use std::thread;

use super::*;

fn users(connections: u32, subscriptions: u32, messages: u32, bytes: u32) -> SharedQuotas<Arc<str>> {
    SharedQuotas::of_users(&UserLimits {
        connections,
        subscriptions,
        messages_per_second: messages,
        bytes_per_second: bytes,
    })
}

const fn at(ms: u64) -> Millis {
    Millis::new(ms)
}

#[test]
fn all_connections_of_a_user_share_one_schedule_and_others_have_their_own() {
    let quotas = users(0, 0, 2, 0);
    let phone = quotas.try_join("ann".into(), at(0)).unwrap();
    let laptop = quotas.try_join("ann".into(), at(0)).unwrap();
    let other = quotas.try_join("bob".into(), at(0)).unwrap();

    assert_eq!(phone.try_send(1, at(0)), Verdict::Admit);
    assert_eq!(laptop.try_send(1, at(0)), Verdict::Admit);
    let later = Verdict::Defer { retry_after: Duration::from_millis(500) };
    assert_eq!(phone.try_send(1, at(0)), later);
    assert_eq!(laptop.try_send(1, at(0)), later, "a refusal moves nothing");
    assert_eq!(other.try_send(1, at(0)), Verdict::Admit);
    assert_eq!(laptop.try_send(1, at(500)), Verdict::Admit);
}

#[test]
fn a_message_larger_than_a_burst_is_slow_and_not_impossible() {
    let quotas = users(0, 0, 0, 1000);
    let share = quotas.try_join("ann".into(), at(0)).unwrap();

    assert_eq!(share.try_send(5_000, at(0)), Verdict::Admit);
    let Verdict::Defer { retry_after } = share.try_send(1, at(0)) else {
        panic!("five seconds of bytes went out")
    };
    assert_eq!(retry_after, Duration::from_millis(4_001));
    assert_eq!(share.try_send(1, at(4_001)), Verdict::Admit);
}

#[test]
fn a_message_refused_for_its_bytes_takes_no_message_from_the_quota() {
    let quotas = users(0, 0, 1, 10);
    let share = quotas.try_join("ann".into(), at(0)).unwrap();
    assert_eq!(share.try_send(30, at(0)), Verdict::Admit);

    assert!(matches!(share.try_send(1, at(1_000)), Verdict::Defer { .. }));
    assert_eq!(share.try_send(1, at(2_100)), Verdict::Admit);
}

#[test]
fn leaving_and_coming_back_gives_no_fresh_quota() {
    let quotas = users(0, 0, 1, 0);
    let share = quotas.try_join("ann".into(), at(0)).unwrap();
    assert_eq!(share.try_send(1, at(0)), Verdict::Admit);
    drop(share);

    let share = quotas.try_join("ann".into(), at(1)).unwrap();

    assert!(matches!(share.try_send(1, at(1)), Verdict::Defer { .. }));
}

#[test]
fn connections_and_subscriptions_are_counted_up_to_their_bound_and_given_back() {
    let quotas = users(2, 3, 0, 0);
    let mut first = quotas.try_join("ann".into(), at(0)).unwrap();
    let mut second = quotas.try_join("ann".into(), at(0)).unwrap();

    let refused = quotas.try_join("ann".into(), at(0)).unwrap_err();
    assert_eq!(refused.message, "this user has 2 connections, which is the most on one node");
    assert_eq!(quotas.stats().connections_refused.load(Ordering::Relaxed), 1);
    first.try_subscribe().unwrap();
    first.try_subscribe().unwrap();
    second.try_subscribe().unwrap();
    assert_eq!(second.try_subscribe().unwrap_err().code, ErrorCode::Limit);
    second.unsubscribe();
    second.try_subscribe().unwrap();
    drop(first);
    second.try_subscribe().unwrap();
    second.try_subscribe().unwrap();
    assert!(second.try_subscribe().is_err());
    assert!(quotas.try_join("ann".into(), at(0)).is_ok());
}

#[test]
fn a_connection_that_takes_over_another_may_join_past_the_bound() {
    let quotas = users(1, 0, 1, 0);
    let old = quotas.try_join("ann".into(), at(0)).unwrap();
    assert_eq!(old.try_send(1, at(0)), Verdict::Admit);

    let new = quotas.join("ann".into(), at(0));

    assert!(matches!(new.try_send(1, at(0)), Verdict::Defer { .. }), "it is the same user's schedule");
    drop(old);
    assert!(quotas.try_join("ann".into(), at(0)).is_err(), "the new one counts");
}

#[test]
fn absent_users_are_forgotten_and_the_map_stays_bounded() {
    let quotas = users(0, 0, 1, 0);
    let all = SHARDS * ABSENT_MAX * 2;
    for index in 0..all {
        let now = at(index as u64);
        let share = quotas.try_join(format!("user-{index}").into(), now).unwrap();
        assert_eq!(share.try_send(1, now), Verdict::Admit);
    }

    // A little over one shard's bound each, for users are not spread evenly before the first sweep.
    assert!(quotas.len() <= SHARDS * (ABSENT_MAX + 1), "{}", quotas.len());
}

#[test]
fn absent_users_that_owe_are_evicted_above_the_bound_and_counted() {
    let quotas = users(0, 0, 1, 0);
    for index in 0..SHARDS * ABSENT_MAX * 2 {
        let share = quotas.try_join(format!("user-{index}").into(), at(0)).unwrap();
        assert_eq!(share.try_send(1, at(0)), Verdict::Admit);
    }

    assert!(quotas.len() <= SHARDS * ABSENT_MAX);
    assert!(quotas.stats().evicted.load(Ordering::Relaxed) > 0);
}

#[test]
fn without_limits_nothing_is_kept() {
    let quotas = users(0, 0, 0, 0);
    let mut share = quotas.try_join("ann".into(), at(0)).unwrap();

    assert_eq!(share.try_send(usize::MAX, at(0)), Verdict::Admit);
    share.try_subscribe().unwrap();
    assert_eq!(quotas.len(), 0);
}

#[test]
fn an_address_has_a_schedule_and_no_bound_on_connections() {
    let limits = AddressLimits { messages_per_second: 1, bytes_per_second: 0 };
    let quotas = SharedQuotas::of_addresses(&limits);
    let home: IpAddr = "10.0.0.7".parse().unwrap();
    let shares: Vec<_> = (0..100).map(|_| quotas.join(home, at(0))).collect();

    let admitted = shares.iter().filter(|share| share.try_send(1, at(0)) == Verdict::Admit).count();

    assert_eq!(admitted, 1);
}

#[test]
fn an_ipv6_site_is_one_address_and_a_mapped_ipv4_is_itself() {
    let network = |text: &str| network(text.parse().unwrap());

    assert_eq!(network("2001:db8:0:1::7"), network("2001:db8:0:1:ffff::9"));
    assert_ne!(network("2001:db8:0:1::7"), network("2001:db8:0:2::7"));
    assert_eq!(network("::ffff:10.0.0.7"), network("10.0.0.7"));
    assert_ne!(network("10.0.0.7"), network("10.0.0.8"));
}

#[test]
fn workers_together_admit_exactly_the_burst() {
    let quotas = users(0, 0, 1_000, 0);
    let admitted: usize = thread::scope(|scope| {
        let worker = || {
            let share = quotas.try_join("ann".into(), at(0)).unwrap();
            (0..600).filter(|_| share.try_send(1, at(0)) == Verdict::Admit).count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });

    assert_eq!(admitted, 1_000);
}
