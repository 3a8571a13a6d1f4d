//! A head that comes in pieces: the same verdict as in one, and no byte looked at again before the end.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use tidegate_wire::request::{Parsed, RequestError, RequestParser};

use crate::generate::{mutate, mutations, valid_request};
use crate::{BROWSER, LIMITS, parse};

/// The verdict on `bytes` when they come up to each of `cuts`, then whole.
fn parse_in_pieces(bytes: &[u8], cuts: impl IntoIterator<Item = usize>) -> Result<Parsed<'_>, RequestError> {
    let mut parser = RequestParser::new();
    for cut in cuts {
        let parsed = parser.parse(&LIMITS, &bytes[..cut]);
        if parsed != Ok(Parsed::Incomplete) {
            return parsed;
        }
    }
    parser.parse(&LIMITS, bytes)
}

proptest! {
    #[test]
    fn any_split_gives_the_verdict_of_the_whole(
        generated in valid_request(),
        mutations in mutations(),
        cuts in vec(any::<Index>(), 1..8),
    ) {
        let mut bytes = generated.bytes;
        mutate(&mut bytes, &mutations);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();

        prop_assert_eq!(parse_in_pieces(&bytes, cuts), parse(&bytes));
        prop_assert_eq!(parse_in_pieces(&bytes, 0..bytes.len()), parse(&bytes));
    }
}

#[test]
fn every_single_split_of_a_browsers_request_is_accepted() {
    let bytes = BROWSER.as_bytes();
    assert!(matches!(parse(bytes), Ok(Parsed::Upgrade { .. })));
    for cut in 0..bytes.len() {
        assert_eq!(parse_in_pieces(bytes, [cut]), parse(bytes), "cut at {cut}");
    }
}

/// Each byte is searched once for the line end, checked once with its line, and nothing else happens before the head is
/// complete. So whatever lies before the current line may be spoiled between calls, and in the current line whatever has been
/// searched, until the line is complete. A parser that looked back would stumble over the NULs or the line ends.
#[test]
fn bytes_that_have_been_looked_at_are_not_looked_at_again() {
    let bytes = BROWSER.as_bytes();
    let mut parser = RequestParser::new();
    for seen in 1..bytes.len() {
        let mut spoiled = bytes[..seen].to_vec();
        let (newest, older) = spoiled.split_last_mut().expect("at least one byte");
        let line_start = older.iter().rposition(|&byte| byte == b'\n').map_or(0, |lf| lf + 1);
        older[..line_start].fill(0);
        if *newest != b'\n' {
            older[line_start..].fill(b'\n');
        }
        let parsed = parser.parse(&LIMITS, &spoiled);
        assert!(matches!(parsed, Ok(Parsed::Incomplete)), "{parsed:?} after {seen} bytes");
    }
    let parsed = parser.parse(&LIMITS, bytes);
    assert!(matches!(parsed, Ok(Parsed::Upgrade { .. })), "{parsed:?}");
}
