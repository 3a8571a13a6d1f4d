//! What a child process prints, line by line, kept for questions and for the report of a failed test.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

/// The lines so far. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    /// Reads `source` to its end in a thread of its own, so that the child never waits for its reader. The thread ends at the end of
    /// `source`: all lines are there when it is joined.
    pub(crate) fn collect(&self, source: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = Arc::clone(&self.0);
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines that are JSON objects: all of a healthy gateway's.
    pub(crate) fn entries(&self) -> Vec<Value> {
        self.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A field of a log entry, whether the format nests fields under `fields` or not.
pub(crate) fn field<'e>(entry: &'e Value, name: &str) -> Option<&'e str> {
    entry.get("fields").and_then(|fields| fields.get(name)).or_else(|| entry.get(name))?.as_str()
}
