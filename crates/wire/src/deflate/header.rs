//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1), read in place, without allocation.
//!
//! Only syntax lives here; what the words mean is `agreement`'s business. A header that breaks the grammar fails the
//! handshake even where it speaks of extensions we do not know, because section 9.1 says so.

use super::error::ExtensionError;

/// Reads one header value from front to back: an extension's name, its parameters, the next name …
pub(super) struct ExtensionReader<'a> {
    value: &'a [u8],
    at: usize,
}

/// One parameter of an extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Param<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: Option<ParamValue<'a>>,
}

/// A parameter's value: a token, or the inside of a quoted string that is a token once its escapes are gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParamValue<'a> {
    raw: &'a [u8],
}

impl<'a> ExtensionReader<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self { value, at: 0 }
    }

    /// The next extension's name, or `None` at the end. Its parameters must be read before the next call.
    ///
    /// Empty elements (`a,,b`, and a value with no element at all) are skipped, as RFC 9110 section 5.6.1.2 asks of
    /// recipients.
    pub(super) fn next_extension(&mut self) -> Result<Option<&'a [u8]>, ExtensionError> {
        self.skip_space();
        while self.eat(b',') {
            self.skip_space();
        }
        if self.at == self.value.len() {
            return Ok(None);
        }
        self.token().map(Some)
    }

    /// The next parameter of the extension last named, or `None` after its last one.
    ///
    /// Space around `;` and `=` is allowed: RFC 6455 takes its grammar from RFC 2616, where space is implied between words.
    pub(super) fn next_param(&mut self) -> Result<Option<Param<'a>>, ExtensionError> {
        self.skip_space();
        if !self.eat(b';') {
            return match self.peek() {
                None | Some(b',') => Ok(None),
                Some(_) => Err(ExtensionError::ExpectedSeparator { at: self.at }),
            };
        }
        self.skip_space();
        let name = self.token()?;
        self.skip_space();
        if !self.eat(b'=') {
            return Ok(Some(Param { name, value: None }));
        }
        self.skip_space();
        let raw = if self.eat(b'"') { self.quoted_token()? } else { self.token()? };
        Ok(Some(Param { name, value: Some(ParamValue { raw }) }))
    }

    fn token(&mut self) -> Result<&'a [u8], ExtensionError> {
        let rest = &self.value[self.at..];
        let len = rest.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(rest.len());
        if len == 0 {
            return Err(ExtensionError::ExpectedToken { at: self.at });
        }
        self.at += len;
        Ok(&rest[..len])
    }

    /// What follows an opening quote, up to the closing one; escapes are checked but kept.
    fn quoted_token(&mut self) -> Result<&'a [u8], ExtensionError> {
        let start = self.at;
        loop {
            let escaped = self.eat(b'\\');
            match self.peek() {
                Some(b'"') if !escaped && self.at > start => break,
                Some(byte) if is_token_byte(byte) => self.at += 1,
                _ => return Err(ExtensionError::BadQuotedValue { at: self.at }),
            }
        }
        let raw = &self.value[start..self.at];
        self.at += 1;
        Ok(raw)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, expected: u8) -> bool {
        let found = self.peek() == Some(expected);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }
}

impl ParamValue<'_> {
    /// The value as a window size: a decimal from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
    pub(super) fn window_bits(self) -> Option<u8> {
        // A backslash is no token byte, so here it can only introduce an escape, and what it escapes is no backslash.
        let mut digits = self.raw.iter().filter(|&&byte| byte != b'\\');
        match (digits.next()?, digits.next(), digits.next()) {
            (&ones @ b'8'..=b'9', None, None) => Some(ones - b'0'),
            (b'1', Some(&ones @ b'0'..=b'5'), None) => Some(10 + ones - b'0'),
            _ => None,
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
