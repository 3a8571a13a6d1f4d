//! TLS of the port: our certificate, and only connections with a certificate that the aggregator's authority signed.
//!
//! Place in the path: below HTTP. What each connection is checked by is exchanged while running: when the API server says
//! that its aggregator has another authority, and when our certificate's files change.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tidegate_service::http::Transport;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::front_proxy::FrontProxy;
use super::metrics::Counts;

/// Largest PEM file read, in bytes: a chain is a few KiB, a wrong path may be a disk.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where certificate and key lie.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    /// `external_metrics.tls_cert_file`.
    pub(crate) cert: PathBuf,
    /// `external_metrics.tls_key_file`.
    pub(crate) key: PathBuf,
}

/// Why a pair cannot be used. Names the key of the configuration and the file, never what is in it.
#[derive(Debug, thiserror::Error)]
#[error("external_metrics.{key} = {}: {fault}", path.display())]
pub struct TlsFileError {
    key: &'static str,
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Unreadable(io::Error),
    #[error("larger than 1 MiB, which is no PEM file")]
    TooLarge,
    // The parser's own words quote the line it stumbled over.
    #[error("not a valid PEM file")]
    Pem,
    #[error("holds no CERTIFICATE section")]
    NoCertificate,
    #[error("holds no unencrypted PRIVATE KEY section")]
    NoKey,
    #[error("does not go with the other file: {0}")]
    Pair(rustls::Error),
}

/// The pair in use, and how to see that the files have changed.
pub(crate) struct Certificate {
    files: TlsFiles,
    pair: Arc<CertifiedKey>,
    hasher: RandomState,
    /// Hash of what the last look found, usable or not; `None` where a file could not be read.
    seen: Option<u64>,
}

/// Accepts connections of the aggregator. Cheap to clone; clones share what they check by.
#[derive(Clone)]
pub(super) struct Tls {
    doors: Arc<ArcSwapOption<Door>>,
    counts: Counts,
}

/// What a connection is checked by.
struct Door {
    acceptor: TlsAcceptor,
    proxy: Arc<FrontProxy>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// The aggregator, as it was known at the handshake.
    Aggregator(Arc<FrontProxy>),
    /// Somebody else with a certificate of the same authority.
    Stranger,
}

impl Certificate {
    /// Loads the pair for the first time.
    ///
    /// # Errors
    ///
    /// [`TlsFileError`] names the file.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsFileError> {
        let content = Content::read(&files)?;
        let hasher = RandomState::new();
        let seen = Some(hasher.hash_one(&content));
        let pair = content.into_pair(&files)?;
        Ok(Self { files, pair, hasher, seen })
    }

    /// Looks at the files once. Whether there is another pair now.
    fn look(&mut self) -> Result<bool, TlsFileError> {
        let read = Content::read(&self.files);
        let hash = read.as_ref().ok().map(|content| self.hasher.hash_one(content));
        if self.seen == hash {
            return Ok(false);
        }
        // A fault is told once, not with each look.
        self.seen = hash;
        self.pair = read.and_then(|content| content.into_pair(&self.files))?;
        Ok(true)
    }
}

impl Tls {
    pub(super) fn new(counts: Counts) -> Self {
        Self { doors: Arc::default(), counts }
    }

    /// Whether connections that were made with `proxy` are still good.
    pub(super) fn still_has(&self, proxy: &Arc<FrontProxy>) -> bool {
        self.doors.load().as_ref().is_some_and(|door| Arc::ptr_eq(&door.proxy, proxy))
    }

    /// Exchanges what connections are checked by whenever it changes, for ever.
    pub(super) async fn keep_current(
        &self,
        mut certificate: Certificate,
        mut proxies: watch::Receiver<Option<Arc<FrontProxy>>>,
        reload_interval: Duration,
    ) {
        let mut looks = interval(reload_interval);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // It was just loaded.
        looks.tick().await;
        loop {
            let proxy = proxies.borrow_and_update().clone();
            self.open_door(&certificate, proxy);
            loop {
                let changed = tokio::select! {
                    Ok(()) = proxies.changed() => true,
                    _ = looks.tick() => {
                        let looked;
                        (certificate, looked) = look(certificate).await;
                        self.report(looked)
                    }
                };
                if changed {
                    break;
                }
            }
        }
    }

    fn open_door(&self, certificate: &Certificate, proxy: Option<Arc<FrontProxy>>) {
        let door = proxy.and_then(|proxy| match server_config(certificate, &proxy) {
            Ok(config) => Some(Door { acceptor: TlsAcceptor::from(config), proxy }),
            Err(error) => {
                tracing::error!(%error, "external metrics: nobody can be let in");
                None
            }
        });
        self.doors.store(door.map(Arc::new));
    }

    fn report(&self, looked: Result<bool, TlsFileError>) -> bool {
        match looked {
            Ok(false) => false,
            Ok(true) => {
                tracing::info!("external metrics: certificate reloaded; new connections get it");
                true
            }
            Err(error) => {
                self.counts.count_reload_failure();
                tracing::error!(%error, "certificate not reloaded; the old one stays in use until the files are right");
                false
            }
        }
    }
}

impl Transport for Tls {
    type Stream = TlsStream<TcpStream>;
    type Peer = Peer;

    async fn open(&self, socket: TcpStream) -> io::Result<(Self::Stream, Peer)> {
        let Some(door) = self.doors.load_full() else {
            self.counts.count_handshake_failure();
            return Err(io::Error::other("the API server has not said yet who its aggregator is"));
        };
        let stream =
            door.acceptor.accept(socket).await.inspect_err(|_| self.counts.count_handshake_failure())?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let peer = match leaf {
            Some(leaf) if door.proxy.has_certificate(leaf) => Peer::Aggregator(Arc::clone(&door.proxy)),
            Some(_) | None => Peer::Stranger,
        };
        Ok((stream, peer))
    }
}

/// File systems may hang: a thread that is made for waiting takes that.
async fn look(mut certificate: Certificate) -> (Certificate, Result<bool, TlsFileError>) {
    let look = tokio::task::spawn_blocking(move || {
        let looked = certificate.look();
        (certificate, looked)
    });
    look.await.expect("looking at files does not panic")
}

/// - aws-lc-rs is named, not looked up: no global default provider that another crate could have set.
/// - No resumption: a session from before the authority was exchanged must not outlive it.
/// - ALPN offers `http/1.1` only; the aggregator speaks both.
fn server_config(certificate: &Certificate, proxy: &FrontProxy) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(provider());
    let authorities = Arc::clone(&proxy.authorities);
    let verifier = WebPkiClientVerifier::builder_with_provider(authorities, Arc::clone(&provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certificate.pair))));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// The raw content of both files.
#[derive(Hash)]
struct Content {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Content {
    fn read(files: &TlsFiles) -> Result<Self, TlsFileError> {
        let read = |key, path: &Path| {
            read_bounded(path).map_err(|fault| TlsFileError { key, path: path.to_owned(), fault })
        };
        Ok(Self { cert: read("tls_cert_file", &files.cert)?, key: read("tls_key_file", &files.key)? })
    }

    fn into_pair(self, files: &TlsFiles) -> Result<Arc<CertifiedKey>, TlsFileError> {
        let of_cert = |fault| TlsFileError { key: "tls_cert_file", path: files.cert.clone(), fault };
        let of_key = |fault| TlsFileError { key: "tls_key_file", path: files.key.clone(), fault };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .map_err(|_| of_cert(Fault::Pem))?;
        if chain.is_empty() {
            return Err(of_cert(Fault::NoCertificate));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| match error {
            pem::Error::NoItemsFound => of_key(Fault::NoKey),
            _ => of_key(Fault::Pem),
        })?;
        let pair = CertifiedKey::from_der(chain, key, &provider());
        pair.map(Arc::new).map_err(|error| of_key(Fault::Pair(error)))
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Fault::Unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Fault::Unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(Fault::TooLarge) } else { Ok(bytes) }
}
