//! Character classes of HTTP fields (RFC 9110 5.5, 5.6) and the comma lists built from them.
//!
//! Place in the data path: below the line reader and the field checks of both handshake parsers.

/// True for a byte that may stand in a token (RFC 9110 5.6.2): header names, methods, list members.
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// True for a token: one or more token bytes.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// The first control character in `text` that no field value may hold: all of them but the tab.
#[inline]
pub(crate) fn first_control(text: &[u8]) -> Option<u8> {
    // Without an early exit the compiler makes vector compares of this; the search runs on refusal only.
    let any = text.iter().fold(false, |found, &byte| found | is_control(byte));
    if !any {
        return None;
    }
    text.iter().copied().find(|&byte| is_control(byte))
}

/// True if every byte is visible ASCII: no space, no control character, nothing over 0x7e.
#[inline]
pub(crate) fn is_visible_ascii(text: &[u8]) -> bool {
    text.iter().fold(true, |good, &byte| good & (0x21..=0x7e).contains(&byte))
}

/// `text` without the spaces and tabs around it (RFC 9110's OWS).
#[inline]
pub(crate) fn trim_whitespace(text: &[u8]) -> &[u8] {
    trim_whitespace_end(trim_whitespace_start(text))
}

/// `text` without the spaces and tabs at its start.
#[inline]
pub(crate) fn trim_whitespace_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// `text` without the spaces and tabs at its end.
#[inline]
pub(crate) fn trim_whitespace_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The members of a comma list, trimmed; empty members are skipped, as RFC 9110 5.6.1.2 asks of a recipient.
#[inline]
pub(crate) fn list_members(list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    list.split(|&byte| byte == b',').map(trim_whitespace).filter(|member| !member.is_empty())
}

#[inline]
fn is_control(byte: u8) -> bool {
    ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f)
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_bytes_are_visible_ascii_without_the_delimiters() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token_byte(byte), expected, "byte {byte:#04x}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn the_first_control_character_is_found_and_a_tab_is_none() {
        for byte in 0..=u8::MAX {
            let expected = (byte.is_ascii_control() && byte != b'\t').then_some(byte);
            assert_eq!(first_control(&[b'a', byte, b'b']), expected);
        }
        assert_eq!(first_control(b"a\x01b\x02"), Some(1));
        assert_eq!(first_control(b""), None);
    }

    #[test]
    fn visible_ascii_has_no_space_and_nothing_beyond_the_tilde() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_visible_ascii(&[b'/', byte]), byte.is_ascii_graphic());
        }
    }

    #[test]
    fn list_members_are_trimmed_and_never_empty() {
        let members: Vec<&[u8]> = list_members(b" a ,,\tb,c d, ").collect();
        assert_eq!(members, [&b"a"[..], b"b", b"c d"]);
    }
}
