//! Pods that are taken from their ReplicaSet when their drain begins, so that they are replaced before they go.

use super::*;

fn pod(name: &str) -> Pod {
    Pod { uid: name.into(), revision: Some("6f7b".to_owned()), ready: true, ..Pod::default() }
}

/// Nodes `a`, `b`, … as pods of one ReplicaSet.
fn stage(connections: &[u64]) -> Stage {
    let mut stage = Stage::with(on_kubernetes(&[Switch::Evict, Switch::Detach]), connections);
    for name in ('a'..='z').take(connections.len()).map(|name| name.to_string()) {
        stage.show(&name, pod(&name));
    }
    stage
}

impl Stage {
    /// Kubernetes shows a pod.
    fn show(&mut self, name: &str, pod: Pod) {
        self.fleet.handle(Seen::Pod(name.into(), pod), self.now);
    }

    /// A pod ends and is gone.
    fn delete(&mut self, name: &str) {
        self.remove(name);
        self.fleet.handle(Seen::PodGone(name.into()), self.now);
        self.ticks(4);
    }

    /// The pods that were asked to be detached in this tick.
    fn detaches(&self) -> Vec<&str> {
        let detached = self.actions.iter().filter_map(|action| match action {
            Action::Detach { node, revision, .. } if revision == "6f7b" => Some(&**node),
            _ => None,
        });
        detached.collect()
    }

    fn evicts(&self, name: &str) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Evict { node, .. } if &**node == name))
    }
}

fn rollout(names: &[&str]) -> Value {
    json!({"kind": "rollout", "replacement": "detach", "targets": pods(names)})
}

#[test]
fn a_pod_is_detached_while_it_drains_and_evicted_when_it_is_empty() {
    let mut stage = stage(&[10, 20, 30]);
    stage.ask("r", rollout(&["a", "b"])).unwrap();
    stage.ticks(2);
    assert_eq!(stage.detaches(), ["a"], "b has its turn later");
    stage.tick();
    assert_eq!(stage.detaches(), ["a"], "until it is seen to be so");

    stage.show("a", Pod { detached: true, ..pod("a") });
    stage.add("x", 0);
    stage.tick();
    assert!(stage.detaches().is_empty() && !stage.evicts("a"));
    stage.obey("a", 0);
    stage.ticks(2);
    assert!(stage.evicts("a"));

    stage.delete("a");
    assert_eq!(stage.phase("r", "a"), StepPhase::Done, "x has taken its place");
    assert_eq!(stage.phase("r", "b"), StepPhase::Draining);
}

#[test]
fn another_leader_finds_it_detached_and_leaves_it_so() {
    let mut stage = stage(&[10, 20, 30]);
    stage.ask("r", rollout(&["a"])).unwrap();
    stage.ticks(2);
    stage.show("a", Pod { detached: true, ..pod("a") });

    stage.planner = Planner::new(stage.planner.config.clone(), 8, stage.now);
    stage.tick();

    assert!(stage.detaches().is_empty());
    assert_eq!(stage.ordered("a"), Some("evicting"));
}

#[test]
fn one_that_is_aborted_serves_again_and_its_record_says_that_nobody_owns_it() {
    let mut stage = stage(&[10, 20, 30]);
    stage.ask("r", rollout(&["a"])).unwrap();
    stage.ticks(2);
    stage.show("a", Pod { detached: true, ..pod("a") });
    stage.obey("a", 4);
    stage.tick();

    stage.tell("r", Command::Abort).unwrap();
    stage.tick();
    assert_eq!(stage.ordered("a"), Some("serving"));
    stage.obey("a", 4);
    stage.tick();

    assert_eq!(
        stage.operation("r").message,
        "aborted; 6 clients had been moved; a belongs to no ReplicaSet any more: it goes on beside its replacement until \
         somebody takes it away with `kubectl delete pod a`"
    );
}

#[test]
fn an_abort_before_it_was_detached_leaves_it_with_its_owner() {
    let mut stage = stage(&[10, 20, 30]);
    stage.ask("r", rollout(&["a"])).unwrap();
    stage.tick();
    stage.tell("r", Command::Abort).unwrap();
    stage.tick();
    assert!(stage.detaches().is_empty());
    stage.obey("a", 10);
    stage.tick();

    assert_eq!(stage.operation("r").message, "aborted; 0 clients had been moved");
}

#[test]
fn for_a_pod_that_belonged_to_nobody_before_no_replacement_is_awaited() {
    let mut stage = stage(&[10, 20, 30]);
    stage.show("a", Pod { detached: true, ..pod("a") });
    stage.ask("r", rollout(&["a"])).unwrap();
    stage.ticks(2);
    assert!(stage.detaches().is_empty());
    stage.obey("a", 0);
    stage.ticks(2);
    assert!(stage.evicts("a"));

    stage.delete("a");
    assert_eq!(stage.state("r"), "Succeeded");
}

#[test]
fn a_refusal_is_shown_and_the_drain_goes_on_without() {
    let mut stage = stage(&[10, 20, 30]);
    stage.ask("r", rollout(&["a"])).unwrap();
    stage.ticks(2);
    let until = stage.now + Duration::from_secs(3);
    stage.show("a", Pod { detaching_refused: Some(("no right".to_owned(), until)), ..pod("a") });

    stage.tick();
    assert_eq!(stage.why("r", ConditionKind::Blocked), Some("DetachRefused"));
    assert_eq!(stage.ordered("a"), Some("evicting"));
    assert!(stage.detaches().is_empty());
    stage.ticks(2);
    assert_eq!(stage.detaches(), ["a"], "it is tried again");
}

#[test]
fn what_cannot_be_done_here_is_refused_with_the_switch_that_is_missing() {
    let refused = |config: PlanConfig, pod: Pod| {
        let mut stage = Stage::with(config, &[10, 20]);
        stage.show("a", pod);
        let refused = stage.ask("r", rollout(&["a"])).unwrap_err();
        let switch = refused.details.get("switch").and_then(Value::as_str).map(str::to_owned);
        (refused.status, refused.code, switch)
    };

    let switched_off = |key: &str| (422, "switched_off".to_owned(), Some(format!("kubernetes.{key}")));
    assert_eq!(refused(on_kubernetes(&[Switch::Evict]), pod("a")), switched_off("detach"));
    assert_eq!(refused(on_kubernetes(&[Switch::Detach]), pod("a")), switched_off("evict"));
    let processes = PlanConfig::default();
    assert_eq!(refused(processes, Pod::default()), (422, "needs_kubernetes".to_owned(), None));
    let bare = Pod { revision: None, ..pod("a") };
    let both = on_kubernetes(&[Switch::Evict, Switch::Detach]);
    assert_eq!(refused(both, bare), (422, "not_detachable".to_owned(), None));
}
