//! The operations that are known: those in the store, and what this replica has changed and not yet written.
//!
//! Place in the path: the API and the plan change operations here; [`Store::refresh`] learns what other replicas wrote,
//! and [`Store::write`] swaps one in. Where both changed the same operation the store's version wins: the leader works its
//! own part out again from the nodes' reports at its next tick. Should the store have forgotten everything, what is known
//! here is written again, under revisions that go on where they were.

#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate_cluster::documents::{Change, Cursor, Document, Documents, Expected, Written};
use tidegate_cluster::{Unavailable, answer};
use tidegate_protocol::drain::OperationId;
use tidegate_protocol::time::Millis;
use tokio::sync::watch;

use crate::model::Operation;
use crate::plan::Operations;

/// Documents read in one round trip.
const DOCUMENTS_AT_ONCE: usize = 256;
/// What names of cordons begin with; ids of operations have no colon.
const CORDON: &str = "cordon:";

/// All operations, as this replica knows them.
pub(crate) struct Store {
    documents: Arc<dyn Documents>,
    keep: Duration,
    keep_max: usize,
    known: Mutex<Known>,
}

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Saved {
    /// It is in the store.
    Done(Operation),
    /// Another replica was first; this is what there is now.
    Conflict(Option<Operation>),
}

/// A node that was told to take no clients, outside of any operation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct CordonRecord {
    /// Who asked for it.
    pub(crate) requested_by: String,
    /// Whether it stands: one that was lifted is kept as a mark until it is removed.
    pub(crate) stands: bool,
}

#[derive(Default)]
struct Known {
    cursor: Cursor,
    /// Highest revision that was ever seen.
    newest: u64,
    operations: BTreeMap<OperationId, Entry>,
    cordons: BTreeMap<Arc<str>, (CordonRecord, Expected)>,
    watched: HashMap<OperationId, watch::Sender<Arc<Operation>>>,
}

struct Entry {
    operation: Operation,
    stored: Expected,
    /// It differs from what is stored.
    is_dirty: bool,
}

impl Store {
    pub(crate) fn new(documents: Arc<dyn Documents>, keep: Duration, keep_max: usize) -> Self {
        Self { documents, keep, keep_max, known: Mutex::default() }
    }

    /// Learns what other replicas wrote.
    pub(crate) async fn refresh(&self) -> Result<(), Unavailable> {
        loop {
            let cursor = self.known().cursor;
            let changes = self.documents.changes(cursor, DOCUMENTS_AT_ONCE).await?;
            let is_last = changes.documents.len() < DOCUMENTS_AT_ONCE;
            let mut known = self.known();
            if changes.cursor.generation != cursor.generation && cursor.generation != 0 {
                known.begin_again();
            }
            for document in changes.documents {
                known.learn(&document);
            }
            known.cursor = changes.cursor;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Operations that are not over.
    pub(crate) fn live(&self) -> Operations {
        let known = self.known();
        let live = known.operations.iter().filter(|(_, entry)| !entry.operation.state.is_terminal());
        live.map(|(id, entry)| (id.clone(), entry.operation.clone())).collect()
    }

    /// Operations that are not over, or were not at `since`.
    pub(crate) fn live_since(&self, since: Millis) -> Operations {
        let known = self.known();
        let is_live = |operation: &Operation| {
            !operation.state.is_terminal() || operation.finished_at.is_some_and(|at| at >= since)
        };
        let live = known.operations.iter().filter(|(_, entry)| is_live(&entry.operation));
        live.map(|(id, entry)| (id.clone(), entry.operation.clone())).collect()
    }

    /// One operation.
    pub(crate) fn operation(&self, id: &OperationId) -> Option<Operation> {
        self.known().operations.get(id).map(|entry| entry.operation.clone())
    }

    /// All of them that `wanted` picks.
    pub(crate) fn operations(&self, wanted: impl Fn(&Operation) -> bool) -> Vec<Operation> {
        let known = self.known();
        let operations = known.operations.values().map(|entry| &entry.operation);
        operations.filter(|operation| wanted(operation)).cloned().collect()
    }

    /// Takes over what the plan made of the revision `based_on` of an operation; it is written by [`Store::flush`]. Where
    /// another change came in between, that holds.
    pub(crate) fn put(&self, operation: Operation, based_on: u64) {
        let mut known = self.known();
        let entry = known.operations.entry(operation.id.clone());
        match entry {
            MapEntry::Occupied(mut entry) if entry.get().operation.revision == based_on => {
                let entry = entry.get_mut();
                entry.operation = operation.clone();
                entry.is_dirty = true;
            }
            MapEntry::Occupied(_) => return,
            MapEntry::Vacant(entry) => {
                let operation = operation.clone();
                entry.insert(Entry { operation, stored: Expected::Absent, is_dirty: true });
            }
        }
        known.tell(operation);
    }

    /// Writes what the plan changed. What another replica changed meanwhile is taken over from it instead.
    pub(crate) async fn flush(&self) -> Result<(), Unavailable> {
        let dirty: Vec<_> = {
            let known = self.known();
            let dirty = known.operations.values().filter(|entry| entry.is_dirty);
            dirty.map(|entry| (entry.operation.clone(), entry.stored)).collect()
        };
        for (operation, stored) in dirty {
            self.write(operation, stored).await?;
        }
        Ok(())
    }

    /// What the store has to hold for a change of this operation to happen.
    pub(crate) fn expected(&self, id: &OperationId) -> Expected {
        self.known().operations.get(id).map_or(Expected::Absent, |entry| entry.stored)
    }

    /// Writes an operation if the store's is as expected.
    pub(crate) async fn write(
        &self,
        mut operation: Operation,
        expected: Expected,
    ) -> Result<Saved, Unavailable> {
        let id = operation.id.clone();
        let above = self.known().newest;
        let body = serde_json::to_vec(&operation).expect("an operation is plain data");
        let change = Change { name: id.as_str().into(), expected, above, body: Bytes::from(body) };
        match self.documents.write(change).await? {
            Written::Revision(revision) => {
                operation.revision = revision;
                let mut known = self.known();
                known.take(operation.clone());
                Ok(Saved::Done(operation))
            }
            Written::Conflict(Expected::Absent) => {
                // It was forgotten, with everything or alone: written again at the next turn.
                if let Some(entry) = self.known().operations.get_mut(&id) {
                    entry.stored = Expected::Absent;
                    entry.is_dirty = true;
                }
                Ok(Saved::Conflict(None))
            }
            Written::Conflict(Expected::Revision(_)) => {
                if let Some(document) = self.documents.read(id.as_str()).await? {
                    self.known().learn(&document);
                }
                Ok(Saved::Conflict(self.operation(&id)))
            }
        }
    }

    /// Forgets operations that were over for long enough, or are too many. Returns how many went.
    pub(crate) async fn prune(&self, now: Millis) -> Result<usize, Unavailable> {
        let mut over: Vec<_> = {
            let known = self.known();
            let finished = |entry: &Entry| {
                let finished_at = entry.operation.finished_at?;
                let at_rest = entry.operation.state.is_terminal() && !entry.is_dirty;
                at_rest.then(|| (finished_at, entry.operation.id.clone(), entry.stored))
            };
            known.operations.values().filter_map(finished).collect()
        };
        // The newest first: those behind the bound go, and those of which everything behind is too old.
        over.sort_by_key(|(finished_at, ..)| std::cmp::Reverse(*finished_at));
        let mut pruned = 0;
        for (place, (finished_at, id, stored)) in over.into_iter().enumerate() {
            if place < self.keep_max && now.since(finished_at) < self.keep {
                continue;
            }
            if let Expected::Revision(revision) = stored {
                self.documents.remove(id.as_str(), revision).await?;
            }
            self.known().operations.remove(&id);
            pruned += 1;
        }
        Ok(pruned)
    }

    /// An operation from now on; `None` where there is none.
    pub(crate) fn watch(&self, id: &OperationId) -> Option<watch::Receiver<Arc<Operation>>> {
        let mut known = self.known();
        let operation = Arc::new(known.operations.get(id)?.operation.clone());
        known.watched.retain(|_, sender| sender.receiver_count() > 0);
        if operation.state.is_terminal() {
            return Some(watch::Sender::new(operation).subscribe());
        }
        let sender = known.watched.entry(id.clone()).or_insert_with(|| watch::Sender::new(operation));
        Some(sender.subscribe())
    }

    /// Nodes that are told to take no clients, and those that were told so until a moment ago.
    pub(crate) fn cordons(&self) -> Vec<(Arc<str>, CordonRecord)> {
        let known = self.known();
        known.cordons.iter().map(|(node, (record, _))| (Arc::clone(node), record.clone())).collect()
    }

    /// Cordons a node, or lifts that; one that is so already stays.
    pub(crate) async fn cordon(&self, node: &Arc<str>, record: CordonRecord) -> Result<(), Unavailable> {
        const TRIES: usize = 5;
        for _ in 0..TRIES {
            let (held, expected) = match self.known().cordons.get(node) {
                Some((held, expected)) => (Some(held.clone()), *expected),
                None => (None, Expected::Absent),
            };
            if held.is_some_and(|held| held.stands == record.stands) {
                return Ok(());
            }
            let above = self.known().newest;
            let body = Bytes::from(serde_json::to_vec(&record).expect("a cordon is plain data"));
            let name = format!("{CORDON}{node}").into();
            let written = self.documents.write(Change { name, expected, above, body }).await?;
            if let Written::Revision(revision) = written {
                let entry = (record, Expected::Revision(revision));
                self.known().cordons.insert(Arc::clone(node), entry);
                return Ok(());
            }
            self.refresh().await?;
        }
        Err(Unavailable { part: answer::Part::Documents, reason: answer::Reason::Faulty })
    }

    /// Forgets a cordon that was lifted.
    pub(crate) async fn forget_cordon(&self, node: &Arc<str>) -> Result<(), Unavailable> {
        let held = self.known().cordons.get(node).map(|(_, expected)| *expected);
        if let Some(Expected::Revision(revision)) = held {
            self.documents.remove(&format!("{CORDON}{node}"), revision).await?;
        }
        self.known().cordons.remove(node);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The store has forgotten everything: what is known here is all there is.
    fn begin_again(&mut self) {
        tracing::warn!(
            operations = self.operations.len(),
            "the store was emptied; operations are written again"
        );
        for entry in self.operations.values_mut() {
            entry.stored = Expected::Absent;
            entry.is_dirty = true;
        }
        self.cordons.clear();
    }

    fn learn(&mut self, document: &Document) {
        self.newest = self.newest.max(document.revision);
        let stored = Expected::Revision(document.revision);
        if let Some(node) = document.name.strip_prefix(CORDON) {
            if let Ok(record) = serde_json::from_slice(&document.body) {
                self.cordons.insert(node.into(), (record, stored));
            }
            return;
        }
        let mut operation: Operation = match serde_json::from_slice(&document.body) {
            Ok(operation) => operation,
            Err(error) => {
                tracing::warn!(name = %document.name, %error, "an operation in the store cannot be read");
                return;
            }
        };
        operation.revision = document.revision;
        self.take(operation);
    }

    /// Takes in an operation as it is in the store, unless a later one is known. Answers may come in any order.
    fn take(&mut self, operation: Operation) {
        let revision = operation.revision;
        self.newest = self.newest.max(revision);
        let is_known = |entry: &Entry| matches!(entry.stored, Expected::Revision(held) if held >= revision);
        if self.operations.get(&operation.id).is_some_and(is_known) {
            return;
        }
        let entry =
            Entry { operation: operation.clone(), stored: Expected::Revision(revision), is_dirty: false };
        self.operations.insert(operation.id.clone(), entry);
        self.tell(operation);
    }

    /// Shows an operation to those who watch it.
    fn tell(&mut self, operation: Operation) {
        let is_over = operation.state.is_terminal();
        let Some(sender) = self.watched.get(&operation.id) else { return };
        let id = operation.id.clone();
        sender.send_replace(Arc::new(operation));
        if is_over {
            self.watched.remove(&id);
        }
    }
}
