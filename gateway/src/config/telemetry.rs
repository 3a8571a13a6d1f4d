//! `[telemetry]`: logs, and where spans go.

use tidegate_service::config::{Environment, computed, value};
use tidegate_service::config_section;
use tidegate_service::log::{Format as LogFormat, check_filter};
use tidegate_service::telemetry::{ExportSettings, Identity, Protocol, check_endpoint};

use super::Config;

config_section! {
    /// What the gateway tells about itself.
    pub struct Telemetry {
        /// Shape of log lines on standard output.
        pub log_format: LogFormat = value(LogFormat::Json);
        /// Level (`off`, `error`, `warn`, `info`, `debug`, `trace`) or filter (`info,tidegate_gateway::net=trace`);
        /// `PUT /log-level` on the admin port changes it while running.
        pub log_level: String = value("info".to_owned())
            .checked(|level| check_filter(level).map_err(|error| error.to_string()));
        /// Where spans are sent, as `http://collector:4317`. Not set: there are none. TLS is not spoken.
        pub otlp_endpoint: Option<String> = value(None)
            .checked(|endpoint: &Option<String>| endpoint.as_deref().map_or(Ok(()), check_endpoint));
        /// How they are sent: collectors take gRPC on port 4317, and HTTP on 4318 at `/v1/traces`, which is added.
        pub otlp_protocol: Protocol = value(Protocol::Grpc);
        /// Share of the upgrades and publications that are traced where nobody else has decided. What comes with a
        /// `traceparent` follows it: sampled there, sampled here.
        pub sample_ratio: f64 = value(0.0).within(0.0..=1.0);
        /// Spans that may wait to be sent; more are lost and counted.
        pub span_queue: usize = value(4096).within(1..=1_000_000);
        /// Name of the pod, which spans carry.
        pub pod: Option<String> = computed("`POD_NAME`", |environment| text(environment, "POD_NAME"));
        /// Kubernetes namespace of the pod, which spans carry.
        pub pod_namespace: Option<String> =
            computed("`POD_NAMESPACE`", |environment| text(environment, "POD_NAMESPACE"));
    }
}

fn text(environment: &Environment, variable: &str) -> Option<String> {
    environment.text(variable).map(str::to_owned)
}

/// How this node exports spans; `None` when it does not.
pub(crate) fn export_settings(config: &Config) -> Option<ExportSettings> {
    let telemetry = &config.telemetry;
    Some(ExportSettings {
        endpoint: telemetry.otlp_endpoint.clone()?,
        protocol: telemetry.otlp_protocol,
        sample_ratio: telemetry.sample_ratio,
        queue_max: telemetry.span_queue,
        identity: Identity {
            program: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            node: config.node.name.clone(),
            pod: telemetry.pod.clone(),
            namespace: telemetry.pod_namespace.clone(),
        },
    })
}
