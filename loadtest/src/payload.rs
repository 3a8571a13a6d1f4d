//! What is sent, and the check that it came back unchanged.
//!
//! A payload is 16 letters that spell a number (which message this is), then a fixed pattern. All of it is ASCII, so that the
//! same bytes serve text and binary messages, and without quote and backslash, so that they stand in a JSON string as they are.

/// Letters that spell the number: one for each four bits, least significant first, so that short payloads keep what changes.
pub(crate) const STAMP_BYTES: usize = 16;

/// A payload of one size that can be stamped with any number.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
}

/// How a payload differs from what was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mismatch {
    Length {
        expected: usize,
        found: usize,
    },
    /// Another message than the one that was due, or a damaged number.
    Stamp,
    /// Position of the first wrong byte.
    Content {
        at: usize,
    },
}

impl Template {
    pub(crate) fn new(size: usize) -> Self {
        // 61 is prime: no alignment of a shifted payload matches by chance.
        let letter = |step: u8| match b'A' + step % 58 {
            b'\\' => b'~',
            letter => letter,
        };
        let bytes = (0_u8..61).cycle().map(letter).take(size).collect();
        Self { bytes }
    }

    /// The payload that carries `number`.
    pub(crate) fn stamp(&mut self, number: u64) -> &[u8] {
        let letters = spell(number);
        let len = self.bytes.len().min(STAMP_BYTES);
        self.bytes[..len].copy_from_slice(&letters[..len]);
        &self.bytes
    }

    /// Is `payload` what `stamp(number)` gave?
    pub(crate) fn check(&self, number: u64, payload: &[u8]) -> Result<(), Mismatch> {
        if payload.len() != self.bytes.len() {
            return Err(Mismatch::Length { expected: self.bytes.len(), found: payload.len() });
        }
        let stamp_len = payload.len().min(STAMP_BYTES);
        let (stamp, pattern) = payload.split_at(stamp_len);
        if stamp != &spell(number)[..stamp_len] {
            return Err(Mismatch::Stamp);
        }
        let expected = &self.bytes[stamp_len..];
        if pattern == expected {
            return Ok(());
        }
        let equal = pattern.iter().zip(expected).take_while(|(found, wanted)| found == wanted).count();
        Err(Mismatch::Content { at: stamp_len + equal })
    }
}

/// The number a payload of at least 16 bytes carries, if its letters spell one.
pub(crate) fn number_of(payload: &[u8]) -> Option<u64> {
    let letters = payload.first_chunk::<STAMP_BYTES>()?;
    let mut number = 0;
    for (index, letter) in letters.iter().enumerate() {
        let nibble = letter.checked_sub(b'a').filter(|&nibble| nibble < 16)?;
        number |= u64::from(nibble) << (4 * index);
    }
    Some(number)
}

fn spell(number: u64) -> [u8; STAMP_BYTES] {
    let mut letters = [0; STAMP_BYTES];
    for (pair, byte) in letters.chunks_exact_mut(2).zip(number.to_le_bytes()) {
        pair[0] = b'a' + (byte & 15);
        pair[1] = b'a' + (byte >> 4);
    }
    letters
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length { expected, found } => write!(f, "{found} bytes instead of {expected}"),
            Self::Stamp => write!(f, "another message than the one that was due"),
            Self::Content { at } => write!(f, "wrong content from byte {at} on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_spelled_and_read_back() {
        for number in [0, 1, 15, 16, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(number_of(Template::new(40).stamp(number)), Some(number));
        }
        assert_eq!(number_of(b"too short"), None);
        assert_eq!(number_of(b"zzzzzzzzzzzzzzzzzzzz"), None);
    }

    #[test]
    fn payloads_are_ascii_text_that_needs_no_escape_in_json() {
        let mut template = Template::new(300);
        let payload = str::from_utf8(template.stamp(u64::MAX)).unwrap();
        assert!(payload.bytes().all(|byte| (b' '..0x7f).contains(&byte)));
        assert_eq!(serde_json::to_string(payload).unwrap(), format!("\"{payload}\""));
    }

    #[test]
    fn every_kind_of_damage_is_seen() {
        let mut template = Template::new(125);
        let sent = template.stamp(7).to_vec();
        assert_eq!(template.check(7, &sent), Ok(()));
        assert_eq!(template.check(8, &sent), Err(Mismatch::Stamp));
        assert_eq!(template.check(7, &sent[1..]), Err(Mismatch::Length { expected: 125, found: 124 }));
        for at in STAMP_BYTES..sent.len() {
            let mut damaged = sent.clone();
            damaged[at] ^= 1;
            assert_eq!(template.check(7, &damaged), Err(Mismatch::Content { at }));
        }
    }

    #[test]
    fn an_empty_payload_is_possible() {
        let mut template = Template::new(0);
        assert_eq!(template.stamp(9), b"");
        assert_eq!(template.check(9, b""), Ok(()));
    }
}
