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
    if any(text, is_control) { text.iter().copied().find(|&byte| is_control(byte)) } else { None }
}

/// True if every byte is visible ASCII: no space, no control character, nothing over 0x7e.
#[inline]
pub(crate) fn is_visible_ascii(text: &[u8]) -> bool {
    !any(text, |byte| !(0x21..=0x7e).contains(&byte))
}

/// True if `text` is `lower` in any case; `lower` is of lower case letters.
///
/// As a header name that is a token `text` may also hold `-`: the one other byte that the bit of case makes a `-` is CR.
#[inline]
pub(crate) fn is_in_any_case<const N: usize>(text: &[u8], lower: &[u8; N]) -> bool {
    text.len() == N && text.iter().zip(lower).fold(true, |same, (byte, lower)| same & (byte | 0x20 == *lower))
}

/// True if some byte of `text` passes `test`.
///
/// Blocks of fixed size become vector compares; the last one overlaps the one before, so that no tail is left to go through
/// byte by byte. Header values are short: the tails would be most of the work.
#[inline]
pub(crate) fn any(text: &[u8], test: impl Fn(u8) -> bool + Copy) -> bool {
    if let Some(last) = text.last_chunk::<16>() {
        let (blocks, _) = text.as_chunks::<16>();
        return blocks.iter().any(|block| any_in(block, test)) || any_in(last, test);
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        return any_in(first, test) | any_in(last, test);
    }
    text.iter().any(|&byte| test(byte))
}

/// `any` without early exit.
#[inline]
fn any_in<const N: usize>(block: &[u8; N], test: impl Fn(u8) -> bool) -> bool {
    block.iter().fold(false, |found, &byte| found | test(byte))
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
    fn a_byte_is_found_wherever_it_stands_in_a_text_of_any_length() {
        for bytes in 0..70 {
            let mut text = vec![b'a'; bytes];
            assert!(!any(&text, |byte| byte == b'b'));
            for at in 0..bytes {
                text[at] = b'b';
                assert!(any(&text, |byte| byte == b'b'), "at {at} of {bytes}");
                text[at] = b'a';
            }
        }
    }

    #[test]
    fn case_does_not_matter_and_nothing_else_passes_for_a_letter() {
        assert!(
            is_in_any_case(b"KEY", b"key")
                && is_in_any_case(b"key", b"key")
                && is_in_any_case(b"x-Y", b"x-y")
        );
        assert!(!is_in_any_case(b"keys", b"key") && !is_in_any_case(b"ke", b"key"));
        for byte in 0..=u8::MAX {
            assert_eq!(is_in_any_case(&[byte], b"z"), byte.eq_ignore_ascii_case(&b'z'));
            assert_eq!(is_token_byte(byte) && is_in_any_case(&[byte], b"-"), byte == b'-');
        }
    }

    #[test]
    fn list_members_are_trimmed_and_never_empty() {
        let members: Vec<&[u8]> = list_members(b" a ,,\tb,c d, ").collect();
        assert_eq!(members, [&b"a"[..], b"b", b"c d"]);
    }
}
