//! Writes JSON objects to the end of a byte buffer, allocating nothing but the buffer's growth.

use crate::json::RawJson;
use crate::position::Position;

/// An object being written: its opening brace is there, its fields follow, [`ObjectWriter::end`] closes it.
pub(crate) struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> ObjectWriter<'o> {
    pub(crate) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }

    /// Writes a key that needs no escapes, and gives the buffer for its value.
    pub(crate) fn key(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Writes a key of any text, and gives the buffer for its value.
    pub(crate) fn any_key(&mut self, name: &str) -> &mut Vec<u8> {
        self.separate();
        append_text(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// Begins an object inside; it ends with a call of its own `end`.
    pub(crate) fn object(&mut self, name: &'static str) -> ObjectWriter<'_> {
        ObjectWriter::begin(self.key(name))
    }

    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        append_text(self.key(name), text);
    }

    pub(crate) fn text_if(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub(crate) fn number(&mut self, name: &'static str, number: u64) {
        append_number(self.key(name), number);
    }

    pub(crate) fn number_if(&mut self, name: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    pub(crate) fn bool(&mut self, name: &'static str, value: bool) {
        self.key(name).extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(crate) fn json(&mut self, name: &'static str, json: RawJson<'_>) {
        self.key(name).extend_from_slice(json.as_str().as_bytes());
    }

    pub(crate) fn json_if(&mut self, name: &'static str, json: Option<RawJson<'_>>) {
        if let Some(json) = json {
            self.json(name, json);
        }
    }

    /// Writes `epoch` and `offset`.
    pub(crate) fn position(&mut self, position: Position) {
        self.text("epoch", position.epoch.text().as_str());
        self.number("offset", position.offset);
    }

    /// Writes an array, one call of `write` for each element.
    pub(crate) fn array<T>(&mut self, name: &'static str, list: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
        let out = self.key(name);
        out.push(b'[');
        for (index, element) in list.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(out, element);
        }
        out.push(b']');
    }

    fn separate(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
    }
}

/// Writes a string with its quotes and the escapes it needs (RFC 8259, section 7).
pub(crate) fn append_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes every byte, and text is JSON");
}

fn append_number(out: &mut Vec<u8>, number: u64) {
    serde_json::to_writer(out, &number).expect("a Vec takes every byte, and a number is JSON");
}
