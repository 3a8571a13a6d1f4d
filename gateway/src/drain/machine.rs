//! Where a node stands between serving and gone, as a pure machine: orders, a signal and time in, what to do out.
//!
//! ```text
//! serving ──order/SIGTERM──▶ announcing ──lb_propagation──▶ evicting ──≤ exit_at──▶ settling ──▶ drained ──▶ gone
//!    ▲                          │ accepts                     │ 503                    │ claims awaited   │ SIGTERM only
//!    └── order `serving`, not after SIGTERM ◀── paused ◀──────┴────────────────────────┘                  ▼
//!                        deadline, or no way to keep it ──▶ bursting (who is left goes over `margin`) ──▶ …
//! ```
//!
//! Place in the data path: none. `drain.rs` tells it of orders and of what it sees, a few times a second, and carries out
//! what it says. Orders name the *wanted* phase and are repeated; the phase here is the one that was reached.

mod orders;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use tidegate_protocol::drain::{DrainPhase, OperationId};

pub(crate) use self::orders::Refusal;
use self::orders::Standing;
use super::pace::{GENTLE_RATE, needed};

/// How far over the rate that keeps the deadline the allowed one must be below before the node stops keeping to it: a
/// number that hardly fits today fits tomorrow.
const BURST_ABOVE: f64 = 1.1;

/// The durations and the choice that the operator made; an order may bring its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long load balancers may go on sending clients.
    pub(crate) lb_propagation: Duration,
    /// How long other nodes may take to learn that this one drains too; they share a budget with it from then on.
    pub(crate) peers_learn: Duration,
    /// How long a client that was told to leave may take.
    pub(crate) leave_grace: Duration,
    /// How long sending everyone away may take.
    pub(crate) window: Duration,
    /// How long sessions are awaited elsewhere.
    pub(crate) settle: Duration,
    /// Over what time those are closed who are left at the deadline.
    pub(crate) margin: Duration,
    /// Whether who cannot be sent away in time at the allowed rate goes faster than that.
    pub(crate) may_burst: bool,
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub(crate) enum Phase {
    Serving,
    Announcing,
    Evicting,
    Paused,
    Bursting,
    Settling,
    Drained,
    Rebalancing,
}

/// What the node looks like at a tick.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sight {
    /// Open connections.
    pub(crate) open: u64,
    /// Of these, told to leave and still there.
    pub(crate) asked: u64,
    /// Sessions sent away that were not seen elsewhere.
    pub(crate) displaced: u64,
    /// Clients sent away since the drain began.
    pub(crate) moved: u64,
    /// What the cluster's budget leaves this node, clients a second.
    pub(crate) share: f64,
}

/// What to do until the next tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Course {
    /// Clients to send away a second.
    pub(crate) rate: f64,
    /// How many at most.
    pub(crate) most: u64,
    pub(crate) manner: Manner,
}

/// How a client is sent away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manner {
    /// It is told to leave, and closed when it has not after `grace`.
    Ask { grace: Duration },
    /// It is closed.
    Force,
}

/// See the module's own words.
#[derive(Debug)]
pub(crate) struct Machine {
    settings: Settings,
    phase: Phase,
    /// Highest epoch of an order, and the number of its last one.
    epoch: u64,
    seq: u64,
    standing: Option<Standing>,
    /// When the process was told to end.
    signalled: Option<Instant>,
    /// Of the drain that is under way.
    begun: Option<Begun>,
    /// No new clients are taken.
    is_door_shut: bool,
    /// When the rest has to be gone that could not be sent away in time.
    burst_until: Option<Instant>,
    settle_until: Option<Instant>,
}

/// The beginning of a drain.
#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    /// Readiness went at once; a node whose pod is being deleted stays ready until load balancers know.
    is_unready: bool,
}

/// What the order and the signal want together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goal {
    Serve,
    Cordon,
    Evict,
    Hold,
    Burst,
    Move,
}

impl Phase {
    pub(crate) const ALL: [Self; 8] = [
        Self::Serving,
        Self::Announcing,
        Self::Evicting,
        Self::Paused,
        Self::Bursting,
        Self::Settling,
        Self::Drained,
        Self::Rebalancing,
    ];

    /// The phase of a number.
    pub(crate) fn of(number: u8) -> Self {
        Self::ALL[usize::from(number) % Self::ALL.len()]
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Announcing => "announcing",
            Self::Evicting => "evicting",
            Self::Paused => "paused",
            Self::Bursting => "bursting",
            Self::Settling => "settling",
            Self::Drained => "drained",
            Self::Rebalancing => "rebalancing",
        }
    }

    /// Its word on the wire.
    pub(crate) fn word(self) -> DrainPhase {
        DrainPhase::of_word(self.name())
    }
}

impl Machine {
    /// A node that serves.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            phase: Phase::Serving,
            epoch: 0,
            seq: 0,
            standing: None,
            signalled: None,
            begun: None,
            is_door_shut: false,
            burst_until: None,
            settle_until: None,
        }
    }

    /// The process was told to end. A drain that is under way goes on from where it is.
    pub(crate) fn handle_signal(&mut self, now: Instant) {
        if self.signalled.is_none() {
            self.signalled = Some(now);
            self.begun.get_or_insert(Begun { at: now, is_unready: false });
        }
    }

    /// Moves on as far as `sight` and the time allow, and says what to do then.
    pub(crate) fn tick(&mut self, now: Instant, sight: Sight) -> Course {
        self.expire(now);
        loop {
            let next = self.next_phase(now, sight);
            if next == self.phase {
                return self.course(now, sight);
            }
            self.enter(next, now);
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether new clients may come. During a drain that SIGTERM began they may until load balancers have learned of it:
    /// kube-proxy goes on sending them to an endpoint that is *serving* where there is no other.
    pub(crate) fn is_ready(&self) -> bool {
        match self.phase {
            Phase::Serving => true,
            Phase::Announcing => self.begun.is_some_and(|begun| !begun.is_unready),
            _ => false,
        }
    }

    /// Whether new clients are taken.
    pub(crate) fn accepts(&self) -> bool {
        !self.is_door_shut
    }

    /// Whether the port is closed to everyone: who only connects to see whether a node is well is to see that it is not.
    pub(crate) fn closes_port(&self) -> bool {
        self.is_door_shut && self.signalled.is_some()
    }

    /// Whether the process was told to end.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.signalled.is_some()
    }

    /// Whether the process may end now.
    pub(crate) fn is_over(&self) -> bool {
        self.signalled.is_some() && self.phase == Phase::Drained
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// The trace that the order belongs to, and why it was given.
    pub(crate) fn trace_and_reason(&self) -> (Option<&str>, Option<&str>) {
        let order = self.standing.as_ref().map(|standing| &standing.order);
        let (trace, reason) =
            (order.and_then(|one| one.trace.as_deref()), order.and_then(|one| one.reason.as_deref()));
        (trace, reason)
    }

    /// The operation whose order holds, or held until it was not repeated any more.
    pub(crate) fn op(&self) -> Option<&OperationId> {
        self.standing.as_ref().map(|standing| &standing.order.op)
    }

    /// Whether a coordinator leads: its order has not ended.
    pub(crate) fn is_led(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| !standing.has_lapsed)
    }

    /// When the order ends unless it is repeated.
    pub(crate) fn order_expires_at(&self) -> Option<Instant> {
        self.standing.as_ref().filter(|standing| !standing.has_lapsed).map(|standing| standing.expires_at)
    }

    /// When everyone is to be gone, during a drain. A coordinator that names none, none: it leads, and may take its time.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let begun = self.begun?;
        let ordered = self.standing.as_ref().and_then(|standing| standing.deadline);
        // The time that load balancers need has begun when the drain has, and does not begin again.
        let own = self.signalled.map(|at| self.evicts_at(begun).max(at) + self.settings.window);
        match (ordered, own) {
            (Some(ordered), Some(own)) => Some(ordered.min(own)),
            (Some(deadline), None) | (None, Some(deadline)) => Some(deadline),
            (None, None) => {
                let left_alone = self.standing.as_ref().filter(|standing| standing.has_lapsed)?;
                Some(left_alone.expires_at.max(self.evicts_at(begun)) + self.settings.window)
            }
        }
    }

    /// When the process ends whoever is left then: after the deadline, or after the burst that came of it.
    pub(crate) fn last_moment(&self) -> Option<Instant> {
        let deadline = self.deadline()?;
        Some(self.burst_until.map_or(deadline, |until| until.max(deadline)))
    }

    /// How long sessions that were sent away are awaited elsewhere.
    pub(crate) fn settle(&self) -> Duration {
        self.ordered(|standing| standing.order.settle).unwrap_or(self.settings.settle)
    }

    fn lb_propagation(&self) -> Duration {
        self.ordered(|standing| standing.order.lb_propagation).unwrap_or(self.settings.lb_propagation)
    }

    fn leave_grace(&self) -> Duration {
        self.ordered(|standing| standing.order.leave_grace).unwrap_or(self.settings.leave_grace)
    }

    fn exit_at(&self) -> u64 {
        match self.signalled {
            Some(_) => 0,
            None => self.ordered(|standing| Some(standing.order.exit_at)).unwrap_or(0),
        }
    }

    fn ordered<T>(&self, read: impl Fn(&Standing) -> Option<T>) -> Option<T> {
        self.standing.as_ref().and_then(read)
    }

    /// When load balancers and peers have learned of a drain.
    fn evicts_at(&self, begun: Begun) -> Instant {
        // Whoever is given a rate shares nothing with others.
        let peers_learn = if self.has_ordered_rate() { Duration::ZERO } else { self.settings.peers_learn };
        begun.at + self.lb_propagation().max(peers_learn)
    }

    fn goal(&self) -> Goal {
        let wanted = self.standing.as_ref().map(|standing| &standing.wanted);
        match (wanted, self.signalled.is_some()) {
            (None, false) => Goal::Serve,
            (None, true) => Goal::Evict,
            (Some(DrainPhase::Paused), _) => Goal::Hold,
            (Some(DrainPhase::Bursting), _) => Goal::Burst,
            (Some(DrainPhase::Announcing), false) => Goal::Cordon,
            // The coordinator wants others to go first; the time that is left says how long that is possible.
            (Some(DrainPhase::Announcing), true) => Goal::Hold,
            (Some(DrainPhase::Rebalancing), false) => Goal::Move,
            (Some(_), _) => Goal::Evict,
        }
    }

    /// The phase that follows at once, or the same.
    fn next_phase(&self, now: Instant, sight: Sight) -> Phase {
        let has_learned = self.begun.is_some_and(|begun| {
            // Where there is nobody to send away there is no budget to share.
            let learned_at =
                if sight.open == 0 { begun.at + self.lb_propagation() } else { self.evicts_at(begun) };
            now >= learned_at
        });
        match self.goal() {
            Goal::Serve => Phase::Serving,
            Goal::Cordon => Phase::Announcing,
            Goal::Move => Phase::Rebalancing,
            Goal::Hold if self.must_burst(now, sight) => self.evicting_phase(now, sight, Phase::Bursting),
            Goal::Hold if self.phase == Phase::Announcing && !has_learned && self.signalled.is_some() => {
                Phase::Announcing
            }
            Goal::Hold => Phase::Paused,
            Goal::Evict if !has_learned && !self.is_door_shut => Phase::Announcing,
            Goal::Evict if self.must_burst(now, sight) => self.evicting_phase(now, sight, Phase::Bursting),
            Goal::Evict => self.evicting_phase(now, sight, Phase::Evicting),
            Goal::Burst => self.evicting_phase(now, sight, Phase::Bursting),
        }
    }

    /// `busy`, or what comes when nobody is left to be sent away.
    fn evicting_phase(&self, now: Instant, sight: Sight, busy: Phase) -> Phase {
        let is_empty = sight.open <= self.exit_at() || self.is_past_everything(now);
        let has_settled = sight.displaced == 0 || self.settle_until.is_some_and(|until| now >= until);
        match (is_empty, self.phase) {
            (false, _) => busy,
            (true, Phase::Drained) => Phase::Drained,
            (true, Phase::Settling) if has_settled => Phase::Drained,
            (true, _) => Phase::Settling,
        }
    }

    /// Whether even the burst is over, in a process that has to end.
    fn is_past_everything(&self, now: Instant) -> bool {
        let is_past = |end: Option<Instant>| end.is_some_and(|end| now >= end);
        let has_burst = self.burst_until.is_some() || !self.settings.may_burst;
        self.signalled.is_some() && has_burst && is_past(self.last_moment())
    }

    /// Whether the deadline has come, or cannot be kept at the allowed rate.
    fn must_burst(&self, now: Instant, sight: Sight) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        // A coordinator that leads a pause knows of the deadline that it gave.
        let is_held = self.goal() == Goal::Hold && self.is_led() && self.signalled.is_none();
        let left = sight.open.saturating_sub(self.exit_at());
        if left == 0 || is_held || !self.settings.may_burst {
            return false;
        }
        if now >= deadline {
            return true;
        }
        // A coordinator that goes slower than this node could knows why; one that cannot make it in time does not.
        let allowed = match self.goal() {
            Goal::Hold => sight.share,
            _ => self.allowed_rate(sight).max(sight.share),
        };
        let untold = left.saturating_sub(sight.asked);
        needed(untold, self.time_to_tell(now, deadline)) > allowed * BURST_ABOVE
    }

    /// How long clients can be told to leave so that those who do not are closed before the deadline.
    fn time_to_tell(&self, now: Instant, deadline: Instant) -> Duration {
        let left = deadline.saturating_duration_since(now);
        left.saturating_sub(self.leave_grace().min(left / 2))
    }

    /// The rate that a coordinator gave, as long as it leads; else what the budget leaves.
    fn allowed_rate(&self, sight: Sight) -> f64 {
        match self.standing.as_ref().filter(|standing| !standing.has_lapsed) {
            Some(standing) => standing.order.rate.unwrap_or(sight.share),
            None => sight.share,
        }
    }

    /// Whether a coordinator leads and says how fast.
    fn has_ordered_rate(&self) -> bool {
        self.is_led() && self.ordered(|standing| standing.order.rate).is_some()
    }

    fn enter(&mut self, next: Phase, now: Instant) {
        if next == Phase::Serving {
            (self.begun, self.burst_until, self.settle_until) = (None, None, None);
            self.is_door_shut = false;
        } else {
            self.begun.get_or_insert(Begun { at: now, is_unready: true });
        }
        match next {
            // A cordoned node takes who still comes, and so does one that was paused before it evicted anybody.
            Phase::Announcing | Phase::Rebalancing => self.is_door_shut = false,
            Phase::Evicting | Phase::Bursting | Phase::Settling | Phase::Drained => self.is_door_shut = true,
            Phase::Serving | Phase::Paused => {}
        }
        match next {
            Phase::Settling => self.settle_until = Some(now + self.settle()),
            Phase::Evicting => self.burst_until = None,
            _ => {}
        }
        self.phase = next;
    }

    fn course(&mut self, now: Instant, sight: Sight) -> Course {
        let untold = sight.open.saturating_sub(sight.asked);
        let ask = Manner::Ask { grace: self.leave_grace() };
        match self.phase {
            Phase::Evicting => {
                let most = untold.saturating_sub(self.exit_at().saturating_sub(sight.asked));
                Course { rate: self.evicting_rate(now, sight), most, manner: ask }
            }
            Phase::Rebalancing => {
                let wanted = self.ordered(|standing| standing.order.moves).unwrap_or(0);
                let most = untold.min(wanted.saturating_sub(sight.moved));
                Course { rate: self.allowed_rate(sight), most, manner: ask }
            }
            Phase::Bursting => self.bursting_course(now, sight),
            Phase::Serving | Phase::Announcing | Phase::Paused | Phase::Settling | Phase::Drained => {
                Course { rate: 0.0, most: 0, manner: ask }
            }
        }
    }

    /// Whoever orders a rate wants it; a node alone takes all the time it has, if that is not ridiculous.
    fn evicting_rate(&self, now: Instant, sight: Sight) -> f64 {
        let allowed = self.allowed_rate(sight);
        let untold = sight.open.saturating_sub(sight.asked);
        let pressing = self.deadline().map_or(0.0, |at| needed(untold, self.time_to_tell(now, at)));
        match self.has_ordered_rate() {
            // The time of a process that ends is up when it is up, whatever its coordinator thinks.
            true if self.signalled.is_some() => allowed.max(pressing.min(sight.share)),
            true => allowed,
            false => allowed.min(pressing.max(GENTLE_RATE)),
        }
    }

    fn bursting_course(&mut self, now: Instant, sight: Sight) -> Course {
        let left = sight.open.saturating_sub(self.exit_at());
        let deadline = self.deadline().unwrap_or(now);
        let is_ordered = self.goal() == Goal::Burst;
        let until = match now < deadline && !is_ordered {
            true => deadline,
            // The end of the burst is set once: a deadline that has passed does not move it.
            false => match self.burst_until.filter(|&until| until > deadline.min(now)) {
                Some(until) => until,
                None => now + self.settings.margin,
            },
        };
        self.burst_until = Some(until);
        let time = until.saturating_duration_since(now);
        let grace = self.leave_grace();
        if time > 3 * grace && !is_ordered && now < deadline {
            let untold = left.saturating_sub(sight.asked);
            let rate = needed(untold, self.time_to_tell(now, until)).min(RATE_MAX);
            return Course { rate, most: untold, manner: Manner::Ask { grace } };
        }
        let rate = needed(left, time).clamp(GENTLE_RATE, RATE_MAX);
        Course { rate, most: left, manner: Manner::Force }
    }
}

/// What no node ever needs; keeps the arithmetic finite where no time is left.
const RATE_MAX: f64 = 1e6;
