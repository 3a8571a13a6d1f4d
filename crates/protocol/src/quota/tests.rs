use proptest::prelude::*;

use super::*;

#[test]
fn a_burst_is_admitted_then_the_rate_holds() {
    let rate = rate(10, 2);
    let mut quota = Quota::new();
    let start = Millis::new(5000);

    assert_eq!(quota.try_take(&rate, start), Verdict::Admit);
    assert_eq!(quota.try_take(&rate, start), Verdict::Admit);
    assert_eq!(quota.try_take(&rate, start), defer(100));
    assert_eq!(quota.try_take(&rate, start + Duration::from_millis(60)), defer(40));
    assert_eq!(quota.try_take(&rate, start + Duration::from_millis(100)), Verdict::Admit);
}

#[test]
fn more_than_a_burst_is_admitted_once_and_paid_for_afterwards() {
    let rate = rate(1000, 100);
    let mut quota = Quota::new();
    let start = Millis::new(1);

    assert_eq!(quota.try_take_many(&rate, 2100, start), Verdict::Admit);
    assert_eq!(quota.try_take_many(&rate, 1, start), defer(2001));
    assert_eq!(quota.try_take_many(&rate, 1, start + Duration::from_millis(2001)), Verdict::Admit);
}

#[test]
fn a_clock_that_goes_back_or_ends_does_no_harm() {
    let rate = rate(1, 1);
    let mut quota = Quota::new();

    assert_eq!(quota.try_take_many(&rate, u32::MAX, Millis::MAX), Verdict::Admit);
    assert_eq!(quota.try_take(&rate, Millis::MAX), Verdict::Admit);
    assert!(matches!(quota.try_take(&rate, Millis::ZERO), Verdict::Defer { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_window_admits_more_than_its_rate_and_a_burst(
        per_second in 1_u32..5000,
        burst in 1_u32..50,
        gaps in prop::collection::vec(0_u64..20, 1..200),
    ) {
        let rate = rate(per_second, burst);
        let (mut quota, mut now, mut admitted) = (Quota::new(), Millis::new(1), 0_u64);
        for gap in gaps {
            now = now + Duration::from_millis(gap);
            if let Verdict::Defer { retry_after } = quota.try_take(&rate, now) {
                let mut later = quota;
                prop_assert_eq!(later.try_take(&rate, now + retry_after), Verdict::Admit);
            } else {
                admitted += 1;
            }
        }
        // The interval is rounded down to whole nanoseconds, which gives away less than one in 10,000 here.
        let in_rate = (now.count() as f64 / 1000.0) * f64::from(per_second) * 1.0001;
        prop_assert!(admitted as f64 <= in_rate + f64::from(burst) + 1.0);
    }
}

fn defer(ms: u64) -> Verdict {
    Verdict::Defer { retry_after: Duration::from_millis(ms) }
}

fn rate(per_second: u32, burst: u32) -> Rate {
    let nonzero = |value| NonZeroU32::new(value).expect("tests pass values above zero");
    Rate::new(nonzero(per_second), nonzero(burst))
}
