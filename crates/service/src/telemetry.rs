//! Sends ended spans to whoever collects traces, over OTLP: gRPC, or protobuf over HTTP.
//!
//! Place in the data path: behind it. A thread of its own, with a runtime of its own, takes spans out of the queue of
//! [`trace`](crate::trace) and sends them in batches, so that a collector that is slow, gone or wrong costs those who make
//! spans nothing: spans are lost and counted, once in a while a line in the log says so, and that is all.

mod endpoint;
mod exporter;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use opentelemetry_otlp::ExporterBuildError;
use tokio::runtime;
use tokio::sync::oneshot;

pub use self::endpoint::check_endpoint;

use self::exporter::{Exporter, build};
use crate::trace::Tracer;

/// How long the end of the process may wait for the last spans to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

crate::config_choice! {
    /// How spans are sent.
    pub enum Protocol {
        /// OTLP over gRPC; collectors listen on port 4317.
        Grpc = "grpc",
        /// OTLP as protobuf over HTTP/1.1; collectors listen on port 4318.
        HttpProtobuf = "http/protobuf",
    }
}

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct ExportSettings {
    /// `http://host:port`, as [`check_endpoint`] lets it pass.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Share of the work that nobody else decided about: 0.0 to 1.0.
    pub sample_ratio: f64,
    /// Spans that may wait to be sent.
    pub queue_max: usize,
    /// Who says so.
    pub identity: Identity,
}

/// What every span says about the process that made it (semantic conventions, resource attributes). More can come from
/// `OTEL_RESOURCE_ATTRIBUTES`; what is here wins.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `service.name`.
    pub program: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`.
    pub node: String,
    /// `k8s.pod.name`.
    pub pod: Option<String>,
    /// `k8s.namespace.name`.
    pub namespace: Option<String>,
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A setting, perhaps one of the variables `OTEL_EXPORTER_OTLP_*`, which the exporter reads too.
    #[error("the exporter of spans cannot be built: {0}")]
    Setting(#[from] ExporterBuildError),
    /// The thread or its event loop could not be made.
    #[error("the thread that exports spans could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// Keeps the export going. When dropped, what still waits is sent, for two seconds at most.
#[derive(Debug)]
#[must_use = "the export ends when this is dropped"]
pub struct SpanExport {
    /// Dropped to tell the thread to end.
    stop: Option<oneshot::Sender<()>>,
    /// Ends with the thread.
    ended: mpsc::Receiver<()>,
}

/// Starts to export. Nothing is connected yet: a collector may come later, and go.
///
/// # Errors
///
/// [`ExportError`]; no thread runs then.
pub fn start(settings: &ExportSettings) -> Result<(Tracer, SpanExport), ExportError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (tracer, spans) = Tracer::new(settings.identity.program, settings.sample_ratio, settings.queue_max);
    let exporter = {
        // A gRPC channel is served by a task of this runtime.
        let _entered = runtime.enter();
        Exporter { sink: build(settings)?, spans, is_failing: false }
    };
    let (stop, stopped) = oneshot::channel();
    let (running, ended) = mpsc::channel();
    thread::Builder::new().name("traces".to_owned()).spawn(move || {
        runtime.block_on(exporter.run(stopped));
        drop(running);
    })?;
    Ok((tracer, SpanExport { stop: Some(stop), ended }))
}

impl Drop for SpanExport {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Nobody ever sends: it is the end of the thread that ends the wait, or the time.
        let _ = self.ended.recv_timeout(FLUSH_TIMEOUT);
    }
}
