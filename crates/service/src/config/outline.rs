//! Every key that exists, with its documentation: what the reference page, the schema and suggestions are made of.

use std::collections::BTreeSet;

use super::section::Section;

/// The sections in the order they are documented, each with its own keys.
#[derive(Clone, Debug)]
pub struct Outline {
    sections: Vec<SectionOutline>,
    /// Index of the section whose keys are being described.
    current: usize,
}

/// One section.
#[derive(Clone, Debug)]
pub(super) struct SectionOutline {
    /// Dotted path; empty for the top level.
    pub(super) path: String,
    /// What the section is about.
    pub(super) about: String,
    /// Set for a list of tables: what it holds when none is given, in TOML.
    pub(super) default_tables: Option<String>,
    pub(super) keys: Vec<KeyOutline>,
}

/// One key.
#[derive(Clone, Debug)]
pub struct KeyOutline {
    /// The key inside its section.
    pub key: &'static str,
    /// Type, unit and range.
    pub kind: String,
    /// The default in Markdown.
    pub default: String,
    /// The default in TOML, where it is a plain value.
    pub default_toml: Option<String>,
    /// Whether the key must be set.
    pub required: bool,
    /// What the key is for.
    pub about: String,
    /// JSON schema of the value.
    pub schema: serde_json::Value,
}

impl Outline {
    /// All keys of a configuration.
    pub fn of<S: Section>() -> Self {
        let top = SectionOutline {
            path: String::new(),
            about: String::new(),
            default_tables: None,
            keys: Vec::new(),
        };
        let mut outline = Self { sections: vec![top], current: 0 };
        S::describe(&mut outline);
        outline
    }

    pub(super) fn sections(&self) -> &[SectionOutline] {
        &self.sections
    }

    /// Dotted paths of all sections and keys; those inside a list of tables are written without an index.
    pub(super) fn paths(&self) -> Vec<String> {
        let keys = |section: &SectionOutline| {
            let path = section.path.clone();
            section.keys.iter().map(move |key| join(&path, key.key)).collect::<Vec<_>>()
        };
        let sections = self.sections.iter().skip(1);
        sections.map(|section| section.path.clone()).chain(self.sections.iter().flat_map(keys)).collect()
    }

    /// Dotted paths of the sections that are no lists.
    pub(super) fn section_paths(&self) -> BTreeSet<String> {
        let sections = self.sections.iter().skip(1).filter(|section| section.default_tables.is_none());
        sections.map(|section| section.path.clone()).collect()
    }

    pub(super) fn key(&mut self, key: KeyOutline) {
        self.sections[self.current].keys.push(key);
    }

    pub(super) fn section(&mut self, key: &str, about: &str, describe: fn(&mut Self)) {
        self.nested(key, about, None, describe);
    }

    pub(super) fn tables(&mut self, key: &str, about: &str, default: String, describe: fn(&mut Self)) {
        self.nested(key, about, Some(default), describe);
    }

    fn nested(&mut self, key: &str, about: &str, default_tables: Option<String>, describe: fn(&mut Self)) {
        let outer = self.current;
        let path = join(&self.sections[outer].path, key);
        self.sections.push(SectionOutline {
            path,
            about: about.to_owned(),
            default_tables,
            keys: Vec::new(),
        });
        self.current = self.sections.len() - 1;
        describe(self);
        self.current = outer;
    }
}

/// The dotted path of `key` inside `section`.
pub(super) fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// A doc comment as one paragraph.
pub(super) fn paragraph(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}
