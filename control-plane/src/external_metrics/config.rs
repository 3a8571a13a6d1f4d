//! `[external_metrics]`: whether this process serves the external metrics API of Kubernetes, and with which certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_service::config::{Checks, value};
use tidegate_service::config_section;

config_section! {
    /// The external metrics API of Kubernetes, by which a HorizontalPodAutoscaler follows connections. A cluster has one such
    /// server at most.
    pub struct ExternalMetrics {
        /// Address and port, where the API server's aggregator comes in over TLS; port 0 takes a free one. Not set: it is not
        /// served.
        pub listen: Option<SocketAddr> = value(None);
        /// PEM file with the certificate for `SERVICE.NAMESPACE.svc` and its chain, leaf first. Needed with `listen`.
        pub tls_cert_file: Option<PathBuf> = value(None);
        /// PEM file with its key, not encrypted. Needed with `listen`.
        pub tls_key_file: Option<PathBuf> = value(None);
        /// How often both files are looked at; new connections get what they hold then.
        pub reload_interval: Duration = value(Duration::from_secs(10)).within(Duration::from_secs(1)..=Duration::from_secs(86_400));
    }
}

impl ExternalMetrics {
    /// Checks between keys. `in_kubernetes`: there is an API server whose aggregator could come.
    pub(crate) fn check(&self, in_kubernetes: bool, checks: &mut Checks<'_>) {
        if self.listen.is_none() {
            return;
        }
        if self.tls_cert_file.is_none() || self.tls_key_file.is_none() {
            checks.fault(
                &["external_metrics.tls_cert_file", "external_metrics.tls_key_file"],
                "both are needed with external_metrics.listen: the API server speaks nothing but TLS there",
            );
        }
        if !in_kubernetes {
            checks.fault(
                &["external_metrics.listen", "kubernetes.enabled"],
                "external metrics are served to a Kubernetes API server: set kubernetes.enabled, or leave listen unset",
            );
        }
    }
}
