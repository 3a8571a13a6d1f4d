//! What the cluster says: the directory, Kubernetes, the store, and each node itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_cluster::directory::NodeRecord;
use tokio::join;

use super::{Coordinator, FORGET_AFTER, State};
use crate::agents::{Agent, Answered};
use crate::index::{NodeEntry, Seen};

impl Coordinator {
    /// Takes in what there is to know. What is away is left as it was known last.
    pub(super) async fn gather(&self) {
        match self.outside.directory.nodes().await {
            Ok(records) => self.take_directory(&records),
            Err(unavailable) => tracing::debug!(%unavailable, "the directory cannot be read"),
        }
        self.take_pods();
        let (answers, read) = join!(self.agents.poll(self.agents_known()), self.store.refresh());
        match read {
            Ok(()) => self.counts.has_read.store(true, Ordering::Relaxed),
            Err(unavailable) => tracing::debug!(%unavailable, "operations cannot be read"),
        }
        self.take_answers(answers);
        // Asking takes long where nodes do not answer, and one that says that it ends was deleted before it knew: who deleted
        // it has to be known with that.
        self.take_pods();
    }

    fn take_pods(&self) {
        let Some(pods) = &self.pods else { return };
        let now = self.clock.now();
        let (seen, urls) = pods.take(now);
        let mut state = self.state();
        for seen in seen {
            state.fleet.handle(seen, now);
        }
        state.urls.extend(urls);
    }

    fn take_directory(&self, records: &[NodeRecord]) {
        let now = self.clock.now();
        let mut state = self.state();
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            let name: Arc<str> = record.name.as_str().into();
            if let Some(admin) = &record.admin {
                state.urls.insert(Arc::clone(&name), Arc::clone(admin));
            }
            let entry = NodeEntry {
                version: Arc::clone(&record.version),
                started_at: record.started_at,
                connections: u64::from(record.connections),
                capacity: u64::from(record.capacity),
                phase: tidegate_protocol::drain::DrainPhase::of_word(&record.phase),
                admin: record.admin.clone(),
            };
            entries.push((name, entry));
        }
        state.fleet.handle(Seen::Directory(entries), now);
    }

    fn take_answers(&self, answers: Vec<Answered>) {
        let now = self.clock.now();
        let mut state = self.state();
        for answer in answers {
            match answer {
                Answered::Report(url, report) => {
                    self.elector.note_epoch(report.epoch);
                    // One that only its URL was known of can be told something from now on: orders are for names.
                    state.urls.insert(Arc::clone(&report.node), url);
                    state.fleet.handle(Seen::Report(*report), now);
                }
                Answered::Silence(name) => state.fleet.handle(Seen::Silence(name), now),
            }
        }
        state.fleet.expire(FORGET_AFTER, now);
        let State { fleet, urls, .. } = &mut *state;
        urls.retain(|name, _| fleet.node(name).is_some() || name.starts_with("http://"));
    }

    /// Every gateway that can be asked: by name, or by nothing but its URL.
    fn agents_known(&self) -> Vec<Agent> {
        let state = self.state();
        let named =
            state.urls.iter().map(|(name, url)| Agent { name: Arc::clone(name), url: Arc::clone(url) });
        let bare = self.static_urls.iter().filter(|url| !state.urls.values().any(|known| known == *url));
        let bare = bare.map(|url| Agent { name: Arc::clone(url), url: Arc::clone(url) });
        named.chain(bare).collect()
    }

    /// Where a node can be told something.
    pub(super) fn agents_by_name(&self) -> BTreeMap<Arc<str>, Agent> {
        self.agents_known().into_iter().map(|agent| (Arc::clone(&agent.name), agent)).collect()
    }
}
