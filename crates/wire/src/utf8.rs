//! UTF-8 validation of text that arrives in pieces.
//!
//! Place in the data path: `decode` asks it about each piece of a text message as it arrives, so that a message fails
//! at its first wrong byte, not at its end (RFC 6455, section 8.1), and no byte is looked at twice.

#[cfg(test)]
mod tests;

/// Whether the pieces so far can still become UTF-8. Four bytes: the beginning of a character that a piece cut.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Validator {
    /// The first `cut_len` bytes of an unfinished character; a prefix of some valid one.
    cut: [u8; CUT_BYTES_MAX],
    cut_len: u8,
}

/// A byte that cannot stand where it stands in UTF-8.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the text is not UTF-8")]
pub struct InvalidUtf8;

/// The longest character has four bytes, so at most three of them wait for the rest.
const CUT_BYTES_MAX: usize = 3;

/// Up to here a scan for bytes above 127 decides most text before the general validator is worth its set-up.
const SHORT_BYTES_MAX: usize = 256;

impl Validator {
    /// Nothing seen yet.
    pub const fn new() -> Self {
        Self { cut: [0; CUT_BYTES_MAX], cut_len: 0 }
    }

    /// Checks the next piece. After an error the validator is of no more use.
    ///
    /// # Errors
    ///
    /// No text that begins with the pieces so far is UTF-8.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        if self.cut_len > 0 {
            piece = self.complete_cut(piece)?;
        }
        let (whole, cut) = piece.split_at(piece.len() - unfinished_len(piece));
        check(whole)?;
        if !cut.is_empty() {
            self.begin_cut(cut)?;
        }
        Ok(())
    }

    /// Checks that the text may end here.
    ///
    /// # Errors
    ///
    /// The last character is unfinished.
    pub fn finish(self) -> Result<(), InvalidUtf8> {
        if self.cut_len == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }

    /// Feeds the unfinished character byte by byte; returns what is left of the piece when it is complete.
    fn complete_cut<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], InvalidUtf8> {
        let mut character = [0; CUT_BYTES_MAX + 1];
        let mut len = usize::from(self.cut_len);
        character[..len].copy_from_slice(&self.cut[..len]);

        for (at, &byte) in piece.iter().enumerate() {
            character[len] = byte;
            len += 1;
            match prefix(&character[..len])? {
                Prefix::Complete => {
                    self.cut_len = 0;
                    return Ok(&piece[at + 1..]);
                }
                Prefix::Unfinished => {}
            }
        }
        self.begin_cut(&character[..len])?;
        Ok(&[])
    }

    /// Keeps the beginning of a character, if it can be one.
    fn begin_cut(&mut self, cut: &[u8]) -> Result<(), InvalidUtf8> {
        prefix(cut)?;
        self.cut[..cut.len()].copy_from_slice(cut);
        self.cut_len = u8::try_from(cut.len()).expect("an unfinished character has at most three bytes");
        Ok(())
    }
}

/// Checks text that is there as a whole.
///
/// # Errors
///
/// It is not UTF-8.
#[inline]
pub fn check(text: &[u8]) -> Result<(), InvalidUtf8> {
    if text.len() <= SHORT_BYTES_MAX && is_ascii(text) {
        return Ok(());
    }
    simdutf8::basic::from_utf8(text).map(drop).map_err(|_| InvalidUtf8)
}

/// Whether no byte has its top bit set. For short text twice as fast as the standard library's, which looks byte by byte at
/// an end that fills no vector; here the last sixteen bytes are looked at once more instead.
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    const TOP_BITS: u128 = u128::from_ne_bytes([0x80; 16]);

    let Some(&last) = text.last_chunk() else {
        return text.iter().fold(0, |seen, byte| seen | byte) < 0x80;
    };
    let seen = text.as_chunks().0.iter().fold(last, or);
    u128::from_ne_bytes(seen) & TOP_BITS == 0
}

#[inline]
fn or(seen: [u8; 16], bytes: &[u8; 16]) -> [u8; 16] {
    (u128::from_ne_bytes(seen) | u128::from_ne_bytes(*bytes)).to_ne_bytes()
}

enum Prefix {
    Complete,
    Unfinished,
}

/// Where one to four bytes stand that begin with a character's first byte.
fn prefix(bytes: &[u8]) -> Result<Prefix, InvalidUtf8> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(Prefix::Complete),
        Err(error) if error.error_len().is_none() => Ok(Prefix::Unfinished),
        Err(_) => Err(InvalidUtf8),
    }
}

/// How many bytes at the end of `piece` begin a character that goes on behind it: 0 to 3.
///
/// Only first bytes are looked at; whether the rest fits is for [`prefix`] to say.
fn unfinished_len(piece: &[u8]) -> usize {
    let tail = &piece[piece.len().saturating_sub(CUT_BYTES_MAX)..];
    for (behind, &byte) in tail.iter().rev().enumerate() {
        let seen = behind + 1;
        let promised = match byte {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return if promised > seen { seen } else { 0 };
    }
    0
}
