//! Steps on the server: what is sent, and how answers are taken apart.
//!
//! A script is sent by its hash; a server that does not know it (a fresh one, or one that was flushed) gets its text once.

use std::fmt::Write;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use fred::bytes_utils::Str;
use fred::types::Value;
use sha1::{Digest, Sha1};
use tokio::sync::Mutex;

use super::stats::Operation;

/// One step: whatever it checks and writes, no other call comes in between.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) operation: Operation,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Lua(Lua),
    /// A command that is a step by itself. Keys come first in it.
    Command(&'static str),
}

/// A script's text, and what is known of it on the server.
#[derive(Debug)]
pub(super) struct Lua {
    pub(super) text: &'static str,
    hash: OnceLock<Str>,
    /// Held by the one call that sends the text; the others wait for it instead of sending it as well.
    pub(super) loading: Mutex<()>,
    /// How often it was sent.
    pub(super) loads: AtomicU64,
}

/// Arguments of a step.
#[derive(Clone, Debug, Default)]
pub(super) struct Args(Vec<Value>);

/// Takes a list in an answer apart, from its front. Whatever is not as expected gives `None`, which makes the answer
/// faulty.
#[derive(Debug)]
pub(super) struct Fields(std::vec::IntoIter<Value>);

impl Script {
    pub(super) const fn lua(operation: Operation, text: &'static str) -> Self {
        let lua =
            Lua { text, hash: OnceLock::new(), loading: Mutex::const_new(()), loads: AtomicU64::new(0) };
        Self { operation, body: Body::Lua(lua) }
    }

    pub(super) const fn command(operation: Operation, name: &'static str) -> Self {
        Self { operation, body: Body::Command(name) }
    }
}

impl Lua {
    /// What a server knows it by.
    pub(super) fn hash(&self) -> Str {
        self.hash.get_or_init(|| hash_of(self.text)).clone()
    }
}

fn hash_of(text: &str) -> Str {
    let mut hex = String::with_capacity(40);
    for byte in Sha1::digest(text.as_bytes()) {
        write!(hex, "{byte:02x}").expect("a string takes whatever is written");
    }
    hex.into()
}

impl Args {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn text(mut self, text: impl Into<Str>) -> Self {
        self.0.push(Value::String(text.into()));
        self
    }

    /// Lua counts in doubles: exact up to 2^53, and everything above means "no limit" here.
    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.push(Value::Integer(number.min(1 << 53).cast_signed()));
        self
    }

    /// Without copying.
    pub(super) fn shared(mut self, bytes: Arc<[u8]>) -> Self {
        self.0.push(Value::Bytes(Bytes::from_owner(bytes)));
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.push(Value::Bytes(Bytes::copy_from_slice(bytes)));
        self
    }

    pub(super) fn extend(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    pub(super) fn into_values(self) -> Vec<Value> {
        self.0
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.0.iter().map(size_bytes).sum()
    }
}

impl Fields {
    pub(super) fn of(list: Value) -> Option<Self> {
        match list {
            Value::Array(values) => Some(Self(values.into_iter())),
            _ => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn value(&mut self) -> Option<Value> {
        self.0.next()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        number(&self.0.next()?)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<Str> {
        text(self.0.next()?)
    }

    pub(super) fn bytes(&mut self) -> Option<Bytes> {
        bytes(self.0.next()?)
    }

    pub(super) fn list(&mut self) -> Option<Self> {
        Self::of(self.0.next()?)
    }
}

/// A number, also one in digits: what a hash holds comes as text.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    }
}

pub(super) fn text(value: Value) -> Option<Str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Text counts as bytes as well: whether an answer is UTF-8 decides only how it is shown.
pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::String(text) => Some(text.into_inner()),
        _ => None,
    }
}

/// What a value takes on the wire, about.
pub(super) fn size_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(values) => values.iter().map(size_bytes).sum(),
        _ => size_of::<u64>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_the_hash_that_the_server_computes() {
        // As `SCRIPT LOAD "return 1"` answers.
        assert_eq!(hash_of("return 1"), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }

    #[test]
    fn answers_are_taken_apart_from_the_front() {
        let text = |text: &str| Value::String(text.into());
        let list = Value::Array(vec![
            Value::Integer(7),
            text("8"),
            text("word"),
            Value::Bytes(Bytes::from_static(b"\xff")),
            text("bytes"),
            Value::Integer(1),
        ]);
        let mut fields = Fields::of(list).unwrap();
        assert_eq!((fields.number(), fields.number()), (Some(7), Some(8)));
        assert_eq!(fields.text().as_deref(), Some("word"));
        assert_eq!(fields.bytes().as_deref(), Some(&b"\xff"[..]));
        assert_eq!(fields.bytes().as_deref(), Some(&b"bytes"[..]));
        assert_eq!((fields.flag(), fields.number(), fields.len()), (Some(true), None, 0));

        assert!(Fields::of(Value::Null).is_none());
        assert_eq!(number(&Value::Integer(-1)), None);
    }

    #[test]
    fn numbers_beyond_what_lua_counts_exactly_mean_no_limit() {
        let values = Args::new().number(u64::MAX).number(1 << 53).number(5).into_values();
        assert_eq!(values, [Value::Integer(1 << 53), Value::Integer(1 << 53), Value::Integer(5)]);
    }
}
