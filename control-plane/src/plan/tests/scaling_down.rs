//! Rollouts that leave fewer nodes: which go, and when the Deployment hears of it.

use super::*;
use crate::index::Deployment;

fn pod(name: &str) -> Pod {
    Pod { uid: name.into(), ready: true, deletion_cost: 4, ..Pod::default() }
}

fn marked(name: &str) -> Pod {
    Pod { ready: false, deletion_cost: -1_000, ..pod(name) }
}

/// Nodes `a`, `b`, … as pods of one Deployment.
fn stage(connections: &[u64]) -> Stage {
    let mut stage = Stage::with(on_kubernetes(&[Switch::Scale, Switch::DeletionCost]), connections);
    for name in ('a'..='z').take(connections.len()).map(|name| name.to_string()) {
        stage.fleet.handle(Seen::Pod(name.as_str().into(), pod(&name)), stage.now);
    }
    stage.want(connections.len() as u64);
    stage
}

fn down_to(replicas: u64) -> Value {
    json!({"kind": "rollout", "target": "scaleDown", "replicas": replicas, "maxParallel": 2})
}

impl Stage {
    /// The Deployment wants so many pods.
    fn want(&mut self, wanted: u64) {
        let deployment = Deployment { name: "gateway".into(), wanted, scaling_refused: None };
        self.fleet.handle(Seen::Deployment(Some(deployment)), self.now);
    }

    fn see(&mut self, name: &str, pod: Pod) {
        self.fleet.handle(Seen::Pod(name.into(), pod), self.now);
    }

    /// From how many pods to how many the Deployment was to be scaled in this tick.
    fn scales(&self) -> Option<(u64, u64)> {
        self.actions.iter().find_map(|action| match action {
            Action::Scale { deployment, from, to, .. } if &**deployment == "gateway" => Some((*from, *to)),
            _ => None,
        })
    }

    fn evicts_any(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Evict { .. }))
    }

    /// Two of four pods are empty and marked, and the Deployment was not scaled yet.
    fn emptied(connections: &[u64]) -> Self {
        let mut stage = stage(connections);
        stage.ask("s", down_to(2)).unwrap();
        stage.tick();
        for name in ["a", "b"] {
            stage.obey(name, connections[0]);
        }
        stage.tick();
        for name in ["a", "b"] {
            stage.obey(name, 0);
            stage.see(name, marked(name));
        }
        stage
    }
}

#[test]
fn the_emptiest_are_taken_out_together_emptied_and_scaled_away() {
    let mut stage = stage(&[10, 20, 30, 40]);
    stage.ask("s", json!({"kind": "rollout", "target": "scaleDown", "replicas": 2})).unwrap();
    stage.tick();
    let orders = ["a", "b", "c", "d"].map(|name| stage.ordered(name).map(str::to_owned));
    let announcing = Some("announcing".to_owned());
    assert_eq!(orders, [announcing.clone(), announcing, None, None], "who leaves a must not land on b");

    stage.obey("a", 10);
    stage.obey("b", 20);
    stage.tick();
    assert_eq!((stage.ordered("a"), stage.ordered("b")), (Some("evicting"), Some("announcing")));
    stage.obey("a", 0);
    stage.see("a", marked("a"));
    stage.ticks(2);
    assert_eq!((stage.ordered("b"), stage.scales()), (Some("evicting"), None), "not all of them are empty");
    stage.obey("b", 0);
    stage.tick();
    assert_eq!(stage.scales(), None);
    assert_eq!(stage.why("s", ConditionKind::Blocked), Some("WaitingForDeletionCost"));

    stage.see("b", marked("b"));
    stage.tick();
    assert_eq!(stage.scales(), Some((4, 2)));
    assert!(!stage.evicts_any());
    stage.want(2);
    stage.tick();
    assert_eq!(stage.scales(), None, "it is scaled");
    assert_eq!(stage.state("s"), "Running (Replacing)");

    for name in ["a", "b"] {
        stage.remove(name);
        stage.fleet.handle(Seen::PodGone(name.into()), stage.now);
    }
    stage.ticks(4);
    assert_eq!(stage.state("s"), "Succeeded");
    assert_eq!(stage.operation("s").message, "");
}

#[test]
fn those_that_are_not_ready_go_first_and_one_that_never_came_up_has_nobody_to_move() {
    let mut stage = stage(&[10, 20, 30]);
    stage.see("new", Pod { ready: false, deletion_cost: 0, ..pod("new") });
    stage.node("c").ready = false;
    stage.look();
    stage.want(4);
    stage.ask("s", down_to(2)).unwrap();
    stage.tick();

    let mut going: Vec<_> = stage.operation("s").steps.iter().map(|step| step.node.to_string()).collect();
    going.sort();
    assert_eq!(going, ["c", "new"]);
    assert_eq!(stage.phase("s", "new"), StepPhase::Replacing);
    stage.obey("c", 30);
    stage.tick();
    stage.obey("c", 0);
    stage.see("c", marked("c"));
    stage.ticks(2);
    assert_eq!(stage.scales(), Some((4, 2)));
}

#[test]
fn somebody_elses_scale_in_between_is_named_and_nothing_is_scaled_over_it() {
    for others in [3, 5] {
        let mut stage = Stage::emptied(&[10, 10, 300, 300]);
        stage.want(others);
        stage.ticks(2);
        assert_eq!(stage.scales(), None, "{others}");
        assert_eq!(stage.why("s", ConditionKind::Blocked), Some("ScaleChanged"), "{others}");

        stage.want(4);
        stage.tick();
        assert_eq!(stage.scales(), Some((4, 2)), "it is as it was");
    }
}

#[test]
fn a_scale_that_took_other_nodes_leaves_the_empty_ones_to_be_opened_again() {
    let mut stage = Stage::emptied(&[10, 10, 300, 300]);
    for name in ["c", "d"] {
        stage.remove(name);
        stage.fleet.handle(Seen::PodGone(name.into()), stage.now);
    }
    stage.want(2);
    stage.ticks(4);
    assert_eq!(stage.why("s", ConditionKind::Blocked), Some("ScaleChanged"));

    stage.tell("s", Command::Abort).unwrap();
    stage.tick();
    assert_eq!((stage.ordered("a"), stage.ordered("b")), (Some("serving"), Some("serving")));
}

#[test]
fn a_pod_that_is_not_ready_would_be_taken_in_place_of_an_empty_one() {
    let mut stage = Stage::emptied(&[10, 10, 300, 300]);
    stage.see("d", Pod { ready: false, ..pod("d") });
    stage.ticks(2);
    assert_eq!(stage.scales(), None);
    assert_eq!(stage.why("s", ConditionKind::Blocked), Some("OthersNotReady"));

    stage.tell("s", Command::Force).unwrap();
    stage.tick();
    assert_eq!(stage.scales(), Some((4, 2)));
}

#[test]
fn a_refused_scale_is_shown_and_tried_again() {
    let mut stage = Stage::emptied(&[10, 10, 300, 300]);
    let until = stage.now + Duration::from_secs(3);
    let scaling_refused = Some(("no right".to_owned(), until));
    let deployment = Deployment { name: "gateway".into(), wanted: 4, scaling_refused };
    stage.fleet.handle(Seen::Deployment(Some(deployment)), stage.now);
    stage.ticks(2);
    assert_eq!((stage.scales(), stage.why("s", ConditionKind::Blocked)), (None, Some("ScaleRefused")));

    stage.tick();
    assert_eq!(stage.scales(), Some((4, 2)));
}

#[test]
fn a_paused_one_scales_nothing_and_another_leader_goes_on_with_it() {
    let mut stage = Stage::emptied(&[10, 10, 300, 300]);
    stage.tell("s", Command::Pause).unwrap();
    stage.ticks(2);
    assert_eq!(stage.scales(), None);

    stage.planner = Planner::new(stage.planner.config.clone(), 8, stage.now);
    stage.tell("s", Command::Resume).unwrap();
    stage.tick();
    assert_eq!(stage.scales(), Some((4, 2)));
}

#[test]
fn a_deadline_that_comes_too_early_opens_all_of_them_again() {
    let mut stage = stage(&[10, 20, 300, 300]);
    let mut body = down_to(2);
    (body["maxParallel"], body["deadline"]) = (json!(1), json!("5s"));
    stage.ask("s", body).unwrap();
    stage.tick();
    stage.obey("a", 10);
    stage.obey("b", 20);
    stage.tick();
    stage.obey("a", 0);
    stage.tell("s", Command::Pause).unwrap();
    stage.ticks(3);
    stage.tell("s", Command::Resume).unwrap();
    stage.tick();
    stage.obey("b", 20);
    stage.ticks(2);
    stage.obey("a", 0);
    stage.tick();

    assert_eq!(stage.state("s"), "Aborted");
    assert_eq!(
        stage.operation("s").message,
        "its deadline came before all its nodes were empty; 10 clients had been moved"
    );
}

#[test]
fn without_kubernetes_they_are_held_until_somebody_ends_them() {
    let mut stage = Stage::new(&[10, 20, 30]);
    stage.ask("s", down_to(2)).unwrap();
    stage.tick();
    stage.obey("a", 10);
    stage.tick();
    stage.obey("a", 0);
    stage.ticks(2);
    assert_eq!(stage.why("s", ConditionKind::Blocked), Some("WaitingForEnd"));
    assert_eq!(stage.ordered("a"), Some("evicting"), "it stays empty");

    stage.remove("a");
    stage.ticks(4);
    assert_eq!(stage.state("s"), "Succeeded");
}

#[test]
fn what_does_not_fit_or_cannot_be_done_is_refused() {
    let refusal = |stage: &mut Stage, body: Value| stage.ask("s", body).unwrap_err().code;

    assert_eq!(refusal(&mut stage(&[500, 700, 700]), down_to(2)), "no_headroom");
    let mut only_one = down_to(2);
    only_one["targets"] = pods(&["a"]);
    assert_eq!(refusal(&mut stage(&[1, 1, 1, 1]), only_one), "too_few_targets");
    for switches in [&[Switch::Scale][..], &[Switch::DeletionCost]] {
        let mut stage = Stage::with(on_kubernetes(switches), &[10, 20, 30]);
        assert_eq!(refusal(&mut stage, down_to(2)), "switched_off");
    }
}

#[test]
fn where_there_are_no_more_there_is_nothing_to_do() {
    let mut stage = stage(&[10, 20]);
    stage.ask("s", down_to(2)).unwrap();
    stage.tick();

    assert_eq!(
        (stage.state("s"), stage.operation("s").message.as_str()),
        ("Succeeded".to_owned(), "there are no more nodes than that")
    );
}
