//! Against an API server that is played by a few lines: it keeps one pod and merges what it is sent into it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;

use super::*;
use crate::kubernetes::facts::pod_facts;

#[tokio::test]
async fn a_detached_pod_loses_the_label_and_remembers_its_revision() {
    let server = Server::with(pod());

    assert_eq!(detach(&server.pods(), "gateway-a", "8d6c", "6f7b").await, Detached::Done);

    let facts = server.facts();
    assert_eq!((facts.detached, facts.revision.as_deref()), (true, Some("6f7b")));
    assert_eq!(facts.labels.into_iter().collect::<Vec<_>>(), [("app".to_owned(), "gateway".to_owned())]);
}

#[tokio::test]
async fn another_leader_that_does_it_again_changes_nothing() {
    let server = Server::with(pod());
    detach(&server.pods(), "gateway-a", "8d6c", "6f7b").await;
    let before = server.facts();

    assert_eq!(detach(&server.pods(), "gateway-a", "8d6c", "6f7b").await, Detached::Done);
    assert_eq!(server.facts(), before);
}

#[tokio::test]
async fn another_pod_of_the_same_name_keeps_what_it_has() {
    let server = Server::with(pod());

    assert_eq!(detach(&server.pods(), "gateway-a", "an-earlier-one", "6f7b").await, Detached::Gone);
    assert!(!server.facts().detached);
}

#[tokio::test]
async fn without_the_right_it_is_refused_in_the_servers_words_and_tried_late() {
    let server = Server::with(pod());
    server.fail(403);

    let refused = detach(&server.pods(), "gateway-a", "8d6c", "6f7b").await;
    assert_eq!(refused, Detached::Refused { message: "code 403".to_owned() });
    assert_eq!(Answer::from(refused), Answer::forbidden("code 403".to_owned()));

    server.fail(503);
    let unavailable = detach(&server.pods(), "gateway-a", "8d6c", "6f7b").await;
    assert_eq!(unavailable, Detached::Unavailable { message: "code 503".to_owned() });
}

#[derive(Clone)]
struct Server(Arc<Mutex<State>>);

struct State {
    pod: Value,
    failing: Option<u16>,
}

impl Server {
    fn with(pod: Value) -> Self {
        Self(Arc::new(Mutex::new(State { pod, failing: None })))
    }

    fn fail(&self, code: u16) {
        self.0.lock().unwrap().failing = Some(code);
    }

    fn facts(&self) -> crate::kubernetes::PodFacts {
        let pod: Pod = serde_json::from_value(self.0.lock().unwrap().pod.clone()).unwrap();
        pod_facts(&pod, 9000)
    }

    fn pods(&self) -> Api<Pod> {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        };
        Api::namespaced(Client::new(tower::service_fn(answer), "tidegate"), "tidegate")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        assert_eq!(
            (head.method, head.uri.path()),
            (Method::PATCH, "/api/v1/namespaces/tidegate/pods/gateway-a")
        );
        assert_eq!(head.headers["content-type"], "application/merge-patch+json");
        let body = body.collect().await.expect("the body is in memory").to_bytes();
        let patch: Value = serde_json::from_slice(&body).expect("the client writes JSON");
        let mut state = self.0.lock().unwrap();
        let is_same = patch["metadata"]["uid"] == state.pod["metadata"]["uid"];
        let code = state.failing.unwrap_or(if is_same { 200 } else { 409 });
        if code == 200 {
            merge(&mut state.pod, &patch);
            return Response::new(Full::new(state.pod.to_string().into()));
        }
        let message = format!("code {code}");
        let status =
            json!({"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": "x"});
        Response::builder().status(code).body(Full::new(status.to_string().into())).unwrap()
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], change);
        }
    }
}

fn pod() -> Value {
    json!({
        "metadata": {"name": "gateway-a", "uid": "8d6c", "labels": {"app": "gateway", "pod-template-hash": "6f7b"}},
        "status": {},
    })
}
