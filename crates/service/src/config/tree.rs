//! Untyped values with their places: what the file, the environment and the flags say, laid over each other.
//!
//! Place in the path: `layers.rs` builds one tree, `reader.rs` takes typed values out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::fault::Fault;
use super::source::Source;

/// Keys and values of one section.
pub type Table = BTreeMap<String, Entry>;

/// One key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key stands.
    pub key_source: Source,
    /// What it is set to.
    pub node: Node,
}

/// One value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value stands.
    pub source: Source,
    /// The value.
    pub value: Value,
}

/// A value whose type its key has not yet judged.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text of an environment variable or flag: its key decides what it means.
    Word(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i128),
    /// A TOML float, as written.
    Float(String),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML date or time, as written.
    Datetime(String),
    /// A TOML array.
    List(Vec<Node>),
    /// A TOML table.
    Table(Table),
}

impl Node {
    /// Says what was found, for a fault. Long text is cut: a fault is one line.
    pub fn found(&self) -> String {
        const SHOWN_CHARS_MAX: usize = 60;
        match &self.value {
            Value::Word(text) | Value::Text(text) => {
                let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                let dots = if cut.len() < text.len() { "…" } else { "" };
                format!("{cut:?}{dots}")
            }
            Value::Integer(number) => format!("the integer {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::Boolean(value) => format!("the boolean {value}"),
            Value::Datetime(time) => format!("the date or time {time}"),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }

    /// The kind of value that was found, for a fault of something that may hold a secret.
    pub fn found_kind(&self) -> &'static str {
        match &self.value {
            Value::Word(_) | Value::Text(_) => "text",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date or time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The text of a string, variable or flag.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Word(text) | Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a TOML document. Syntax faults are reported once a line, as the parser stumbles on over the rest of it; the
/// table is what could still be understood.
pub(super) fn parse_document(text: &str, path: &Arc<Path>) -> (Table, Vec<Fault>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let place = |offset: usize| Source::in_file(path, text, offset);
    let mut faults = BTreeMap::new();
    for error in errors {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.get(..start).map_or(0, |before| before.matches('\n').count());
        let message = format!("this is not TOML: {}", error.message());
        faults.entry(line).or_insert_with(|| Fault::new("", place(start), message));
    }
    (table(document.get_ref(), &place), faults.into_values().collect())
}

/// Reads a TOML value out of a variable or flag, whose place all of its parts share.
pub(super) fn parse_inline(text: &str, source: &Source) -> Result<Node, InlineError> {
    let value = DeValue::parse(text).map_err(|error| InlineError(error.message().to_owned()))?;
    Ok(node(&value, &|_| source.clone()))
}

/// A variable or flag does not hold the inline TOML it must hold.
#[derive(Debug)]
pub(super) struct InlineError(String);

impl fmt::Display for InlineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "this is not an inline TOML value: {}", self.0)
    }
}

/// Sets the dotted `path` to `word`, making sections as needed and replacing what a lower layer said.
pub(super) fn insert(
    table: &mut Table,
    path: &[&str],
    word: &str,
    source: &Source,
) -> Result<(), InsertError> {
    let [key, rest @ ..] = path else { return Ok(()) };
    if rest.is_empty() {
        let node = Node { source: source.clone(), value: Value::Word(word.to_owned()) };
        table.insert((*key).to_owned(), Entry { key_source: source.clone(), node });
        return Ok(());
    }
    let section = table.entry((*key).to_owned()).or_insert_with(|| Entry {
        key_source: source.clone(),
        node: Node { source: source.clone(), value: Value::Table(Table::new()) },
    });
    match &mut section.node.value {
        Value::Table(inner) => insert(inner, rest, word, source),
        _ => Err(InsertError { inside: (*key).to_owned() }),
    }
}

/// A variable or flag names a key inside something that is no section.
#[derive(Debug)]
pub(super) struct InsertError {
    inside: String,
}

impl fmt::Display for InsertError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without what was found: it may be a secret.
        let Self { inside } = self;
        write!(
            out,
            "cannot be set: `{inside}` has a value of its own, it is not a section; set `{inside}` as a whole"
        )
    }
}

fn table(table: &DeTable<'_>, place: &dyn Fn(usize) -> Source) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let entry = Entry { key_source: place(key.span().start), node: node(value, place) };
            (key.get_ref().to_string(), entry)
        })
        .collect()
}

fn node(spanned: &Spanned<DeValue<'_>>, place: &dyn Fn(usize) -> Source) -> Node {
    let value = match spanned.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => Value::Integer(integer_value(integer)),
        DeValue::Float(float) => Value::Float(float.to_string()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(time) => Value::Datetime(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, place)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, place)),
    };
    Node { source: place(spanned.span().start), value }
}

/// No key takes an integer near this many digits, so a longer one only has to stay out of range.
fn integer_value(integer: &DeInteger<'_>) -> i128 {
    i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX)
}
