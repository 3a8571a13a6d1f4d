//! A certificate of the test's own, and clients that trust nothing else.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// A self-signed certificate for `localhost`, as PEM for the server and as a root for clients.
pub struct Certificate {
    certificate_pem: String,
    key_pem: String,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// Makes a fresh one; no two are equal.
    pub fn generate() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .expect("`localhost` is a valid name");
        Self {
            certificate_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        }
    }

    /// Puts `cert.pem` and `key.pem` into `folder`, replacing what is there one after the other.
    ///
    /// # Panics
    ///
    /// If the folder cannot be written.
    #[track_caller]
    pub fn write_to(&self, folder: &Path) {
        // Renamed into place, so that a reader sees the old file or the new one and never half of it.
        for (name, pem) in [("cert.pem", &self.certificate_pem), ("key.pem", &self.key_pem)] {
            let unfinished = folder.join(format!("{name}.new"));
            std::fs::write(&unfinished, pem).expect("the folder is a test's own");
            std::fs::rename(&unfinished, folder.join(name)).expect("the folder is a test's own");
        }
    }

    /// For a client that trusts this certificate and no other.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a generated certificate is well formed");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Whether a server that showed `presented` showed this certificate.
    pub(crate) fn is(&self, presented: &CertificateDer<'_>) -> bool {
        self.der == *presented
    }
}
