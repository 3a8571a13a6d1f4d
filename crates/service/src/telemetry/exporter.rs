//! The loop of the thread that exports: wait, gather, send, count.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, SpanExporter as Otlp, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::sync::oneshot;
use tokio::time;

use super::endpoint::full_endpoint;
use super::{ExportSettings, Identity, Protocol};
use crate::trace::SpanReceiver;

/// Spans that are sent at once.
pub(super) const BATCH_SPANS_MAX: usize = 512;
/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_millis(500);
/// How long a collector may take, tries again included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES_MAX: usize = 2;
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// What the thread owns.
pub(super) struct Exporter<S> {
    pub(super) sink: S,
    pub(super) spans: SpanReceiver,
    /// Whether the last batch was lost: the log tells of changes only.
    pub(super) is_failing: bool,
}

/// The OTLP client. It connects when it first sends.
pub(super) fn build(settings: &ExportSettings) -> Result<Otlp, ExporterBuildError> {
    let endpoint = full_endpoint(&settings.endpoint, settings.protocol);
    let retry = RetryPolicy::disabled().with_max_retries(RETRIES_MAX).with_initial_delay(RETRY_DELAY);
    let mut exporter = match settings.protocol {
        Protocol::Grpc => Otlp::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .with_retry_policy(retry)
            .build()?,
        Protocol::HttpProtobuf => Otlp::builder()
            .with_http()
            .with_endpoint(endpoint)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_timeout(EXPORT_TIMEOUT)
            .with_retry_policy(retry)
            .build()?,
    };
    exporter.set_resource(&resource(&settings.identity));
    Ok(exporter)
}

fn resource(identity: &Identity) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.version", identity.version),
        KeyValue::new("service.instance.id", identity.node.clone()),
    ];
    let pod = identity.pod.as_ref().map(|pod| KeyValue::new("k8s.pod.name", pod.clone()));
    let namespace = identity.namespace.as_ref().map(|name| KeyValue::new("k8s.namespace.name", name.clone()));
    attributes.extend(pod.into_iter().chain(namespace));
    Resource::builder().with_service_name(identity.program).with_attributes(attributes).build()
}

impl<S: SpanExporter> Exporter<S> {
    /// Exports until it is told to stop, and then what still waits.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            let first = tokio::select! {
                first = self.spans.take(1) => first,
                _ = &mut stop => break,
            };
            if first.is_empty() {
                // Every tracer is gone.
                break;
            }
            let is_stopping = tokio::select! {
                () = time::sleep(GATHER) => false,
                () = self.spans.pressed() => false,
                _ = &mut stop => true,
            };
            self.export_waiting(first).await;
            if is_stopping {
                break;
            }
        }
        self.spans.close();
        self.export_waiting(Vec::new()).await;
    }

    /// Sends what waits, behind the spans in `batch`. What ends meanwhile is left for the next time.
    async fn export_waiting(&mut self, mut batch: Vec<SpanData>) {
        let mut left = self.spans.waiting();
        loop {
            let more = self.spans.take_waiting(left.min(BATCH_SPANS_MAX - batch.len()));
            left -= more.len();
            batch.extend(more);
            if batch.is_empty() {
                return;
            }
            self.export(std::mem::take(&mut batch)).await;
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len();
        let failure = match time::timeout(EXPORT_TIMEOUT, self.sink.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {EXPORT_TIMEOUT:?}")),
        };
        match failure {
            None => self.spans.count_exported(spans),
            Some(_) => self.spans.count_failed(spans),
        }
        match (&failure, self.is_failing) {
            (Some(error), false) => tracing::warn!(error, "spans cannot be exported, and are lost"),
            (None, true) => tracing::info!("spans are exported again"),
            _ => {}
        }
        self.is_failing = failure.is_some();
    }
}
