//! The reference of all metrics, made from the registry itself so that it cannot drift.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// A metric as it was registered.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Full name without the suffix that a counter's or info's samples carry.
    family: String,
    row: Row,
}

#[derive(Clone, Debug, Default)]
struct Row {
    kind: String,
    unit: String,
    help: String,
    labels: BTreeSet<String>,
}

impl Described {
    pub(super) fn new(prefix: &str, name: &str, help: &str, unit: Option<&Unit>, kind: MetricType) -> Self {
        let suffix = unit.map_or_else(String::new, |unit| format!("_{}", unit.as_str()));
        let row = Row {
            kind: kind.as_str().to_owned(),
            unit: unit.map_or_else(String::new, |unit| unit.as_str().to_owned()),
            help: format!("{help}."),
            labels: BTreeSet::new(),
        };
        Self { family: format!("{prefix}_{name}{suffix}"), row }
    }
}

/// Markdown table of what was registered and of what a scrape (OpenMetrics text) shows beside it.
pub(super) fn page(described: &[Described], scrape: &str) -> String {
    let own = described.iter().map(|metric| (metric.family.clone(), metric.row.clone()));
    let mut rows: BTreeMap<String, Row> = own.collect();
    let mut family = String::new();
    for line in scrape.lines() {
        let comment = |mark| line.strip_prefix(mark).and_then(|rest: &str| rest.split_once(' '));
        if let Some((name, help)) = comment("# HELP ") {
            family = name.to_owned();
            rows.entry(family.clone()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = comment("# TYPE ") {
            rows.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((name, unit)) = comment("# UNIT ") {
            rows.entry(name.to_owned()).or_default().unit = unit.to_owned();
        } else {
            rows.entry(family.clone()).or_default().labels.extend(labels(line));
        }
    }
    let mut page = "| Metric | Type | Unit | Labels | What |\n|---|---|---|---|---|\n".to_owned();
    for (name, Row { kind, unit, help, labels }) in rows {
        let suffix = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        page.push_str(&format!(
            "| `{name}{suffix}` | {kind} | {unit} | {labels} | {} |\n",
            help.replace('|', "\\|")
        ));
    }
    page
}

/// Names of the labels of a sample; `le` is what makes a histogram, not a label of ours.
fn labels(sample: &str) -> Vec<String> {
    let Some((_, rest)) = sample.split_once('{') else { return Vec::new() };
    let mut names = Vec::new();
    let (mut name, mut is_quoted, mut is_escaped) = (String::new(), false, false);
    for letter in rest.chars() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '}' => break,
            ',' => name.clear(),
            '=' => names.push(std::mem::take(&mut name)),
            other => name.push(other),
        }
    }
    names.retain(|name| name != "le");
    names
}
