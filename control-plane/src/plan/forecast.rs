//! What an operation would do if it began now: `POST /v1/operations:plan`.

use std::time::Duration;

use super::budget::real;
use super::rebalance::lay_out_rebalance;
use super::room::{Room, steps_of};
use super::{Operations, PlanConfig, accept, guards, platform};
use crate::index::{Fleet, NodeView, Peers};
use crate::model::{
    DrainSpec, Forecast, Mode, NodeForecast, Period, Refused, Spec, Step, Target, Then, WaveForecast,
    ZoneForecast,
};

/// What an operation would do if it began now.
///
/// # Errors
///
/// As [`accept`](super::accept()): a plan that would be refused is refused.
pub fn forecast(
    fleet: &Fleet,
    operations: &Operations,
    config: &PlanConfig,
    spec: &Spec,
) -> Result<Forecast, Refused> {
    platform::check(&config.platform, spec)?;
    accept::check(fleet, operations, None, spec)?;
    let steps = match spec {
        Spec::Rebalance(rebalance) => lay_out_rebalance(fleet, rebalance),
        Spec::Drain(_) | Spec::Rollout(_) => steps_of(fleet, spec),
    };
    let peers = Peers::of(fleet);
    let guards = guards::readings(&spec.common().guards, &peers, fleet.nodes().count() as u64, (0, 0));
    let waves = waves(spec, config, &steps);
    let peak = waves
        .iter()
        .map(|wave| rate(spec, config, wave.nodes.len() as u64).min(real(wave.moves)))
        .fold(0.0, f64::max);
    let defaults = DrainSpec { headroom: crate::model::Amount::Count(0), ..DrainSpec::default() };
    let room = Room::of(fleet, spec, spec.drain().unwrap_or(&defaults), &steps);
    let eta = waves.iter().map(|wave| wave.eta.duration()).sum::<Duration>();
    let mut forecast = Forecast {
        eta: period(eta),
        moves: waves.iter().map(|wave| wave.moves).sum(),
        peak_reconnect_rate: peak,
        nodes: spread(fleet, &steps, room.moves),
        headroom: room.zones,
        guards,
        warnings: Vec::new(),
        waves,
    };
    forecast.warnings = warnings(fleet, spec, &forecast, &steps);
    Ok(forecast)
}

fn waves(spec: &Spec, config: &PlanConfig, steps: &[Step]) -> Vec<WaveForecast> {
    let common = spec.common();
    let announced = common.lb_propagation.map_or(LB_PROPAGATION, Period::duration);
    let soak = spec.drain().map_or(Duration::ZERO, |drain| drain.soak.duration());
    let last = steps.last().map_or(0, |step| step.wave);
    (1..=last)
        .map(|wave| {
            let own: Vec<_> = steps.iter().filter(|step| step.wave == wave).collect();
            let moves = own.iter().map(|step| step.moves.unwrap_or(step.total)).sum();
            let moving = real(moves) / rate(spec, config, own.len() as u64);
            let pause = if wave == last { Duration::ZERO } else { soak };
            let eta =
                announced + Duration::try_from_secs_f64(moving).unwrap_or(Period::MAX.duration()) + pause;
            WaveForecast {
                wave,
                nodes: own.iter().map(|step| step.node.clone()).collect(),
                moves,
                eta: period(eta),
            }
        })
        .collect()
}

/// Clients a second that so many nodes may send away together.
fn rate(spec: &Spec, config: &PlanConfig, nodes: u64) -> f64 {
    let common = spec.common();
    let of_nodes = common.rate.map_or(f64::INFINITY, |rate| rate * real(nodes));
    of_nodes.min(common.max_rate.unwrap_or(f64::INFINITY)).min(config.budget.max_rate)
}

/// Where those that move would be if they spread by free room.
fn spread(fleet: &Fleet, steps: &[Step], moves: u64) -> Vec<NodeForecast> {
    let stays = |node: &&NodeView| node.is_ready() && !steps.iter().any(|step| step.node == node.name);
    let free: u64 = fleet.nodes().filter(stays).map(NodeView::free).sum();
    fleet
        .nodes()
        .filter(stays)
        .map(|node| {
            let share = u128::from(moves) * u128::from(node.free()) / u128::from(free.max(1));
            NodeForecast {
                node: node.name.clone(),
                connections: node.connections(),
                expected: node.connections() + u64::try_from(share).unwrap_or(u64::MAX),
                capacity: node.capacity(),
            }
        })
        .collect()
}

fn warnings(fleet: &Fleet, spec: &Spec, forecast: &Forecast, steps: &[Step]) -> Vec<String> {
    let mut warnings = Vec::new();
    if steps.is_empty() {
        warnings.push("there is nothing to do".to_owned());
    }
    if let Some(deadline) = spec.common().deadline.filter(|deadline| *deadline < forecast.eta) {
        warnings.push(format!("it takes at least {}, and its deadline is {deadline}", forecast.eta));
    }
    let broken = forecast.guards.iter().filter(|guard| !guard.holds);
    warnings.extend(
        broken.map(|guard| format!("{} reads {}, its bound is {}", guard.guard, guard.reading, guard.bound)),
    );
    let silent = |step: &&Step| fleet.node(&step.node).is_some_and(|node| node.unreachable_since.is_some());
    warnings.extend(steps.iter().filter(silent).map(|step| format!("{} does not answer", step.node)));
    if let Some(drain) = spec.drain() {
        let slow = forecast.waves.iter().find(|wave| wave.eta > drain.window);
        warnings.extend(slow.map(|wave| {
            format!("wave {} takes at least {}, and its window is {}", wave.wave, wave.eta, drain.window)
        }));
        let has_pods = fleet.nodes().any(|node| node.pod.is_some());
        if drain.then == Then::Evict && !has_pods {
            warnings.push("without Kubernetes empty nodes are held until someone replaces them".to_owned());
        }
    }
    if let Spec::Rollout(rollout) = spec {
        let capacity: u64 = forecast.headroom.values().map(|zone: &ZoneForecast| zone.capacity).sum();
        match rollout.mode {
            Mode::Steer if capacity == 0 => {
                warnings.push("no new node is ready: it begins when there are enough of them".to_owned());
            }
            Mode::Rolling if forecast.waves.len() > 1 && rollout.target != Target::ScaleDown => {
                warnings.push(
                    "a client may land on a node of a later wave and move again; `steer` avoids that"
                        .to_owned(),
                );
            }
            Mode::Steer | Mode::Rolling => {}
        }
    }
    warnings
}

fn period(duration: Duration) -> Period {
    let duration = duration.min(Period::MAX.duration());
    Period::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// The gateway's own, unless its operator set another one.
const LB_PROPAGATION: Duration = Duration::from_secs(15);
