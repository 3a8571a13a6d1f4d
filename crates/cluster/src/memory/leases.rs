//! Leases of nodes. Each one that starts gets a number of its own, so what was held under an ended lease is recognised
//! by its number, even when its node is back.

use std::collections::{BTreeMap, HashMap};

use tidegate_protocol::id::NodeName;
use tidegate_protocol::time::Millis;

use crate::directory::Lease;

/// One lease of one node, from its start to its end.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Tenure(u32);

/// The leases there are, with what is known of each node.
#[derive(Debug)]
pub(super) struct Leases<T> {
    tenures: HashMap<NodeName, Tenure>,
    tenants: BTreeMap<Tenure, Tenant<T>>,
    started: u32,
    nodes_max: usize,
}

#[derive(Debug)]
struct Tenant<T> {
    node: NodeName,
    ends_at: Millis,
    about: T,
}

impl<T> Leases<T> {
    pub(super) fn new(nodes_max: usize) -> Self {
        Self { tenures: HashMap::new(), tenants: BTreeMap::new(), started: 0, nodes_max }
    }

    /// Starts or renews a lease; `None` where there are as many nodes as there may be.
    pub(super) fn renew(&mut self, node: &NodeName, ends_at: Millis, about: T, now: Millis) -> Option<Lease> {
        self.expire(now);
        let known = self.tenures.get(node).and_then(|tenure| self.tenants.get_mut(tenure));
        if let Some(tenant) = known {
            (tenant.ends_at, tenant.about) = (ends_at, about);
            return Some(Lease::Kept);
        }
        if self.tenures.len() >= self.nodes_max {
            return None;
        }
        self.started = self.started.checked_add(1).expect("a lease a second lasts for 136 years");
        let tenure = Tenure(self.started);
        self.tenures.insert(node.clone(), tenure);
        self.tenants.insert(tenure, Tenant { node: node.clone(), ends_at, about });
        Some(Lease::New)
    }

    pub(super) fn end(&mut self, node: &NodeName) {
        if let Some(tenure) = self.tenures.remove(node) {
            self.tenants.remove(&tenure);
        }
    }

    /// The lease a node has.
    pub(super) fn tenure(&mut self, node: &NodeName, now: Millis) -> Option<Tenure> {
        self.expire(now);
        self.tenures.get(node).copied()
    }

    /// Whose lease it is, if it has not ended.
    pub(super) fn node(&self, tenure: Tenure, now: Millis) -> Option<&NodeName> {
        self.tenants.get(&tenure).filter(|tenant| tenant.ends_at > now).map(|tenant| &tenant.node)
    }

    /// The leases there are.
    pub(super) fn live(&mut self, now: Millis) -> Live {
        self.expire(now);
        Live { tenures: self.tenants.keys().copied().collect(), started: self.started }
    }

    /// What is known of each node, in no order.
    pub(super) fn about_all(&mut self, now: Millis) -> impl Iterator<Item = &T> {
        self.expire(now);
        self.tenants.values().map(|tenant| &tenant.about)
    }

    pub(super) fn len(&self) -> usize {
        self.tenants.len()
    }

    fn expire(&mut self, now: Millis) {
        // There are few nodes: no order by end is kept.
        if self.tenants.values().all(|tenant| tenant.ends_at > now) {
            return;
        }
        for (_, ended) in self.tenants.extract_if(.., |_, tenant| tenant.ends_at <= now) {
            self.tenures.remove(&ended.node);
        }
    }
}

/// Which leases had not ended at a moment.
#[derive(Debug)]
pub(super) struct Live {
    tenures: Vec<Tenure>,
    started: u32,
}

impl Live {
    pub(super) fn has(&self, tenure: Tenure) -> bool {
        self.tenures.binary_search(&tenure).is_ok()
    }

    /// Whether no lease ever ended, so that nothing can be held under one that did.
    pub(super) fn is_all(&self) -> bool {
        self.tenures.len() == self.started as usize
    }
}
