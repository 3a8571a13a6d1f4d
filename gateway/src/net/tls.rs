//! TLS of the client port: the certificate, its exchange while running, and the one `rustls` configuration.
//!
//! Place in the data path: a worker that accepted a connection makes a [`TlsSession`] from [`server_config`]; from
//! then on the session sits inside the connection's `Transport`. Everything here is synchronous; only [`TlsReloader`]
//! runs on the tokio side.

mod certificate;
mod expiry;
mod failure;
mod reload;
mod session;

pub(crate) use certificate::{Certificates, TlsFileError, TlsFiles};
pub(crate) use failure::TlsFailure;
pub(crate) use reload::TlsReloader;
pub(crate) use session::TlsSession;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use thiserror::Error;

/// The provider could not be set up: a machine without random numbers, or a build that lost its cipher suites.
#[derive(Debug, Error)]
#[error("client.tls: {0}")]
pub(crate) struct TlsSetupError(#[from] rustls::Error);

/// Builds the configuration all connections of the client port share.
///
/// - aws-lc-rs is named, not looked up: no global default provider that another crate could have set.
/// - Resumption by stateless tickets, one per connection: a reconnect storm skips most of the handshake's work, and
///   the server keeps nothing per session. The ticket key lives in this process and rotates every six hours.
/// - No early data: an upgrade request replayed by an attacker would be a second connection.
/// - ALPN offers `http/1.1` only; a client that insists on `h2` is told so instead of failing later.
pub(crate) fn server_config(certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
