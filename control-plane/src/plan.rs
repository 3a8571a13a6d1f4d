//! What to do next, from what is known: the fleet and the operations in, orders and other actions out.
//!
//! Place in the path: the leader's loop calls [`Planner::tick`] each second between gathering reports and pushing orders.
//! Pure: `now` is an argument, nothing is awaited, and nothing is kept that a new leader could not find out again from
//! the operations in the store and the nodes' reports.
//!
//! | Part | Question |
//! |---|---|
//! | `accept`, `forecast`, `room` | may this begin, and what would it do |
//! | `command` | what do people want of it now |
//! | `targets` | which nodes, in which order, in which waves |
//! | `adopt` | which nodes end without having been asked here |
//! | `advance` | how far is each node, and what comes next |
//! | `platform` | can that be done where the gateways run |
//! | `detach` | which pods get their replacement before they go |
//! | `scale` | which nodes are too many, and when may the Deployment be scaled |
//! | `rebalance` | who has too many sessions |
//! | `guards` | may clients be moved at all |
//! | `budget`, `share` | how many a second, over all nodes, and who of them |
//! | `deletion_cost` | which pods should a scale-down take first |

mod accept;
mod adopt;
mod advance;
mod budget;
mod command;
mod conditions;
mod deletion_cost;
mod detach;
mod forecast;
mod guards;
mod platform;
mod rebalance;
mod room;
mod scale;
mod share;
mod slow;
mod steps;
mod targets;
#[cfg(test)]
mod tests;
mod want;

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_protocol::drain::{DrainOrder, OperationId};

pub use self::accept::{accept, is_same};
use self::advance::Sight;
use self::budget::Budget;
pub use self::budget::BudgetConfig;
pub use self::command::{change, command};
pub use self::forecast::forecast;
pub use self::platform::{Platform, Switch};
pub use self::rebalance::AutoRebalance;
pub use self::slow::SlowConfig;
use self::want::Want;
use crate::index::{Fleet, Peers};
use crate::model::{BudgetHealth, ConditionKind, Millis, Operation};

/// The operations that are not over, by id. The planner adds those that it adopts or begins itself.
pub type Operations = BTreeMap<OperationId, Operation>;

/// What the operator set.
#[derive(Clone, Debug, Default)]
pub struct PlanConfig {
    /// How fast clients may move, over all operations.
    pub budget: BudgetConfig,
    /// Whether and when sessions are spread again without being asked.
    pub rebalance: AutoRebalance,
    /// When an address counts as holding handshakes open on purpose.
    pub slow: SlowConfig,
    /// Where the gateways run, and what may be done there.
    pub platform: Platform,
}

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Tell a node what it shall do; repeated each tick.
    Order {
        /// The node.
        node: Arc<str>,
        /// What.
        order: Box<DrainOrder>,
    },
    /// Evict a node's pod, unless that was just tried.
    Evict {
        /// The operation that wants it.
        op: OperationId,
        /// The node.
        node: Arc<str>,
        /// Its pod's uid: another pod of that name must not go.
        uid: Arc<str>,
    },
    /// Take a node's pod from its ReplicaSet, unless that was just tried. Repeated until it is so.
    Detach {
        /// The operation that wants it.
        op: OperationId,
        /// The node.
        node: Arc<str>,
        /// Its pod's uid: another pod of that name must not be touched.
        uid: Arc<str>,
        /// The revision that the pod is to remember.
        revision: String,
    },
    /// Scale the Deployment of the pods down, unless that is on its way. Repeated until it is so.
    Scale {
        /// The operation that wants it.
        op: OperationId,
        /// The Deployment.
        deployment: Arc<str>,
        /// Pods that it wants now: if it wants another number, it is left alone.
        from: u64,
        /// Pods that it shall want.
        to: u64,
    },
    /// Let Kubernetes know which pods to take first: those that are empty anyway. Repeated each tick.
    DeletionCost {
        /// The node.
        node: Arc<str>,
        /// Lower ones go first.
        cost: i32,
    },
    /// Something that people should hear of.
    Event {
        /// The operation.
        op: OperationId,
        /// Something is wrong.
        is_warning: bool,
        /// What, in one word in CamelCase.
        reason: String,
        /// What, for people.
        message: String,
    },
    /// An operation changed: its record is to be kept.
    Persist {
        /// Which.
        op: OperationId,
    },
    /// Refuse handshakes of these addresses on every node. Repeated each tick, and complete.
    Block {
        /// Addresses and prefixes.
        addresses: Vec<Arc<str>>,
    },
}

/// The leader's memory: the budget, and what it told whom.
#[derive(Debug)]
pub struct Planner {
    config: PlanConfig,
    epoch: u64,
    seq: u64,
    budget: Budget,
    /// Clients a second that nodes were allowed last, for as long as they may still act on it.
    allowed: BTreeMap<Arc<str>, f64>,
    /// Until when a guard that was broken holds an operation.
    held: BTreeMap<OperationId, Millis>,
    /// Since when sessions are spread badly.
    uneven_since: Option<Millis>,
    /// When sessions were last spread again.
    rebalanced_at: Option<Millis>,
    /// Addresses that are refused, and until when.
    blocked: BTreeMap<Arc<str>, Millis>,
}

impl Planner {
    /// A leader of `epoch` that begins at `now`.
    pub fn new(config: PlanConfig, epoch: u64, now: Millis) -> Self {
        Self {
            budget: Budget::new(config.budget, now),
            config,
            epoch,
            seq: 0,
            allowed: BTreeMap::new(),
            held: BTreeMap::new(),
            uneven_since: None,
            rebalanced_at: None,
            blocked: BTreeMap::new(),
        }
    }

    /// Moves everything on as far as it is at `now`; called about once a second.
    pub fn tick(&mut self, fleet: &Fleet, operations: &mut Operations, now: Millis) -> Vec<Action> {
        let before = operations.clone();
        let mut actions = Vec::new();
        let peers = Peers::of(fleet);
        self.budget.observe(fleet, &peers, now);
        adopt::adopt(fleet, operations, now);
        self.begin_rebalance(fleet, operations, now);

        let mut wants = Vec::new();
        for id in operations.keys().cloned().collect::<Vec<_>>() {
            let Some(mut operation) = operations.remove(&id) else { continue };
            let sight = Sight { fleet, peers: &peers, others: operations, now };
            if !operation.state.is_terminal() {
                self.advance(&mut operation, sight, &mut wants, &mut actions);
            }
            operations.insert(id, operation);
        }
        self.order(fleet, operations, wants, now, &mut actions);
        self.block(fleet, now, &mut actions);
        actions.extend(deletion_cost::of_pods(fleet, operations));
        self.persist(&before, operations, &mut actions);
        actions
    }

    /// The budget and how much of it is in use.
    pub fn budget(&self) -> BudgetHealth {
        // Not `sum`: of nothing that is -0.0.
        self.budget.health(self.allowed.values().fold(0.0, |sum, rate| sum + rate))
    }

    /// Turns what operations want of nodes into orders whose rates together keep to the budget.
    fn order(
        &mut self,
        fleet: &Fleet,
        operations: &mut Operations,
        wants: Vec<Want>,
        now: Millis,
        actions: &mut Vec<Action>,
    ) {
        let rates = self.allot(fleet, operations, &wants, now);
        self.allowed.clear();
        for (want, rate) in wants.into_iter().zip(rates) {
            if rate.clients_per_second > 0.0 {
                self.allowed.insert(Arc::clone(&want.node), rate.clients_per_second);
            }
            if rate.falls_short
                && let Some(operation) = operations.get_mut(&want.op)
            {
                let message =
                    format!("{} has less time left than its clients need at the allowed rate", want.node);
                conditions::set(operation, ConditionKind::DeadlineAtRisk, "RateTooLow", message, now);
            }
            self.seq += 1;
            let (node, order) = want.into_order(rate, self.epoch, self.seq, now);
            actions.push(Action::Order { node, order: Box::new(order) });
        }
    }

    /// Counts a revision up for each operation that is not as it was.
    fn persist(&self, before: &Operations, operations: &mut Operations, actions: &mut Vec<Action>) {
        for (id, operation) in operations {
            operation.count();
            match before.get(id) {
                Some(before) if before == operation => continue,
                Some(_) => operation.revision += 1,
                None => {}
            }
            operation.epoch = self.epoch;
            actions.push(Action::Persist { op: id.clone() });
        }
    }
}
