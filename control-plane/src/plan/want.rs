//! What an operation wants of a node: all of an order but its rate.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::drain::{DrainOrder, DrainPhase, OnCoordinatorLoss, OperationId};

use super::budget::real;
use crate::model::{Common, Millis, OnLoss, Operation};

/// All of an order but its rate.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) op: OperationId,
    pub(super) node: Arc<str>,
    pub(super) goal: Goal,
    /// Clients that are still to be sent away.
    pub(super) remaining: u64,
    /// When they have to be gone, if nothing else counts.
    pub(super) hard_deadline: Option<Millis>,
    /// The process ends at its own time, whatever it is told.
    pub(super) is_ending: bool,
    /// How long sending them away may take.
    pub(super) window: Duration,
    pub(super) exit_at: u64,
    pub(super) rate_max: f64,
    common: Box<Common>,
    trace: Option<Arc<str>>,
}

/// What a node shall do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Goal {
    /// Serve again.
    Serve,
    /// Take in nobody, keep everybody.
    Cordon,
    /// Send everybody away, then stay empty.
    Empty,
    /// Send nobody away for now.
    Hold,
    /// Send everybody away now, whatever it costs.
    Burst,
    /// Send so many sessions away, counted from the first such order.
    Move(u64),
}

/// What a want is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Allotted {
    pub(super) clients_per_second: f64,
    /// It is less than the deadline needs.
    pub(super) falls_short: bool,
}

impl Want {
    pub(super) fn new(operation: &Operation, node: Arc<str>, goal: Goal) -> Self {
        let common = operation.spec.common();
        let drain = operation.spec.drain();
        Self {
            op: operation.id.clone(),
            node,
            goal,
            remaining: 0,
            hard_deadline: None,
            is_ending: false,
            window: drain.map_or(WINDOW_DEFAULT, |drain| drain.window.duration()),
            exit_at: drain.map_or(0, |drain| drain.exit_at),
            rate_max: common.rate.unwrap_or(f64::INFINITY),
            common: Box::new(common.clone()),
            trace: operation.trace.clone(),
        }
    }

    /// It is empty and stays so even if nobody repeats that.
    pub(super) fn keeps_empty(&mut self) {
        self.common.on_coordinator_loss = OnLoss::Continue;
    }

    pub(super) fn ttl(&self) -> Duration {
        self.common.order_ttl.duration()
    }

    /// Clients that leave if they are allowed to.
    pub(super) fn to_move(&self) -> u64 {
        match self.goal {
            Goal::Empty => self.remaining.saturating_sub(self.exit_at),
            Goal::Move(_) => self.remaining,
            Goal::Serve | Goal::Cordon | Goal::Hold | Goal::Burst => 0,
        }
    }

    /// Clients a second that the deadline needs; as the gateway reckons, which leaves clients time to go by themselves.
    pub(super) fn pressing_rate(&self, now: Millis) -> f64 {
        let Some(deadline) = self.hard_deadline else { return 0.0 };
        let left = deadline.since(now).as_secs_f64();
        let grace = self.common.leave_grace.map_or(LEAVE_GRACE_SECONDS, |grace| grace.seconds());
        real(self.to_move()) / (left - grace.min(left / 2.0)).max(1.0)
    }

    pub(super) fn into_order(
        self,
        given: Allotted,
        epoch: u64,
        seq: u64,
        now: Millis,
    ) -> (Arc<str>, DrainOrder) {
        let rate = given.clients_per_second;
        let phase = match self.goal {
            Goal::Serve => DrainPhase::Serving,
            Goal::Cordon => DrainPhase::Announcing,
            Goal::Hold => DrainPhase::Paused,
            Goal::Burst => DrainPhase::Bursting,
            // A node that may send nobody away must not try to keep its deadline either.
            Goal::Empty | Goal::Move(_) if self.to_move() > 0 && rate <= 0.0 => DrainPhase::Paused,
            Goal::Empty => DrainPhase::Evicting,
            Goal::Move(_) => DrainPhase::Rebalancing,
        };
        let mut order = DrainOrder::new(self.op.clone(), epoch, seq, phase);
        order.rate = match self.goal {
            Goal::Empty | Goal::Move(_) => Some(if self.to_move() > 0 { rate } else { RATE_OF_THE_EMPTY }),
            Goal::Serve | Goal::Cordon | Goal::Hold | Goal::Burst => None,
        };
        order.deadline = Some(self.deadline(rate, now));
        order.ttl = self.common.order_ttl.duration();
        order.lb_propagation = self.common.lb_propagation.map(Duration::from);
        order.settle = self.common.settle.map(Duration::from);
        order.leave_grace = self.common.leave_grace.map(Duration::from);
        order.exit_at = self.exit_at;
        order.on_coordinator_loss = match self.common.on_coordinator_loss {
            OnLoss::Continue => OnCoordinatorLoss::Continue,
            OnLoss::Pause => OnCoordinatorLoss::Pause,
            OnLoss::ResumeServing => OnCoordinatorLoss::ResumeServing,
        };
        order.reason = self.common.reason.as_deref().map(Arc::from);
        order.moves = match self.goal {
            Goal::Move(moves) => Some(moves),
            Goal::Serve | Goal::Cordon | Goal::Empty | Goal::Hold | Goal::Burst => None,
        };
        order.trace = self.trace;
        (self.node, order)
    }

    /// A gateway bursts when it cannot keep its deadline at its rate. The budget counts for more than a window that was
    /// only meant to be kept: such a deadline moves with the rate.
    fn deadline(&self, rate: f64, now: Millis) -> Duration {
        if let Some(deadline) = self.hard_deadline {
            return deadline.since(now);
        }
        let at_rate = Duration::try_from_secs_f64(2.0 * real(self.remaining) / rate.max(RATE_LEAST))
            .unwrap_or(DEADLINE_MAX);
        self.window.max(at_rate.saturating_add(DEADLINE_SLACK)).min(DEADLINE_MAX)
    }
}

/// For kinds that have no window.
const WINDOW_DEFAULT: Duration = Duration::from_secs(8 * 60);
const LEAVE_GRACE_SECONDS: f64 = 4.0;
/// For clients that come while a node that is empty learns of its next order.
const RATE_OF_THE_EMPTY: f64 = 1.0;
const RATE_LEAST: f64 = 0.1;
const DEADLINE_SLACK: Duration = Duration::from_secs(120);
const DEADLINE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
