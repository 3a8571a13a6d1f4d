//! Types a single key can have: how each is read, shown and described.
//!
//! Durations and byte sizes, which carry units, are in `units.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::json;

use super::fault::Mismatch;
use super::secret::Secret;
use super::tree::{Node, Value, parse_inline};

/// A type that one key can have.
pub trait Leaf: Sized {
    /// What the reference page calls the type.
    fn kind() -> String;

    /// Takes the value out of what was written, or says everything that is wrong with it.
    fn parse(node: &Node) -> Result<Self, Vec<Mismatch>>;

    /// The value as it may be printed.
    fn show(&self) -> Shown;

    /// JSON schema of what the TOML file may hold.
    fn schema() -> serde_json::Value;
}

/// A value as it may be printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Shown {
    /// The value in TOML.
    Toml(String),
    /// The key has no value; TOML has no word for that.
    Unset,
    /// The value is secret.
    Redacted,
    /// Part of the value is secret: this is the rest.
    Masked(String),
}

impl Leaf for bool {
    fn kind() -> String {
        "boolean".to_owned()
    }

    fn parse(node: &Node) -> Result<Self, Vec<Mismatch>> {
        match &node.value {
            Value::Boolean(value) => Ok(*value),
            Value::Word(word) if word == "true" => Ok(true),
            Value::Word(word) if word == "false" => Ok(false),
            _ => Err(mismatch(node, "true or false", None)),
        }
    }

    fn show(&self) -> Shown {
        Shown::Toml(self.to_string())
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "boolean" })
    }
}

macro_rules! integer_leaf {
    ($($integer:ty),+) => {$(
        impl Leaf for $integer {
            fn kind() -> String {
                "integer".to_owned()
            }

            fn parse(node: &Node) -> Result<Self, Vec<Mismatch>> {
                let number = match &node.value {
                    Value::Integer(number) => Self::try_from(*number).ok(),
                    Value::Word(word) => word.parse().ok(),
                    _ => None,
                };
                number.ok_or_else(|| {
                    let unquoted = node.text().and_then(|text| text.parse::<Self>().ok());
                    mismatch(node, "a whole number", unquoted.map(|number| number.to_string()))
                })
            }

            fn show(&self) -> Shown {
                Shown::Toml(self.to_string())
            }

            fn schema() -> serde_json::Value {
                json!({ "type": "integer", "minimum": Self::MIN, "maximum": Self::MAX })
            }
        }
    )+};
}

integer_leaf!(u8, u16, u32, u64, usize);

impl Leaf for f64 {
    fn kind() -> String {
        "number".to_owned()
    }

    fn parse(node: &Node) -> Result<Self, Vec<Mismatch>> {
        let number = match &node.value {
            Value::Float(number) | Value::Word(number) => number.parse::<Self>().ok(),
            // A person writes 1 for 1.0; what loses digits on the way was not meant as a ratio.
            Value::Integer(number) => i32::try_from(*number).ok().map(Self::from),
            _ => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| {
            let unquoted = node.text().and_then(|text| text.parse::<Self>().ok());
            mismatch(node, "a number", unquoted.map(|number| number.to_string()))
        })
    }

    fn show(&self) -> Shown {
        Shown::Toml(toml::Value::Float(*self).to_string())
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "number" })
    }
}

macro_rules! text_leaf {
    ($($text:ty: $kind:literal, $expected:literal, $to_text:expr;)+) => {$(
        impl Leaf for $text {
            fn kind() -> String {
                $kind.to_owned()
            }

            fn parse(node: &Node) -> Result<Self, Vec<Mismatch>> {
                let parsed = node.text().and_then(|text| text.parse().ok());
                parsed.ok_or_else(|| mismatch(node, $expected, quoted_number(node)))
            }

            fn show(&self) -> Shown {
                let to_text: fn(&Self) -> String = $to_text;
                Shown::Toml(toml_string(&to_text(self)))
            }

            fn schema() -> serde_json::Value {
                json!({ "type": "string" })
            }
        }
    )+};
}

text_leaf! {
    String: "text", "text in quotes", Self::clone;
    PathBuf: "path", "a path in quotes", |path| path.display().to_string();
    SocketAddr: "address", "an IP address with a port such as \"0.0.0.0:8000\" or \"[::]:8000\"", Self::to_string;
    IpNet: "CIDR", "an address range such as \"10.0.0.0/8\" or \"fd00::/8\"", Self::to_string;
}

impl Leaf for Secret {
    fn kind() -> String {
        "secret".to_owned()
    }

    fn parse(node: &Node) -> Result<Self, Vec<Mismatch>> {
        node.text().map(Self::new).ok_or_else(|| {
            vec![Mismatch::new(&node.source, "found something else (not shown), expected text in quotes")]
        })
    }

    fn show(&self) -> Shown {
        Shown::Redacted
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "writeOnly": true })
    }
}

/// A key that may be left out. An empty variable leaves it out too, since charts cannot unset one.
impl<T: Leaf> Leaf for Option<T> {
    fn kind() -> String {
        T::kind()
    }

    fn parse(node: &Node) -> Result<Self, Vec<Mismatch>> {
        match &node.value {
            Value::Word(word) if word.is_empty() => Ok(None),
            _ => T::parse(node).map(Some),
        }
    }

    fn show(&self) -> Shown {
        self.as_ref().map_or(Shown::Unset, T::show)
    }

    fn schema() -> serde_json::Value {
        T::schema()
    }
}

/// A TOML array; in a variable or flag comma separated, or inline TOML when it begins with `[`.
impl<T: Leaf> Leaf for Vec<T> {
    fn kind() -> String {
        format!("list of {}", T::kind())
    }

    fn parse(node: &Node) -> Result<Self, Vec<Mismatch>> {
        let items = match &node.value {
            Value::List(items) => items.clone(),
            Value::Word(word) if word.trim_start().starts_with('[') => inline_list(node, word)?,
            Value::Word(word) => words(node, word),
            _ => return Err(mismatch(node, &format!("a {}", Self::kind()), None)),
        };
        let mut faults = Vec::new();
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match T::parse(item) {
                Ok(value) => values.push(value),
                Err(own) => faults.extend(own.into_iter().map(|mut fault| {
                    fault.place = format!("[{index}]{}", fault.place);
                    fault
                })),
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }

    fn show(&self) -> Shown {
        let mut items = Vec::with_capacity(self.len());
        for item in self {
            match item.show() {
                Shown::Toml(text) => items.push(text),
                Shown::Unset => {}
                Shown::Redacted | Shown::Masked(_) => return Shown::Redacted,
            }
        }
        Shown::Toml(format!("[{}]", items.join(", ")))
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// Reads a list of tables or values that a variable or flag holds as inline TOML.
pub(super) fn inline_list(node: &Node, word: &str) -> Result<Vec<Node>, Vec<Mismatch>> {
    let fault = |message: String| vec![Mismatch::new(&node.source, message)];
    match parse_inline(word, &node.source) {
        Ok(Node { value: Value::List(items), .. }) => Ok(items),
        Ok(other) => Err(fault(format!("found {}, expected a list in inline TOML", other.found_kind()))),
        Err(error) => Err(fault(error.to_string())),
    }
}

/// One fault of a whole value: what was found, what was expected, and perhaps what to write.
pub(super) fn mismatch(node: &Node, expected: &str, suggestion: Option<String>) -> Vec<Mismatch> {
    let message = format!("found {}, expected {expected}", node.found());
    vec![Mismatch { suggestion, ..Mismatch::new(&node.source, message) }]
}

/// `text` as a TOML string.
pub(super) fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn words(node: &Node, list: &str) -> Vec<Node> {
    list.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| Node { source: node.source.clone(), value: Value::Word(word.to_owned()) })
        .collect()
}

/// A number where text belongs most often lacks its quotes only.
fn quoted_number(node: &Node) -> Option<String> {
    match &node.value {
        Value::Integer(number) => Some(format!("\"{number}\"")),
        Value::Float(number) => Some(format!("\"{number}\"")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;

    #[test]
    fn a_number_may_be_whole_and_has_to_be_finite() {
        let number = |value| f64::parse(&Node { source: Source::Default, value }).ok();
        assert_eq!(number(Value::Float("0.25".to_owned())), Some(0.25));
        assert_eq!(number(Value::Word("1e-3".to_owned())), Some(0.001));
        assert_eq!(number(Value::Integer(1)), Some(1.0));
        for bad in [Value::Float("nan".to_owned()), Value::Word("inf".to_owned()), Value::Boolean(true)] {
            assert_eq!(number(bad), None);
        }
        assert_eq!(1.0_f64.show(), Shown::Toml("1.0".to_owned()));
    }
}
