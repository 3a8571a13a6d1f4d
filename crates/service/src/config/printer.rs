//! Writes an effective configuration as TOML, each value with its source; what it writes can be read again.

use std::collections::BTreeMap;

use super::leaf::Shown;
use super::outline::join;
use super::reader::Sources;
use super::section::Section;

/// Prints one section after the other.
#[derive(Debug)]
pub struct Printer<'a> {
    /// Sources of the values; `None` leaves the marks out.
    sources: Option<&'a Sources>,
    path: String,
    text: String,
    /// Sections inside the current one: TOML wants them after its own keys.
    nested: String,
}

impl<'a> Printer<'a> {
    /// The whole configuration.
    pub(super) fn print<S: Section>(config: &S, sources: &'a Sources) -> String {
        let mut printer = Self::at(String::new(), Some(sources));
        config.print(&mut printer);
        printer.finish().trim_start().to_owned()
    }

    /// What a list of tables holds when none is given, for the reference page.
    pub(super) fn default_tables<S: Section>(key: &str, default: &[S]) -> String {
        let mut printer = Printer::at(String::new(), None);
        printer.tables(key, default);
        printer.finish().trim().to_owned()
    }

    fn at(path: String, sources: Option<&'a Sources>) -> Self {
        Self { sources, path, text: String::new(), nested: String::new() }
    }

    fn finish(self) -> String {
        self.text + &self.nested
    }

    pub(super) fn value(&mut self, key: &str, shown: Shown) {
        let mark = self.mark(&join(&self.path, key));
        let line = match shown {
            Shown::Toml(text) => format!("{key} = {text}{mark}\n"),
            // Comments, so that reading the output again neither sets the key nor takes a mask for the secret.
            Shown::Unset => format!("# {key} is not set{mark}\n"),
            Shown::Redacted => format!("# {key} = [redacted]{mark}\n"),
            Shown::Masked(rest) => format!("# {key} = {rest}{mark}\n"),
        };
        self.text.push_str(&line);
    }

    pub(super) fn section(&mut self, key: &str, print: impl FnOnce(&mut Self)) {
        let path = join(&self.path, key);
        let mut inner = Self::at(path.clone(), self.sources);
        print(&mut inner);
        let header = if inner.text.is_empty() { String::new() } else { format!("\n[{path}]\n") };
        self.nested.push_str(&(header + &inner.finish()));
    }

    pub(super) fn named<S: Section>(&mut self, key: &str, tables: &BTreeMap<String, S>) {
        for (name, table) in tables {
            self.section(&join(key, name), |inner| table.print(inner));
        }
    }

    pub(super) fn tables<S: Section>(&mut self, key: &str, tables: &[S]) {
        let list = join(&self.path, key);
        let mark = self.mark(&list);
        if tables.is_empty() {
            self.text.push_str(&format!("{key} = []{mark}\n"));
        }
        for (index, table) in tables.iter().enumerate() {
            let mut inner = Self::at(format!("{list}[{index}]"), self.sources);
            table.print(&mut inner);
            let own_mark = self.mark(&format!("{list}[{index}]"));
            self.nested.push_str(&format!("\n[[{list}]]{own_mark}\n{}", inner.finish()));
        }
    }

    /// A trailing comment that says where the value of `path` came from.
    fn mark(&self, path: &str) -> String {
        let Some(sources) = self.sources else { return String::new() };
        let mark = sources.get(path).map_or_else(|| "default".to_owned(), super::source::Source::mark);
        format!("  # {mark}")
    }
}
