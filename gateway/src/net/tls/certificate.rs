//! Loads certificate and key from PEM files and hands the current pair to handshakes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use super::{expiry, provider};

/// Largest PEM file read, in bytes: a chain is a few KiB, a wrong path may be a disk.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where certificate and key lie.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    /// `client.tls.cert_file`: the certificate and the chain up to, not including, the root; PEM, leaf first.
    pub cert_file: PathBuf,
    /// `client.tls.key_file`: the key; PEM, PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key_file: PathBuf,
}

/// Why a pair cannot be used. Names the key of the configuration and the file, never what is in the key.
#[derive(Debug, Error)]
pub(crate) enum TlsFileError {
    /// The file cannot be read.
    #[error("{key} = {}: {source}", path.display())]
    Unreadable {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// More than 1 MiB.
    #[error("{key} = {}: larger than 1 MiB, which is no PEM file", path.display())]
    TooLarge {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        path: PathBuf,
    },
    /// Not PEM.
    #[error("{key} = {}: {}", path.display(), pem_fault(source))]
    Pem {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        path: PathBuf,
        /// What the parser said.
        source: pem::Error,
    },
    /// PEM without a certificate.
    #[error("client.tls.cert_file = {}: holds no CERTIFICATE section", path.display())]
    NoCertificate {
        /// The value of `client.tls.cert_file`.
        path: PathBuf,
    },
    /// PEM without a usable key.
    #[error("client.tls.key_file = {}: holds no unencrypted PRIVATE KEY section", path.display())]
    NoKey {
        /// The value of `client.tls.key_file`.
        path: PathBuf,
    },
    /// Both files are fine alone, but are no pair.
    #[error("client.tls.key_file = {} does not belong to the first certificate in client.tls.cert_file = {}",
            key_file.display(), cert_file.display())]
    Mismatch {
        /// The value of `client.tls.cert_file`.
        cert_file: PathBuf,
        /// The value of `client.tls.key_file`.
        key_file: PathBuf,
    },
    /// A key of an unsupported kind or a certificate that is no X.509.
    #[error("client.tls.cert_file = {}, client.tls.key_file = {}: {source}", cert_file.display(), key_file.display())]
    Unusable {
        /// The value of `client.tls.cert_file`.
        cert_file: PathBuf,
        /// The value of `client.tls.key_file`.
        key_file: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
}

/// The certificate that new handshakes get. A connection keeps what its handshake used; an exchange drops nobody.
#[derive(Debug)]
pub(crate) struct Certificates {
    current: ArcSwap<Loaded>,
    reloaded_total: AtomicU64,
    failed_total: AtomicU64,
}

#[derive(Debug)]
struct Loaded {
    pair: Arc<CertifiedKey>,
    not_after: Option<SystemTime>,
}

/// The raw content of both files.
pub(super) struct Content {
    cert_pem: Vec<u8>,
    key_pem: Vec<u8>,
}

impl Certificates {
    pub(super) fn new(files: &TlsFiles, content: Content) -> Result<Arc<Self>, TlsFileError> {
        let loaded = content.into_loaded(files)?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(loaded),
            reloaded_total: AtomicU64::new(0),
            failed_total: AtomicU64::new(0),
        }))
    }

    /// When the certificate in use expires; `None` if its validity cannot be read.
    pub(crate) fn not_after(&self) -> Option<SystemTime> {
        self.current.load().not_after
    }

    /// How many times the pair was exchanged since the start.
    pub(crate) fn reloaded_total(&self) -> u64 {
        self.reloaded_total.load(Ordering::Relaxed)
    }

    /// How many times changed files could not be used since the start; once for each change.
    pub(crate) fn failed_total(&self) -> u64 {
        self.failed_total.load(Ordering::Relaxed)
    }

    /// Exchanges the pair, or keeps the old one if the new one has a fault.
    pub(super) fn try_replace(&self, files: &TlsFiles, content: Content) -> Result<(), TlsFileError> {
        let loaded = content.into_loaded(files)?;
        self.current.store(Arc::new(loaded));
        self.reloaded_total.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn count_failure(&self) {
        self.failed_total.fetch_add(1, Ordering::Relaxed);
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().pair))
    }
}

impl Content {
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsFileError> {
        Ok(Self {
            cert_pem: read_bounded("client.tls.cert_file", &files.cert_file)?,
            key_pem: read_bounded("client.tls.key_file", &files.key_file)?,
        })
    }

    /// Both files' bytes, to see whether they changed.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        (&self.cert_pem, &self.key_pem)
    }

    fn into_loaded(self, files: &TlsFiles) -> Result<Loaded, TlsFileError> {
        let TlsFiles { cert_file, key_file } = files;
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&self.cert_pem).collect::<Result<_, _>>().map_err(|source| {
                TlsFileError::Pem { key: "client.tls.cert_file", path: cert_file.clone(), source }
            })?;
        let Some(leaf) = chain.first() else {
            return Err(TlsFileError::NoCertificate { path: cert_file.clone() });
        };
        let not_after = expiry::not_after_unix(leaf).map(|s| UNIX_EPOCH + Duration::from_secs(s));
        let key = PrivateKeyDer::from_pem_slice(&self.key_pem).map_err(|source| match source {
            pem::Error::NoItemsFound => TlsFileError::NoKey { path: key_file.clone() },
            source => TlsFileError::Pem { key: "client.tls.key_file", path: key_file.clone(), source },
        })?;
        let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|source| match source {
            rustls::Error::InconsistentKeys(_) => {
                TlsFileError::Mismatch { cert_file: cert_file.clone(), key_file: key_file.clone() }
            }
            source => {
                TlsFileError::Unusable { cert_file: cert_file.clone(), key_file: key_file.clone(), source }
            }
        })?;
        Ok(Loaded { pair: Arc::new(pair), not_after })
    }
}

fn read_bounded(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let unreadable = |source| TlsFileError::Unreadable { key, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsFileError::TooLarge { key, path: path.to_owned() });
    }
    Ok(bytes)
}

/// Says what is wrong without quoting the file: the parser's own messages hold parts of the line they stumbled over.
fn pem_fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no END line (a file cut short?)",
        pem::Error::IllegalSectionStart { .. } => "a PEM section has a malformed BEGIN line",
        pem::Error::Base64Decode(_) => "a PEM section is not valid base64",
        _ => "not a valid PEM file",
    }
}
