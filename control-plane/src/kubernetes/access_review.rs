//! Asking the API server what somebody may do.
//!
//! Place in the path: the external metrics API, once the aggregator has said for whom it asks.

use std::collections::BTreeMap;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::external_metrics::Caller;

const GROUP: &str = "external.metrics.k8s.io";

/// Asks whether `caller` may read an external metric.
///
/// # Errors
///
/// The API server cannot be asked, or does not let this process ask.
pub(super) async fn may_read(
    client: &Client,
    caller: &Caller,
    namespace: &str,
    metric: &str,
) -> Result<bool, kube::Error> {
    let review =
        SubjectAccessReview { spec: question(caller, namespace, metric), ..SubjectAccessReview::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
}

/// The path of a metric names a resource and no object, which to Kubernetes is the verb `list`.
fn question(caller: &Caller, namespace: &str, metric: &str) -> SubjectAccessReviewSpec {
    let extra: BTreeMap<_, _> = caller.extra.clone();
    SubjectAccessReviewSpec {
        user: Some(caller.user.clone()),
        groups: Some(caller.groups.clone()),
        extra: (!extra.is_empty()).then_some(extra),
        resource_attributes: Some(ResourceAttributes {
            group: Some(GROUP.to_owned()),
            namespace: Some(namespace.to_owned()),
            resource: Some(metric.to_owned()),
            verb: Some("list".to_owned()),
            version: Some("v1beta1".to_owned()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full};
    use hyper::body::Bytes;
    use hyper::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn the_question_is_that_of_the_api_servers_own_authorization() {
        let client = Client::new(tower::service_fn(decide), "tidegate");
        let autoscaler = Caller {
            user: "autoscaler".to_owned(),
            groups: vec!["system:serviceaccounts".to_owned()],
            extra: BTreeMap::from([("scope".to_owned(), vec!["read".to_owned()])]),
        };
        assert!(may_read(&client, &autoscaler, "tidegate", "tidegate_connections").await.unwrap());

        let stranger = Caller { user: "mallory".to_owned(), ..Caller::default() };
        assert!(!may_read(&client, &stranger, "tidegate", "tidegate_connections").await.unwrap());
    }

    /// An API server that is played by a few lines.
    async fn decide(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
        assert_eq!(request.uri().path(), "/apis/authorization.k8s.io/v1/subjectaccessreviews");
        let body = request.into_body().collect().await.expect("the body is in memory").to_bytes();
        let mut review: Value = serde_json::from_slice(&body).expect("the client writes JSON");
        let resource = json!({
            "group": "external.metrics.k8s.io", "version": "v1beta1", "namespace": "tidegate",
            "resource": "tidegate_connections", "verb": "list",
        });
        assert_eq!(review["spec"]["resourceAttributes"], resource);
        let wanted = json!({
            "user": "autoscaler", "groups": ["system:serviceaccounts"], "extra": { "scope": ["read"] },
            "resourceAttributes": resource,
        });
        review["status"] = json!({ "allowed": review["spec"] == wanted });
        Ok(Response::new(Full::new(review.to_string().into())))
    }
}
