//! Which web pages may open a connection: the `Origin` allow-list (RFC 6455, section 10.2).
//!
//! Place in the data path: after the request parsed, before any credential is looked at. It protects users whose
//! browser was lured to a foreign page; it is no authentication, for a program that is no browser sends what it likes,
//! or nothing. Therefore a request without `Origin` passes.

use thiserror::Error;

/// The configured origins, parsed.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedOrigins {
    /// Empty: every origin.
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Pattern {
    /// The literal `null`: sandboxed frames, `file:` and `data:` pages. Anyone can make one.
    Null,
    Origin {
        scheme: Box<str>,
        host: Host,
        port: Option<u16>,
    },
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Host {
    Exact(Box<str>),
    /// `*.example`: any name below `example`, at any depth, but not `example` itself. Holds `.example`.
    Below(Box<str>),
}

/// Whether a page of this origin may connect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum OriginVerdict {
    /// It may.
    Allow,
    /// It may not: 403.
    Refuse,
}

/// What is wrong with an entry of `client.allowed_origins`.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "client.allowed_origins: {entry:?} {fault}; write \"https://app.example\", \"https://*.example\" or \"null\""
)]
pub(crate) struct OriginPatternError {
    entry: String,
    fault: &'static str,
}

impl AllowedOrigins {
    /// Parses the entries of `client.allowed_origins`; no entry at all allows every origin.
    pub(crate) fn parse<S: AsRef<str>>(entries: &[S]) -> Result<Self, OriginPatternError> {
        let parse = |entry: &S| {
            let entry = entry.as_ref();
            Pattern::parse(entry).map_err(|fault| OriginPatternError { entry: entry.to_owned(), fault })
        };
        Ok(Self { patterns: entries.iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// Judges the `Origin` header as it was sent; `None` where there was none.
    pub(crate) fn check(&self, origin: Option<&str>) -> OriginVerdict {
        let Some(origin) = origin else { return OriginVerdict::Allow };
        if self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(origin)) {
            OriginVerdict::Allow
        } else {
            OriginVerdict::Refuse
        }
    }
}

impl Pattern {
    fn parse(entry: &str) -> Result<Self, &'static str> {
        if entry == "null" {
            return Ok(Self::Null);
        }
        if entry == "*" {
            return Err("would allow everyone, which an empty list does");
        }
        let (scheme, authority) = entry.split_once("://").ok_or("has no scheme")?;
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            return Err("has an invalid scheme");
        }
        if authority.contains('/') {
            return Err("has a path (or a slash at its end), which no origin has");
        }
        if authority.contains('@') {
            return Err("has a user name, which no origin has");
        }
        let (host, port) = split_port(authority).ok_or("has an invalid port")?;
        let host = match host.strip_prefix('*') {
            None => Host::Exact(host.into()),
            Some(below) if below.starts_with('.') && below.len() > 1 => Host::Below(below.into()),
            Some(_) => return Err("has a wildcard that is not followed by a dot and a name"),
        };
        let (Host::Exact(name) | Host::Below(name)) = &host;
        if name.is_empty() {
            return Err("has no host");
        }
        if name.contains('*') {
            return Err("has a wildcard that is not the whole first label");
        }
        let is_ipv6 = name.starts_with('[') && name.ends_with(']');
        if !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b) || (is_ipv6 && b"[:]".contains(&b)))
        {
            return Err(
                "has a host with characters that browsers do not send (write international names as xn--…)",
            );
        }
        Ok(Self::Origin { port: without_default(scheme, port), scheme: scheme.into(), host })
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Null => origin == "null",
            Self::Origin { scheme, host, port } => {
                let Some((origin_scheme, authority)) = origin.split_once("://") else { return false };
                let Some((origin_host, origin_port)) = split_port(authority) else { return false };
                origin_scheme.eq_ignore_ascii_case(scheme)
                    && without_default(origin_scheme, origin_port) == *port
                    && host.matches(origin_host)
            }
        }
    }
}

impl Host {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(suffix) => {
                let Some(split) = host.len().checked_sub(suffix.len()) else { return false };
                // What the star stands for must be host characters: "https://evil/.example" is not below ".example".
                split > 0
                    && host.is_char_boundary(split)
                    && host[split..].eq_ignore_ascii_case(suffix)
                    && host[..split].bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        }
    }
}

/// Splits `host[:port]`; `None` if there is a port that is no number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 literal without a port.
        Some((_, tail)) if tail.ends_with(']') => Some((authority, None)),
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            Some((host, Some(port.parse().ok()?)))
        }
        Some(_) => None,
        None => Some((authority, None)),
    }
}

/// Browsers leave a scheme's own port out of `Origin` (RFC 6454, section 6.2); an entry may spell it.
fn without_default(scheme: &str, port: Option<u16>) -> Option<u16> {
    let default = if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else {
        None
    };
    port.filter(|_| port != default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entries: &[&str], origin: &str) -> bool {
        AllowedOrigins::parse(entries).unwrap().check(Some(origin)) == OriginVerdict::Allow
    }

    #[test]
    fn an_empty_list_allows_every_origin() {
        assert!(allows(&[], "https://anything.example"));
        assert!(allows(&[], "null"));
    }

    #[test]
    fn a_request_without_origin_is_no_browser_and_passes() {
        let origins = AllowedOrigins::parse(&["https://app.example"]).unwrap();
        assert_eq!(origins.check(None), OriginVerdict::Allow);
        assert_eq!(origins.check(Some("")), OriginVerdict::Refuse);
    }

    #[test]
    fn an_exact_entry_allows_that_origin_only() {
        let entries = ["https://app.example"];
        for origin in ["https://app.example", "HTTPS://App.Example", "https://app.example:443"] {
            assert!(allows(&entries, origin), "{origin}");
        }
        for origin in [
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil",
            "https://evil-app.example",
            "https://sub.app.example",
            "https://app.example/",
            "https://app.example.",
            "https://user@app.example",
            "app.example",
            "null",
        ] {
            assert!(!allows(&entries, origin), "{origin}");
        }
    }

    #[test]
    fn the_port_is_part_of_the_origin() {
        assert!(allows(&["http://localhost:3000"], "http://localhost:3000"));
        assert!(!allows(&["http://localhost:3000"], "http://localhost:3001"));
        assert!(!allows(&["http://localhost:3000"], "http://localhost"));
        assert!(allows(&["https://app.example:443"], "https://app.example"));
        assert!(allows(&["http://app.example:80"], "http://app.example"));
        assert!(!allows(&["http://app.example:443"], "http://app.example"));
        assert!(allows(&["http://[::1]:3000"], "http://[::1]:3000"));
        assert!(allows(&["http://[::1]"], "http://[::1]"));
        for origin in [
            "http://localhost:",
            "http://localhost:+3000",
            "http://localhost:03000x",
            "http://localhost:99999",
        ] {
            assert!(!allows(&["http://localhost:3000"], origin), "{origin}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_names_below_it() {
        let entries = ["https://*.example.org"];
        for origin in ["https://a.example.org", "https://a.b.example.org", "https://A.EXAMPLE.ORG"] {
            assert!(allows(&entries, origin), "{origin}");
        }
        for origin in [
            "https://example.org",
            "https://.example.org",
            "https://evilexample.org",
            "https://a.example.org:8443",
            "https://a.example.org.evil",
            "http://a.example.org",
            "https://evil/.example.org",
            "https://evil?.example.org",
            "https://evil#.example.org",
            "https://evil:1@a.example.org",
            "https://\u{e9}.example.org",
        ] {
            assert!(!allows(&entries, origin), "{origin}");
        }
        assert!(allows(&["https://*.example.org:8443"], "https://a.example.org:8443"));
    }

    #[test]
    fn null_is_allowed_only_where_listed() {
        assert!(!allows(&["https://app.example"], "null"));
        assert!(allows(&["https://app.example", "null"], "null"));
        assert!(!allows(&["null"], "https://app.example"));
    }

    #[test]
    fn a_bad_entry_is_named_with_its_fault() {
        for (entry, fault) in [
            ("app.example", "has no scheme"),
            ("://app.example", "invalid scheme"),
            ("*", "would allow everyone"),
            ("https://", "has no host"),
            ("https://:443", "has no host"),
            ("https://app.example/", "has a path"),
            ("https://app.example/chat", "has a path"),
            ("https://user@app.example", "user name"),
            ("https://app.example:https", "invalid port"),
            ("https://app.example:70000", "invalid port"),
            ("https://*", "wildcard"),
            ("https://*.", "wildcard"),
            ("https://*app.example", "wildcard"),
            ("https://a.*.example", "wildcard"),
            ("https://*.*.example", "wildcard"),
            ("https://app example", "characters"),
            ("https://b\u{fc}cher.example", "characters"),
        ] {
            let error = AllowedOrigins::parse(&["https://fine.example", entry]).unwrap_err().to_string();
            assert!(
                error.contains(fault) && error.contains(entry.escape_debug().to_string().as_str()),
                "{error}"
            );
        }
    }
}
