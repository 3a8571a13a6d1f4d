//! The API server's aggregator: how it proves itself, and how it says for whom it asks. Pure.
//!
//! Whoever it is stands in the ConfigMap `kube-system/extension-apiserver-authentication`, which every API server writes
//! from its flags `--requestheader-…`. Its headers are believed on a connection with its certificate, and on no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::subject::common_name;

const AUTHORITIES: &str = "requestheader-client-ca-file";
const NAMES: &str = "requestheader-allowed-names";
const USER_HEADERS: &str = "requestheader-username-headers";
const GROUP_HEADERS: &str = "requestheader-group-headers";
const EXTRA_PREFIXES: &str = "requestheader-extra-headers-prefix";

/// The aggregator, as its API server describes it.
#[derive(Clone, Debug)]
pub(crate) struct FrontProxy {
    /// Who has signed its certificate.
    pub(super) authorities: Arc<RootCertStore>,
    /// Common names that its certificate may have; empty: any.
    names: Vec<String>,
    user_headers: Vec<HeaderName>,
    group_headers: Vec<HeaderName>,
    extra_prefixes: Vec<String>,
}

/// For whom it asks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    /// What else the API server knows of them, such as the scopes of a token.
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

/// A ConfigMap that describes no aggregator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrontProxyError {
    /// Without it nobody could be told from anybody.
    #[error(
        "{0} is missing: the API server's aggregation layer is not set up (--requestheader-client-ca-file)"
    )]
    Missing(&'static str),
    /// Not what it should be.
    #[error("{key}: {fault}")]
    Unreadable {
        /// Where.
        key: &'static str,
        /// What is wrong.
        fault: String,
    },
}

impl FrontProxy {
    /// Reads the ConfigMap's data.
    pub(crate) fn of_config_map(data: &BTreeMap<String, String>) -> Result<Self, FrontProxyError> {
        let pem = data.get(AUTHORITIES).ok_or(FrontProxyError::Missing(AUTHORITIES))?;
        let unreadable = |fault: String| FrontProxyError::Unreadable { key: AUTHORITIES, fault };
        let mut authorities = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            authorities.add(certificate).map_err(|error| unreadable(error.to_string()))?;
        }
        if authorities.is_empty() {
            return Err(FrontProxyError::Missing(AUTHORITIES));
        }
        let user_headers = headers(data, USER_HEADERS)?;
        if user_headers.is_empty() {
            return Err(FrontProxyError::Missing(USER_HEADERS));
        }
        Ok(Self {
            authorities: Arc::new(authorities),
            names: list(data, NAMES)?,
            user_headers,
            group_headers: headers(data, GROUP_HEADERS)?,
            extra_prefixes: list(data, EXTRA_PREFIXES)?
                .into_iter()
                .map(|prefix| prefix.to_ascii_lowercase())
                .filter(|prefix| !prefix.is_empty())
                .collect(),
        })
    }

    /// Whether a certificate that one of the authorities signed is the aggregator's.
    pub(super) fn has_certificate(&self, certificate: &CertificateDer<'_>) -> bool {
        self.names.is_empty() || common_name(certificate).is_some_and(|name| self.names.contains(&name))
    }

    /// For whom a request is made; `None` if it does not say.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let all = |name: &HeaderName| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let user = self.user_headers.iter().flat_map(all).find(|user| !user.trim().is_empty())?;
        let groups = self.group_headers.iter().flat_map(all).map(str::to_owned).collect();
        let mut extra = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in headers {
            let key = self.extra_prefixes.iter().find_map(|prefix| name.as_str().strip_prefix(prefix));
            if let (Some(key), Ok(value)) = (key, value.to_str()) {
                let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
                extra.entry(key).or_default().push(value.to_owned());
            }
        }
        Some(Caller { user: user.to_owned(), groups, extra })
    }
}

fn headers(data: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<HeaderName>, FrontProxyError> {
    let unreadable =
        |name: &str| FrontProxyError::Unreadable { key, fault: format!("{name:?} is no header") };
    list(data, key)?
        .iter()
        .map(|name| HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| unreadable(name)))
        .collect()
}

/// Lists are JSON in text.
fn list(data: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<String>, FrontProxyError> {
    let Some(text) = data.get(key).filter(|text| !text.trim().is_empty()) else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|error| FrontProxyError::Unreadable { key, fault: error.to_string() })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::external_metrics::tests::pki::Authority;

    #[test]
    fn the_config_map_of_an_api_server_is_read() {
        let proxy = FrontProxy::of_config_map(&data(&Authority::new("front"))).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "system:serviceaccount:kube-system:horizontal-pod-autoscaler"),
            ("x-remote-group", "system:serviceaccounts"),
            ("x-remote-group", "system:authenticated"),
            ("x-remote-extra-scopes.example.com%2fscope", "read"),
            ("x-other", "x"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }

        let caller = proxy.caller(&headers).unwrap();

        assert_eq!(caller.user, "system:serviceaccount:kube-system:horizontal-pod-autoscaler");
        assert_eq!(caller.groups, ["system:serviceaccounts", "system:authenticated"]);
        let scopes = ("scopes.example.com/scope".to_owned(), vec!["read".to_owned()]);
        assert_eq!(caller.extra, BTreeMap::from([scopes]));
        assert_eq!(proxy.caller(&HeaderMap::new()), None);
    }

    #[test]
    fn only_certificates_with_an_allowed_name_are_the_aggregators() {
        let authority = Authority::new("front");
        let mut data = data(&authority);
        let own = authority.issue("front-proxy-client");
        let other = authority.issue("somebody");

        let proxy = FrontProxy::of_config_map(&data).unwrap();
        assert!(proxy.has_certificate(&own.certificate));
        assert!(!proxy.has_certificate(&other.certificate));

        data.insert(NAMES.to_owned(), "[]".to_owned());
        let proxy = FrontProxy::of_config_map(&data).unwrap();
        assert!(proxy.has_certificate(&other.certificate), "an empty list allows every name");
    }

    #[test]
    fn a_config_map_without_an_aggregator_is_refused() {
        let good = data(&Authority::new("front"));
        for (key, value, fault) in [
            (AUTHORITIES, None, "aggregation layer is not set up"),
            (AUTHORITIES, Some(""), "aggregation layer is not set up"),
            (AUTHORITIES, Some("-----BEGIN CERTIFICATE-----\nxx"), AUTHORITIES),
            (USER_HEADERS, None, "requestheader-username-headers is missing"),
            (USER_HEADERS, Some("X-Remote-User"), USER_HEADERS),
            (GROUP_HEADERS, Some(r#"["a b"]"#), "\"a b\" is no header"),
        ] {
            let mut data = good.clone();
            match value {
                Some(value) => data.insert(key.to_owned(), value.to_owned()),
                None => data.remove(key),
            };
            let error = FrontProxy::of_config_map(&data).unwrap_err().to_string();
            assert!(error.contains(fault), "{key} = {value:?}: {error}");
        }
    }

    fn data(authority: &Authority) -> BTreeMap<String, String> {
        crate::external_metrics::tests::pki::config_map(authority)
    }
}
