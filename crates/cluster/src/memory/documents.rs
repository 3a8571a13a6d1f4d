//! [`Documents`] in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::answer::{Answer, Part, ready};
use crate::documents::{Change, Changes, Cursor, Document, Documents, Expected, Written};

use super::shards::lock;

/// Documents of this process.
#[derive(Debug)]
pub struct MemoryDocuments {
    documents_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    documents: HashMap<Arc<str>, Document>,
    revision: u64,
}

/// A process that forgets its documents has ended: readers in it never see another one.
const GENERATION: u64 = 1;

impl MemoryDocuments {
    /// None so far, and at most `documents_max`: a further one is refused.
    pub fn new(documents_max: usize) -> Self {
        Self { documents_max, table: Mutex::default() }
    }
}

impl Documents for MemoryDocuments {
    fn changes(&self, cursor: Cursor, limit: usize) -> Answer<Changes> {
        let table = lock(&self.table);
        let after = if cursor.generation == GENERATION { cursor.revision } else { 0 };
        let mut documents: Vec<_> =
            table.documents.values().filter(|document| document.revision > after).cloned().collect();
        documents.sort_by_key(|document| document.revision);
        documents.truncate(limit);
        let generation = if table.revision == 0 { 0 } else { GENERATION };
        let revision = documents.last().map_or(after, |newest| newest.revision);
        ready(Ok(Changes { documents, cursor: Cursor { generation, revision } }))
    }

    fn read(&self, name: &str) -> Answer<Option<Document>> {
        ready(Ok(lock(&self.table).documents.get(name).cloned()))
    }

    fn write(&self, change: Change) -> Answer<Written> {
        let mut table = lock(&self.table);
        let held = table.documents.get(&change.name).map(|document| document.revision);
        let held = held.map_or(Expected::Absent, Expected::Revision);
        if held != change.expected {
            return ready(Ok(Written::Conflict(held)));
        }
        if held == Expected::Absent && table.documents.len() >= self.documents_max {
            return ready(Err(Part::Documents.full()));
        }
        let revision = table.revision.max(change.above) + 1;
        table.revision = revision;
        let Change { name, body, .. } = change;
        table.documents.insert(Arc::clone(&name), Document { name, revision, body });
        ready(Ok(Written::Revision(revision)))
    }

    fn remove(&self, name: &str, revision: u64) -> Answer<bool> {
        let mut table = lock(&self.table);
        let is_it = table.documents.get(name).is_some_and(|document| document.revision == revision);
        if is_it {
            table.documents.remove(name);
        }
        ready(Ok(is_it))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::memory::testing::{asked, got};

    #[test]
    fn the_last_document_that_fits_is_taken_and_the_next_one_is_not() {
        let documents = MemoryDocuments::new(1);
        let change = |name: &str| Change {
            name: name.into(),
            expected: Expected::Absent,
            above: 0,
            body: Bytes::new(),
        };
        assert_eq!(got(documents.write(change("a"))), Written::Revision(1));
        assert_eq!(asked(documents.write(change("b"))), Err(Part::Documents.full()));
    }
}
