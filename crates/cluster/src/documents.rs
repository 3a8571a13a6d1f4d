//! Small texts that several programs read and change: each with a revision, all of them in the order of their changes.
//!
//! Place in the data path: beside it. The control plane keeps its operations here; any of its replicas may write, and
//! each of them learns with one question what the others wrote since it last asked.

use std::sync::Arc;

use bytes::Bytes;

use crate::answer::Answer;

/// Documents by name. A change is compare-and-swap: it happens only to the revision that its author has seen.
pub trait Documents: Send + Sync {
    /// What was written after `cursor`, the oldest change first: at most `limit` documents, each as it is now.
    ///
    /// Of a store that has forgotten everything since the cursor was given, this is everything from the beginning:
    /// [`Cursor::generation`] tells. Documents that were removed are not told of.
    fn changes(&self, cursor: Cursor, limit: usize) -> Answer<Changes>;

    /// One document.
    fn read(&self, name: &str) -> Answer<Option<Document>>;

    /// Writes a document, if it is as expected.
    fn write(&self, change: Change) -> Answer<Written>;

    /// Removes a document, if it still has this revision; whether it had.
    fn remove(&self, name: &str, revision: u64) -> Answer<bool>;
}

/// A document as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Document {
    /// Its name.
    pub name: Arc<str>,
    /// Which change of the whole store wrote it; 1 or higher.
    pub revision: u64,
    /// What it says.
    pub body: Bytes,
}

/// How far a reader has come. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cursor {
    /// Random, and another one each time the store begins from nothing; 0: nothing was ever written.
    pub generation: u64,
    /// The last change that was read.
    pub revision: u64,
}

/// What changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changes {
    /// The documents, by revision.
    pub documents: Vec<Document>,
    /// Where to go on.
    pub cursor: Cursor,
}

/// A wish to write.
#[derive(Clone, Debug)]
pub struct Change {
    /// The document's name.
    pub name: Arc<str>,
    /// What it has to be now.
    pub expected: Expected,
    /// The new revision is higher than this: one that is given again to a store that forgot it never goes back.
    pub above: u64,
    /// What it is to say.
    pub body: Bytes,
}

/// What a document has to be for a change to happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// Not there.
    Absent,
    /// Of this revision.
    Revision(u64),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Written {
    /// It is written, under this revision.
    Revision(u64),
    /// Nothing was changed: the document is not there, or of another revision.
    Conflict(Expected),
}
