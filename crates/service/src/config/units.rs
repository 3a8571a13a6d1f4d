//! Values with units: durations (`"30s"`) and byte sizes (`"1MiB"`).
//!
//! A bare number is a byte count where bytes are asked for, and a fault where time is: nobody should have to guess
//! between seconds and milliseconds.

use std::time::Duration;

use bytesize::ByteSize;
use serde_json::json;

use super::fault::Mismatch;
use super::leaf::{Leaf, Shown, mismatch};
use super::tree::{Node, Value};

impl Leaf for Duration {
    fn kind() -> String {
        "duration".to_owned()
    }

    fn parse(node: &Node) -> Result<Self, Vec<Mismatch>> {
        let parsed = node.text().and_then(|text| humantime::parse_duration(text).ok());
        parsed.ok_or_else(|| {
            let suggestion = bare_number(node).map(|number| format!("\"{number}s\" if seconds are meant"));
            mismatch(node, "a duration with its unit such as \"30s\", \"500ms\" or \"2m\"", suggestion)
        })
    }

    fn show(&self) -> Shown {
        Shown::Toml(format!("\"{}\"", humantime::format_duration(*self)))
    }

    fn schema() -> serde_json::Value {
        let number_and_unit = r"^\s*([0-9]+(\.[0-9]+)?\s*[a-zA-Zµ]+\s*)+$";
        json!({ "type": "string", "pattern": number_and_unit })
    }
}

/// An integer type that can count bytes.
pub trait ByteCount: Copy + 'static {
    /// The count, if it fits.
    fn from_bytes(bytes: u64) -> Option<Self>;

    /// The count.
    fn bytes(self) -> u64;
}

impl ByteCount for u64 {
    fn from_bytes(bytes: u64) -> Option<Self> {
        Some(bytes)
    }

    fn bytes(self) -> u64 {
        self
    }
}

impl ByteCount for usize {
    fn from_bytes(bytes: u64) -> Option<Self> {
        Self::try_from(bytes).ok()
    }

    fn bytes(self) -> u64 {
        self as u64
    }
}

pub(super) fn bytes_kind() -> String {
    "bytes".to_owned()
}

pub(super) fn parse_bytes<T: ByteCount>(node: &Node) -> Result<T, Vec<Mismatch>> {
    let bytes = match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Word(text) | Value::Text(text) => text.parse::<ByteSize>().ok().map(|size| size.as_u64()),
        _ => None,
    };
    bytes.and_then(T::from_bytes).ok_or_else(|| {
        mismatch(node, "a size such as \"64KiB\", \"1MiB\" or a number of bytes", size_suggestion(node))
    })
}

/// The size in the largest binary unit that is exact, so that printing and reading it again changes nothing.
pub(super) fn show_bytes<T: ByteCount>(size: &T) -> Shown {
    const UNITS: [(u64, &str); 4] =
        [(bytesize::TIB, "TiB"), (bytesize::GIB, "GiB"), (bytesize::MIB, "MiB"), (bytesize::KIB, "KiB")];
    let bytes = size.bytes();
    let exact = UNITS.iter().find(|(unit, _)| bytes != 0 && bytes.is_multiple_of(*unit));
    Shown::Toml(match exact {
        Some((unit, name)) => format!("\"{}{name}\"", bytes / unit),
        None => bytes.to_string(),
    })
}

pub(super) fn bytes_schema() -> serde_json::Value {
    let number_and_unit = r"^[0-9]+(\.[0-9]+)?\s*([kKmMgGtTpPeE][iI]?)?[bB]?$";
    json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": number_and_unit }] })
}

fn bare_number(node: &Node) -> Option<String> {
    match &node.value {
        Value::Integer(number) if *number >= 0 => Some(number.to_string()),
        Value::Float(number) => Some(number.clone()),
        Value::Word(text) | Value::Text(text) => {
            let number = text.trim();
            number.parse::<u64>().ok().map(|_| number.to_owned())
        }
        _ => None,
    }
}

/// For sizes whose unit is one letter or one word away from a known one.
fn size_suggestion(node: &Node) -> Option<String> {
    let text = node.text()?.trim();
    let number: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = text[number.len()..].trim().to_ascii_lowercase();
    let known = match unit.chars().next()? {
        'k' => "KiB",
        'm' => "MiB",
        'g' => "GiB",
        't' => "TiB",
        'b' => "B",
        _ => return None,
    };
    (!number.is_empty()).then(|| format!("\"{number}{known}\""))
}
