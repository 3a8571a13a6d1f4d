//! The default of each parameter, in one place: docs/control-plane.md has the same list.

use super::{
    Amount, Common, DrainSpec, GuardAction, Guards, Mode, OnDeadline, OnLoss, Order, Period, RebalanceSpec,
    Replacement, RolloutSpec, Target, Targets, Then,
};

impl Default for Common {
    fn default() -> Self {
        Self {
            rate: None,
            max_rate: None,
            max_displaced: None,
            lb_propagation: None,
            leave_grace: None,
            settle: None,
            deadline: None,
            on_deadline: OnDeadline::Burst,
            on_coordinator_loss: OnLoss::Continue,
            order_ttl: Period::from_secs(10),
            agent_timeout: Period::from_secs(60),
            guards: Guards::default(),
            guard_action: GuardAction::Pause,
            force: false,
            reason: None,
        }
    }
}

impl Default for DrainSpec {
    fn default() -> Self {
        Self {
            common: Common::default(),
            targets: Targets::default(),
            max_parallel: Amount::Count(1),
            max_zones_in_parallel: 1,
            window: Period::from_secs(8 * 60),
            exit_at: 0,
            order: Order::FewestConnections,
            min_serving: Amount::Count(1),
            headroom: Amount::Percent(20),
            replacement: Replacement::Terminate,
            then: Then::Hold,
            soak: Period::ZERO,
        }
    }
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self {
            drain: DrainSpec { then: Then::Evict, ..DrainSpec::default() },
            mode: Mode::Rolling,
            target: Target::Restart,
            revision: None,
            replicas: None,
            steer_at: Amount::Percent(50),
            canary: 0,
        }
    }
}

impl Default for RebalanceSpec {
    fn default() -> Self {
        Self {
            common: Common::default(),
            targets: Targets::default(),
            abs_threshold: 10,
            rel_threshold: 1.05,
            max_moves: None,
        }
    }
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            handshake_p99: Some(Period::from_secs(2)),
            handshake_error_ratio: None,
            resume_ratio: Some(0.9),
            resume_p99: None,
            bus_lag: Some(Period::from_secs(2)),
            store_p99: Some(Period::from_millis(500)),
            ready_pods: None,
        }
    }
}
