//! Whether the rest of the cluster can take clients: what each guard reads, and what follows when one is broken.

use tidegate_protocol::drain::BackendHealth;

use super::advance::Sight;
use super::{Action, Planner, conditions};
use crate::index::Peers;
use crate::model::{ConditionKind, Desired, GuardAction, GuardReading, Guards, Millis, Operation, Period};

/// Every guard that is switched on, as it reads now. `outcomes` are sessions that were seen elsewhere, and that were not.
pub(super) fn readings(
    guards: &Guards,
    peers: &Peers,
    nodes: u64,
    outcomes: (u64, u64),
) -> Vec<GuardReading> {
    let mut all = Vec::new();
    let mut add = |guard: &str, reading: String, bound: String, holds: bool| {
        all.push(GuardReading { guard: guard.to_owned(), reading, bound, holds });
    };
    let ms = |bound: Period| bound.seconds() * 1_000.0;
    if let Some(bound) = guards.handshake_p99 {
        let holds = peers.handshake_p99_ms <= ms(bound);
        add("handshakeP99", format!("{:.0}ms", peers.handshake_p99_ms), bound.to_string(), holds);
    }
    if let Some(bound) = guards.resume_p99 {
        let holds = peers.resume_p99_ms <= ms(bound);
        add("resumeP99", format!("{:.0}ms", peers.resume_p99_ms), bound.to_string(), holds);
    }
    if let Some(bound) = guards.handshake_error_ratio {
        let ratio = peers.handshake_error_ratio;
        add("handshakeErrorRatio", format!("{ratio:.3}"), bound.to_string(), ratio <= bound);
    }
    if let Some(bound) = guards.resume_ratio {
        let (resumed, lost) = outcomes;
        let ratio = super::budget::real(resumed) / super::budget::real((resumed + lost).max(1));
        // A few say nothing of all.
        let holds = resumed + lost < OUTCOMES_MIN || ratio >= bound;
        add("resumeRatio", format!("{resumed} of {}", resumed + lost), bound.to_string(), holds);
    }
    if let Some(bound) = guards.bus_lag {
        add("busLag", word(peers.bus).to_owned(), bound.to_string(), peers.bus == BackendHealth::Up);
    }
    if let Some(bound) = guards.store_p99 {
        add("storeP99", word(peers.store).to_owned(), bound.to_string(), peers.store == BackendHealth::Up);
    }
    if let Some(bound) = guards.ready_pods {
        let holds = peers.nodes >= bound.of_rounded_up(nodes);
        add("readyPods", format!("{} of {nodes}", peers.nodes), bound.to_string(), holds);
    }
    all
}

impl Planner {
    /// Does what follows from an operation's guards.
    pub(super) fn guard(&mut self, operation: &mut Operation, sight: Sight<'_>, actions: &mut Vec<Action>) {
        let out = operation.steps.iter().filter(|step| step.is_active()).count() as u64;
        let nodes = (sight.fleet.nodes().count() as u64).saturating_sub(out);
        let common = operation.spec.common();
        let action = common.guard_action;
        let outcomes = (operation.counters.resumed, operation.counters.lost);
        let broken =
            readings(&common.guards, sight.peers, nodes, outcomes).into_iter().find(|guard| !guard.holds);
        let Some(broken) = broken else { return self.release(operation, sight.now) };

        let message = format!("{} reads {}, its bound is {}", broken.guard, broken.reading, broken.bound);
        let is_news = !operation.conditions.iter().any(|condition| condition.reason == GUARD);
        if is_news {
            let (op, reason) = (operation.id.clone(), "GuardBroken".to_owned());
            actions.push(Action::Event { op, is_warning: true, reason, message: message.clone() });
        }
        match action {
            GuardAction::Slow => conditions::set(operation, ConditionKind::Slowed, GUARD, message, sight.now),
            GuardAction::Pause => {
                self.held.insert(operation.id.clone(), sight.now + HOLD);
                if operation.desired == Desired::Run {
                    conditions::set(operation, ConditionKind::Paused, GUARD, message, sight.now);
                }
            }
            GuardAction::Abort => {
                operation.desired = Desired::Abort;
                operation.message = message;
            }
        }
    }

    /// Goes on, once the guards have held for a while.
    fn release(&mut self, operation: &mut Operation, now: Millis) {
        conditions::clear_reason(operation, ConditionKind::Slowed, GUARD);
        if self.held.get(&operation.id).is_none_or(|until| now >= *until) {
            self.held.remove(&operation.id);
            conditions::clear_reason(operation, ConditionKind::Paused, GUARD);
        }
    }
}

fn word(health: BackendHealth) -> &'static str {
    match health {
        BackendHealth::Up => "up",
        BackendHealth::Slow => "slow",
        BackendHealth::Down => "down",
        BackendHealth::Unknown => "unknown",
    }
}

const GUARD: &str = "Guard";
/// How long the guards have to hold before clients move again.
const HOLD: std::time::Duration = std::time::Duration::from_secs(10);
const OUTCOMES_MIN: u64 = 20;
