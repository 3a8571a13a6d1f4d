//! What the right-hand side of a field in [`config_section!`](crate::config_section) can say.
//!
//! Place in the path: the macro uses a [`Field`] three times: to describe its key, to read it, to print it.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use super::environment::Environment;
use super::fault::Mismatch;
use super::leaf::{Leaf, Shown};
use super::outline::{KeyOutline, Outline};
use super::printer::Printer;
use super::reader::Reader;
use super::section::Section;
use super::tree::Node;
use super::units::{ByteCount, bytes_kind, bytes_schema, parse_bytes, show_bytes};

/// One field of a section. `T` is the field's type.
pub trait Field<T> {
    /// Adds the key, with its documentation, to the outline.
    fn describe(self, key: &'static str, about: &str, outline: &mut Outline);

    /// Takes the value; a faulty or missing one is reported and replaced by a stand-in, so that the rest is read too.
    fn read(self, key: &'static str, reader: &mut Reader<'_>) -> T;

    /// Prints the effective value.
    fn print(self, key: &'static str, value: &T, printer: &mut Printer<'_>);
}

/// A key with the given default.
pub fn value<T: Leaf>(default: T) -> Scalar<T> {
    Scalar::new(Codec::leaf(), Absent::Default(default))
}

/// A key that must be set.
pub fn required<T: Leaf + Default>() -> Scalar<T> {
    Scalar::new(Codec::leaf(), Absent::Fault { stand_in: T::default() })
}

/// A key whose default depends on the machine; `described` says how, for the reference page.
pub fn computed<T: Leaf>(described: &'static str, compute: fn(&Environment) -> T) -> Scalar<T> {
    Scalar::new(Codec::leaf(), Absent::Computed { described, compute })
}

/// A number of bytes with the given default.
pub fn bytes<T: ByteCount>(default: T) -> Scalar<T> {
    let codec = Codec { kind: bytes_kind, parse: parse_bytes, show: show_bytes, schema: bytes_schema };
    Scalar::new(codec, Absent::Default(default))
}

/// A section inside this section.
pub fn section() -> Nested {
    Nested
}

/// A list of tables (`[[key]]`), which is `default` when none is given.
pub fn tables<S: Section>(default: fn() -> Vec<S>) -> Tables<S> {
    Tables { default }
}

/// Tables by a name that a person chooses (`[key.NAME]`): 1 to 64 small letters, digits, `-` and `_`. Those listed in
/// `always` are there even if nothing sets a key of theirs.
pub fn named<S: Section>(always: &'static [&'static str]) -> Named<S> {
    Named { always, section: PhantomData }
}

/// A field that holds a single value.
#[derive(Debug)]
pub struct Scalar<T> {
    codec: Codec<T>,
    absent: Absent<T>,
    /// What the reference page says in place of the default.
    described_default: Option<&'static str>,
    range: Option<Range<T>>,
    checks: Vec<Check<T>>,
}

/// Ends of a range, with the comparison that only ordered types have.
#[derive(Debug)]
struct Range<T> {
    ends: RangeInclusive<T>,
    contains: fn(&RangeInclusive<T>, &T) -> bool,
}

/// A rule of a single value; the error is the whole message.
type Check<T> = fn(&T) -> Result<(), String>;

/// How a type is read and written; the same type counts pieces in one key and bytes in another.
#[derive(Debug)]
struct Codec<T> {
    kind: fn() -> String,
    parse: fn(&Node) -> Result<T, Vec<Mismatch>>,
    show: fn(&T) -> Shown,
    schema: fn() -> serde_json::Value,
}

/// What a key is when nothing sets it.
#[derive(Debug)]
enum Absent<T> {
    Default(T),
    Computed { described: &'static str, compute: fn(&Environment) -> T },
    Fault { stand_in: T },
}

impl<T> Scalar<T> {
    fn new(codec: Codec<T>, absent: Absent<T>) -> Self {
        Self { codec, absent, described_default: None, range: None, checks: Vec::new() }
    }

    /// Adds a rule that the value alone can break. The error of `check` is the whole message for the person who set it.
    #[must_use]
    pub fn checked(mut self, check: fn(&T) -> Result<(), String>) -> Self {
        self.checks.push(check);
        self
    }

    /// Says how the default follows from other keys, which [`Configuration::settle`](super::Configuration::settle)
    /// works out.
    #[must_use]
    pub fn settled(mut self, described: &'static str) -> Self {
        self.described_default = Some(described);
        self
    }

    /// The default as the reference page shows it, and as TOML where it is a plain value.
    fn default_text(&self) -> (String, Option<String>) {
        if let Some(described) = self.described_default {
            return (described.to_owned(), None);
        }
        match &self.absent {
            Absent::Default(default) => match (self.codec.show)(default) {
                Shown::Toml(text) => (format!("`{text}`"), Some(text)),
                Shown::Unset | Shown::Redacted | Shown::Masked(_) => ("not set".to_owned(), None),
            },
            Absent::Computed { described, .. } => ((*described).to_owned(), None),
            Absent::Fault { .. } => ("required".to_owned(), None),
        }
    }
}

impl<T: PartialOrd> Scalar<T> {
    /// Limits the value to the range, both ends included.
    #[must_use]
    pub fn within(mut self, ends: RangeInclusive<T>) -> Self {
        self.range = Some(Range { ends, contains: RangeInclusive::contains });
        self
    }
}

impl<T: Leaf> Codec<T> {
    fn leaf() -> Self {
        Self { kind: T::kind, parse: T::parse, show: T::show, schema: T::schema }
    }
}

impl<T> Scalar<T> {
    /// The range as a person writes it.
    fn range_text(&self) -> Option<String> {
        let Range { ends, .. } = self.range.as_ref()?;
        let end = |value| match (self.codec.show)(value) {
            Shown::Toml(text) => text.trim_matches('"').to_owned(),
            Shown::Unset | Shown::Redacted | Shown::Masked(_) => String::new(),
        };
        Some(format!("{} to {}", end(ends.start()), end(ends.end())))
    }

    /// The type's schema; a number's range is part of it, ranges with units cannot be said in JSON schema.
    fn schema(&self) -> serde_json::Value {
        let mut schema = (self.codec.schema)();
        if let (Some(Range { ends, .. }), Some("integer" | "number")) = (&self.range, schema["type"].as_str())
        {
            for (name, end) in [("minimum", ends.start()), ("maximum", ends.end())] {
                if let Shown::Toml(text) = (self.codec.show)(end)
                    && let Ok(number) = text.parse::<serde_json::Number>()
                {
                    schema[name] = serde_json::Value::Number(number);
                }
            }
        }
        schema
    }

    /// What is wrong with a value of the right type.
    fn broken_rules(&self, value: &T, node: &Node) -> Vec<Mismatch> {
        let outside = self.range.as_ref().is_some_and(|range| !(range.contains)(&range.ends, value));
        let range = outside.then(|| {
            let found = match (self.codec.show)(value) {
                Shown::Toml(_) => node.found(),
                Shown::Unset | Shown::Redacted | Shown::Masked(_) => "something else".to_owned(),
            };
            format!("found {found}, expected {}", self.range_text().unwrap_or_default())
        });
        let checks = self.checks.iter().filter_map(|check| check(value).err());
        range.into_iter().chain(checks).map(|message| Mismatch::new(&node.source, message)).collect()
    }
}

impl<T> Field<T> for Scalar<T> {
    fn describe(self, key: &'static str, about: &str, outline: &mut Outline) {
        let (default, default_toml) = self.default_text();
        let mut kind = (self.codec.kind)();
        if let Some(range) = self.range_text() {
            kind = format!("{kind}, {range}");
        }
        let required = matches!(self.absent, Absent::Fault { .. });
        let schema = self.schema();
        outline.key(KeyOutline {
            key,
            kind,
            default,
            default_toml,
            required,
            about: about.to_owned(),
            schema,
        });
    }

    fn read(self, key: &'static str, reader: &mut Reader<'_>) -> T {
        if let Some(node) = reader.take(key) {
            let (parsed, faults) = match (self.codec.parse)(&node) {
                Ok(value) => {
                    let faults = self.broken_rules(&value, &node);
                    (Some(value), faults)
                }
                Err(mut faults) => {
                    if let Some(range) = self.range_text() {
                        faults.iter_mut().for_each(|fault| fault.message += &format!(", {range}"));
                    }
                    (None, faults)
                }
            };
            reader.report(key, faults);
            if let Some(value) = parsed {
                return value;
            }
        } else if matches!(self.absent, Absent::Fault { .. }) {
            reader.report_missing(key, &(self.codec.kind)());
        }
        match self.absent {
            Absent::Default(value) | Absent::Fault { stand_in: value } => value,
            Absent::Computed { compute, .. } => compute(reader.environment()),
        }
    }

    fn print(self, key: &'static str, value: &T, printer: &mut Printer<'_>) {
        printer.value(key, (self.codec.show)(value));
    }
}

/// A section inside a section.
#[derive(Debug)]
pub struct Nested;

impl<S: Section> Field<S> for Nested {
    fn describe(self, key: &'static str, about: &str, outline: &mut Outline) {
        outline.section(key, about, S::describe);
    }

    fn read(self, key: &'static str, reader: &mut Reader<'_>) -> S {
        reader.section(key)
    }

    fn print(self, key: &'static str, value: &S, printer: &mut Printer<'_>) {
        printer.section(key, |inner| value.print(inner));
    }
}

/// A list of tables.
#[derive(Debug)]
pub struct Tables<S> {
    default: fn() -> Vec<S>,
}

impl<S: Section> Field<Vec<S>> for Tables<S> {
    fn describe(self, key: &'static str, about: &str, outline: &mut Outline) {
        let default = Printer::default_tables(key, &(self.default)());
        outline.tables(key, about, default, S::describe);
    }

    fn read(self, key: &'static str, reader: &mut Reader<'_>) -> Vec<S> {
        reader.tables(key).unwrap_or_else(self.default)
    }

    fn print(self, key: &'static str, value: &Vec<S>, printer: &mut Printer<'_>) {
        printer.tables(key, value);
    }
}

/// Tables by name.
#[derive(Debug)]
pub struct Named<S> {
    always: &'static [&'static str],
    section: PhantomData<fn() -> S>,
}

impl<S: Section> Field<BTreeMap<String, S>> for Named<S> {
    fn describe(self, key: &'static str, about: &str, outline: &mut Outline) {
        outline.named(key, about, self.always, S::describe);
    }

    fn read(self, key: &'static str, reader: &mut Reader<'_>) -> BTreeMap<String, S> {
        reader.named(key, self.always)
    }

    fn print(self, key: &'static str, value: &BTreeMap<String, S>, printer: &mut Printer<'_>) {
        printer.named(key, value);
    }
}
