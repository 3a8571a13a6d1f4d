//! The contract of every lead, kept by a Lease on an API server that is played by a few lines.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tidegate_cluster::contract::{Harness, Later, leadership};
use tidegate_cluster::leadership::Leadership;
use tokio::sync::Mutex;

use super::KubernetesLease;

#[tokio::test(start_paused = true)]
async fn a_lease_keeps_the_contract_of_every_lead() {
    leadership::check(&Servers).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_only_one_leads_and_the_other_sees_which() {
    let server = Server::default();
    let (one, two) = (lease(&server), lease(&server));
    let ttl = Duration::from_secs(15);

    let lead = one.claim("one", ttl, 0).await.expect("the server answers");
    assert_eq!(two.claim("two", ttl, 0).await.expect("the server answers"), lead);
    assert!(one.resign("one").await.expect("the server answers"));

    let next = two.claim("two", ttl, 0).await.expect("the server answers");
    assert_eq!((&*next.holder, next.epoch), ("two", lead.epoch + 1));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_wrote_second_reads_again() {
    let server = Server::default();
    let one = lease(&server);
    server.0.lock().await.overtaken_by = Some("two");

    let lead = one.claim("one", Duration::from_secs(15), 0).await.expect("the server answers");
    assert_eq!(&*lead.holder, "two", "it was created between the reading and the writing");
}

/// An API server of its own for each lead.
struct Servers;

impl Harness<dyn Leadership> for Servers {
    fn fresh(&self) -> Later<'_, Arc<dyn Leadership>> {
        Box::pin(async { Arc::new(lease(&Server::default())) as Arc<dyn Leadership> })
    }

    fn pass(&self, time: Duration) -> Later<'_, ()> {
        // Leases last for whole seconds.
        Box::pin(tokio::time::advance(time.max(Duration::from_secs(1))))
    }
}

fn lease(server: &Server) -> KubernetesLease {
    let server = server.clone();
    let service = tower::service_fn(move |request| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    KubernetesLease::new(Client::new(service, "tidegate"), "tidegate", "lead", Duration::from_secs(5))
}

/// Knows one object and its versions.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Object>>);

#[derive(Default)]
struct Object {
    lease: Option<Value>,
    version: u64,
    /// Who writes before the next write that comes in.
    overtaken_by: Option<&'static str>,
}

impl Server {
    async fn answer(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("the body is in memory").to_bytes();
        let mut object = self.0.lock().await;
        if head.method == Method::GET {
            return object.lease.as_ref().map_or_else(|| failure(StatusCode::NOT_FOUND), reply);
        }
        if let Some(other) = object.overtaken_by.take() {
            let spec = json!({"holderIdentity": other, "leaseDurationSeconds": 15, "leaseTransitions": 1});
            object.put(json!({"metadata": {"name": "lead"}, "spec": spec}));
        }
        let lease: Value = serde_json::from_slice(&body).expect("the client writes JSON");
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        let is_current = version(&lease) == object.lease.as_ref().map_or(Value::Null, version);
        if is_current { reply(object.put(lease)) } else { failure(StatusCode::CONFLICT) }
    }
}

impl Object {
    fn put(&mut self, mut lease: Value) -> &Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease.insert(lease)
    }
}

fn reply(value: &Value) -> Response<Full<Bytes>> {
    Response::new(Full::new(value.to_string().into()))
}

fn failure(code: StatusCode) -> Response<Full<Bytes>> {
    let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "Conflict" };
    let status = json!({"kind": "Status", "status": "Failure", "code": code.as_u16(), "message": "", "reason": reason});
    let mut response = reply(&status);
    *response.status_mut() = code;
    response
}
