//! The part of a tick that is about pods: what Kubernetes shows, and what it is asked to do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_cluster::Leadership;
use tidegate_protocol::drain::OperationId;
use tidegate_protocol::time::Millis;

use crate::index::Seen;
use crate::kubernetes::{Kubernetes, PodLink};
use crate::plan::{Action, Operations};

/// Pods that are told of one event at most.
const NOTES_MAX: usize = 8;

/// The gateways' pods.
pub(crate) struct Pods {
    kubernetes: Arc<Kubernetes>,
    link: Mutex<PodLink>,
}

impl Pods {
    /// Starts to watch.
    pub(crate) fn new(kubernetes: Arc<Kubernetes>) -> Self {
        let link = Mutex::new(PodLink::start(&kubernetes));
        Self { kubernetes, link }
    }

    pub(super) fn leadership(&self) -> Arc<dyn Leadership> {
        self.kubernetes.leadership()
    }

    /// What is new, and where each pod's admin port is.
    pub(super) fn take(&self, now: Millis) -> (Vec<Seen>, BTreeMap<Arc<str>, Arc<str>>) {
        let mut link = self.link();
        (link.poll(now), link.admin_urls())
    }

    /// Hands over what the plan wants of Kubernetes. An API server that is away holds up no order to a gateway.
    pub(super) fn perform(&self, actions: &[Action], operations: &Operations, now: Millis) {
        let nodes_of = |op: &OperationId| {
            let steps = operations.get(op).into_iter().flat_map(|operation| &operation.steps);
            steps.filter(|step| step.is_active()).map(|step| Arc::clone(&step.node)).take(NOTES_MAX).collect()
        };
        self.link().push(actions, nodes_of, now);
    }

    fn link(&self) -> MutexGuard<'_, PodLink> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
