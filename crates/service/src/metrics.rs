//! Counters and gauges, thin over `prometheus-client`: one registry, process metrics, two text formats, a reference.
//!
//! Applications register their own metrics with the prefix `tidegate_`, or a [`Collector`] that is read at each scrape.

mod process;
mod prometheus_text;
mod reference;
#[cfg(test)]
mod tests;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use self::process::ProcessCollector;
use self::reference::Described;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    /// The application's, prefixed.
    own: Registry,
    /// The process's, under the names that dashboards know: `process_cpu_seconds_total` and so on.
    process: Registry,
    /// What was registered one by one, for the reference: an empty family leaves no trace in a scrape.
    described: Vec<Described>,
}

/// A text format of a scrape.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own, version 0.0.4.
    Prometheus,
}

/// What the program was built from: labels of `tidegate_build_info`.
#[derive(Clone, Debug)]
pub struct BuildInfo {
    /// The program.
    pub program: &'static str,
    /// Its version.
    pub version: &'static str,
}

const PREFIX: &str = "tidegate";

impl Metrics {
    /// A registry with build information and process metrics in it.
    pub fn new(build: &BuildInfo) -> Self {
        let (own, process) = (Registry::with_prefix(PREFIX), Registry::default());
        let mut metrics = Self { own, process, described: Vec::new() };
        let labels = vec![("program", build.program), ("version", build.version)];
        metrics.register("build", "The program and its version", None, Info::new(labels));
        metrics.process.register_collector(Box::new(ProcessCollector));
        metrics
    }

    /// Registers a metric. `name` goes without prefix, unit and, for counters, `_total`; `help` without its full stop.
    pub fn register(&mut self, name: &str, help: &str, unit: Option<Unit>, metric: impl Metric) {
        self.described.push(Described::new(PREFIX, name, help, unit.as_ref(), metric.metric_type()));
        match unit {
            Some(unit) => self.own.register_with_unit(name, help, unit, metric),
            None => self.own.register(name, help, metric),
        }
    }

    /// Registers something that is asked for its metrics at each scrape.
    pub fn register_collector(&mut self, collector: Box<dyn Collector>) {
        self.own.register_collector(collector);
    }

    /// All metrics as they stand.
    pub fn encode(&self, format: TextFormat) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.own)?;
        match format {
            TextFormat::OpenMetrics => encode(&mut text, &self.process)?,
            TextFormat::Prometheus => {
                encode_registry(&mut text, &self.process)?;
                text = prometheus_text::from_openmetrics(&text);
            }
        }
        Ok(text)
    }

    /// Every metric with type, unit, labels and help, as Markdown tables.
    ///
    /// Labels are those of the values there are now; give a family one value of each label before asking.
    pub fn reference(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.own)?;
        encode_registry(&mut text, &self.process)?;
        Ok(reference::page(&self.described, &text))
    }
}

impl TextFormat {
    /// The format a scraper asks for; without a wish, Prometheus' own.
    pub fn of_accept_header(accept: &str) -> Self {
        let weight = |media: &str| {
            let range = accept.split(',').map(str::trim).find(|range| range.starts_with(media))?;
            let weight = range.split(';').find_map(|part| part.trim().strip_prefix("q="));
            Some(weight.and_then(|weight| weight.parse::<f32>().ok()).unwrap_or(1.0))
        };
        let openmetrics = weight("application/openmetrics-text").unwrap_or(0.0);
        let plain = weight("text/plain").unwrap_or(0.0);
        if openmetrics > 0.0 && openmetrics >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Value of the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}
