//! A collector of traces: a real OTLP receiver, over gRPC and over HTTP, that keeps every span it is sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime;
use tonic::{Request, Response, Status, async_trait};

use crate::wait::until;

/// A collector on free ports of 127.0.0.1. Its thread ends with the test's process.
pub struct OtlpReceiver {
    grpc: SocketAddr,
    http: SocketAddr,
    spans: Spans,
}

/// One span as it came. Ids are hexadecimal, as in a `traceparent`.
#[derive(Clone, Debug)]
pub struct ReceivedSpan {
    /// `SERVER` is 2, `CLIENT` 3, `PRODUCER` 4, `CONSUMER` 5, `INTERNAL` 1.
    pub kind: i32,
    /// What it is called.
    pub name: String,
    /// The trace it belongs to.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// Id of the span it is below; empty for a root.
    pub parent: String,
    /// Length in nanoseconds.
    pub took_ns: u64,
    /// What it says, as text.
    pub attributes: BTreeMap<String, String>,
    /// Names of what happened in it.
    pub events: Vec<String>,
    /// Trace and span of what it points at.
    pub links: Vec<(String, String)>,
    /// What the process that made it says of itself.
    pub resource: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<ReceivedSpan>>>);

impl OtlpReceiver {
    /// Starts both servers.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub fn start() -> Self {
        let spans = Spans::default();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a process may have one more event loop");
        let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("there is a free port");
        let (grpc, http) = (bind(), bind());
        let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
        let receiver = Self { grpc: address(&grpc), http: address(&http), spans: spans.clone() };
        // gRPC is HTTP/2 with prior knowledge: the service is an HTTP service like any other, for a server that speaks both.
        let service = Router::new().route_service(GRPC_PATH, TraceServiceServer::new(spans.clone()));
        let page = Router::new().route(HTTP_PATH, post(collect)).with_state(spans);
        thread::spawn(move || {
            runtime.block_on(async {
                let (_, _) = tokio::join!(axum::serve(grpc, service), axum::serve(http, page));
            });
        });
        receiver
    }

    /// Where spans are taken over gRPC, as an exporter is told.
    pub fn grpc_url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Where spans are taken over HTTP, without the path.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// All spans so far, in the order they came.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.spans.lock().clone()
    }

    /// Waits for a span that `wanted` picks.
    ///
    /// # Panics
    ///
    /// At the [`DEADLINE`](crate::DEADLINE), naming `what` was waited for.
    #[track_caller]
    pub fn await_span(&self, what: &str, wanted: impl Fn(&ReceivedSpan) -> bool) -> ReceivedSpan {
        until(what, || self.spans.lock().iter().find(|span| wanted(span)).cloned())
    }
}

impl ReceivedSpan {
    /// One attribute; empty where there is none.
    pub fn said(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

impl Spans {
    fn lock(&self) -> MutexGuard<'_, Vec<ReceivedSpan>> {
        // Only whole spans are pushed, so a test that panicked leaves the list whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, request: ExportTraceServiceRequest) {
        for group in request.resource_spans {
            let resource = texts(&group.resource.unwrap_or_default().attributes);
            let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.lock().extend(spans.map(|span| received(span, &resource)));
        }
    }
}

/// OTLP/gRPC.
#[async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.keep(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// OTLP/HTTP with protobuf; the content type is checked, as collectors do.
async fn collect(State(spans): State<Spans>, headers: HeaderMap, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    if headers.get("content-type").is_none_or(|value| value != "application/x-protobuf") {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    spans.keep(ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?);
    Ok(ExportTraceServiceResponse::default().encode_to_vec())
}

fn received(span: Span, resource: &BTreeMap<String, String>) -> ReceivedSpan {
    ReceivedSpan {
        kind: span.kind,
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        took_ns: span.end_time_unix_nano - span.start_time_unix_nano,
        attributes: texts(&span.attributes),
        events: span.events.into_iter().map(|event| event.name).collect(),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        resource: resource.clone(),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(value) => Some(value.to_string()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        _ => None,
    };
    attributes.iter().filter_map(|attribute| Some((attribute.key.clone(), text(attribute)?))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// OTLP specification, "OTLP/gRPC": the full name of the method.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// OTLP specification, "OTLP/HTTP Request".
const HTTP_PATH: &str = "/v1/traces";
