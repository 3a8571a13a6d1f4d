//! Label selectors as Kubernetes writes them in a query: `app=tidegate,zone in (a,b),!canary`.

use std::collections::{BTreeMap, BTreeSet};

/// A conjunction of requirements on labels; an empty one selects everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Selector(Vec<Requirement>);

/// What is asked of one label.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Requirement {
    /// It is there, with one of these values.
    In(String, BTreeSet<String>),
    /// It is not there, or has none of these values.
    NotIn(String, BTreeSet<String>),
    /// It is there.
    Present(String),
    /// It is not there.
    Absent(String),
}

/// Text that is no selector: the part that is not.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no requirement on a label: write KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY notin (A,B), KEY or !KEY"
)]
pub(super) struct SelectorError(String);

impl Selector {
    /// Reads a selector.
    pub(super) fn parse(text: &str) -> Result<Self, SelectorError> {
        parts(text).into_iter().map(Requirement::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether labels are selected.
    pub(super) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => !labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::Present(key) => labels.contains_key(key),
            Requirement::Absent(key) => !labels.contains_key(key),
        })
    }

    /// The labels of which only one value will do.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let single = |requirement: &Requirement| match requirement {
            Requirement::In(key, values) if values.len() == 1 => Some((key.clone(), values.first()?.clone())),
            _ => None,
        };
        self.0.iter().filter_map(single).collect()
    }
}

impl Requirement {
    fn parse(text: &str) -> Result<Self, SelectorError> {
        let text = text.trim();
        Self::read(text).ok_or_else(|| SelectorError(text.to_owned()))
    }

    fn read(text: &str) -> Option<Self> {
        if let Some(key) = text.strip_prefix('!') {
            return Some(Self::Absent(key_of(key)?));
        }
        if let Some((head, list)) = text.split_once('(') {
            let values = list.strip_suffix(')')?.split(',').map(value_of).collect::<Option<_>>()?;
            let mut words = head.split_whitespace();
            return match (words.next(), words.next(), words.next()) {
                (Some(key), Some("in"), None) => Some(Self::In(key_of(key)?, values)),
                (Some(key), Some("notin"), None) => Some(Self::NotIn(key_of(key)?, values)),
                _ => None,
            };
        }
        if let Some((key, value)) = text.split_once("!=") {
            return Some(Self::NotIn(key_of(key)?, BTreeSet::from([value_of(value)?])));
        }
        if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            return Some(Self::In(key_of(key)?, BTreeSet::from([value_of(value)?])));
        }
        Some(Self::Present(key_of(text)?))
    }
}

/// The text between commas that are in no parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let is_between = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    if text.trim().is_empty() { Vec::new() } else { text.split(is_between).collect() }
}

fn key_of(text: &str) -> Option<String> {
    let text = text.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    (!text.is_empty() && text.chars().all(is_plain)).then(|| text.to_owned())
}

/// A value may be empty.
fn value_of(text: &str) -> Option<String> {
    let text = text.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.chars().all(is_plain).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_select_as_kubernetes_does() {
        for (text, selects) in [
            ("", true),
            ("app=tidegate", true),
            ("app==tidegate, zone = a", true),
            ("app=other", false),
            ("app!=other,missing!=x", true),
            ("zone in (b, a)", true),
            ("zone notin (a,b)", false),
            ("missing notin (a)", true),
            ("app,!missing", true),
            ("missing", false),
            ("!app", false),
            ("example.com/part=", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().selects(&labels()), selects, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_selector_is_named() {
        for text in ["a=b,", "=b", "a in b", "a in (b", "a upon (b)", "a>1", "a=b=c", "a b", "a=\"b\"", "!"] {
            assert!(Selector::parse(text).is_err(), "{text:?}");
        }
        let error = Selector::parse("app=tidegate,zone>1").unwrap_err();
        assert!(error.to_string().starts_with("\"zone>1\" is no requirement"), "{error}");
    }

    #[test]
    fn the_labels_of_a_selector_are_those_with_one_value() {
        let selector = Selector::parse("app=tidegate,zone in (a),tier in (x,y),!canary,team!=z").unwrap();
        assert_eq!(selector.labels(), labels());
    }

    fn labels() -> BTreeMap<String, String> {
        [("app", "tidegate"), ("zone", "a")].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }
}
