//! The gate in virtual time.

use super::*;

const MIB: u64 = 1 << 20;

fn bounds() -> Bounds {
    let config = Overload {
        loop_lag: Duration::from_millis(100),
        memory_percent: 90,
        outbox_total_bytes: 100,
        recovery: Duration::from_secs(2),
    };
    Bounds::new(&config, Some(100 * MIB))
}

fn lag(ms: u64) -> Sample {
    Sample { loop_lag: Duration::from_millis(ms), ..Sample::default() }
}

fn is_open(gate: &Gate) -> bool {
    gate.judge(Newcomer::Handshake) == Verdict::Accept
}

#[test]
fn each_value_closes_the_gate_above_its_bound_and_not_at_it() {
    let cases = [
        (Reason::LoopLag, lag(100), lag(101)),
        (
            Reason::Memory,
            Sample { memory_bytes: Some(90 * MIB), ..Sample::default() },
            Sample { memory_bytes: Some(90 * MIB + 1), ..Sample::default() },
        ),
        (
            Reason::Outboxes,
            Sample { outbox_bytes: 100, ..Sample::default() },
            Sample { outbox_bytes: 101, ..Sample::default() },
        ),
    ];
    for (reason, at_bound, above) in cases {
        let gate = Gate::new(bounds());
        gate.observe(&at_bound, Millis::new(0));
        assert!(is_open(&gate), "{reason:?}");
        gate.observe(&above, Millis::new(1));
        assert_eq!(
            gate.judge(Newcomer::Handshake),
            Verdict::Refuse { reason, retry_after: Duration::from_secs(2) }
        );
        assert_eq!(gate.entered(reason), 1);
    }
}

#[test]
fn near_a_bound_only_those_are_taken_that_come_back() {
    let gate = Gate::new(bounds());
    let accept = |newcomer| gate.judge(newcomer) == Verdict::Accept;
    gate.observe(&lag(90), Millis::new(0));
    assert!(accept(Newcomer::Handshake) && accept(Newcomer::Session));

    gate.observe(&lag(91), Millis::new(1));
    assert_eq!(gate.level(), Level::Strained);
    assert!(accept(Newcomer::Handshake) && !accept(Newcomer::Session));
    gate.observe(&lag(101), Millis::new(2));
    assert_eq!(gate.level(), Level::Closed);
    assert!(!accept(Newcomer::Handshake) && !accept(Newcomer::Session));
    gate.observe(&lag(91), Millis::new(3));
    assert_eq!(gate.level(), Level::Closed, "it opens late");

    let refused = Newcomer::ALL.map(|newcomer| gate.refused(Reason::LoopLag, newcomer));
    assert_eq!((refused, gate.entered(Reason::LoopLag)), ([1, 2], 1));
}

#[test]
fn it_opens_only_after_a_while_well_below_the_bound() {
    let gate = Gate::new(bounds());
    gate.observe(&lag(150), Millis::new(0));

    gate.observe(&lag(90), Millis::new(10_000));
    assert!(!is_open(&gate), "below the bound is not well below it");
    gate.observe(&lag(80), Millis::new(10_100));
    gate.observe(&lag(10), Millis::new(12_099));
    assert!(!is_open(&gate));
    gate.observe(&lag(10), Millis::new(12_100));
    assert!(is_open(&gate));
}

#[test]
fn a_wave_in_between_starts_the_wait_anew() {
    let gate = Gate::new(bounds());
    gate.observe(&lag(150), Millis::new(0));
    gate.observe(&lag(0), Millis::new(100));
    gate.observe(&lag(90), Millis::new(1_900));
    gate.observe(&lag(0), Millis::new(2_000));
    gate.observe(&lag(0), Millis::new(3_999));

    assert!(!is_open(&gate));
    gate.observe(&lag(0), Millis::new(4_000));
    assert!(is_open(&gate));
    assert_eq!(gate.entered(Reason::LoopLag), 1, "it was closed all the time");
}

#[test]
fn one_calm_value_does_not_hide_another() {
    let gate = Gate::new(bounds());
    gate.observe(&lag(150), Millis::new(0));
    let memory = Sample { memory_bytes: Some(95 * MIB), ..lag(0) };

    gate.observe(&memory, Millis::new(5_000));

    assert!(matches!(gate.judge(Newcomer::Handshake), Verdict::Refuse { reason: Reason::Memory, .. }));
}

#[test]
fn a_bound_of_zero_and_an_unknown_limit_are_none() {
    let config = Overload {
        loop_lag: Duration::ZERO,
        memory_percent: 90,
        outbox_total_bytes: 0,
        recovery: Duration::ZERO,
    };
    let gate = Gate::new(Bounds::new(&config, None));

    let everything =
        Sample { loop_lag: Duration::from_secs(9), memory_bytes: Some(u64::MAX), outbox_bytes: u64::MAX };
    gate.observe(&everything, Millis::new(0));

    assert!(is_open(&gate));
}
