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
use super::named;
use super::outline::{NAME, join};
use super::section::Section;
use super::source::Source;
use super::suggest;
use super::tree::{Entry, Node, Table, Value};

/// Where each value came from, by dotted key.
pub type Sources = BTreeMap<String, Source>;

/// Reads one section after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    /// What is left of the current section.
    table: Table,
    /// Dotted path of the current section.
    path: String,
    /// The same as it is documented: without the index of a list's element, and with `NAME` for a chosen name.
    documented: String,
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
        let mut reader = Self {
            table,
            path: String::new(),
            documented: String::new(),
            source: Source::Default,
            environment,
            known,
            sources: Sources::new(),
            faults: Vec::new(),
        };
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
        let place = Place { path: join(&self.path, key), documented: join(&self.documented, key) };
        let Some(entry) = entry else { return self.nested(place, Table::new(), self.source.clone()) };
        self.section_at(place, entry)
    }

    /// Tables by name; those of `always` are there even if nothing sets a key of theirs.
    pub(super) fn named<S: Section>(&mut self, key: &str, always: &[&str]) -> BTreeMap<String, S> {
        let path = join(&self.path, key);
        let entry = self.table.remove(key);
        let source = entry.as_ref().map_or_else(|| self.source.clone(), |entry| entry.node.source.clone());
        let mut tables = match entry.map(|entry| entry.node) {
            Some(Node { value: Value::Table(tables), .. }) => tables,
            Some(other) => {
                let message = format!("found {}, expected sections: [{path}.{NAME}]", other.found_kind());
                self.faults.push(Fault::new(path.as_str(), other.source, message));
                Table::new()
            }
            None => Table::new(),
        };
        for name in always {
            tables.entry((*name).to_owned()).or_insert_with(|| Entry {
                key_source: source.clone(),
                node: Node { source: source.clone(), value: Value::Table(Table::new()) },
            });
        }
        let documented = join(&self.documented, &join(key, NAME));
        let mut read = BTreeMap::new();
        for (name, entry) in tables {
            let place = Place { path: join(&path, &name), documented: documented.clone() };
            if let Err(message) = named::check(&name) {
                self.faults.push(Fault::new(place.path.as_str(), entry.key_source.clone(), message));
            }
            read.insert(name, self.section_at(place, entry));
        }
        read
    }

    fn section_at<S: Section>(&mut self, place: Place, entry: Entry) -> S {
        match entry.node.value {
            Value::Table(table) => self.nested(place, table, entry.node.source),
            _ => {
                let message =
                    format!("found {}, expected a section: its keys are set one by one", entry.node.found());
                self.faults.push(Fault::new(place.path.as_str(), entry.node.source, message));
                self.nested(place, Table::new(), Source::Default)
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
                let message = format!("found {}, {expected}", node.found_kind());
                self.faults.push(Fault::new(join(&self.path, key), node.source, message));
                return None;
            }
        };
        Some(items.into_iter().enumerate().map(|(index, item)| self.element(key, index, item)).collect())
    }

    fn element<S: Section>(&mut self, list: &str, index: usize, item: Node) -> S {
        let path = format!("{}[{index}]", join(&self.path, list));
        let place = Place { path: path.clone(), documented: join(&self.documented, list) };
        self.sources.insert(path.clone(), item.source.clone());
        let found = item.found_kind();
        if let Value::Table(table) = item.value {
            return self.nested(place, table, item.source);
        }
        let source = item.source.clone();
        self.faults.push(Fault::new(path, item.source, format!("found {found}, expected a table")));
        // What is said about the keys of a table that is none would be noise.
        let before = self.faults.len();
        let value = self.nested(place, Table::new(), source);
        self.faults.truncate(before);
        value
    }

    fn nested<S: Section>(&mut self, place: Place, table: Table, source: Source) -> S {
        let outer_table = mem::replace(&mut self.table, table);
        let outer_path = mem::replace(&mut self.path, place.path);
        let outer_documented = mem::replace(&mut self.documented, place.documented);
        let outer_source = mem::replace(&mut self.source, source);
        let value = S::read(self);
        self.report_unknown();
        self.table = outer_table;
        self.path = outer_path;
        self.documented = outer_documented;
        self.source = outer_source;
        value
    }

    /// Whatever no field took.
    fn report_unknown(&mut self) {
        for (key, entry) in mem::take(&mut self.table) {
            let place = Place { path: join(&self.path, &key), documented: join(&self.documented, &key) };
            self.report_unknown_entry(&place, entry.key_source, entry.node);
        }
    }

    /// A variable or flag makes the sections around its key, so those are not what is unknown about it.
    fn report_unknown_entry(&mut self, place: &Place, key_source: Source, node: Node) {
        match (&key_source, node.value) {
            (Source::Environment { .. } | Source::Flag { .. }, Value::Table(table)) if !table.is_empty() => {
                for (key, entry) in table {
                    let place =
                        Place { path: join(&place.path, &key), documented: join(&place.documented, &key) };
                    self.report_unknown_entry(&place, entry.key_source, entry.node);
                }
            }
            _ => {
                let message = match suggest::key(&place.documented, self.known) {
                    Some(meant) => {
                        format!("unknown key; did you mean {}?", spelled(&self.here(meant), &key_source))
                    }
                    None => "unknown key".to_owned(),
                };
                self.faults.push(Fault::new(place.path.as_str(), key_source, message));
            }
        }
    }

    /// A documented key of the current section with the name that the section has here.
    fn here(&self, documented: &str) -> String {
        match documented.strip_prefix(&self.documented) {
            Some(key) if self.documented.ends_with(NAME) => format!("{}{key}", self.path),
            _ => documented.to_owned(),
        }
    }
}

/// Where a section lies: as it was written, and as it is documented.
#[derive(Debug)]
struct Place {
    path: String,
    documented: String,
}

/// The key as it is written in the layer where the mistake was made.
fn spelled(key: &str, source: &Source) -> String {
    match source {
        Source::Environment { .. } => variable(key),
        Source::Default | Source::File { .. } | Source::Flag { .. } => format!("`{key}`"),
    }
}
