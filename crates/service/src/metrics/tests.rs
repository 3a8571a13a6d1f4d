//! Scrapes in both formats, and the reference made from the same registry.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

use super::*;

#[derive(Debug)]
struct Pool;

impl Collector for Pool {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::new(7_i64);
        let kind = gauge.metric_type();
        gauge.encode(encoder.encode_descriptor("pool", "Bytes held.", Some(&Unit::Bytes), kind)?)
    }
}

fn metrics() -> Metrics {
    Metrics::new(&BuildInfo { program: "test", version: "1.2.3" })
}

#[test]
fn a_scrape_holds_own_collected_and_process_metrics() {
    let mut metrics = metrics();
    let messages = Counter::<u64>::default();
    metrics.register("messages", "Messages taken", None, messages.clone());
    metrics.register_collector(Box::new(Pool));
    messages.inc_by(3);

    let text = metrics.encode(TextFormat::OpenMetrics).unwrap();

    assert!(text.contains("\ntidegate_messages_total 3\n"), "{text}");
    assert!(text.contains("\ntidegate_pool_bytes 7\n"), "{text}");
    assert!(text.contains("tidegate_build_info{program=\"test\",version=\"1.2.3\"} 1\n"), "{text}");
    for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "start_time_seconds", "threads"] {
        assert!(text.contains(&format!("\nprocess_{name} ")), "{name} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(text.matches("# EOF").count(), 1);
}

#[test]
fn the_older_format_declares_counters_under_their_full_name() {
    let text = metrics().encode(TextFormat::Prometheus).unwrap();

    assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"), "{text}");
    assert!(text.contains("# TYPE tidegate_build_info gauge\n"), "{text}");
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
}

#[test]
fn the_scraper_chooses_the_format() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";

    assert_eq!(TextFormat::of_accept_header(prometheus), TextFormat::OpenMetrics);
    assert_eq!(TextFormat::of_accept_header("text/plain"), TextFormat::Prometheus);
    assert_eq!(TextFormat::of_accept_header("*/*"), TextFormat::Prometheus);
    assert_eq!(TextFormat::of_accept_header(""), TextFormat::Prometheus);
    assert_eq!(TextFormat::of_accept_header("application/openmetrics-text;q=0"), TextFormat::Prometheus);
}

#[test]
fn the_reference_lists_every_metric_even_an_empty_family() {
    let mut metrics = metrics();
    let closed = Family::<Vec<(String, String)>, Counter>::default();
    let empty = Family::<Vec<(String, String)>, Gauge>::default();
    metrics.register("closed", "Connections closed", None, closed.clone());
    metrics.register("state", "Connections by state", None, empty);
    metrics.register_collector(Box::new(Pool));
    closed.get_or_create(&vec![("cause".to_owned(), "a=\"b\",c}".to_owned())]).inc();

    let page = metrics.reference().unwrap();

    assert!(
        page.contains("| `tidegate_closed_total` | counter |  | `cause` | Connections closed. |"),
        "{page}"
    );
    assert!(page.contains("| `tidegate_state` | gauge |  |  | Connections by state. |"), "{page}");
    assert!(page.contains("| `tidegate_pool_bytes` | gauge | bytes |  | Bytes held. |"), "{page}");
    assert!(page.contains("| `tidegate_build_info` | info |  | `program`, `version` |"), "{page}");
    assert!(page.contains("| `process_cpu_seconds_total` | counter | seconds |  |"), "{page}");
}
