//! `[kubernetes]`: what is watched there, and what may be changed. Each switch stands for verbs of the Role.
//!
//! `docs/kubernetes-rbac.md` lists which verb belongs to which switch; the chart grants those that are switched on.

use std::time::Duration;

use tidegate_service::config::{Checks, Environment, computed, value};
use tidegate_service::config_section;

use crate::plan::{Platform, Switch};

config_section! {
    /// Where the gateways are pods: what is watched there, and what may be changed.
    pub struct Kubernetes {
        /// Whether there is a Kubernetes at all. Without it, nodes come from the directory and leaders from the store.
        pub enabled: bool = computed("whether the process runs in a pod", |environment| environment.text("KUBERNETES_SERVICE_HOST").is_some());
        /// The namespace of the gateways and of the Lease.
        pub namespace: Option<String> = computed("`POD_NAMESPACE`, else that of the service account", |environment| text(environment, "POD_NAMESPACE"));
        /// Which pods are gateways, as a label selector; their ReplicaSets carry the same labels.
        pub selector: String = value("app.kubernetes.io/name=tidegate,app.kubernetes.io/component=gateway".to_owned())
            .checked(|selector| not_empty(selector, "a selector without labels would take every pod for a gateway"));
        /// The Service that clients come in by: its EndpointSlices say who gets new connections, and the zone of each pod.
        pub service: Option<String> = value(None);
        /// Admin port of a gateway whose pod names no container port `admin`.
        pub admin_port: u16 = value(9000).within(1..=65_535);
        /// The Lease by which one replica of the control plane becomes the leader.
        pub lease: String = value("tidegate-control-plane".to_owned())
            .checked(|name| not_empty(name, "the Lease needs a name"));
        /// How long a leader that says nothing stays the leader; it steps down itself when two thirds have passed.
        pub lease_duration: Duration = value(Duration::from_secs(15)).within(Duration::from_secs(3)..=Duration::from_secs(300));
        /// How often the leader renews, and the others look: a new leader is there within the lease and two of these.
        pub lease_renew: Duration = value(Duration::from_secs(1)).within(Duration::from_millis(500)..=Duration::from_secs(100));
        /// Whether drained pods may be evicted (`pods/eviction` create).
        pub evict: bool = value(true);
        /// Whether operations may take a pod from its ReplicaSet when its drain begins, so that its replacement starts at once:
        /// `replacement: detach` (`pods` patch). One whose operation is aborted belongs to nobody.
        pub detach: bool = value(false);
        /// Whether pods are told which of them a scale-down shall take first (`pods` patch).
        pub deletion_cost: bool = value(true);
        /// Changes of the deletion cost, for all pods together, in a minute.
        pub deletion_cost_changes_per_minute: u32 = value(60).within(1..=6000);
        /// Whether operations may scale the gateways' Deployment down, once the pods that are to go are empty: `target: scaleDown`
        /// (`deployments/scale` get, patch). Needs `deletion_cost`.
        pub scale: bool = value(false);
        /// Whether operations leave Events at the pods they are about (`events.k8s.io` create, patch).
        pub events: bool = value(true);
        /// Whether the API takes service account tokens (`tokenreviews` create, a ClusterRole).
        pub token_review: bool = value(false);
        /// Audience that such tokens must be made for; empty: that of the API server.
        pub token_audience: String = value("tidegate".to_owned());
    }
}

impl Kubernetes {
    /// What operations may ask for.
    pub(crate) fn platform(&self) -> Platform {
        if !self.enabled {
            return Platform::Processes;
        }
        let switches = [
            (Switch::Evict, self.evict),
            (Switch::Detach, self.detach),
            (Switch::DeletionCost, self.deletion_cost),
            (Switch::Scale, self.scale),
        ];
        let on = switches.into_iter().filter(|(_, is_on)| *is_on).map(|(switch, _)| switch).collect();
        Platform::Kubernetes { on }
    }

    /// Checks between keys.
    pub(crate) fn check(&self, checks: &mut Checks<'_>) {
        if self.lease_renew * 3 > self.lease_duration {
            checks.fault(
                &["kubernetes.lease_renew", "kubernetes.lease_duration"],
                "must be a third of lease_duration at most: a leader needs a second try before it steps down",
            );
        }
    }
}

fn text(environment: &Environment, variable: &str) -> Option<String> {
    environment.text(variable).map(str::to_owned)
}

fn not_empty(text: &str, otherwise: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err(otherwise.to_owned()) } else { Ok(()) }
}
