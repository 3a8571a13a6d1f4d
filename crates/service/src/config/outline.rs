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
    pub(super) shape: Shape,
    pub(super) keys: Vec<KeyOutline>,
}

/// How often a section is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// Once.
    Single,
    /// As a list of tables; what it holds when none is given, in TOML.
    List { default: String },
    /// Once for each name that a person chooses; the path ends in [`NAME`]. Those listed are always there.
    Named { always: &'static [&'static str] },
}

/// Stands in documented paths for a name that a person chooses.
pub(super) const NAME: &str = "NAME";

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
            shape: Shape::Single,
            keys: Vec::new(),
        };
        let mut outline = Self { sections: vec![top], current: 0 };
        S::describe(&mut outline);
        outline
    }

    pub(super) fn sections(&self) -> &[SectionOutline] {
        &self.sections
    }

    /// Dotted paths of all sections and keys; those inside a list of tables are written without an index, those inside
    /// named tables with [`NAME`].
    pub(super) fn paths(&self) -> Vec<String> {
        let keys = |section: &SectionOutline| {
            let path = section.path.clone();
            section.keys.iter().map(move |key| join(&path, key.key)).collect::<Vec<_>>()
        };
        let sections = self.sections.iter().skip(1).map(|section| section.path.clone());
        let around_names = self.sections.iter().filter_map(SectionOutline::around_names);
        sections.chain(around_names.map(str::to_owned)).chain(self.sections.iter().flat_map(keys)).collect()
    }

    /// Dotted paths of the sections that have no value of their own: all but lists.
    pub(super) fn section_paths(&self) -> BTreeSet<String> {
        let sections = self.sections.iter().skip(1);
        let path = |section: &SectionOutline| match &section.shape {
            Shape::Single => Some(section.path.clone()),
            Shape::List { .. } => None,
            Shape::Named { .. } => section.around_names().map(str::to_owned),
        };
        sections.filter_map(path).collect()
    }

    pub(super) fn key(&mut self, key: KeyOutline) {
        self.sections[self.current].keys.push(key);
    }

    pub(super) fn section(&mut self, key: &str, about: &str, describe: fn(&mut Self)) {
        self.nested(key, about, Shape::Single, describe);
    }

    pub(super) fn tables(&mut self, key: &str, about: &str, default: String, describe: fn(&mut Self)) {
        self.nested(key, about, Shape::List { default }, describe);
    }

    pub(super) fn named(
        &mut self,
        key: &str,
        about: &str,
        always: &'static [&'static str],
        describe: fn(&mut Self),
    ) {
        self.nested(&join(key, NAME), about, Shape::Named { always }, describe);
    }

    fn nested(&mut self, key: &str, about: &str, shape: Shape, describe: fn(&mut Self)) {
        let outer = self.current;
        let path = join(&self.sections[outer].path, key);
        self.sections.push(SectionOutline { path, about: about.to_owned(), shape, keys: Vec::new() });
        self.current = self.sections.len() - 1;
        describe(self);
        self.current = outer;
    }
}

impl SectionOutline {
    /// The path that named tables lie at.
    pub(super) fn around_names(&self) -> Option<&str> {
        let named = matches!(self.shape, Shape::Named { .. });
        self.path.rsplit_once('.').map(|(outer, _)| outer).filter(|_| named)
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
