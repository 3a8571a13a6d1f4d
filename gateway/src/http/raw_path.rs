//! The path patterns of `[[raw]]` routes: `/echo`, `/raw/{channel}`.
//!
//! Place in the data path: a worker matches the target of an upgrade against them; the HTTP router asks the same
//! question to tell 426 (an upgrade belongs here) from 404. Pure.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// Longest channel name in bytes, after percent-decoding.
pub(crate) const CHANNEL_BYTES_MAX: usize = 255;

const CHANNEL: &str = "{channel}";

/// A parsed pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RawPath {
    /// Everything up to `{channel}`; the whole pattern where there is none.
    before: Box<str>,
    /// What follows `{channel}`: empty or beginning with a slash.
    after: Option<Box<str>>,
}

/// A path that belongs to a pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PathMatch<'p> {
    /// The pattern has no `{channel}`.
    Plain,
    /// The channel the path names: 1 to [`CHANNEL_BYTES_MAX`] bytes, without control characters and white space;
    /// borrowed from the path where no percent escape had to be decoded.
    Channel(Cow<'p, str>),
}

/// What is wrong with a `[[raw]]` path.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum RawPathError {
    /// Not an absolute path.
    #[error("the path {0:?} does not begin with a slash")]
    NotAbsolute(String),
    /// A brace that is not part of a whole `{channel}` segment.
    #[error("the path {0:?} has a brace outside of a whole segment {{channel}}, the only parameter there is")]
    UnknownParameter(String),
    /// More than one parameter.
    #[error("the path {0:?} has {{channel}} twice")]
    RepeatedChannel(String),
    /// `//` inside or `/` at the end: hard to tell from its neighbour in a log, and proxies fold them.
    #[error("the path {0:?} has an empty segment (two slashes in a row, or one at the end)")]
    EmptySegment(String),
    /// A query, a fragment, white space or anything else that no request's path contains.
    #[error("the path {path:?} has the character {found:?}, which has to be percent-encoded or left out")]
    InvalidCharacter {
        /// The configured path.
        path: String,
        /// The first offender.
        found: char,
    },
}

impl RawPath {
    /// Parses the `path` of a `[[raw]]` section.
    pub(crate) fn parse(pattern: &str) -> Result<Self, RawPathError> {
        let segments =
            pattern.strip_prefix('/').ok_or_else(|| RawPathError::NotAbsolute(pattern.to_owned()))?;
        let mut channels = 0;
        // The root itself, "/", is one empty segment and the only path that may have it.
        for segment in segments.split('/').filter(|_| !segments.is_empty()) {
            if segment == CHANNEL {
                channels += 1;
            } else {
                check_literal(pattern, segment)?;
            }
        }
        if channels > 1 {
            return Err(RawPathError::RepeatedChannel(pattern.to_owned()));
        }
        Ok(match pattern.split_once(CHANNEL) {
            Some((before, after)) => Self { before: before.into(), after: Some(after.into()) },
            None => Self { before: pattern.into(), after: None },
        })
    }

    /// Whether the pattern names a channel.
    pub(crate) fn has_channel(&self) -> bool {
        self.after.is_some()
    }

    /// Matches a request's path as it was sent, percent escapes included and without the query.
    ///
    /// Literal segments match byte by byte: nothing is decoded or normalised, so that no two spellings of a path can
    /// be judged differently by the gateway and by a proxy in front of it. A trailing slash makes another path. The
    /// channel may hold an encoded slash.
    pub(crate) fn match_path<'p>(&self, path: &'p str) -> Option<PathMatch<'p>> {
        let Some(after) = &self.after else {
            return (path == &*self.before).then_some(PathMatch::Plain);
        };
        let segment = path.strip_prefix(&*self.before)?.strip_suffix(&**after)?;
        if segment.contains('/') {
            return None;
        }
        channel_name(segment).map(PathMatch::Channel)
    }
}

/// The pattern as it was configured.
impl fmt::Display for RawPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.after {
            Some(after) => write!(f, "{}{CHANNEL}{after}", self.before),
            None => f.write_str(&self.before),
        }
    }
}

/// Decodes a segment and holds it against the rules of a channel name.
fn channel_name(segment: &str) -> Option<Cow<'_, str>> {
    if !has_whole_escapes(segment) {
        return None;
    }
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    let is_name = (1..=CHANNEL_BYTES_MAX).contains(&name.len())
        && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    is_name.then_some(name)
}

/// Whether every `%` is followed by two hexadecimal digits; the decoder would let others pass as they are.
fn has_whole_escapes(segment: &str) -> bool {
    segment.split('%').skip(1).all(|rest| {
        rest.as_bytes().first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn check_literal(pattern: &str, segment: &str) -> Result<(), RawPathError> {
    if segment.is_empty() {
        return Err(RawPathError::EmptySegment(pattern.to_owned()));
    }
    if segment.contains(['{', '}']) {
        return Err(RawPathError::UnknownParameter(pattern.to_owned()));
    }
    // RFC 3986, section 3.3: pchar.
    let is_pchar = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%".contains(c);
    let invalid = segment.chars().find(|&c| !is_pchar(c)).or((!has_whole_escapes(segment)).then_some('%'));
    match invalid {
        Some(found) => Err(RawPathError::InvalidCharacter { path: pattern.to_owned(), found }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(pattern: &str, path: &str) -> Option<String> {
        match RawPath::parse(pattern).unwrap().match_path(path)? {
            PathMatch::Channel(name) => Some(name.into_owned()),
            PathMatch::Plain => panic!("{pattern} has a channel"),
        }
    }

    #[test]
    fn a_plain_path_matches_itself_only() {
        let echo = RawPath::parse("/echo").unwrap();
        assert!(!echo.has_channel());
        assert_eq!(echo.match_path("/echo"), Some(PathMatch::Plain));
        for path in ["/echo/", "/Echo", "/ech", "/echoo", "/%65cho", "//echo", "echo", "", "/"] {
            assert_eq!(echo.match_path(path), None, "{path}");
        }
    }

    #[test]
    fn the_root_may_be_a_raw_path() {
        let root = RawPath::parse("/").unwrap();
        assert_eq!(root.match_path("/"), Some(PathMatch::Plain));
        assert_eq!(root.match_path("//"), None);
    }

    #[test]
    fn a_channel_is_exactly_one_segment() {
        assert_eq!(channel("/raw/{channel}", "/raw/room1").as_deref(), Some("room1"));
        assert_eq!(channel("/{channel}", "/room1").as_deref(), Some("room1"));
        assert_eq!(channel("/a/{channel}/b", "/a/room1/b").as_deref(), Some("room1"));
        for path in ["/raw/", "/raw", "/raw//", "/raw/room1/", "/raw/a/b", "/raw//a", "/RAW/a", "/x/raw/a"] {
            assert_eq!(channel("/raw/{channel}", path), None, "{path}");
        }
        for path in ["/a/room1", "/a/b", "/a//b", "/a/room1/b/", "/a/r/r/b"] {
            assert_eq!(channel("/a/{channel}/b", path), None, "{path}");
        }
    }

    #[test]
    fn a_channel_is_percent_decoded_utf8() {
        for (path, name) in [
            ("/raw/caf%C3%A9", Some("caf\u{e9}")),
            ("/raw/a%2Fb", Some("a/b")),
            ("/raw/a%2fb", Some("a/b")),
            ("/raw/%7Bchannel%7D", Some("{channel}")),
            ("/raw/a+b", Some("a+b")),
            ("/raw/%2525", Some("%25")),
            ("/raw/%C3", None),
            ("/raw/%", None),
            ("/raw/%4", None),
            ("/raw/%zz", None),
            ("/raw/%+1", None),
            ("/raw/a%", None),
        ] {
            assert_eq!(channel("/raw/{channel}", path).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn a_channel_has_no_control_characters_and_no_white_space() {
        for escape in ["%00", "%0A", "%7F", "%20", "%09", "%C2%85", "%C2%A0", "%E2%80%A8", "%E3%80%80"] {
            assert_eq!(channel("/raw/{channel}", &format!("/raw/a{escape}b")), None, "{escape}");
        }
    }

    #[test]
    fn a_channel_has_1_to_255_bytes_after_decoding() {
        let path = |n: usize| format!("/raw/{}", "x".repeat(n));
        assert!(channel("/raw/{channel}", &path(255)).is_some());
        assert!(channel("/raw/{channel}", &path(256)).is_none());
        assert!(channel("/raw/{channel}", &format!("/raw/{}", "%78".repeat(255))).is_some());
        assert!(channel("/raw/{channel}", &format!("/raw/{}", "%78".repeat(256))).is_none());
    }

    #[test]
    fn a_match_allocates_only_to_decode() {
        let raw = RawPath::parse("/raw/{channel}").unwrap();
        assert!(matches!(raw.match_path("/raw/room1"), Some(PathMatch::Channel(Cow::Borrowed("room1")))));
        assert!(matches!(raw.match_path("/raw/room%31"), Some(PathMatch::Channel(Cow::Owned(_)))));
    }

    #[test]
    fn overlapping_ends_do_not_match() {
        assert_eq!(channel("/a/{channel}/a", "/a/a"), None);
        assert_eq!(channel("/a/{channel}/a", "/a/a/a").as_deref(), Some("a"));
    }

    #[test]
    fn bad_patterns_are_refused_with_their_fault() {
        type Check = fn(&RawPathError) -> bool;
        let cases: [(&str, Check); 14] = [
            ("", |e| matches!(e, RawPathError::NotAbsolute(_))),
            ("echo", |e| matches!(e, RawPathError::NotAbsolute(_))),
            ("{channel}", |e| matches!(e, RawPathError::NotAbsolute(_))),
            ("/{room}", |e| matches!(e, RawPathError::UnknownParameter(_))),
            ("/x{channel}", |e| matches!(e, RawPathError::UnknownParameter(_))),
            ("/{channel}x", |e| matches!(e, RawPathError::UnknownParameter(_))),
            ("/{Channel}", |e| matches!(e, RawPathError::UnknownParameter(_))),
            ("/{channel}/{channel}", |e| matches!(e, RawPathError::RepeatedChannel(_))),
            ("/echo/", |e| matches!(e, RawPathError::EmptySegment(_))),
            ("//echo", |e| matches!(e, RawPathError::EmptySegment(_))),
            ("/{channel}/", |e| matches!(e, RawPathError::EmptySegment(_))),
            ("/echo?x", |e| matches!(e, RawPathError::InvalidCharacter { found: '?', .. })),
            ("/caf\u{e9}", |e| matches!(e, RawPathError::InvalidCharacter { found: '\u{e9}', .. })),
            ("/a%2", |e| matches!(e, RawPathError::InvalidCharacter { found: '%', .. })),
        ];
        for (pattern, is_expected) in cases {
            let error = RawPath::parse(pattern).unwrap_err();
            assert!(is_expected(&error), "{pattern}: {error}");
        }
    }
}
