//! What is wrong with a configuration: faults are collected, never thrown, so that one start shows them all.

use std::fmt;

use super::source::Source;

/// One thing that is wrong, with the key or keys it concerns and where each got its value.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fault {
    keys: Vec<(Source, String)>,
    message: String,
}

impl Fault {
    /// A fault of one key: its dotted path, where it was found, and what is wrong.
    pub(super) fn new(key: impl Into<String>, source: Source, message: impl Into<String>) -> Self {
        Self { keys: vec![(source, key.into())], message: message.into() }
    }

    /// A fault between several keys.
    pub(super) fn between(keys: Vec<(Source, String)>, message: impl Into<String>) -> Self {
        Self { keys, message: message.into() }
    }

    /// Whether the fault concerns `key`, something inside it, or something it lies in.
    pub(super) fn concerns(&self, key: &str) -> bool {
        self.keys.iter().any(|(_, own)| contains(own, key) || contains(key, own))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (source, key)) in self.keys.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            // A file as a whole has no key.
            if key.is_empty() {
                write!(out, "{comma}{source}")?;
            } else {
                write!(out, "{comma}{key} ({source})")?;
            }
        }
        write!(out, ": {}", self.message)
    }
}

/// What is wrong with one value, before the key it belongs to is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mismatch {
    /// Where in the value's key the fault lies: empty, or an index such as `[1]`.
    pub place: String,
    /// Where the value (or the element) was written.
    pub source: Source,
    /// What was found and what was expected.
    pub message: String,
    /// What to write instead, where that can be guessed.
    pub suggestion: Option<String>,
}

impl Mismatch {
    /// A fault of a whole value.
    pub fn new(source: &Source, message: impl Into<String>) -> Self {
        Self { place: String::new(), source: source.clone(), message: message.into(), suggestion: None }
    }

    /// The fault once its key is known.
    pub(super) fn at(self, key: &str) -> Fault {
        let suggestion = self.suggestion.map_or_else(String::new, |text| format!("; write {text}"));
        Fault::new(format!("{key}{}", self.place), self.source, self.message + &suggestion)
    }
}

/// Whether `outer` is `inner`, or a section, list or table around it.
fn contains(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_concerns_its_key_and_what_surrounds_it_but_no_neighbour() {
        let fault = Fault::new("raw[0].path", Source::Default, "is wrong");

        assert!(fault.concerns("raw[0].path"));
        assert!(fault.concerns("raw"));
        assert!(fault.concerns("raw[0]"));
        assert!(!fault.concerns("raw[0].path_prefix"));
        assert!(!fault.concerns("raw[1].path"));
    }
}
