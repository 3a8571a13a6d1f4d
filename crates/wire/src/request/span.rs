//! Where in a head a value lies: four bytes instead of a slice, so that a parser can be kept while the buffer moves.
//!
//! Place in the data path: inside both handshake parsers, between the line that holds a value and the head's end.

use std::num::NonZeroU16;

use super::lines::{Field, offset};

/// A piece of the head. No value of interest starts at offset 0, the start line does; so an absent one costs no space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: NonZeroU16,
    bytes: u16,
}

/// A field that may occur once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Single {
    #[default]
    Absent,
    At(Span),
    Repeated,
}

impl Span {
    pub(crate) fn new(start: u16, bytes: usize) -> Self {
        let start = NonZeroU16::new(start).expect("a method or a line stands before every span");
        Self { start, bytes: offset(bytes) }
    }

    pub(crate) fn of<'b>(&self, head: &'b [u8]) -> &'b [u8] {
        let start = usize::from(self.start.get());
        &head[start..start + usize::from(self.bytes)]
    }
}

impl Single {
    pub(crate) fn add(&mut self, field: &Field<'_>) {
        *self = match self {
            Self::Absent => Self::At(Span::new(field.value_start, field.value.len())),
            Self::At(_) | Self::Repeated => Self::Repeated,
        };
    }
}
