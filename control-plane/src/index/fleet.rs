//! All nodes, and what changes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::drain::DrainReport;

use super::{Deployment, NodeEntry, NodeView, Pod};
use crate::model::Millis;

/// Nodes that are known at most; further ones are counted and left out.
pub const NODES_MAX: usize = 1_024;

/// All nodes that are known.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    nodes: BTreeMap<Arc<str>, NodeView>,
    deployment: Option<Deployment>,
    left_out: u64,
}

/// Something that became known.
#[expect(clippy::large_enum_variant, reason = "made where it comes in, and taken apart at once")]
#[derive(Clone, Debug)]
pub enum Seen {
    /// A node answered.
    Report(DrainReport),
    /// A node did not answer.
    Silence(Arc<str>),
    /// Every node that has a lease, by name: those that are not among them lost theirs.
    Directory(Vec<(Arc<str>, NodeEntry)>),
    /// A pod is there, or changed.
    Pod(Arc<str>, Pod),
    /// A pod is gone.
    PodGone(Arc<str>),
    /// The one Deployment that the pods belong to, or that there is none or more than one.
    Deployment(Option<Deployment>),
}

impl Fleet {
    /// No node yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what became known at `now`.
    pub fn handle(&mut self, seen: Seen, now: Millis) {
        match seen {
            Seen::Report(report) => self.handle_report(report, now),
            Seen::Silence(name) => {
                if let Some(node) = self.nodes.get_mut(&name) {
                    node.unreachable_since.get_or_insert(now);
                }
            }
            Seen::Directory(entries) => self.handle_directory(entries, now),
            Seen::Pod(name, pod) => {
                let Some(node) = self.node_at(name, now) else { return };
                // A pod of the same name with another id is another process: nothing the old one said holds for it.
                if node.pod.as_ref().is_some_and(|known| known.uid != pod.uid) {
                    *node = NodeView::new(Arc::clone(&node.name), now);
                }
                node.pod = Some(pod);
                node.last_seen_at = now;
            }
            Seen::PodGone(name) => {
                if let Some(node) = self.nodes.get_mut(&name) {
                    node.pod = None;
                }
                self.forget_if_gone(&name, now);
            }
            Seen::Deployment(deployment) => self.deployment = deployment,
        }
    }

    /// The one Deployment that all pods belong to.
    pub fn deployment(&self) -> Option<&Deployment> {
        self.deployment.as_ref()
    }

    /// Every node, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeView> {
        self.nodes.values()
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&NodeView> {
        self.nodes.get(name)
    }

    /// How often a node was left out because there are [`NODES_MAX`] already.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Forgets nodes that nobody has said anything of for `after`.
    pub fn expire(&mut self, after: Duration, now: Millis) {
        self.nodes.retain(|_, node| {
            node.pod.is_some() || node.entry.is_some() || now.since(node.last_seen_at) < after
        });
    }

    fn handle_report(&mut self, report: DrainReport, now: Millis) {
        let Some(node) = self.node_at(Arc::clone(&report.node), now) else { return };
        if let (Some(before), Some(at)) = (&node.report, node.reported_at) {
            // A count that fell is that of another drain, or another process.
            let sent = report.moved.checked_sub(before.moved).unwrap_or(report.moved);
            node.sent_away = Some((sent, now.since(at)));
        }
        node.report = Some(report);
        node.reported_at = Some(now);
        node.last_seen_at = now;
        node.unreachable_since = None;
    }

    fn handle_directory(&mut self, entries: Vec<(Arc<str>, NodeEntry)>, now: Millis) {
        let mut named: BTreeMap<_, _> = entries.into_iter().collect();
        let mut unnamed = Vec::new();
        for (name, node) in &mut self.nodes {
            let entry = named.remove(name);
            let restarted = match (node.known_started_at, &entry) {
                (Some(before), Some(after)) => before != after.started_at,
                _ => false,
            };
            // The one that started anew has not answered yet; the old one's report is not its own.
            if restarted {
                node.report = None;
                node.reported_at = None;
                node.sent_away = None;
            }
            match entry {
                Some(entry) => {
                    node.known_started_at = Some(entry.started_at);
                    node.entry = Some(entry);
                    node.last_seen_at = now;
                }
                None => {
                    node.entry = None;
                    unnamed.push(Arc::clone(name));
                }
            }
        }
        for name in unnamed {
            self.forget_if_gone(&name, now);
        }
        for (name, entry) in named {
            if let Some(node) = self.node_at(name, now) {
                node.known_started_at = Some(entry.started_at);
                node.entry = Some(entry);
            }
        }
    }

    fn node_at(&mut self, name: Arc<str>, now: Millis) -> Option<&mut NodeView> {
        if !self.nodes.contains_key(&name) && self.nodes.len() >= NODES_MAX {
            self.left_out += 1;
            return None;
        }
        Some(self.nodes.entry(name).or_insert_with_key(|name| NodeView::new(Arc::clone(name), now)))
    }

    /// A node that has no pod, no lease and does not answer is gone.
    fn forget_if_gone(&mut self, name: &str, now: Millis) {
        let is_gone = |node: &NodeView| {
            let is_old = node.reported_at.is_none_or(|at| now.since(at) >= REPORT_OLD_AFTER);
            let silent = node.unreachable_since.is_some() || is_old;
            node.pod.is_none() && node.entry.is_none() && silent
        };
        if self.nodes.get(name).is_some_and(is_gone) {
            self.nodes.remove(name);
        }
    }
}

/// Nodes are asked each second: one that has no lease and said nothing for so long does not answer.
const REPORT_OLD_AFTER: Duration = Duration::from_secs(3);
