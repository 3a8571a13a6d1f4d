//! [`Documents`] in Redis, all in one slot.
//!
//! | Key | Holds |
//! |---|---|
//! | `{o}` | documents with their revisions |
//! | `{o}:c` | their names, by revision |
//! | `{o}:n` | generation and last revision of the whole |

use std::sync::Arc;

use bytes::Bytes;
use fred::types::{Key, Value};

use crate::answer::{Answer, Part, ready};
use crate::documents::{Change, Changes, Cursor, Document, Documents, Expected, Written};

use super::client::RedisClient;
use super::random;
use super::script::{Args, Fields, Script, bytes, number};
use super::stats::Operation;

/// Documents of a cluster.
#[derive(Clone, Debug)]
pub struct RedisDocuments {
    client: RedisClient,
    config: DocumentsConfig,
}

/// The bounds of a [`RedisDocuments`].
#[derive(Clone, Copy, Debug)]
pub struct DocumentsConfig {
    /// Most documents; a further one is refused.
    pub documents_max: usize,
    /// Most bytes of one; a longer one is refused.
    pub body_bytes_max: usize,
}

impl Default for DocumentsConfig {
    fn default() -> Self {
        Self { documents_max: 4_096, body_bytes_max: 4 << 20 }
    }
}

impl RedisDocuments {
    /// The documents that the server holds.
    pub fn new(client: RedisClient, config: DocumentsConfig) -> Self {
        Self { client, config }
    }

    fn keys(&self) -> Vec<Key> {
        ["{o}", "{o}:c", "{o}:n"].map(|name| self.client.key(name)).to_vec()
    }
}

impl Documents for RedisDocuments {
    fn changes(&self, cursor: Cursor, limit: usize) -> Answer<Changes> {
        let args = Args::new()
            .bytes(&cursor.generation.to_be_bytes())
            .number(cursor.revision)
            .number(limit.min(self.config.documents_max) as u64);
        self.client.call(&CHANGES, self.keys(), args, move |value| changes(value, cursor))
    }

    fn read(&self, name: &str) -> Answer<Option<Document>> {
        let name: Arc<str> = name.into();
        let args = Args::new().text(&*name);
        self.client.call(&READ, vec![self.client.key("{o}")], args, |value| match value {
            Value::Null => Some(None),
            stored => document(name, &bytes(stored)?).map(Some),
        })
    }

    fn write(&self, change: Change) -> Answer<Written> {
        if change.body.len() > self.config.body_bytes_max {
            return ready(Err(Part::Documents.full()));
        }
        let expected = match change.expected {
            Expected::Absent => 0,
            Expected::Revision(revision) => revision,
        };
        let args = Args::new()
            .text(&*change.name)
            .number(expected)
            .number(change.above)
            .bytes(&change.body)
            .bytes(&random().max(1).to_be_bytes())
            .number(self.config.documents_max as u64);
        let written = self.client.call(&WRITE, self.keys(), args, |value| {
            let mut fields = Fields::of(value)?;
            let (outcome, revision) = (fields.value()?, fields.number()?);
            match (outcome, revision) {
                (Value::Integer(1), revision) => Some(Some(Written::Revision(revision))),
                (Value::Integer(0), 0) => Some(Some(Written::Conflict(Expected::Absent))),
                (Value::Integer(0), held) => Some(Some(Written::Conflict(Expected::Revision(held)))),
                (Value::Integer(-1), _) => Some(None),
                _ => None,
            }
        });
        Box::pin(async move { written.await?.ok_or(Part::Documents.full()) })
    }

    fn remove(&self, name: &str, revision: u64) -> Answer<bool> {
        let keys = vec![self.client.key("{o}"), self.client.key("{o}:c")];
        let args = Args::new().text(name.to_owned()).number(revision);
        self.client.call(&REMOVE, keys, args, |value| Some(number(&value)? > 0))
    }
}

fn changes(value: Value, cursor: Cursor) -> Option<Changes> {
    let mut fields = Fields::of(value)?;
    let generation = fields.bytes()?;
    let generation = match generation.len() {
        0 => 0,
        _ => u64::from_be_bytes(generation[..].try_into().ok()?),
    };
    let mut documents = Vec::with_capacity(fields.len() / 2);
    while fields.len() > 0 {
        let name: Arc<str> = (&*fields.text()?).into();
        documents.push(document(name, &fields.bytes()?)?);
    }
    let read_before = if generation == cursor.generation { cursor.revision } else { 0 };
    let revision = documents.last().map_or(read_before, |newest| newest.revision);
    Some(Changes { documents, cursor: Cursor { generation, revision } })
}

fn document(name: Arc<str>, stored: &Bytes) -> Option<Document> {
    let revision = u64::from_be_bytes(*stored.first_chunk()?);
    Some(Document { name, revision, body: stored.slice(8..) })
}

static CHANGES: Script = Script::lua(Operation::DocumentsRead, include_str!("documents/changes.lua"));
static READ: Script = Script::command(Operation::DocumentsRead, "HGET");
static WRITE: Script = Script::lua(Operation::DocumentsWrite, include_str!("documents/write.lua"));
static REMOVE: Script = Script::lua(Operation::DocumentsWrite, include_str!("documents/remove.lua"));
