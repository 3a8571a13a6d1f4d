//! Names that a person chooses for sections: `[namespaces.chat]`.
//!
//! They are parts of dotted keys and of variables, where letters have no case: so they have none either.

/// Longest name in bytes.
const BYTES_MAX: usize = 64;

/// What a name may be, as a regular expression.
pub(super) const PATTERN: &str = "^[a-z0-9_-]{1,64}$";

/// What a name may be, for people.
pub(super) const RULE: &str = "1 to 64 small letters, digits, `-` and `_`";

/// Says what is wrong with a name.
pub(super) fn check(name: &str) -> Result<(), String> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(format!("found the name {name:?}, expected {RULE}"));
    }
    Ok(())
}
