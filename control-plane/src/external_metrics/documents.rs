//! The documents of `external.metrics.k8s.io/v1beta1`, as JSON: discovery, lists of values, and `Status` for refusals.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::measure::{Metric, Reading};
use super::metrics::Outcome;

pub(super) const GROUP: &str = "external.metrics.k8s.io";
pub(super) const VERSION: &str = "v1beta1";

/// A document that is sent as it is.
pub(super) struct Document(pub(super) Value);

/// Why there is no document: the answer is a `Status` of Kubernetes.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) outcome: Outcome,
    pub(super) message: String,
    /// The connection is of no use any more.
    pub(super) hangs_up: bool,
}

/// `/apis`: the one group.
pub(super) fn groups() -> Value {
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group()] })
}

/// `/apis/external.metrics.k8s.io`: its one version.
pub(super) fn group() -> Value {
    let version = json!({ "groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION });
    json!({ "kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version })
}

/// `/apis/external.metrics.k8s.io/v1beta1`: every metric is a resource.
pub(super) fn resources() -> Value {
    let resources: Vec<_> = Metric::ALL
        .into_iter()
        .map(|metric| {
            json!({
                "name": metric.name(),
                "singularName": "",
                "namespaced": true,
                "kind": "ExternalMetricValueList",
                "verbs": ["get"],
            })
        })
        .collect();
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": resources,
    })
}

/// A metric's value, or none where its labels were not selected.
pub(super) fn values(metric: Metric, labels: &BTreeMap<String, String>, reading: Option<Reading>) -> Value {
    let item = |reading: Reading| {
        let at = UNIX_EPOCH + Duration::from_millis(reading.at.count());
        json!({
            "metricName": metric.name(),
            "metricLabels": labels,
            "timestamp": humantime::format_rfc3339_seconds(at).to_string(),
            // A Quantity; as text, since JSON's numbers are not whole everywhere.
            "value": reading.value.to_string(),
        })
    };
    json!({
        "kind": "ExternalMetricValueList",
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {},
        "items": reading.into_iter().map(item).collect::<Vec<_>>(),
    })
}

impl Refusal {
    pub(super) fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into(), hangs_up: false }
    }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        let mut response = (json_type(), self.0.to_string()).into_response();
        response.extensions_mut().insert(Outcome::Ok);
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, reason) = self.outcome.status();
        let body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": reason,
            "code": status.as_u16(),
        });
        let mut response = (status, json_type(), body.to_string()).into_response();
        if self.hangs_up {
            response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self.outcome);
        response
    }
}

const fn json_type() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "application/json")]
}

impl Outcome {
    /// The status of a refusal, and Kubernetes' word for it.
    const fn status(self) -> (StatusCode, &'static str) {
        match self {
            Self::Ok => (StatusCode::OK, ""),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "NotFound"),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::Unknown | Self::Busy | Self::Unreviewed => {
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;

    #[test]
    fn a_value_is_written_as_kubernetes_reads_it() {
        let labels = BTreeMap::from([("app".to_owned(), "tidegate".to_owned())]);
        let reading = Reading { value: 12_345, at: Millis::new(1_795_300_059_999) };

        let list = values(Metric::Connections, &labels, Some(reading));

        let item = json!({
            "metricName": "tidegate_connections",
            "metricLabels": { "app": "tidegate" },
            "timestamp": "2026-11-21T22:27:39Z",
            "value": "12345",
        });
        assert_eq!(list["items"], json!([item]));
        assert_eq!(list["kind"], "ExternalMetricValueList");
        assert_eq!(list["apiVersion"], "external.metrics.k8s.io/v1beta1");
        assert_eq!(values(Metric::Load, &labels, None)["items"], json!([]));
    }

    #[test]
    fn discovery_names_every_metric_in_one_version_of_one_group() {
        let resources = resources();
        let names: Vec<_> = resources["resources"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["tidegate_connections", "tidegate_load"]);
        assert_eq!(resources["groupVersion"], "external.metrics.k8s.io/v1beta1");
        assert_eq!(groups()["groups"][0]["preferredVersion"]["version"], "v1beta1");
    }
}
