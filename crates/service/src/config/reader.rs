//! Takes typed values out of the merged tree, and keeps what is wrong with it.
//!
//! Place in the path: the tree of `layers.rs` in, fields of the sections out; afterwards whatever no section took is
//! an unknown key.

use std::collections::BTreeMap;
use std::mem;

use super::environment::Environment;
use super::fault::{Fault, Mismatch};
use super::layers::variable;
use super::leaf::inline_list;
use super::outline::join;
use super::section::Section;
use super::source::Source;
use super::suggest;
use super::tree::{Node, Table, Value};

/// Where each value came from, by dotted key.
pub type Sources = BTreeMap<String, Source>;

/// Reads one section after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    /// What is left of the current section.
    table: Table,
    /// Dotted path of the current section.
    path: String,
    /// Where the current section was opened.
    source: Source,
    environment: &'a Environment,
    known: &'a [String],
    sources: Sources,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    /// Reads a whole configuration; `known` are the paths of all keys.
    pub(super) fn read<S: Section>(
        table: Table,
        environment: &'a Environment,
        known: &'a [String],
    ) -> (S, Sources, Vec<Fault>) {
        let (path, source) = (String::new(), Source::Default);
        let mut reader =
            Self { table, path, source, environment, known, sources: Sources::new(), faults: Vec::new() };
        let value = S::read(&mut reader);
        reader.report_unknown();
        (value, reader.sources, reader.faults)
    }

    pub(super) fn environment(&self) -> &Environment {
        self.environment
    }

    /// The value of `key`, if any layer sets it. From then on the key is known and its source is on record.
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let node = self.table.remove(key).map(|entry| entry.node);
        let source = node.as_ref().map_or(Source::Default, |node| node.source.clone());
        self.sources.insert(join(&self.path, key), source);
        node
    }

    pub(super) fn report(&mut self, key: &str, mismatches: Vec<Mismatch>) {
        let path = join(&self.path, key);
        self.faults.extend(mismatches.into_iter().map(|mismatch| mismatch.at(&path)));
    }

    pub(super) fn report_missing(&mut self, key: &str, kind: &str) {
        let fault =
            Fault::new(join(&self.path, key), self.source.clone(), format!("missing, expected {kind}"));
        self.faults.push(fault);
    }

    pub(super) fn section<S: Section>(&mut self, key: &str) -> S {
        let entry = self.table.remove(key);
        let path = join(&self.path, key);
        let Some(entry) = entry else { return self.nested(path, Table::new(), self.source.clone()) };
        match entry.node.value {
            Value::Table(table) => self.nested(path, table, entry.node.source),
            _ => {
                let message =
                    format!("found {}, expected a section: its keys are set one by one", entry.node.found());
                self.faults.push(Fault::new(path.as_str(), entry.node.source, message));
                self.nested(path, Table::new(), Source::Default)
            }
        }
    }

    pub(super) fn tables<S: Section>(&mut self, key: &str) -> Option<Vec<S>> {
        let node = self.take(key)?;
        let items = match &node.value {
            Value::List(items) => items.clone(),
            Value::Word(word) => inline_list(&node, word).unwrap_or_else(|mismatches| {
                self.report(key, mismatches);
                Vec::new()
            }),
            _ => {
                let expected =
                    format!("expected a list of tables ([[{key}]], or inline TOML in one variable)");
                let message = format!("found {}, {expected}", node.found());
                self.faults.push(Fault::new(join(&self.path, key), node.source, message));
                return None;
            }
        };
        let path = join(&self.path, key);
        Some(items.into_iter().enumerate().map(|(index, item)| self.element(&path, index, item)).collect())
    }

    fn element<S: Section>(&mut self, list: &str, index: usize, item: Node) -> S {
        let path = format!("{list}[{index}]");
        self.sources.insert(path.clone(), item.source.clone());
        let found = item.found();
        if let Value::Table(table) = item.value {
            return self.nested(path, table, item.source);
        }
        let place = item.source.clone();
        self.faults.push(Fault::new(path.as_str(), item.source, format!("found {found}, expected a table")));
        // What is said about the keys of a table that is none would be noise.
        let before = self.faults.len();
        let value = self.nested(path, Table::new(), place);
        self.faults.truncate(before);
        value
    }

    fn nested<S: Section>(&mut self, path: String, table: Table, source: Source) -> S {
        let outer_table = mem::replace(&mut self.table, table);
        let outer_path = mem::replace(&mut self.path, path);
        let outer_source = mem::replace(&mut self.source, source);
        let value = S::read(self);
        self.report_unknown();
        self.table = outer_table;
        self.path = outer_path;
        self.source = outer_source;
        value
    }

    /// Whatever no field took.
    fn report_unknown(&mut self) {
        for (key, entry) in mem::take(&mut self.table) {
            self.report_unknown_entry(&join(&self.path, &key), entry.key_source, entry.node);
        }
    }

    /// A variable or flag makes the sections around its key, so those are not what is unknown about it.
    fn report_unknown_entry(&mut self, path: &str, key_source: Source, node: Node) {
        match (&key_source, node.value) {
            (Source::Environment { .. } | Source::Flag { .. }, Value::Table(table)) if !table.is_empty() => {
                for (key, entry) in table {
                    self.report_unknown_entry(&join(path, &key), entry.key_source, entry.node);
                }
            }
            _ => {
                let message = match suggest::key(&without_indices(path), self.known) {
                    Some(meant) => format!("unknown key; did you mean {}?", spelled(meant, &key_source)),
                    None => "unknown key".to_owned(),
                };
                self.faults.push(Fault::new(path, key_source, message));
            }
        }
    }
}

/// The key as it is written in the layer where the mistake was made.
fn spelled(key: &str, source: &Source) -> String {
    match source {
        Source::Environment { .. } => variable(key),
        Source::Default | Source::File { .. } | Source::Flag { .. } => format!("`{key}`"),
    }
}

/// `raw[1].pth` is looked up as `raw.pth`.
fn without_indices(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut inside = false;
    for letter in path.chars() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            other if !inside => plain.push(other),
            _ => {}
        }
    }
    plain
}
