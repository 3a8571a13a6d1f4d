//! Types with a fixed set of named values: what [`config_choice!`](crate::config_choice) expands to.

use serde_json::json;

use super::fault::Mismatch;
use super::leaf::{Shown, mismatch, toml_string};
use super::suggest::closest;
use super::tree::Node;

/// A type with a fixed set of values, each with a name.
pub trait Choice: Copy + 'static {
    /// Every value with its name.
    const ALL: &'static [(Self, &'static str)];

    /// The value's name.
    fn name(self) -> &'static str;
}

/// [`Leaf::kind`](super::Leaf::kind) of a choice.
pub fn kind<T: Choice>() -> String {
    names::<T>().map(toml_string).collect::<Vec<_>>().join(" or ")
}

/// [`Leaf::parse`](super::Leaf::parse) of a choice.
pub fn parse<T: Choice>(node: &Node) -> Result<T, Vec<Mismatch>> {
    let named = T::ALL.iter().find(|(_, name)| node.text() == Some(name));
    named.map(|(value, _)| *value).ok_or_else(|| {
        let suggestion = node.text().and_then(|text| {
            let in_other_case = names::<T>().find(|name| name.eq_ignore_ascii_case(text));
            in_other_case.or_else(|| closest(&text.to_lowercase(), names::<T>()))
        });
        mismatch(node, &kind::<T>(), suggestion.map(toml_string))
    })
}

/// [`Leaf::show`](super::Leaf::show) of a choice.
pub fn show<T: Choice>(value: T) -> Shown {
    Shown::Toml(toml_string(value.name()))
}

/// [`Leaf::schema`](super::Leaf::schema) of a choice.
pub fn schema<T: Choice>() -> serde_json::Value {
    json!({ "enum": names::<T>().collect::<Vec<_>>() })
}

fn names<T: Choice>() -> impl Iterator<Item = &'static str> {
    T::ALL.iter().map(|(_, name)| *name)
}
