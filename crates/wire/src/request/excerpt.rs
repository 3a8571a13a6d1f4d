//! A short, harmless piece of what a peer sent, for error messages.
//!
//! Place in the data path: inside the errors of both handshake parsers, on refusal only.

use std::fmt;

/// The first bytes of a value, shown escaped. Never made from a header that may hold a secret.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Excerpt {
    bytes: [u8; Self::BYTES_MAX],
    /// Length of the whole value, of which `bytes` may hold only the start.
    whole_bytes: u16,
}

impl Excerpt {
    /// How many bytes of the value are kept.
    pub const BYTES_MAX: usize = 16;

    pub(crate) fn new(value: &[u8]) -> Self {
        let mut bytes = [0; Self::BYTES_MAX];
        let kept = value.len().min(Self::BYTES_MAX);
        bytes[..kept].copy_from_slice(&value[..kept]);
        Self { bytes, whole_bytes: u16::try_from(value.len()).unwrap_or(u16::MAX) }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = usize::from(self.whole_bytes);
        self.bytes[..whole.min(Self::BYTES_MAX)].escape_ascii().fmt(f)?;
        if whole > Self::BYTES_MAX { f.write_str("...") } else { Ok(()) }
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_cut_after_sixteen_bytes_and_escaped() {
        assert_eq!(Excerpt::new(b"").to_string(), "");
        assert_eq!(Excerpt::new(b"0123456789abcdef").to_string(), "0123456789abcdef");
        assert_eq!(Excerpt::new(b"0123456789abcdefg").to_string(), "0123456789abcdef...");
        assert_eq!(Excerpt::new(b"a\"\n\xff").to_string(), r#"a\"\n\xff"#);
        assert_eq!(Excerpt::new(&[b'x'; 70_000]).to_string(), "xxxxxxxxxxxxxxxx...");
    }
}
