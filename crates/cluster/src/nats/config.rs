//! How an end of the bus is set up, and what of it async-nats is told.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use tidegate_protocol::id::NodeName;

use super::subject::Prefix;

#[cfg(test)]
mod tests;

/// How a node reaches its NATS servers, and how much it keeps.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// Servers of one NATS cluster; any of them will do.
    pub servers: Servers,
    /// What all subjects start with.
    pub prefix: Prefix,
    /// Who this node is to the servers.
    pub credentials: Credentials,
    /// PEM file of the authorities that may have signed the servers' certificates; the system's, if there is none.
    /// Connections are encrypted where this is set or the URL says `tls:`.
    pub tls_ca_file: Option<PathBuf>,
    /// When an attempt to connect, to send, or to subscribe is given up.
    pub timeout: Duration,
    /// How often a mark is sent around to see that the connection carries both ways.
    pub probe_interval: Duration,
    /// A mark that takes longer makes the state [`Slow`](crate::State::Slow).
    pub slow_after: Duration,
    /// Longest pause between attempts to connect. The pause doubles up to this; its length is random.
    pub reconnect_delay_max: Duration,
    /// How long a subject stays subscribed that nobody wants.
    pub linger: Duration,
    /// Most channels, those included that nobody wants any more. Each costs about 6 KiB.
    pub channels_max: usize,
    /// Most messages that wait to be sent.
    pub queue_messages_max: usize,
    /// Most bytes of them.
    pub queue_bytes_max: usize,
    /// Most bytes of several messages that share a NATS message.
    pub batch_bytes_max: usize,
    /// Whether publications of channels with history carry their position, and traced ones their trace, in headers too.
    /// Nodes do not read them.
    pub headers: bool,
}

/// Addresses of NATS servers.
#[derive(Clone)]
pub struct Servers {
    addresses: Vec<ServerAddr>,
    credentials: Credentials,
}

/// Who a node is to the servers.
#[derive(Clone, Default, Eq, PartialEq)]
pub enum Credentials {
    /// Nobody in particular, or who the URL says.
    #[default]
    None,
    /// A user.
    Password {
        /// Its name.
        user: String,
        /// Its password.
        password: String,
    },
    /// Whoever knows the token.
    Token(String),
    /// The seed of an nkey, `SU…`.
    NkeySeed(String),
    /// A credentials file with a JWT and the seed it is for.
    File(PathBuf),
}

impl Credentials {
    /// The one that is set: the file before the seed, the seed before the token.
    pub fn chosen(file: Option<PathBuf>, nkey_seed: Option<String>, token: Option<String>) -> Self {
        match (file, nkey_seed, token) {
            (Some(file), ..) => Self::File(file),
            (None, Some(seed), _) => Self::NkeySeed(seed),
            (None, None, Some(token)) => Self::Token(token),
            (None, None, None) => Self::None,
        }
    }
}

/// Why a configuration cannot be used. None of them shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No address at all.
    #[error("the URL of the bus names no server")]
    NoServer,
    /// Text that is no address.
    #[error("server {number} of the bus is no URL such as nats://HOST:PORT or tls://HOST:PORT")]
    BadServer {
        /// Which of them, from 1.
        number: usize,
    },
    /// Users in several URLs, or one beside other credentials.
    #[error(
        "the bus has credentials in more than one place: one user, token, nkey or file serves for all servers"
    )]
    TwoCredentials,
    /// A file that cannot be used.
    #[error("the credentials file {} of the bus cannot be used", .path.display())]
    CredentialsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A file that cannot be read.
    #[error("the CA file {} of the bus cannot be read", .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
}

/// Commands that async-nats keeps when it cannot write. Few: they go out after a reconnect, when they are old.
const COMMANDS_MAX: usize = 256;
/// Longest pause before the first attempt to connect again: enough for nodes not to come in step.
const FIRST_DELAY_MAX: Duration = Duration::from_millis(50);

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            servers: Servers::parse("nats://127.0.0.1:4222").expect("it is a URL"),
            prefix: Prefix::default(),
            credentials: Credentials::None,
            tls_ca_file: None,
            timeout: Duration::from_secs(2),
            probe_interval: Duration::from_secs(1),
            slow_after: Duration::from_millis(500),
            reconnect_delay_max: Duration::from_secs(2),
            linger: Duration::from_secs(10),
            channels_max: 100_000,
            queue_messages_max: 16_384,
            queue_bytes_max: 16 * 1024 * 1024,
            batch_bytes_max: 64 * 1024,
            headers: true,
        }
    }
}

impl Servers {
    /// Reads `nats://HOST:PORT` or `tls://HOST:PORT`, or several of them with commas in between. A user and password, or a
    /// token, may stand before the host of one or, the same, of several.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the address by its place in the list: it may hold a password.
    pub fn parse(urls: &str) -> Result<Self, ConfigError> {
        let mut servers = Self { addresses: Vec::new(), credentials: Credentials::None };
        for (number, url) in (1..).zip(urls.split(',').map(str::trim).filter(|url| !url.is_empty())) {
            let bad = || ConfigError::BadServer { number };
            let address: ServerAddr = url.parse().map_err(|_| bad())?;
            if !["nats", "tls"].contains(&address.scheme()) || address.host().is_empty() {
                return Err(bad());
            }
            let found = user_of(&address).ok_or_else(bad)?;
            servers.credentials = servers.credentials.or(found)?;
            // Addresses are logged; who connects is told apart from them.
            let mut address = address.into_inner();
            let cleared = address.set_username("").and_then(|()| address.set_password(None));
            cleared.map_err(|()| bad())?;
            servers.addresses.push(ServerAddr::from_url(address).map_err(|_| bad())?);
        }
        if servers.addresses.is_empty() {
            return Err(ConfigError::NoServer);
        }
        Ok(servers)
    }
}

impl Credentials {
    fn or(&self, other: Self) -> Result<Self, ConfigError> {
        match (self, other) {
            (Self::None, other) => Ok(other),
            (known, Self::None) => Ok(known.clone()),
            (known, other) if *known == other => Ok(other),
            _ => Err(ConfigError::TwoCredentials),
        }
    }
}

impl NatsConfig {
    /// Addresses and options for async-nats. Reads the files.
    pub(super) fn connect_options(
        &self,
        node: &NodeName,
    ) -> Result<(Vec<ServerAddr>, ConnectOptions), ConfigError> {
        let mut options = match self.credentials.or(self.servers.credentials.clone())? {
            Credentials::None => ConnectOptions::new(),
            Credentials::Password { user, password } => {
                ConnectOptions::with_user_and_password(user, password)
            }
            Credentials::Token(token) => ConnectOptions::with_token(token),
            Credentials::NkeySeed(seed) => ConnectOptions::with_nkey(seed),
            Credentials::File(path) => {
                let read = std::fs::read_to_string(&path);
                let parsed = read.and_then(|text| ConnectOptions::with_credentials(&text));
                parsed.map_err(|source| ConfigError::CredentialsFile { path, source })?
            }
        };
        if let Some(path) = &self.tls_ca_file {
            // async-nats reads it again for each connection; whoever starts the node should hear of it at once.
            let path = path.clone();
            std::fs::read(&path).map_err(|source| ConfigError::CaFile { path: path.clone(), source })?;
            options = options.add_root_certificates(path).require_tls(true);
        }
        let delay_max = self.reconnect_delay_max;
        let options = options
            .name(node)
            .connection_timeout(self.timeout)
            // Three intervals without a word from the server end a connection.
            .ping_interval(self.probe_interval)
            .client_capacity(COMMANDS_MAX)
            .custom_inbox_prefix(self.prefix.marks())
            .reconnect_delay_callback(move |attempt| delay(attempt, delay_max))
            .retry_on_initial_connect()
            // All of them are made by `subject`, which knows what is valid.
            .skip_subject_validation(true);
        Ok((self.servers.addresses.clone(), options))
    }
}

/// A random part of a pause that doubles with each attempt, of which the first is 1.
fn delay(attempt: usize, max: Duration) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let longest = FIRST_DELAY_MAX.saturating_mul(1 << doublings).min(max);
    // Without randomness nodes come in step, which is worse than slow and better than not at all.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    longest.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// `None`: a name or password that is not UTF-8.
fn user_of(address: &ServerAddr) -> Option<Credentials> {
    let decode = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    Some(match (address.username(), address.password()) {
        (None, None) => Credentials::None,
        (Some(token), None) => Credentials::Token(decode(token)?),
        (user, Some(password)) => {
            Credentials::Password { user: decode(user.unwrap_or_default())?, password: decode(password)? }
        }
    })
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.addresses.iter().map(ServerAddr::as_url_str).collect();
        f.debug_struct("Servers")
            .field("addresses", &addresses)
            .field("credentials", &self.credentials)
            .finish()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password(..)",
            Self::Token(_) => "Token(..)",
            Self::NkeySeed(_) => "NkeySeed(..)",
            Self::File(path) => return f.debug_tuple("File").field(path).finish(),
        })
    }
}
