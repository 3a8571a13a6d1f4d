//! Turns a [`Config`] into clients of the connection library, which are not connected yet.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::types::Builder;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config as FredConfig, ReconnectError, ReconnectPolicy, Server, ServerConfig,
    TlsConfig, TlsConnector, TlsHostMapping, UnresponsiveConfig,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::redis::config::{Config, ConfigError, Target, Topology};

pub(super) fn clients(config: &Config, target: &Target) -> Result<Vec<Client>, ConfigError> {
    let tls = target.tls.then(|| tls(config.tls_ca_file.as_deref())).transpose()?;
    let mut builder = Builder::from_config(FredConfig {
        // The first connection is tried as long as any other: a node may start before its store.
        fail_fast: false,
        username: target.username.clone(),
        password: target.password.clone(),
        server: server(config, target),
        database: target.database,
        tls,
        ..FredConfig::default()
    });
    builder
        .with_performance_config(|performance| performance.default_command_timeout = config.timeout)
        .with_connection_config(|connection| {
            connection.connection_timeout = config.timeout;
            connection.internal_command_timeout = config.timeout;
            // Once: a step that was sent may have been done, and not all may be done twice.
            connection.max_command_attempts = 1;
            connection.tcp.nodelay = Some(true);
            // A connection that gives no answer for so long is made anew; calls on it have been given up before.
            connection.unresponsive =
                UnresponsiveConfig { max_timeout: Some(config.timeout * 2), interval: UNRESPONSIVE_CHECK };
            connection.reconnect_errors = vec![
                ReconnectError::ClusterDown,
                ReconnectError::Loading,
                ReconnectError::MasterDown,
                ReconnectError::ReadOnly,
            ];
        })
        .set_policy(reconnect_policy());
    let built = (0..config.connections).map(|_| builder.build()).collect::<Result<_, _>>();
    Ok(built.expect("the builder was made of a configuration"))
}

fn server(config: &Config, target: &Target) -> ServerConfig {
    let hosts: Vec<_> = target.hosts.iter().map(|(host, port)| Server::new(host.as_str(), *port)).collect();
    match &target.topology {
        Topology::Standalone => {
            let server = hosts.into_iter().next().expect("a URL without hosts is refused");
            ServerConfig::Centralized { server }
        }
        // Nodes found once are asked later: those in the URL may all have been replaced.
        Topology::Cluster => ServerConfig::Clustered { hosts, policy: ClusterDiscoveryPolicy::UseCache },
        Topology::Sentinel { service } => ServerConfig::Sentinel {
            hosts,
            service_name: service.clone(),
            username: config.sentinel_username.clone(),
            password: config.sentinel_password.clone(),
        },
    }
}

fn reconnect_policy() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::new_exponential(0, RECONNECT_MIN_MS, RECONNECT_MAX_MS, 2);
    policy.set_jitter(RECONNECT_JITTER_MS);
    policy
}

fn tls(ca_file: Option<&Path>) -> Result<TlsConfig, ConfigError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let failed = |error: &dyn std::fmt::Display| {
                ConfigError::Tls(format!("cannot use {} as certificate authorities: {error}", file.display()))
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
                let certificate = certificate.map_err(|error| failed(&error))?;
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
            if roots.is_empty() {
                return Err(failed(&"no certificate in it"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(ConfigError::Tls("the system has no certificate authorities".to_owned()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The nodes of a cluster name each other by address; their certificates are made for the name in the URL.
    Ok(TlsConfig { connector: TlsConnector::from(config), hostnames: TlsHostMapping::DefaultHost })
}

const UNRESPONSIVE_CHECK: Duration = Duration::from_millis(250);
const RECONNECT_MIN_MS: u32 = 20;
const RECONNECT_MAX_MS: u32 = 1000;
const RECONNECT_JITTER_MS: u32 = 50;
