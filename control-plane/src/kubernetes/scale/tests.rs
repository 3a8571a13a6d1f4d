//! Against an API server that is played by a few lines: it keeps one Deployment's scale and its version.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use super::*;

#[tokio::test]
async fn a_deployment_that_wants_what_was_expected_is_scaled() {
    let server = Server::with(3);

    assert_eq!(server.scale(3, 2).await, Scaled::Done);
    assert_eq!((server.wanted(), server.writes()), (2, 1));
}

#[tokio::test]
async fn one_that_is_scaled_already_is_not_written_again() {
    for wanted in [1, 2] {
        let server = Server::with(wanted);
        assert_eq!(server.scale(3, 2).await, Scaled::Done);
        assert_eq!((server.wanted(), server.writes()), (wanted, 0));
    }
}

#[tokio::test]
async fn somebody_elses_scale_is_not_written_over() {
    let server = Server::with(5);

    assert_eq!(server.scale(3, 2).await, Scaled::Changed { wanted: 5 });
    assert_eq!((server.wanted(), server.writes()), (5, 0));
}

#[tokio::test]
async fn a_write_between_the_reading_and_the_writing_is_noticed() {
    let server = Server::with(3);
    server.0.lock().unwrap().overtaken_by = Some(6);

    let message = "code 409".to_owned();
    assert_eq!(server.scale(3, 2).await, Scaled::Unavailable { message });
    assert_eq!(server.scale(3, 2).await, Scaled::Changed { wanted: 6 });
}

#[tokio::test]
async fn without_the_right_it_is_refused_in_the_servers_words() {
    let server = Server::with(3);
    for (code, is_final) in [(403, true), (404, true), (500, false)] {
        server.0.lock().unwrap().failing = Some(code);
        let message = format!("code {code}");
        let meant = if is_final { Scaled::Refused { message } } else { Scaled::Unavailable { message } };
        assert_eq!(server.scale(3, 2).await, meant);
    }
}

#[derive(Clone)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    replicas: u64,
    version: u64,
    writes: u64,
    /// Who is scaled before the next write that comes in.
    overtaken_by: Option<u64>,
    failing: Option<u16>,
}

impl Server {
    fn with(replicas: u64) -> Self {
        Self(Arc::new(Mutex::new(State { replicas, ..State::default() })))
    }

    async fn scale(&self, from: u64, to: u64) -> Scaled {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        };
        let client = Client::new(tower::service_fn(answer), "tidegate");
        scale(&Api::namespaced(client, "tidegate"), "gateway", from, to).await
    }

    fn wanted(&self) -> u64 {
        self.0.lock().unwrap().replicas
    }

    fn writes(&self) -> u64 {
        self.0.lock().unwrap().writes
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        assert_eq!(head.uri.path(), "/apis/apps/v1/namespaces/tidegate/deployments/gateway/scale");
        let body = body.collect().await.expect("the body is in memory").to_bytes();
        let mut state = self.0.lock().unwrap();
        if let Some(code) = state.failing {
            return failure(code);
        }
        if head.method == Method::PATCH {
            if let Some(others) = state.overtaken_by.take() {
                (state.replicas, state.version) = (others, state.version + 1);
            }
            let patch: Value = serde_json::from_slice(&body).expect("the client writes JSON");
            if patch["metadata"]["resourceVersion"] != json!(state.version.to_string()) {
                return failure(409);
            }
            state.replicas = patch["spec"]["replicas"].as_u64().expect("a number");
            (state.version, state.writes) = (state.version + 1, state.writes + 1);
        }
        let scale = json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": {"name": "gateway", "resourceVersion": state.version.to_string()},
            "spec": {"replicas": state.replicas}, "status": {"replicas": state.replicas},
        });
        Response::new(Full::new(scale.to_string().into()))
    }
}

fn failure(code: u16) -> Response<Full<Bytes>> {
    let message = format!("code {code}");
    let status =
        json!({"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": "x"});
    Response::builder().status(code).body(Full::new(status.to_string().into())).unwrap()
}
