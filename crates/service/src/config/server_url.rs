//! Addresses of servers, which may hold a user and a password.

use std::fmt;

use super::fault::Mismatch;
use super::leaf::{Leaf, Shown};
use super::tree::Node;

/// Address of a server, or several with commas in between. Printed without user and password everywhere; only
/// [`ServerUrl::expose`] gives the text.
#[derive(Clone, Eq, PartialEq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// Stands for the memory of this process.
    pub const MEMORY: &str = "memory:";

    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether what it stands for is in this process' own memory, and no server at all.
    pub fn is_memory(&self) -> bool {
        self.0 == Self::MEMORY
    }

    /// Fails where this is neither [`ServerUrl::MEMORY`] nor Redis. Only the scheme is looked at: the rest may hold a
    /// password, and is looked at by who connects.
    ///
    /// # Errors
    ///
    /// What was expected, and the scheme.
    pub fn check_redis(&self) -> Result<(), String> {
        const SCHEMES: [&str; 6] =
            ["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"];
        check_scheme(&self.0, &SCHEMES, "memory: or redis://HOST:PORT")
    }

    /// Fails where this is neither [`ServerUrl::MEMORY`] nor NATS servers with commas in between. Only the schemes are
    /// looked at.
    ///
    /// # Errors
    ///
    /// What was expected, and the scheme.
    pub fn check_nats(&self) -> Result<(), String> {
        self.0
            .split(',')
            .try_for_each(|url| check_scheme(url.trim(), &["nats", "tls"], "memory: or nats://HOST:PORT"))
    }

    /// The text without what may be secret; `None` where all of it may be shown.
    fn masked(&self) -> Option<String> {
        // Up to the last one: a password may hold any of the characters that end it elsewhere.
        let (before, host) = self.0.rsplit_once('@')?;
        let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
        Some(format!("{scheme}[redacted]@{host}"))
    }
}

fn check_scheme(url: &str, schemes: &[&str], expected: &str) -> Result<(), String> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if url == ServerUrl::MEMORY || scheme.is_some_and(|scheme| schemes.contains(&scheme)) {
        return Ok(());
    }
    Err(format!("expected {expected}; the scheme is {:?}", scheme.unwrap_or("missing")))
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.masked().as_deref().unwrap_or(&self.0))
    }
}

impl Leaf for ServerUrl {
    fn kind() -> String {
        String::kind()
    }

    fn parse(node: &Node) -> Result<Self, Vec<Mismatch>> {
        String::parse(node).map(Self)
    }

    fn show(&self) -> Shown {
        self.masked().map_or_else(|| self.0.show(), Shown::Masked)
    }

    fn schema() -> serde_json::Value {
        String::schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_not_shown_whatever_the_password_holds() {
        let cases = [
            ("redis://ann:hunter2@host:1/2", "redis://[redacted]@host:1/2"),
            ("nats://ann:hunter2@one,nats://ann:hunter2@two", "nats://[redacted]@two"),
            ("redis://ann:h,u//n@ter2@host", "redis://[redacted]@host"),
            ("ann:hunter2@host", "[redacted]@host"),
        ];
        for (url, masked) in cases {
            assert_eq!(format!("{:?}", ServerUrl::new(url)), masked);
            assert_eq!(ServerUrl::new(url).show(), Shown::Masked(masked.to_owned()));
        }
    }

    #[test]
    fn an_address_without_them_is_shown_as_it_is() {
        let url = ServerUrl::new("redis://host:1");

        assert_eq!(format!("{url:?}"), "redis://host:1");
        assert_eq!(url.show(), Shown::Toml("\"redis://host:1\"".to_owned()));
    }
}
