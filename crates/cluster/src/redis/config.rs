//! Where Redis is and how it is called: what an operator sets, checked before the first connection.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

#[cfg(test)]
mod tests;

/// How a node reaches its store.
#[derive(Clone, Eq, PartialEq)]
pub struct Config {
    /// Server or servers.
    ///
    /// | Form | For |
    /// |---|---|
    /// | `redis://HOST[:PORT][/DATABASE]` | one server |
    /// | `redis-sentinel://HOST[:PORT][,HOST[:PORT]…]/SERVICE[/DATABASE]` | the master that these sentinels name |
    /// | `redis-cluster://HOST[:PORT][,HOST[:PORT]…]` | a cluster that knows these nodes |
    ///
    /// `rediss` in place of `redis` uses TLS. `USER:PASSWORD@` or `:PASSWORD@` may stand before the first host, both
    /// percent-encoded. Ports are 6379, or 26379 for sentinels, where none is given.
    pub url: String,
    /// What the name of every key begins with, so that several clusters can share a server. No braces: they would decide
    /// which slot of a cluster a key belongs to.
    pub prefix: String,
    /// A user of the server's access control list, in place of that in the URL.
    pub username: Option<String>,
    /// Its password, in place of that in the URL.
    pub password: Option<String>,
    /// A user of the sentinels, where they ask for one.
    pub sentinel_username: Option<String>,
    /// Its password.
    pub sentinel_password: Option<String>,
    /// Certificates (PEM) that the server's must go back to; those of the system if there is none.
    pub tls_ca_file: Option<PathBuf>,
    /// When a call is given up.
    pub timeout: Duration,
    /// Connections to each server, 1 to 64. Calls for the same entity always take the same one, so they keep their order.
    pub connections: usize,
    /// Most calls without an answer yet; one more is refused.
    pub in_flight_max: usize,
    /// Calls that take longer than this on average make the store count as slow.
    pub slow_after: Duration,
}

/// A [`Config`] that cannot be used. Never shows a password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Not one of the schemes.
    #[error(
        "the URL must begin with redis://, rediss://, redis-sentinel://, rediss-sentinel://, redis-cluster:// or rediss-cluster://"
    )]
    Scheme,
    /// No host, or one that is none.
    #[error("`{0}` is not HOST or HOST:PORT")]
    Host(String),
    /// Several hosts where one is meant.
    #[error("redis:// takes one host; several belong to redis-sentinel:// or redis-cluster://")]
    Hosts,
    /// What follows the hosts.
    #[error("`{0}` is not the number of a database, 0 to 255")]
    Database(String),
    /// A cluster has one database.
    #[error("a cluster has no databases: nothing may follow the hosts")]
    ClusterDatabase,
    /// A sentinel watches several masters.
    #[error(
        "redis-sentinel:// needs the service's name after the hosts, as in redis-sentinel://HOST/SERVICE"
    )]
    Service,
    /// Percent-encoding that is none.
    #[error("user or password in the URL are not percent-encoded UTF-8")]
    Credentials,
    /// A prefix with braces.
    #[error("the prefix may be 64 bytes long and contain no braces, spaces or control characters")]
    Prefix,
    /// A number that makes no sense.
    #[error("`{0}` is out of its range")]
    Range(&'static str),
    /// The certificate authorities could not be read.
    #[error("{0}")]
    Tls(String),
}

/// A URL taken apart.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) topology: Topology,
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) tls: bool,
    pub(super) database: Option<u8>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// How the servers behind a URL belong together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Topology {
    Standalone,
    Sentinel { service: String },
    Cluster,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1".to_owned(),
            prefix: "tidegate:".to_owned(),
            username: None,
            password: None,
            sentinel_username: None,
            sentinel_password: None,
            tls_ca_file: None,
            timeout: Duration::from_secs(2),
            connections: 2,
            in_flight_max: 8192,
            slow_after: Duration::from_millis(100),
        }
    }
}

impl fmt::Debug for Config {
    /// Without passwords, also that in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.shown_url())
            .field("prefix", &self.prefix)
            .field("username", &self.username)
            .field("tls_ca_file", &self.tls_ca_file)
            .field("timeout", &self.timeout)
            .field("connections", &self.connections)
            .field("in_flight_max", &self.in_flight_max)
            .field("slow_after", &self.slow_after)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The URL without user and password, for logs.
    pub fn shown_url(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else { return "(no URL)".to_owned() };
        let hosts = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
        format!("{scheme}://{hosts}")
    }

    /// Checks everything that can be checked without a server.
    pub(super) fn target(&self) -> Result<Target, ConfigError> {
        let unfit = |c: char| c == '{' || c == '}' || c.is_whitespace() || c.is_control();
        if self.prefix.len() > PREFIX_BYTES_MAX || self.prefix.contains(unfit) {
            return Err(ConfigError::Prefix);
        }
        if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&self.timeout) {
            return Err(ConfigError::Range("timeout"));
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            return Err(ConfigError::Range("connections"));
        }
        if self.in_flight_max == 0 {
            return Err(ConfigError::Range("in_flight_max"));
        }
        let mut target: Target = self.url.parse()?;
        target.username = self.username.clone().or(target.username);
        target.password = self.password.clone().or(target.password);
        Ok(target)
    }
}

impl FromStr for Target {
    type Err = ConfigError;

    fn from_str(url: &str) -> Result<Self, ConfigError> {
        let (scheme, rest) = url.split_once("://").ok_or(ConfigError::Scheme)?;
        let (tls, kind) = match scheme.strip_prefix("redis").ok_or(ConfigError::Scheme)? {
            kind @ ("" | "-sentinel" | "-cluster") => (false, kind),
            kind => (true, kind.strip_prefix('s').ok_or(ConfigError::Scheme)?),
        };
        // A password may contain what only encoding hides: the last @ is the one before the hosts.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        let (topology, database) = match kind {
            "" => (Topology::Standalone, path),
            "-cluster" if path.is_empty() => (Topology::Cluster, path),
            "-cluster" => return Err(ConfigError::ClusterDatabase),
            "-sentinel" => {
                let (service, database) = path.split_once('/').unwrap_or((path, ""));
                let service =
                    Some(service).filter(|service| !service.is_empty()).ok_or(ConfigError::Service)?;
                (Topology::Sentinel { service: service.to_owned() }, database)
            }
            _ => return Err(ConfigError::Scheme),
        };
        let port = if kind == "-sentinel" { SENTINEL_PORT } else { REDIS_PORT };
        let hosts = hosts.split(',').map(|host| host_of(host, port)).collect::<Result<Vec<_>, _>>()?;
        if topology == Topology::Standalone && hosts.len() > 1 {
            return Err(ConfigError::Hosts);
        }
        let database = match database {
            "" => None,
            number => Some(number.parse().map_err(|_| ConfigError::Database(number.to_owned()))?),
        };
        let (username, password) = credentials.map_or(Ok((None, None)), credentials_of)?;
        Ok(Self { topology, hosts, tls, database, username, password })
    }
}

fn host_of(text: &str, default_port: u16) -> Result<(String, u16), ConfigError> {
    let wrong = || ConfigError::Host(text.to_owned());
    // IPv6 addresses stand in brackets, or their last group would pass for a port.
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or_else(wrong)?;
            (host, rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some(rest) }))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Ok(default_port), str::parse).map_err(|_| wrong())?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || port == 0 || !host.chars().all(fits) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

fn credentials_of(text: &str) -> Result<(Option<String>, Option<String>), ConfigError> {
    let (username, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8().map_err(|_| ConfigError::Credentials)?;
        Ok((!decoded.is_empty()).then(|| decoded.into_owned()))
    };
    Ok((decode(username)?, decode(password)?))
}

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const PREFIX_BYTES_MAX: usize = 64;
const CONNECTIONS_MAX: usize = 64;
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
