//! Orders: which are obeyed, how long they hold, and what happens when they stop coming.

use std::time::Instant;

use tidegate_protocol::drain::{DrainOrder, DrainPhase, OnCoordinatorLoss, OperationId};

use super::{Machine, Phase};

/// Rates above this are no rates.
const RATE_MAX: f64 = 1e6;

/// The order that holds.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) order: DrainOrder,
    /// The order's phase, or what its end has made of it.
    pub(super) wanted: DrainPhase,
    pub(super) expires_at: Instant,
    pub(super) deadline: Option<Instant>,
    /// It was not repeated in time.
    pub(super) has_lapsed: bool,
}

/// Why an order is not obeyed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("an order of epoch {epoch}, number {seq} was obeyed already: the sender leads no more")]
    StaleEpoch { epoch: u64, seq: u64 },
    #[error("operation {op} has this node: abort it first, or wait until it is over")]
    Owned { op: OperationId },
    #[error("the process was told to end: it cannot serve again")]
    ShuttingDown,
    #[error("{0}")]
    Senseless(String),
}

impl Refusal {
    /// The code in the answer's problem document.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::StaleEpoch { .. } => "stale_epoch",
            Self::Owned { .. } => "owned",
            Self::ShuttingDown => "shutting_down",
            Self::Senseless(_) => "bad_order",
        }
    }
}

impl Machine {
    /// Obeys an order from the next tick on. The same one again only renews it.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; nothing has changed then.
    pub(crate) fn handle_order(&mut self, order: DrainOrder, now: Instant) -> Result<(), Refusal> {
        check(&order)?;
        if (order.epoch, order.seq) < (self.epoch, self.seq) {
            return Err(Refusal::StaleEpoch { epoch: self.epoch, seq: self.seq });
        }
        let owner = self.standing.as_ref().filter(|standing| !standing.has_lapsed);
        if let Some(owner) = owner.filter(|owner| owner.order.op != order.op && order.epoch == self.epoch) {
            return Err(Refusal::Owned { op: owner.order.op.clone() });
        }
        if self.signalled.is_some() && order.phase == DrainPhase::Serving {
            return Err(Refusal::ShuttingDown);
        }
        (self.epoch, self.seq) = (order.epoch, order.seq);
        if order.phase == DrainPhase::Serving {
            self.standing = None;
            return Ok(());
        }
        // A burst that was ordered ends once, however often the order is repeated; any other order ends it.
        if order.phase != DrainPhase::Bursting && self.phase == Phase::Bursting {
            let had_deadline = self.standing.as_ref().and_then(|standing| standing.deadline);
            if order.deadline.map(|left| now + left) > had_deadline {
                self.burst_until = None;
            }
        }
        self.standing = Some(Standing {
            wanted: order.phase.clone(),
            expires_at: now + order.ttl,
            deadline: order.deadline.map(|left| now + left),
            has_lapsed: false,
            order,
        });
        Ok(())
    }

    /// Does what the order says for the case that it is not repeated.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_ending = self.signalled.is_some();
        let Some(standing) = self.standing.as_mut().filter(|one| !one.has_lapsed && now >= one.expires_at)
        else {
            return;
        };
        standing.has_lapsed = true;
        match standing.order.on_coordinator_loss {
            // A process that ends cannot wait for anybody.
            _ if is_ending => standing.wanted = DrainPhase::Evicting,
            OnCoordinatorLoss::Continue => {}
            OnCoordinatorLoss::Pause => standing.wanted = DrainPhase::Paused,
            OnCoordinatorLoss::ResumeServing => self.standing = None,
        }
    }
}

fn check(order: &DrainOrder) -> Result<(), Refusal> {
    let senseless = |text: String| Err(Refusal::Senseless(text));
    match &order.phase {
        DrainPhase::Other(word) => {
            return senseless(format!("phase {word:?} is not known; known are those of GET /drain"));
        }
        DrainPhase::Rebalancing if order.moves.is_none() => {
            return senseless("rebalancing needs `moves`: how many sessions shall leave".to_owned());
        }
        _ => {}
    }
    if order.ttl.is_zero() {
        return senseless("ttl is zero: the order would end before it is obeyed".to_owned());
    }
    match order.rate {
        Some(rate) if !(0.0..=RATE_MAX).contains(&rate) => {
            senseless(format!("rate {rate} is not between 0 and {RATE_MAX} clients a second"))
        }
        Some(_) | None => Ok(()),
    }
}
