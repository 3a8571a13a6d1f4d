//! What the types of a spec alone do not say: rates above zero, shares up to one, parameters that go together.

use super::{
    Common, DrainSpec, Mode, Period, RebalanceSpec, Replacement, RolloutSpec, Spec, SpecError, Target, Then,
};

impl Spec {
    /// Checks what the types alone do not.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        check_common(self.common())?;
        match self {
            Self::Drain(drain) => {
                check_drain(drain)?;
                require(
                    !drain.targets.is_empty(),
                    "targets",
                    "which nodes? Give pods, selector, node, zone or revisionNot; {\"all\": true} means every node",
                )
            }
            Self::Rollout(rollout) => {
                check_drain(&rollout.drain)?;
                check_rollout(rollout)
            }
            Self::Rebalance(rebalance) => check_rebalance(rebalance),
        }
    }
}

fn check_common(common: &Common) -> Result<(), SpecError> {
    for (key, rate) in [("rate", common.rate), ("maxRate", common.max_rate)] {
        let fits = rate.is_none_or(|rate| rate.is_finite() && rate > 0.0);
        require(fits, key, "a rate is a number of clients a second, above 0; to stop, pause it")?;
    }
    require(common.max_displaced != Some(0), "maxDisplaced", "at least 1; to stop, pause it")?;
    require(common.order_ttl >= ORDER_TTL_MIN, "orderTtl", "at least 3 s: orders are repeated each second")?;
    for (key, ratio) in [
        ("guards.handshakeErrorRatio", common.guards.handshake_error_ratio),
        ("guards.resumeRatio", common.guards.resume_ratio),
    ] {
        require(ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)), key, "a share from 0 to 1")?;
    }
    Ok(())
}

fn check_drain(drain: &DrainSpec) -> Result<(), SpecError> {
    require(drain.max_parallel.of_rounded_up(100) > 0, "maxParallel", "at least 1")?;
    require(drain.max_zones_in_parallel > 0, "maxZonesInParallel", "at least 1")?;
    require(drain.window > Period::ZERO, "window", "more than no time")?;
    require(
        drain.replacement != Replacement::Detach || drain.then == Then::Evict,
        "then",
        "with `replacement: detach` it has to be `evict`: a detached pod has no owner that would ever delete it",
    )
}

fn check_rollout(rollout: &RolloutSpec) -> Result<(), SpecError> {
    check_target(rollout)?;
    require(
        rollout.drain.replacement != Replacement::Detach || rollout.mode == Mode::Rolling,
        "replacement",
        "`detach` goes with `mode: rolling`: `steer` waits for new nodes before it drains any",
    )
}

/// Parameters that a target needs, and those that mean nothing with it.
fn check_target(rollout: &RolloutSpec) -> Result<(), SpecError> {
    let scales_down = rollout.target == Target::ScaleDown;
    require(
        rollout.revision.is_some() == (rollout.target == Target::Revision),
        "revision",
        "`target: revision` needs one, and no other target has one",
    )?;
    require(
        rollout.replicas.is_some() == scales_down,
        "replicas",
        "`target: scaleDown` needs to know how many nodes are left, and no other target does",
    )?;
    require(rollout.replicas != Some(0), "replicas", "at least 1: somebody has to take the clients")?;
    if !scales_down {
        return Ok(());
    }
    let has_one_way = rollout.mode == Mode::Rolling;
    require(
        has_one_way,
        "mode",
        "`target: scaleDown` awaits no new nodes, and moves each client once anyway: leave it out",
    )?;
    require(
        rollout.drain.then == Then::Evict,
        "then",
        "with `target: scaleDown` empty nodes go: leave it out",
    )?;
    require(
        rollout.drain.replacement == Replacement::Terminate,
        "replacement",
        "with `target: scaleDown` nothing replaces the nodes that go: leave it out",
    )
}

fn check_rebalance(rebalance: &RebalanceSpec) -> Result<(), SpecError> {
    let fits = rebalance.rel_threshold.is_finite() && rebalance.rel_threshold >= 1.0;
    require(fits, "relThreshold", "a factor of the average, at least 1")
}

fn require(holds: bool, key: &str, message: &str) -> Result<(), SpecError> {
    if holds { Ok(()) } else { Err(SpecError::Value { key: key.to_owned(), message: message.to_owned() }) }
}

const ORDER_TTL_MIN: Period = Period::from_secs(3);
