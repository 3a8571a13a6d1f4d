//! Lines of an HTTP head: found once, checked once, split into header fields.
//!
//! Place in the data path: both handshake parsers (`request.rs` on the server, `client.rs` on the client) pull their
//! lines from a `LineCursor`. It remembers how far it has searched, so a head that trickles in byte by
//! byte costs as much as one that comes whole.

use memchr::memchr;

use super::chars::{first_control, is_token_byte, trim_whitespace_end, trim_whitespace_start};

/// No head is longer than this, whatever limit the caller sets: offsets are kept in 16 bits.
pub(crate) const HEAD_BYTES_CEILING: usize = u16::MAX as usize;

/// How far a head has been read. Offsets count from the head's first byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineCursor {
    line_start: u16,
    /// Up to here there is no line end after `line_start`.
    searched: u16,
    lines: u16,
}

/// One line without its CRLF. What else it holds is for `field` or the start line's parser to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'b> {
    /// The start line is line 1.
    pub(crate) number: u16,
    /// Offset of the line's first byte.
    pub(crate) start: u16,
    pub(crate) text: &'b [u8],
}

/// What the cursor found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NextLine<'b> {
    Line(Line<'b>),
    Incomplete,
    /// The head reached the limit without an end in sight.
    OverLimit,
}

/// A rule of RFC 9112 that a line breaks; the same in requests and responses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LineFault {
    /// LF without CR before it.
    #[error("it ends in a bare LF")]
    BareLf,
    /// CR without LF after it.
    #[error("it has a CR that no LF follows")]
    BareCr,
    /// A NUL byte.
    #[error("it holds a NUL byte")]
    Nul,
    /// Another control character, the tab excepted.
    #[error("it holds the control character {0:#04x}")]
    Control(u8),
    /// White space at its start (RFC 9112 5.2).
    #[error("it begins with white space")]
    ObsFold,
    /// No colon.
    #[error("it has no colon")]
    MissingColon,
    /// White space before its colon (RFC 9112 5.1).
    #[error("it has white space before its colon")]
    SpaceBeforeColon,
    /// Nothing before its colon.
    #[error("it has no header name")]
    EmptyName,
    /// A byte in its name that no token has (RFC 9110 5.1).
    #[error("it has byte {0:#04x} in its header name")]
    NameByte(u8),
}

/// A header field: a token, and a value without the white space around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'b> {
    pub(crate) name: &'b [u8],
    /// Offset of the value's first byte.
    pub(crate) value_start: u16,
    pub(crate) value: &'b [u8],
}

impl LineCursor {
    /// Bytes that belong to lines already taken, their line ends included.
    pub(crate) fn consumed(&self) -> usize {
        usize::from(self.line_start)
    }

    /// Bytes that have been searched and will not be searched again.
    pub(crate) fn searched(&self) -> usize {
        usize::from(self.searched)
    }

    /// Lines taken so far.
    pub(crate) fn lines(&self) -> u16 {
        self.lines
    }

    /// Takes the next line of `head`, of which nothing beyond `bytes_max` is looked at.
    #[inline]
    pub(crate) fn next_line<'b>(
        &mut self,
        head: &'b [u8],
        bytes_max: usize,
    ) -> Result<NextLine<'b>, LineFault> {
        let bytes_max = bytes_max.min(HEAD_BYTES_CEILING);
        let visible = &head[..head.len().min(bytes_max)];
        let fresh = visible.get(self.searched()..).unwrap_or_default();
        let Some(found) = memchr(b'\n', fresh) else {
            self.searched = offset(visible.len());
            return Ok(if visible.len() == bytes_max { NextLine::OverLimit } else { NextLine::Incomplete });
        };

        let lf = self.searched() + found;
        let Some(text) = visible[self.consumed()..lf].strip_suffix(b"\r") else {
            return Err(LineFault::BareLf);
        };

        let start = self.line_start;
        self.lines += 1;
        self.line_start = offset(lf + 1);
        self.searched = self.line_start;
        Ok(NextLine::Line(Line { number: self.lines, start, text }))
    }
}

impl<'b> Line<'b> {
    /// Splits a header line at its colon (RFC 9112 5) and checks each byte once: those of a name are token bytes, those of
    /// a value no control characters.
    #[inline]
    pub(crate) fn field(&self) -> Result<Field<'b>, LineFault> {
        let colon = token_bytes(self.text);
        if self.text.get(colon) != Some(&b':') || colon == 0 {
            return Err(name_fault(self.text, colon));
        }

        let name = &self.text[..colon];
        let value = trim_whitespace_start(&self.text[colon + 1..]);
        check_controls(value)?;
        let value_start = self.start + offset(self.text.len() - value.len());
        Ok(Field { name, value_start, value: trim_whitespace_end(value) })
    }
}

/// How many bytes at the start of `text` are those of a token.
///
/// Every byte of every name passes through; in line the loop comes out twice as long.
#[inline(never)]
fn token_bytes(text: &[u8]) -> usize {
    text.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(text.len())
}

/// Refuses control characters other than the tab, and names the ones with which parsers are led astray.
#[inline]
pub(crate) fn check_controls(text: &[u8]) -> Result<(), LineFault> {
    match first_control(text) {
        None => Ok(()),
        Some(b'\r') => Err(LineFault::BareCr),
        Some(0) => Err(LineFault::Nul),
        Some(byte) => Err(LineFault::Control(byte)),
    }
}

/// Says what is wrong with a line that has no proper colon at `stop`, where its first bytes of a token end.
#[cold]
fn name_fault(text: &[u8], stop: usize) -> LineFault {
    if let Err(fault) = check_controls(text) {
        return fault;
    }
    let Some(&byte) = text.get(stop) else {
        return LineFault::MissingColon;
    };
    let blank = matches!(byte, b' ' | b'\t');
    // A line that begins with white space continues the one before it: obsolete, and a way to smuggle.
    if blank && stop == 0 {
        return LineFault::ObsFold;
    }
    if blank && trim_whitespace_start(&text[stop..]).starts_with(b":") {
        return LineFault::SpaceBeforeColon;
    }
    if byte == b':' {
        return LineFault::EmptyName;
    }
    LineFault::NameByte(byte)
}

/// An offset into a head, which is never longer than `HEAD_BYTES_CEILING`.
#[inline]
pub(crate) fn offset(bytes: usize) -> u16 {
    u16::try_from(bytes).expect("a head's bytes are only looked at up to HEAD_BYTES_CEILING")
}
