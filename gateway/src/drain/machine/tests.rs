//! The phases as tables: what an order, a signal, the time and the sight of the node make of each.

use proptest::prelude::*;
use tidegate_protocol::drain::{DrainOrder, OnCoordinatorLoss, OperationId};

use super::*;

const S: Duration = Duration::from_secs(1);
const ROOM: f64 = 100.0;

/// A machine with a clock of its own.
struct Rig {
    machine: Machine,
    now: Instant,
    seq: u64,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            lb_propagation: 10 * S,
            peers_learn: Duration::ZERO,
            leave_grace: 4 * S,
            window: 100 * S,
            settle: 20 * S,
            margin: 10 * S,
            may_burst: true,
        };
        change(&mut settings);
        Self { machine: Machine::new(settings), now: Instant::now(), seq: 0 }
    }

    fn pass(&mut self, seconds: u32) -> &mut Self {
        self.now += seconds * S;
        self
    }

    /// A tick that sees so many open connections and displaced sessions.
    fn see(&mut self, open: u64, displaced: u64) -> Phase {
        self.course(Sight { open, displaced, share: ROOM, ..Sight::default() });
        self.machine.phase()
    }

    fn course(&mut self, sight: Sight) -> Course {
        self.machine.tick(self.now, sight)
    }

    fn order(&mut self, phase: DrainPhase) -> &mut Self {
        self.order_with(phase, |_| {})
    }

    fn order_with(&mut self, phase: DrainPhase, change: impl FnOnce(&mut DrainOrder)) -> &mut Self {
        self.seq += 1;
        let mut order = order(1, self.seq, phase);
        order.ttl = 1_000 * S;
        change(&mut order);
        assert_eq!(self.machine.handle_order(order, self.now), Ok(()));
        self
    }

    fn signal(&mut self) -> &mut Self {
        self.machine.handle_signal(self.now);
        self
    }

    /// Ready, accepting, port closed.
    fn doors(&self) -> (bool, bool, bool) {
        (self.machine.is_ready(), self.machine.accepts(), self.machine.closes_port())
    }
}

fn op(id: &str) -> OperationId {
    OperationId::parse(id).unwrap()
}

fn order(epoch: u64, seq: u64, phase: DrainPhase) -> DrainOrder {
    DrainOrder { moves: Some(0), ..DrainOrder::new(op("a"), epoch, seq, phase) }
}

#[test]
fn an_ordered_drain_is_unready_at_once_and_takes_clients_until_load_balancers_know() {
    let mut rig = Rig::new();
    assert_eq!((rig.see(9, 0), rig.doors()), (Phase::Serving, (true, true, false)));

    rig.order(DrainPhase::Evicting);
    assert_eq!((rig.see(9, 0), rig.doors()), (Phase::Announcing, (false, true, false)));
    assert_eq!(rig.pass(9).see(9, 0), Phase::Announcing);
    assert_eq!((rig.pass(1).see(9, 0), rig.doors()), (Phase::Evicting, (false, false, false)));
    assert_eq!(rig.see(1, 8), Phase::Evicting);
    assert_eq!(rig.see(0, 8), Phase::Settling);
    assert_eq!((rig.see(0, 0), rig.doors()), (Phase::Drained, (false, false, false)));
    assert!(!rig.machine.is_over(), "an order never ends a process");
}

#[test]
fn after_a_signal_the_node_stays_ready_until_load_balancers_know_and_is_over_in_the_end() {
    let mut rig = Rig::new();
    rig.signal();
    assert_eq!((rig.see(9, 0), rig.doors()), (Phase::Announcing, (true, true, false)));
    assert_eq!((rig.pass(10).see(9, 0), rig.doors()), (Phase::Evicting, (false, false, true)));
    assert_eq!(rig.see(0, 3), Phase::Settling);
    assert!(!rig.machine.is_over());
    assert_eq!(rig.pass(20).see(0, 3), Phase::Drained, "settle is over");
    assert!(rig.machine.is_over());
}

#[test]
fn a_signal_goes_on_with_the_drain_that_it_finds() {
    let mut rig = Rig::new();
    rig.order(DrainPhase::Announcing).see(9, 0);
    rig.pass(60).signal();

    assert_eq!((rig.see(9, 0), rig.doors()), (Phase::Paused, (false, true, false)), "the order holds it");
    rig.order(DrainPhase::Evicting);
    assert_eq!(
        (rig.see(9, 0), rig.doors()),
        (Phase::Evicting, (false, false, true)),
        "nothing is announced twice"
    );
    let refused = rig.machine.handle_order(order(1, 9, DrainPhase::Serving), rig.now);
    assert_eq!(refused, Err(Refusal::ShuttingDown));
}

#[test]
fn an_abort_in_any_phase_leads_back_to_serving() {
    for (wanted, open, seconds, expected) in [
        (DrainPhase::Announcing, 9, 0, Phase::Announcing),
        (DrainPhase::Evicting, 9, 10, Phase::Evicting),
        (DrainPhase::Paused, 9, 0, Phase::Paused),
        (DrainPhase::Bursting, 9, 0, Phase::Bursting),
        (DrainPhase::Rebalancing, 9, 0, Phase::Rebalancing),
        (DrainPhase::Evicting, 0, 10, Phase::Settling),
    ] {
        let mut rig = Rig::new();
        rig.order(wanted.clone()).see(open, 5);
        assert_eq!(rig.pass(seconds).see(open, 5), expected);

        rig.order(DrainPhase::Serving);

        assert_eq!((rig.see(open, 5), rig.doors()), (Phase::Serving, (true, true, false)), "{wanted}");
        rig.order(DrainPhase::Evicting);
        assert_eq!(rig.see(9, 0), Phase::Announcing, "the next drain begins anew");
    }
}

#[test]
fn a_pause_evicts_nobody_and_eviction_goes_on_where_it_was() {
    let mut rig = Rig::new();
    rig.order(DrainPhase::Evicting).see(9, 0);
    assert_eq!(rig.pass(10).see(9, 0), Phase::Evicting);
    rig.order(DrainPhase::Paused);
    let paused = rig.course(Sight { open: 9, share: ROOM, ..Sight::default() });
    assert_eq!((rig.machine.phase(), paused.most, rig.doors().1), (Phase::Paused, 0, false));
    assert_eq!(rig.pass(500).see(9, 0), Phase::Paused, "whoever pauses knows of the deadline");
    rig.order_with(DrainPhase::Evicting, |order| order.deadline = Some(60 * S));
    assert_eq!(rig.see(9, 0), Phase::Evicting);
}

#[test]
fn an_order_that_is_not_repeated_ends_as_it_says() {
    for (loss, expected) in [
        (OnCoordinatorLoss::Continue, Phase::Evicting),
        (OnCoordinatorLoss::Pause, Phase::Paused),
        (OnCoordinatorLoss::ResumeServing, Phase::Serving),
    ] {
        let mut rig = Rig::new();
        rig.order_with(DrainPhase::Evicting, |order| {
            (order.ttl, order.on_coordinator_loss, order.lb_propagation) =
                (5 * S, loss, Some(Duration::ZERO));
        });
        assert_eq!(rig.see(9, 0), Phase::Evicting);
        assert_eq!(rig.pass(4).see(9, 0), Phase::Evicting);
        assert!(rig.machine.is_led());
        assert_eq!(rig.pass(1).see(9, 0), expected);
        assert!(!rig.machine.is_led());
        rig.order(DrainPhase::Evicting);
        assert!(rig.machine.is_led(), "its coordinator may come back");
    }
}

#[test]
fn a_process_that_ends_waits_for_no_coordinator() {
    let mut rig = Rig::new();
    rig.order_with(DrainPhase::Paused, |order| {
        (order.ttl, order.on_coordinator_loss) = (5 * S, OnCoordinatorLoss::Pause);
    });
    rig.see(9, 0);
    rig.pass(10).signal();
    assert_eq!(rig.see(9, 0), Phase::Evicting);
}

#[test]
fn orders_of_the_past_and_of_others_are_refused() {
    let mut rig = Rig::new();
    let now = rig.now;
    let mut give = |epoch, seq, id: &str| {
        let order = DrainOrder { op: op(id), ..order(epoch, seq, DrainPhase::Evicting) };
        rig.machine.handle_order(order, now)
    };
    assert_eq!(give(3, 5, "a"), Ok(()));
    let stale = Err(Refusal::StaleEpoch { epoch: 3, seq: 5 });
    assert_eq!(give(2, 9, "a"), stale);
    assert_eq!(give(3, 4, "a"), stale);
    assert_eq!(give(3, 5, "a"), Ok(()), "the same again");
    assert_eq!(give(3, 6, "b"), Err(Refusal::Owned { op: op("a") }));
    assert_eq!(give(4, 0, "b"), Ok(()), "a new leader has decided anew");
    rig.machine.tick(now, Sight::default());
    let end = DrainOrder { op: op("b"), ..order(4, 1, DrainPhase::Serving) };
    assert_eq!(rig.machine.handle_order(end, now), Ok(()));
    let next = DrainOrder { op: op("c"), ..order(4, 2, DrainPhase::Evicting) };
    assert_eq!(rig.machine.handle_order(next, now), Ok(()), "nobody has it any more");
}

#[test]
fn orders_that_make_no_sense_are_refused_and_change_nothing() {
    let mut rig = Rig::new();
    let mut refuses = |change: fn(&mut DrainOrder)| {
        let mut order = order(1, 1, DrainPhase::Evicting);
        change(&mut order);
        matches!(rig.machine.handle_order(order, rig.now), Err(Refusal::Senseless(_)))
    };
    assert!(refuses(|order| order.phase = DrainPhase::Other("dancing".into())));
    assert!(refuses(|order| order.rate = Some(-1.0)));
    assert!(refuses(|order| order.rate = Some(f64::NAN)));
    assert!(refuses(|order| order.ttl = Duration::ZERO));
    assert!(refuses(|order| (order.phase, order.moves) = (DrainPhase::Rebalancing, None)));
    assert_eq!((rig.see(9, 0), rig.machine.epoch()), (Phase::Serving, 0));
}

#[test]
fn whoever_orders_a_rate_gets_it_and_a_node_alone_takes_its_time() {
    let sight = Sight { open: 5_000, share: ROOM, ..Sight::default() };
    let mut led = Rig::with(|settings| settings.lb_propagation = Duration::ZERO);
    led.order_with(DrainPhase::Evicting, |order| {
        (order.rate, order.deadline) = (Some(700.0), Some(1_000 * S));
    });
    assert_eq!(led.course(sight).rate.to_bits(), 700_f64.to_bits());

    let mut alone = Rig::with(|settings| settings.lb_propagation = Duration::ZERO);
    alone.signal();
    let course = alone.course(sight);
    assert!((course.rate - 5_000.0 / 96.0).abs() < 0.01, "{course:?}");
    assert_eq!(course.manner, Manner::Ask { grace: 4 * S });
    let few = alone.course(Sight { open: 10, ..sight });
    assert_eq!(few.rate.to_bits(), GENTLE_RATE.to_bits(), "ten clients are not spread over a minute");
}

#[test]
fn what_cannot_be_done_in_time_goes_faster_early_and_evenly() {
    let mut rig = Rig::with(|settings| settings.lb_propagation = Duration::ZERO);
    rig.signal();
    let course = rig.course(Sight { open: 50_000, share: ROOM, ..Sight::default() });

    assert_eq!(rig.machine.phase(), Phase::Bursting);
    assert!((course.rate - 50_000.0 / 96.0).abs() < 0.01, "{course:?}");
    assert_eq!(course.manner, Manner::Ask { grace: 4 * S }, "there is time to ask");
}

#[test]
fn who_is_left_at_the_deadline_goes_over_the_margin_without_being_asked() {
    let mut rig = Rig::with(|settings| settings.lb_propagation = Duration::ZERO);
    rig.signal().see(200, 0);
    rig.pass(100);
    let sight = Sight { open: 200, asked: 200, share: ROOM, ..Sight::default() };
    let course = rig.course(sight);
    assert_eq!((rig.machine.phase(), course.manner, course.most), (Phase::Bursting, Manner::Force, 200));
    assert!((course.rate - 50.0).abs() < 0.01, "never slower than gently: {course:?}");
    rig.pass(9);
    assert_eq!(rig.course(sight).rate.to_bits(), 200_f64.to_bits(), "the margin has an end");
    rig.pass(1);
    rig.course(sight);
    assert_ne!(rig.machine.phase(), Phase::Bursting, "the process ends with whoever is left");
}

#[test]
fn where_bursts_are_not_wanted_the_deadline_cuts() {
    let mut rig = Rig::with(|settings| {
        (settings.lb_propagation, settings.may_burst) = (Duration::ZERO, false);
    });
    rig.signal();
    assert_eq!(rig.see(50_000, 0), Phase::Evicting);
    let course = rig.course(Sight { open: 50_000, share: ROOM, ..Sight::default() });
    assert_eq!(course.rate.to_bits(), ROOM.to_bits());
    assert_eq!(rig.pass(100).see(40_000, 0), Phase::Drained);
    assert!(rig.machine.is_over());
}

#[test]
fn a_deadline_that_is_shortened_by_order_makes_the_node_hurry() {
    let mut rig = Rig::with(|settings| settings.lb_propagation = Duration::ZERO);
    let give = |rig: &mut Rig, seconds: u32| {
        rig.order_with(DrainPhase::Evicting, |order| {
            (order.rate, order.deadline) = (Some(10.0), Some(seconds * S));
        });
        rig.see(1_000, 0)
    };
    assert_eq!(give(&mut rig, 300), Phase::Evicting);
    assert_eq!(give(&mut rig, 30), Phase::Evicting, "a slow coordinator is obeyed");
    assert_eq!(give(&mut rig, 8), Phase::Bursting, "nobody could make it in that time");
    assert_eq!(give(&mut rig, 300), Phase::Evicting, "there is time again");
}

#[test]
fn a_process_that_ends_goes_as_fast_as_its_time_needs_whatever_it_is_ordered() {
    let mut rig = Rig::with(|settings| settings.lb_propagation = Duration::ZERO);
    rig.signal().order_with(DrainPhase::Evicting, |order| order.rate = Some(0.0));
    let sight = Sight { open: 960, share: ROOM, ..Sight::default() };
    assert!((rig.course(sight).rate - 10.0).abs() < 0.01);
    rig.order_with(DrainPhase::Evicting, |order| order.rate = Some(30.0));
    assert_eq!(rig.course(sight).rate.to_bits(), 30_f64.to_bits());
}

#[test]
fn after_a_signal_no_order_moves_the_deadline_back() {
    let mut rig = Rig::with(|settings| settings.lb_propagation = Duration::ZERO);
    rig.signal().see(10, 0);
    let own = rig.machine.deadline().unwrap();
    rig.order_with(DrainPhase::Evicting, |order| order.deadline = Some(900 * S));
    assert_eq!(rig.machine.deadline(), Some(own));
    rig.order_with(DrainPhase::Evicting, |order| order.deadline = Some(5 * S));
    assert_eq!(rig.machine.deadline(), Some(rig.now + 5 * S));
}

#[test]
fn a_coordinator_that_names_no_deadline_may_take_its_time_until_it_is_lost() {
    let mut rig = Rig::with(|settings| settings.lb_propagation = Duration::ZERO);
    rig.order_with(DrainPhase::Evicting, |order| (order.rate, order.ttl) = (Some(0.0), 500 * S));
    assert_eq!((rig.see(9, 0), rig.machine.deadline()), (Phase::Evicting, None));
    assert_eq!(rig.pass(499).see(9, 0), Phase::Evicting);
    rig.pass(1).see(9, 0);
    assert_eq!(rig.machine.deadline(), Some(rig.now + 100 * S), "then the node's own window begins");
    assert_eq!(rig.pass(100).see(9, 0), Phase::Bursting);
}

#[test]
fn a_rebalance_moves_as_many_as_it_was_told_and_holds_then() {
    let mut rig = Rig::new();
    rig.order_with(DrainPhase::Rebalancing, |order| {
        (order.moves, order.rate) = (Some(30), Some(5.0));
    });
    let sight = |moved| Sight { open: 100 - moved, moved, share: ROOM, ..Sight::default() };
    let course = rig.course(sight(0));
    assert_eq!((rig.machine.phase(), course.most), (Phase::Rebalancing, 30));
    assert_eq!(rig.doors(), (false, true, false));
    assert_eq!(rig.course(sight(29)).most, 1);
    assert_eq!(rig.course(sight(30)).most, 0);
    assert_eq!(rig.machine.phase(), Phase::Rebalancing);
}

#[test]
fn eviction_stops_at_exit_at() {
    let mut rig = Rig::with(|settings| settings.lb_propagation = Duration::ZERO);
    rig.order_with(DrainPhase::Evicting, |order| order.exit_at = 3);
    let course = rig.course(Sight { open: 10, asked: 2, share: ROOM, ..Sight::default() });
    assert_eq!(course.most, 7);
    assert_eq!(rig.see(3, 0), Phase::Drained);
}

#[test]
fn peers_that_share_the_budget_are_waited_for_where_load_balancers_are_not() {
    let mut rig = Rig::with(|settings| (settings.lb_propagation, settings.peers_learn) = (Duration::ZERO, S));
    rig.signal();
    assert_eq!(rig.see(9, 0), Phase::Announcing);
    assert_eq!(rig.pass(1).see(9, 0), Phase::Evicting);

    let mut empty =
        Rig::with(|settings| (settings.lb_propagation, settings.peers_learn) = (Duration::ZERO, S));
    empty.signal().see(0, 0);
    assert!(empty.machine.is_over(), "nobody shares anything");

    let mut led = Rig::with(|settings| (settings.lb_propagation, settings.peers_learn) = (Duration::ZERO, S));
    led.order_with(DrainPhase::Evicting, |order| order.rate = Some(5.0));
    assert_eq!(led.see(9, 0), Phase::Evicting, "whoever is given a rate shares nothing");
}

/// Something that happens to a node.
#[derive(Clone, Debug)]
enum Event {
    Order(u64, usize, Option<f64>, u64),
    Signal,
    Pass(u32),
    Leave(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0_u64..3, 0..DrainPhase::ALL.len(), prop::option::of(0.0..500.0_f64), 1_u64..200)
            .prop_map(|(epoch, phase, rate, deadline)| Event::Order(epoch, phase, rate, deadline)),
        1 => Just(Event::Signal),
        6 => (0_u32..40).prop_map(Event::Pass),
        6 => (0_u64..400).prop_map(Event::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_a_tick_ends_and_its_course_can_be_followed(events in prop::collection::vec(event(), 1..60)) {
        let (mut rig, mut open, mut signalled_at) = (Rig::new(), 1_000_u64, None);
        for (seq, event) in events.into_iter().enumerate() {
            match event {
                Event::Order(epoch, phase, rate, deadline) => {
                    let mut order = order(epoch, seq as u64, DrainPhase::ALL[phase].clone());
                    (order.rate, order.deadline) = (rate, Some(Duration::from_secs(deadline)));
                    let _ = rig.machine.handle_order(order, rig.now);
                }
                Event::Signal => {
                    rig.signal();
                    signalled_at.get_or_insert(rig.now);
                }
                Event::Pass(seconds) => drop(rig.pass(seconds)),
                Event::Leave(count) => open = open.saturating_sub(count),
            }
            let course = rig.course(Sight { open, asked: open / 3, share: ROOM, ..Sight::default() });
            prop_assert!(course.rate.is_finite() && course.rate >= 0.0 && course.most <= open);
            let serves = rig.machine.phase() == Phase::Serving;
            prop_assert!(!serves || signalled_at.is_none(), "nothing leads back after a signal");
            prop_assert!(!serves || rig.doors() == (true, true, false));
        }
    }

    #[test]
    fn a_process_that_was_told_to_end_is_over_within_the_time_it_has(open in 0_u64..100_000, follow in 0.2..1.0_f64) {
        let mut rig = Rig::new();
        rig.signal();
        let (mut left, mut seconds) = (open, 0);
        while !rig.machine.is_over() {
            let course = rig.course(Sight { open: left, share: ROOM, ..Sight::default() });
            left = left.saturating_sub((course.rate * follow) as u64).max(u64::from(follow < 0.3));
            rig.pass(1);
            seconds += 1;
            prop_assert!(seconds <= 10 + 100 + 10 + 20 + 2, "{seconds} s, {left} left in {:?}", rig.machine.phase());
        }
    }
}
