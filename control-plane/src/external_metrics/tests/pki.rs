//! Authorities and certificates of a test's own.

use std::collections::BTreeMap;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::external_metrics::TlsFiles;

/// Signs certificates.
pub(crate) struct Authority {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        Self { certificate: own.der().clone(), pem: own.pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate with this common name, for clients and for servers at `localhost`.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = named(name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate: made.der().clone(), pem: made.pem(), key }
    }
}

impl Issued {
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    /// Puts both files into `folder`.
    pub(crate) fn write_to(&self, folder: &Path) -> TlsFiles {
        let files = TlsFiles { cert: folder.join("tls.crt"), key: folder.join("tls.key") };
        std::fs::write(&files.cert, &self.pem).unwrap();
        std::fs::write(&files.key, self.key.serialize_pem()).unwrap();
        files
    }
}

/// What an API server whose aggregator is `front-proxy-client` of this authority says of it.
pub(crate) fn config_map(authority: &Authority) -> BTreeMap<String, String> {
    [
        ("client-ca-file", "of users, not of the aggregator".to_owned()),
        ("requestheader-client-ca-file", authority.pem.clone()),
        ("requestheader-allowed-names", json!(["front-proxy-client"]).to_string()),
        ("requestheader-username-headers", json!(["X-Remote-User"]).to_string()),
        ("requestheader-group-headers", json!(["X-Remote-Group"]).to_string()),
        ("requestheader-extra-headers-prefix", json!(["X-Remote-Extra-"]).to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
