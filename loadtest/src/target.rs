//! Where to connect: a `ws://` or `wss://` URL, and the source addresses to connect from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A server address and a path on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// Value of the `Host` header: host and port as written in the URL.
    pub(crate) host: String,
    /// Request target: path and query.
    pub(crate) path: String,
    pub(crate) address: SocketAddr,
    pub(crate) scheme: Scheme,
}

/// What is under WebSocket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scheme {
    /// `ws://`: TCP.
    Plain,
    /// `wss://`: TLS.
    Tls,
}

impl Target {
    /// The same server, another path.
    pub(crate) fn with_path(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// The host without its port, as certificates name it.
    pub(crate) fn host_name(&self) -> &str {
        let name = split_port(&self.host).map_or(self.host.as_str(), |(name, _)| name);
        name.trim_start_matches('[').trim_end_matches(']')
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let (scheme, default_port, rest) = match url.split_once("://") {
            Some(("ws", rest)) => (Scheme::Plain, 80, rest),
            Some(("wss", rest)) => (Scheme::Tls, 443, rest),
            _ => return Err(format!("a URL like ws://127.0.0.1:8000/echo is expected, not `{url}`")),
        };
        let (host, path) = match rest.find(['/', '?']) {
            Some(at) if rest.as_bytes()[at] == b'/' => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
            None => (rest, "/".to_owned()),
        };
        if path.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || byte == b'#') {
            return Err(format!("the path `{path}` must be percent-encoded ASCII without a fragment"));
        }
        let with_port =
            if split_port(host).is_some() { host.to_owned() } else { format!("{host}:{default_port}") };
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| format!("the host in `{url}` cannot be resolved: {error}"))?
            .next()
            .ok_or_else(|| format!("the host in `{url}` has no address"))?;
        Ok(Self { host: host.to_owned(), path, address, scheme })
    }
}

impl Target {
    /// Where nobody listens: the server has not been started yet.
    pub(crate) fn unknown() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { host: address.to_string(), path: "/".to_owned(), address, scheme: Scheme::Plain }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "ws",
            Scheme::Tls => "wss",
        };
        write!(f, "{scheme}://{}{}", self.host, self.path)
    }
}

/// The colons of an IPv6 address stand in brackets.
fn split_port(host: &str) -> Option<(&str, &str)> {
    host.rsplit_once(':').filter(|(_, port)| !port.contains(']'))
}

/// IPv4 addresses to bind before connecting, taken in turn. One address has some 28,000 ports towards one server; loopback has
/// 16 million addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SourceRange {
    first: u32,
    count: u32,
}

impl SourceRange {
    /// The address of connection `turn`.
    pub(crate) fn address(&self, turn: u32) -> IpAddr {
        Ipv4Addr::from_bits(self.first + turn % self.count).into()
    }
}

impl FromStr for SourceRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let parse = |address: &str| {
            address.trim().parse::<Ipv4Addr>().map_err(|_| format!("`{address}` is no IPv4 address"))
        };
        let (first, last) = (parse(first)?.to_bits(), parse(last)?.to_bits());
        if last < first {
            return Err(format!("the range `{text}` ends before it begins"));
        }
        Ok(Self { first, count: (last - first).saturating_add(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_host_header_path_and_address() {
        let target: Target = "ws://127.0.0.1:8000/raw/a?x=1".parse().unwrap();
        assert_eq!(target.host, "127.0.0.1:8000");
        assert_eq!(target.path, "/raw/a?x=1");
        assert_eq!(target.address, "127.0.0.1:8000".parse().unwrap());
        assert_eq!(target.to_string(), "ws://127.0.0.1:8000/raw/a?x=1");
    }

    #[test]
    fn port_and_path_may_be_left_out() {
        let target: Target = "ws://127.0.0.1".parse().unwrap();
        assert_eq!((target.address.port(), target.path.as_str()), (80, "/"));
        let target: Target = "ws://[::1]?q".parse().unwrap();
        assert_eq!((target.address.port(), target.path.as_str()), (80, "/?q"));
        assert!(target.address.is_ipv6());
    }

    #[test]
    fn tls_has_its_own_port_and_a_name_without_one() {
        let target: Target = "wss://127.0.0.1/a".parse().unwrap();
        assert_eq!((target.scheme, target.address.port()), (Scheme::Tls, 443));
        assert_eq!(target.to_string(), "wss://127.0.0.1/a");
        for (url, name) in
            [("wss://[::1]:9/", "::1"), ("ws://[::1]", "::1"), ("ws://127.0.0.1:8/", "127.0.0.1")]
        {
            assert_eq!(url.parse::<Target>().unwrap().host_name(), name);
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        assert!("http://127.0.0.1/".parse::<Target>().unwrap_err().contains("ws://"));
        assert!("127.0.0.1:80".parse::<Target>().is_err());
        assert!("ws://127.0.0.1/a b".parse::<Target>().is_err());
    }

    #[test]
    fn source_addresses_are_taken_in_turn() {
        let range: SourceRange = "127.0.0.255-127.0.1.1".parse().unwrap();
        let addresses: Vec<String> = (0..4).map(|turn| range.address(turn).to_string()).collect();
        assert_eq!(addresses, ["127.0.0.255", "127.0.1.0", "127.0.1.1", "127.0.0.255"]);
        assert_eq!("127.0.0.9".parse::<SourceRange>().unwrap().address(3).to_string(), "127.0.0.9");
        assert!("127.0.0.2-127.0.0.1".parse::<SourceRange>().is_err());
        assert!("::1".parse::<SourceRange>().is_err());
    }
}
