//! The budget: what it allows, when it falls, and that orders together keep to it.

use proptest::prelude::*;

use super::*;
use crate::plan::BudgetConfig;

fn config(max_rate: f64, max_displaced: u64) -> PlanConfig {
    PlanConfig {
        budget: BudgetConfig { max_rate, max_displaced, ..BudgetConfig::default() },
        ..PlanConfig::default()
    }
}

fn draining(config: PlanConfig) -> Stage {
    let mut stage = Stage::with(config, &[900, 0, 0]);
    stage.ask("d", json!({"kind": "drain", "targets": pods(&["a"])})).unwrap();
    stage.tick();
    stage
}

#[test]
fn the_window_holds_clients_back_until_others_are_seen_again() {
    let mut stage = draining(config(100.0, 60));
    assert!((stage.rates() - 30.0).abs() < 1e-6, "half of the window: {}", stage.rates());

    stage.obey("a", 840);
    stage.node("a").displaced = 60;
    stage.tick();
    assert_eq!(stage.ordered("a"), Some("paused"), "nobody more may be away");

    stage.node("a").displaced = 0;
    stage.ticks(5);
    assert!((stage.rates() - 30.0).abs() < 1e-6, "{}", stage.rates());
}

#[test]
fn sessions_that_nobody_sees_again_stop_counting() {
    let mut stage = draining(config(100.0, 60));
    stage.obey("a", 840);
    stage.node("a").displaced = 60;
    stage.ticks(30);
    assert_eq!(stage.planner.budget().displaced, 60);
    stage.ticks(2);
    assert_eq!(stage.planner.budget().displaced, 0);
}

#[test]
fn busy_peers_slow_it_and_it_wins_the_rate_back() {
    let mut stage = draining(config(100.0, 10_000));
    stage.node("b").load.handshake_p99_ms = 900.0;
    stage.tick();
    assert!((stage.planner.budget().rate - 70.0).abs() < 1e-6);
    stage.tick();
    assert!((stage.planner.budget().rate - 70.0).abs() < 1e-6, "a cut has to show first");
    stage.tick();
    assert!((stage.planner.budget().rate - 49.0).abs() < 1e-6);
    stage.ticks(60);
    assert!(stage.planner.budget().rate >= 5.0, "a twentieth is always left");

    stage.node("b").load.handshake_p99_ms = 10.0;
    stage.ticks(2);
    assert!((stage.planner.budget().rate - 15.0).abs() < 1e-6);
    stage.ticks(30);
    assert!(!stage.planner.budget().slowed);
}

#[test]
fn peers_without_free_permits_are_busy() {
    let mut stage = draining(config(100.0, 10_000));
    for name in ["a", "b", "c"] {
        stage.node(name).load.free_permits = Some(10);
    }
    stage.tick();
    assert!(stage.planner.budget().slowed);
    assert_eq!(stage.why("d", ConditionKind::Slowed), Some("PeersBusy"));
}

#[test]
fn what_was_sent_away_unasked_is_made_up_for() {
    let mut stage = draining(config(100.0, 10_000));
    stage.obey("a", 900);
    stage.tick();
    let before = stage.rates();
    stage.obey("a", 650);
    stage.tick();

    assert!(stage.rates() <= before - 100.0 + 1e-6, "{} of {before}", stage.rates());
}

#[test]
fn an_operation_has_limits_of_its_own() {
    let mut stage = Stage::with(config(100.0, 10_000), &[300, 300, 0, 0]);
    let body =
        json!({"kind": "drain", "targets": pods(&["a", "b"]), "maxParallel": 2, "maxRate": 20, "rate": 8});
    stage.ask("d", body).unwrap();

    stage.tick();

    assert!((stage.order("a").unwrap().rate.unwrap() - 8.0).abs() < 1e-6);
    assert!((stage.rates() - 16.0).abs() < 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn orders_together_never_allow_more_than_the_budget(
        connections in prop::collection::vec(0..900_u64, 2..9),
        ends in prop::collection::vec(prop::option::of(1.0..200.0_f64), 9),
        displaced in prop::collection::vec(0..300_u64, 9),
        max_rate in 5.0..500.0_f64,
        max_displaced in 10..2_000_u64,
    ) {
        let mut stage = Stage::with(config(max_rate, max_displaced), &connections);
        let body = json!({"kind": "drain", "targets": {"all": true}, "maxParallel": "100%", "minServing": 0, "force": true});
        stage.ask("d", body).unwrap();
        for ((_, report), (end, displaced)) in stage.nodes.iter_mut().zip(ends.iter().zip(displaced)) {
            report.shutting_down = end.is_some();
            report.deadline_in = *end;
            (report.moved, report.displaced) = (displaced, displaced);
        }
        for _ in 0..3 {
            stage.tick();
            let moving: f64 = stage.actions.iter().filter_map(|action| match action {
                Action::Order { node, order } if order.phase == DrainPhase::Evicting => {
                    let has_clients = stage.fleet.node(node).is_some_and(|node| node.connections() > 0);
                    order.rate.filter(|_| has_clients)
                }
                _ => None,
            }).sum();
            prop_assert!(moving <= max_rate + 1e-6, "{moving} of {max_rate}");
        }
    }
}
