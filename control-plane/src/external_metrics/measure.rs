//! What an autoscaler is told, from the health document. Pure.
//!
//! A replica that does not know says so: a number that is too small, right after a restart or while a gateway cannot be
//! asked, would have healthy pods taken away. An autoscaler that gets no number leaves the pods as they are.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::drain::{DrainPhase, DrainReport};

use crate::model::{ClusterHealth, Millis, NodeHealth};

/// A document, or a gateway's report in it, that is older says nothing of now. Both are renewed each second.
const FRESH_FOR: Duration = Duration::from_secs(15);

/// A metric that is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Metric {
    /// Connections on all gateways.
    Connections,
    /// Connections, and in addition an average pod's for each that is drained and kept.
    Load,
}

/// A metric's value at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Reading {
    pub(super) value: u64,
    /// When it was so: Unix time.
    pub(super) at: Millis,
}

/// Why there is no value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unknown {
    /// The loop that gathers stands still, or has not begun.
    #[error("this replica has not looked at the cluster for {} s", .0.as_secs())]
    Stale(Duration),
    /// No gateway has answered yet.
    #[error("no gateway has told its connections yet")]
    NobodyAnswers,
    /// A gateway that lives, by its lease in the store, does not answer here.
    #[error("{0} is alive and does not answer: its connections are not known")]
    Silent(Arc<str>),
    /// Everybody drains: no number of pods follows from the connections of none.
    #[error("no gateway serves")]
    NobodyServes,
}

impl Metric {
    pub(super) const ALL: [Self; 2] = [Self::Connections, Self::Load];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connections => "tidegate_connections",
            Self::Load => "tidegate_load",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Its value by a document, at `now`.
    pub(super) fn read(self, health: &ClusterHealth, now: Millis) -> Result<Reading, Unknown> {
        let age = now.since(health.at);
        if age > FRESH_FOR {
            return Err(Unknown::Stale(age));
        }
        let reports = reports(health)?;
        // Connections on a pod that drains or ends count in full: they are on their way to the others.
        let connections: u64 = reports.iter().map(|report| report.connections).sum();
        let value = match self {
            Self::Connections => connections,
            Self::Load => {
                let serving = reports.iter().filter(|report| serves(report)).count() as u64;
                let kept = reports.iter().filter(|report| is_kept(report)).count() as u64;
                if serving == 0 {
                    return Err(Unknown::NobodyServes);
                }
                (connections * (serving + kept)).div_ceil(serving)
            }
        };
        Ok(Reading { value, at: health.at })
    }
}

/// What each gateway said last that has any connections.
fn reports(health: &ClusterHealth) -> Result<Vec<&DrainReport>, Unknown> {
    let is_fresh =
        |node: &NodeHealth| node.report_age_ms.is_some_and(|age| u128::from(age) <= FRESH_FOR.as_millis());
    let mut reports = Vec::with_capacity(health.nodes.len());
    for node in &health.nodes {
        match &node.report {
            Some(report) if is_fresh(node) => reports.push(report),
            // It holds a lease (only who does has told when it started), so it lives, with clients that nobody counts.
            _ if node.started_at.is_some() => return Err(Unknown::Silent(Arc::clone(&node.name))),
            // A pod that is about to start, or a machine that is gone: whoever was there has reconnected to others.
            _ => {}
        }
    }
    if reports.is_empty() { Err(Unknown::NobodyAnswers) } else { Ok(reports) }
}

fn serves(report: &DrainReport) -> bool {
    !report.shutting_down && matches!(report.phase, DrainPhase::Serving | DrainPhase::Rebalancing)
}

/// A pod that the Deployment counts among its replicas, and that takes no clients. One that ends is not counted there.
fn is_kept(report: &DrainReport) -> bool {
    !report.shutting_down && !matches!(report.phase, DrainPhase::Serving | DrainPhase::Rebalancing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external_metrics::tests::{document, node};

    const NOW: Millis = Millis::new(1_000_000);

    #[test]
    fn all_connections_count_also_those_on_pods_that_drain() {
        let mut health = document(NOW, [node("a", 100), node("b", 60), node("c", 8)]);
        set_phase(&mut health, 1, DrainPhase::Evicting);
        health.nodes[2].report.as_mut().unwrap().shutting_down = true;

        let reading = Metric::Connections.read(&health, NOW);

        assert_eq!(reading, Ok(Reading { value: 168, at: NOW }));
    }

    #[test]
    fn a_pod_that_is_drained_and_kept_has_its_share_of_the_load_too() {
        let mut health = document(NOW, [node("a", 100), node("b", 101), node("c", 0), node("d", 7)]);
        assert_eq!(Metric::Load.read(&health, NOW).unwrap().value, 208, "everybody serves");

        set_phase(&mut health, 2, DrainPhase::Drained);
        health.nodes[3].report.as_mut().unwrap().shutting_down = true;

        // 208 on two that serve are 104 each; the Deployment has three pods that it counts.
        assert_eq!(Metric::Load.read(&health, NOW).unwrap().value, 312);
    }

    #[test]
    fn the_load_of_nobody_is_unknown() {
        let mut health = document(NOW, [node("a", 100)]);
        set_phase(&mut health, 0, DrainPhase::Evicting);
        assert_eq!(Metric::Load.read(&health, NOW), Err(Unknown::NobodyServes));
        assert_eq!(Metric::Connections.read(&health, NOW).unwrap().value, 100);
    }

    #[test]
    fn a_replica_that_knows_nothing_says_so() {
        let starting = crate::health::unknown(NOW);
        assert_eq!(Metric::Connections.read(&starting, NOW), Err(Unknown::NobodyAnswers));

        let mut only_pods = document(NOW, [node("a", 5)]);
        only_pods.nodes[0].report = None;
        only_pods.nodes[0].started_at = None;
        assert_eq!(Metric::Connections.read(&only_pods, NOW), Err(Unknown::NobodyAnswers));
    }

    #[test]
    fn a_document_counts_until_it_is_too_old() {
        let health = document(NOW, [node("a", 5)]);
        assert!(Metric::Connections.read(&health, NOW + FRESH_FOR).is_ok());
        let later = NOW + FRESH_FOR + Duration::from_millis(1);
        assert!(matches!(Metric::Connections.read(&health, later), Err(Unknown::Stale(_))));
    }

    #[test]
    fn a_gateway_that_lives_and_is_silent_makes_the_sum_unknown() {
        let mut health = document(NOW, [node("a", 5), node("b", 7)]);
        health.nodes[1].report_age_ms = Some(15_000);
        assert_eq!(Metric::Connections.read(&health, NOW).unwrap().value, 12, "just young enough");

        health.nodes[1].report_age_ms = Some(15_001);
        assert_eq!(Metric::Connections.read(&health, NOW), Err(Unknown::Silent("b".into())));

        // Its lease is over: it is gone, and its clients are on others by now.
        health.nodes[1].started_at = None;
        assert_eq!(Metric::Connections.read(&health, NOW).unwrap().value, 5);
    }

    fn set_phase(health: &mut ClusterHealth, node: usize, phase: DrainPhase) {
        health.nodes[node].report.as_mut().unwrap().phase = phase;
    }
}
