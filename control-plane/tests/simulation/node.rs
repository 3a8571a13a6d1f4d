//! A simulated gateway: the rules of `gateway/src/drain` in whole seconds.

use std::sync::Arc;
use std::time::Duration;

use tidegate_control_plane::model::Millis;
use tidegate_protocol::drain::{
    DrainLoad, DrainOrder, DrainPhase, DrainReport, DrainSource, OnCoordinatorLoss,
};

/// A gateway's process.
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) started_at: Millis,
    pub(crate) clients: Vec<u32>,
    pub(crate) report: DrainReport,
    /// When it was told to end, and when it is killed.
    pub(crate) signalled: Option<(Millis, Millis)>,
    /// Nobody reaches its admin port until then.
    pub(crate) silent_until: Millis,
    standing: Option<Standing>,
    begun_at: Option<Millis>,
    /// It was cordoned before it was told to end, and does not become ready for that.
    is_unready: bool,
    credit: f64,
}

struct Standing {
    order: DrainOrder,
    wanted: DrainPhase,
    expires_at: Millis,
    deadline: Option<Millis>,
    has_lapsed: bool,
}

/// Clients that a node sends away in a second.
pub(crate) struct Sent {
    pub(crate) clients: Vec<u32>,
    /// In a hurry, because a deadline could not be kept.
    pub(crate) bursts: bool,
}

/// How long load balancers take. As with the real defaults, longer than an order holds: when a node that nobody leads
/// begins to send clients away, no other one acts on a rate that was meant for it alone.
const ANNOUNCED: Duration = Duration::from_secs(12);
const WINDOW: Duration = Duration::from_secs(480);
const MARGIN: Duration = Duration::from_secs(10);

impl Node {
    pub(crate) fn new(name: Arc<str>, started_at: Millis) -> Self {
        let report =
            DrainReport { node: Arc::clone(&name), ready: true, capacity: 2_000, ..DrainReport::default() };
        Self {
            name,
            started_at,
            clients: Vec::new(),
            report,
            signalled: None,
            silent_until: Millis::ZERO,
            standing: None,
            begun_at: None,
            is_unready: false,
            credit: 0.0,
        }
    }

    /// Whether new clients may come.
    pub(crate) fn takes_clients(&self) -> bool {
        self.report.phase == DrainPhase::Serving
            || self.report.phase == DrainPhase::Announcing && !self.is_unready
    }

    /// Obeys, or says why not.
    pub(crate) fn handle_order(&mut self, order: &DrainOrder, now: Millis) -> Result<(), &'static str> {
        if (order.epoch, order.seq) < (self.report.epoch, self.report.seq) {
            return Err("stale_epoch");
        }
        let owner = self.standing.as_ref().filter(|standing| !standing.has_lapsed);
        if owner.is_some_and(|owner| owner.order.op != order.op && order.epoch == self.report.epoch) {
            return Err("owned");
        }
        if self.signalled.is_some() && order.phase == DrainPhase::Serving {
            return Err("shutting_down");
        }
        (self.report.epoch, self.report.seq) = (order.epoch, order.seq);
        if order.phase == DrainPhase::Serving {
            self.standing = None;
            return Ok(());
        }
        if self.report.op.as_ref() != Some(&order.op) {
            self.forget_counts();
            self.report.op = Some(order.op.clone());
            self.report.source = DrainSource::Order;
        }
        self.standing = Some(Standing {
            wanted: order.phase.clone(),
            expires_at: now + order.ttl,
            deadline: order.deadline.map(|left| now + left),
            has_lapsed: false,
            order: order.clone(),
        });
        Ok(())
    }

    pub(crate) fn signal(&mut self, now: Millis, killed_at: Millis) {
        self.signalled.get_or_insert((now, killed_at));
    }

    /// Lives for a second; `share` is what the budget leaves it when nobody leads.
    pub(crate) fn live(&mut self, share: f64, now: Millis) -> Sent {
        self.expire(now);
        let wanted = self.standing.as_ref().map(|standing| standing.wanted.clone());
        let signalled = self.signalled.is_some();
        if wanted.is_none() && !signalled {
            self.begun_at = None;
            return self.rest(DrainPhase::Serving);
        }
        if self.begun_at.is_none() {
            self.begun_at = Some(now);
            self.is_unready = wanted.is_some();
            if wanted.is_none() {
                self.forget_counts();
                self.report.op = None;
            }
        }
        let announces = self.begun_at.is_some_and(|begun| now < begun + ANNOUNCED);
        match wanted {
            Some(DrainPhase::Announcing) if !signalled => self.rest(DrainPhase::Announcing),
            Some(DrainPhase::Rebalancing) if !signalled => self.give(),
            Some(DrainPhase::Paused | DrainPhase::Announcing) if !self.must_burst(share, now) => {
                self.rest(if announces && signalled { DrainPhase::Announcing } else { DrainPhase::Paused })
            }
            Some(DrainPhase::Bursting) => self.burst(now),
            _ if announces => self.rest(DrainPhase::Announcing),
            _ if self.must_burst(share, now) => self.burst(now),
            _ => self.evict(share, now),
        }
    }

    pub(crate) fn refresh(&mut self) {
        let count = self.clients.len() as u64;
        let is_ready = self.takes_clients();
        let report = &mut self.report;
        (report.connections, report.sessions, report.remaining) = (count, count, count);
        report.ready = is_ready;
        report.shutting_down = self.signalled.is_some();
        report.load =
            DrainLoad { free_connections: report.capacity.saturating_sub(count), ..DrainLoad::default() };
    }

    fn expire(&mut self, now: Millis) {
        let signalled = self.signalled.is_some();
        let Some(standing) = self.standing.as_mut().filter(|one| !one.has_lapsed && now >= one.expires_at)
        else {
            return;
        };
        standing.has_lapsed = true;
        match standing.order.on_coordinator_loss {
            _ if signalled => standing.wanted = DrainPhase::Evicting,
            OnCoordinatorLoss::Continue => {}
            OnCoordinatorLoss::Pause => standing.wanted = DrainPhase::Paused,
            OnCoordinatorLoss::ResumeServing => self.standing = None,
        }
    }

    /// What it was ordered, as long as that holds.
    pub(crate) fn rate(&self) -> f64 {
        self.allowed(f64::INFINITY)
    }

    fn allowed(&self, share: f64) -> f64 {
        let led = self.standing.as_ref().filter(|standing| !standing.has_lapsed);
        led.map_or(share, |standing| standing.order.rate.unwrap_or(share))
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        let begun = self.begun_at?;
        let ordered = self.standing.as_ref().and_then(|standing| standing.deadline);
        let own = self.signalled.map(|(_, killed_at)| killed_at - MARGIN);
        ordered.into_iter().chain(own).min().or(Some(begun + ANNOUNCED + WINDOW))
    }

    fn must_burst(&self, share: f64, now: Millis) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        let wanted = self.standing.as_ref().map(|standing| &standing.wanted);
        let holds = matches!(wanted, Some(DrainPhase::Paused | DrainPhase::Announcing));
        let is_led = self.standing.as_ref().is_some_and(|standing| !standing.has_lapsed);
        if self.clients.is_empty() || (holds && is_led && self.signalled.is_none()) {
            return false;
        }
        let left = deadline.since(now).as_secs_f64();
        let allowed = if holds { share } else { self.allowed(share) };
        self.clients.len() as f64 / (left - 4_f64.min(left / 2.0)) > allowed * 1.1
    }

    fn evict(&mut self, share: f64, now: Millis) -> Sent {
        let is_led = self.standing.as_ref().is_some_and(|one| !one.has_lapsed && one.order.rate.is_some());
        let left = self.deadline().map_or(f64::INFINITY, |deadline| deadline.since(now).as_secs_f64());
        let pressing = self.clients.len() as f64 / (left - 4_f64.min(left / 2.0));
        let allowed = self.allowed(share);
        let rate = if is_led { allowed } else { allowed.min(pressing.max(50.0)) };
        let exit_at = self.standing.as_ref().map_or(0, |one| one.order.exit_at);
        let most = (self.clients.len() as u64).saturating_sub(exit_at);
        if most == 0 && self.report.displaced == 0 {
            return self.rest(DrainPhase::Drained);
        }
        let phase = if most == 0 { DrainPhase::Settling } else { DrainPhase::Evicting };
        self.send(phase, rate, most)
    }

    fn burst(&mut self, now: Millis) -> Sent {
        if self.clients.is_empty() && self.report.displaced == 0 {
            return self.rest(DrainPhase::Drained);
        }
        let left = self.deadline().map_or(0.0, |deadline| deadline.since(now).as_secs_f64());
        let rate = self.clients.len() as f64 / (left - 4.0).max(1.0);
        self.credit = 0.0;
        let most = self.clients.len() as u64;
        let mut sent = self.send(DrainPhase::Bursting, rate.max(50.0), most);
        sent.bursts = true;
        self.report.forced += sent.clients.len() as u64;
        sent
    }

    fn give(&mut self) -> Sent {
        let (rate, moves) = self
            .standing
            .as_ref()
            .map_or((0.0, 0), |one| (one.order.rate.unwrap_or(0.0), one.order.moves.unwrap_or(0)));
        let most = moves.saturating_sub(self.report.moved).min(self.clients.len() as u64);
        self.send(DrainPhase::Rebalancing, rate, most)
    }

    fn rest(&mut self, phase: DrainPhase) -> Sent {
        self.report.phase = phase;
        self.credit = 0.0;
        Sent { clients: Vec::new(), bursts: false }
    }

    fn send(&mut self, phase: DrainPhase, rate: f64, most: u64) -> Sent {
        self.report.phase = phase;
        self.credit = (self.credit + rate).min(rate + 1.0);
        let count = (self.credit as u64).min(most);
        self.credit -= count as f64;
        let rest = self.clients.len() - count as usize;
        let clients = self.clients.split_off(rest);
        self.report.moved += count;
        self.report.displaced += count;
        Sent { clients, bursts: false }
    }

    fn forget_counts(&mut self) {
        let report = &mut self.report;
        (report.moved, report.left, report.closed, report.forced) = (0, 0, 0, 0);
        (report.displaced, report.resumed, report.lost) = (0, 0, 0);
    }
}
