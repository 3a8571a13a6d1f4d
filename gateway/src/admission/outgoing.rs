//! Requests to the servers that the configuration names: key sets and hooks.
//!
//! Place in the data path: beside it. Everything here runs on the tokio side; workers only get the outcome. Answers are
//! bounded in size, redirects are not followed, and a caller puts its own deadline around a call.

#[cfg(test)]
pub(crate) mod testing;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// How long a connection without a request is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections without a request that are kept to each server.
const IDLE_CONNECTIONS_MAX: usize = 32;

/// Speaks HTTP/1.1, over TLS for `https`. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// There is no answer.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    #[error("{0}")]
    Failed(String),
    #[error("the answer has more than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
}

/// TLS to other servers cannot be set up.
#[derive(Debug, Error)]
pub(crate) enum ClientSetupError {
    #[error("auth.ca_file: {} cannot be read: {fault}", path.display())]
    Authorities { path: PathBuf, fault: String },
    #[error(
        "this system has no certificate authorities to check https servers against; install them, or set auth.ca_file"
    )]
    NoAuthorities,
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Client {
    /// Prepares for requests to `urls`; certificate authorities are read only if one of them is `https`.
    pub(crate) fn new(ca_file: Option<&Path>, urls: &[&str]) -> Result<Self, ClientSetupError> {
        let needs_tls = urls.iter().any(|url| url.starts_with("https:"));
        let roots = match ca_file {
            Some(path) => read_authorities(path)?,
            None if needs_tls => system_authorities()?,
            None => RootCertStore::empty(),
        };
        let tls =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(Self(client))
    }

    pub(crate) async fn get(&self, url: &Uri, bytes_max: usize) -> Result<Answer, RequestError> {
        self.request(Method::GET, url, Bytes::new(), bytes_max).await
    }

    /// Posts JSON.
    pub(crate) async fn post(
        &self,
        url: &Uri,
        json: Vec<u8>,
        bytes_max: usize,
    ) -> Result<Answer, RequestError> {
        self.request(Method::POST, url, json.into(), bytes_max).await
    }

    async fn request(
        &self,
        method: Method,
        url: &Uri,
        body: Bytes,
        bytes_max: usize,
    ) -> Result<Answer, RequestError> {
        let mut request = Request::builder()
            .uri(url)
            .header(USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.method(method).body(Full::new(body));
        let request = request.map_err(|error| RequestError::Failed(chain(&error)))?;
        let answer = self.0.request(request).await.map_err(|error| RequestError::Failed(chain(&error)))?;
        let status = answer.status();
        match Limited::new(answer.into_body(), bytes_max).collect().await {
            Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(RequestError::TooLong { bytes_max })
            }
            Err(error) => Err(RequestError::Failed(chain(&*error))),
        }
    }
}

/// Says what is wrong with a configured address.
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    let expected =
        "expected an address such as \"https://auth.example/keys\" or \"http://auth.default.svc:8080/ask\"";
    let parsed: Uri = url.parse().map_err(|_| format!("found {url:?}, {expected}"))?;
    let known_scheme = matches!(parsed.scheme_str(), Some("http" | "https"));
    match parsed.authority() {
        Some(authority) if known_scheme && !authority.as_str().contains('@') => Ok(()),
        // Not shown: what stands before the @ is most often a password.
        Some(_) if known_scheme => Err(format!("holds a user name, which is not supported; {expected}")),
        Some(_) | None => Err(format!("found {url:?}, {expected}")),
    }
}

fn read_authorities(path: &Path) -> Result<RootCertStore, ClientSetupError> {
    let fault = |fault: String| ClientSetupError::Authorities { path: path.to_path_buf(), fault };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() { Err(fault("it holds no certificate".to_owned())) } else { Ok(roots) }
}

fn system_authorities() -> Result<RootCertStore, ClientSetupError> {
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that rustls does not take; the others are enough.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(ClientSetupError::NoAuthorities) } else { Ok(roots) }
}

/// An error with its causes: hyper's own text only says that there is one.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_no_password() {
        for url in ["https://a.example/keys", "http://10.0.0.7:8080", "http://[::1]:80/x?y=z"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for url in ["", "/keys", "a.example/keys", "ftp://a.example/", "https://", "https://a b/"] {
            assert!(check_url(url).is_err_and(|fault| fault.contains("expected an address")), "{url}");
        }
        let fault = check_url("https://me:hunter2@a.example/").unwrap_err();
        assert!(fault.contains("user name") && !fault.contains("hunter2"), "{fault}");
    }

    #[test]
    fn a_ca_file_without_certificates_is_a_fault() {
        let file = tempfile::NamedTempFile::new().unwrap();

        let error = Client::new(Some(file.path()), &[]).unwrap_err();

        assert!(error.to_string().contains("holds no certificate"), "{error}");
    }
}
