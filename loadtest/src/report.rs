//! The result of a run: one JSON document or a readable table, and the verdict that becomes the exit code.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::latency::LatencySummary;
use crate::procfs::{CpuUse, Memory, Snapshot};

/// Everything one scenario found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    pub(crate) url: String,
    pub(crate) verdict: Verdict,
    /// Length of the measured part.
    pub(crate) measured_seconds: f64,
    /// What CPU time and rates are counted per.
    pub(crate) unit: &'static str,
    /// Units completed in the measured part.
    pub(crate) units: u64,
    pub(crate) units_per_second: f64,
    /// Totals of the whole run, by name.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) latencies: Vec<LatencySummary>,
    /// Only with `--pid`.
    pub(crate) server: Option<ServerUse>,
    /// Ratios and sizes worked out from the above, by name.
    pub(crate) derived: BTreeMap<&'static str, f64>,
    /// How connections ended that this client did not end, by cause.
    pub(crate) endings: BTreeMap<String, u64>,
    /// What only some scenarios tell, by name: each is a key of the document.
    #[serde(flatten)]
    pub(crate) details: BTreeMap<&'static str, serde_json::Value>,
    /// What it comes to, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conclusion: Option<String>,
    pub(crate) faults: Faults,
}

/// Is the result good? Exit code 0 or 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Passed,
    Failed,
}

/// CPU time and memory of the server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerUse {
    pub(crate) cpu: CpuUse,
    pub(crate) cpu_us_per_unit: f64,
    pub(crate) memory_before: Memory,
    pub(crate) memory_after: Memory,
}

impl ServerUse {
    pub(crate) fn between(before: &Snapshot, after: &Snapshot, units: u64) -> Self {
        let cpu = after.cpu_since(before);
        Self {
            cpu,
            cpu_us_per_unit: per_unit(cpu.seconds * 1e6, units),
            memory_before: before.memory,
            memory_after: after.memory,
        }
    }
}

/// What was wrong: a count, and the first few in words.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Faults {
    pub(crate) count: u64,
    pub(crate) first: Vec<String>,
}

/// Faults kept in words; a server that corrupts everything would fill the memory otherwise.
const FAULTS_KEPT_MAX: usize = 10;

impl Faults {
    pub(crate) fn add(&mut self, fault: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < FAULTS_KEPT_MAX {
            self.first.push(fault());
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.count == 0 { Verdict::Passed } else { Verdict::Failed }
    }
}

/// `total / units`, and 0 for none: JSON has no infinity.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
pub(crate) fn per_unit(total: f64, units: u64) -> f64 {
    if units == 0 { 0.0 } else { total / units as f64 }
}

/// Units per second over `nanoseconds`, and 0 for no time.
#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds of a run are far below 2^53")]
pub(crate) fn per_second(units: u64, nanoseconds: u64) -> f64 {
    if nanoseconds == 0 { 0.0 } else { units as f64 * 1e9 / nanoseconds as f64 }
}

impl Report {
    /// One line of JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has string keys and finite numbers only")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, url, unit, .. } = self;
        writeln!(f, "{scenario} on {url}")?;
        writeln!(
            f,
            "  {:<22} {} of unit {unit} in {:.2} s, {:.0} a second",
            "measured", self.units, self.measured_seconds, self.units_per_second
        )?;
        for (name, count) in &self.counts {
            writeln!(f, "  {name:<22} {count}")?;
        }
        if !self.latencies.is_empty() {
            writeln!(
                f,
                "  {:<22} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
                "latency, us", "count", "p50", "p90", "p99", "p99.9", "max"
            )?;
        }
        for latency in &self.latencies {
            writeln!(
                f,
                "  {:<22} {:>10} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>10.1}",
                latency.name,
                latency.count,
                latency.p50_us,
                latency.p90_us,
                latency.p99_us,
                latency.p99_9_us,
                latency.max_us
            )?;
        }
        if let Some(server) = &self.server {
            f.write_str(&server_lines(server, unit)?)?;
        }
        for (name, value) in &self.derived {
            writeln!(f, "  {name:<22} {value:.3}")?;
        }
        for (ending, count) in &self.endings {
            writeln!(f, "  ended: {ending}: {count}")?;
        }
        for fault in &self.faults.first {
            writeln!(f, "  fault: {fault}")?;
        }
        if let Some(conclusion) = &self.conclusion {
            writeln!(f, "{conclusion}")?;
        }
        match self.verdict {
            Verdict::Passed => writeln!(f, "passed"),
            Verdict::Failed => writeln!(f, "FAILED, {} faults", self.faults.count),
        }
    }
}

fn server_lines(server: &ServerUse, unit: &str) -> Result<String, fmt::Error> {
    let mut lines = String::new();
    writeln!(
        lines,
        "  {:<22} {:.3} s (user {:.2}, system {:.2}), {:.3} us a {unit}",
        "server CPU",
        server.cpu.seconds,
        server.cpu.user_seconds,
        server.cpu.system_seconds,
        server.cpu_us_per_unit
    )?;
    for (name, memory) in
        [("server memory before", server.memory_before), ("server memory after", server.memory_after)]
    {
        writeln!(
            lines,
            "  {name:<22} {} KiB resident, {} KiB private",
            memory.resident_bytes / 1024,
            memory.private_bytes / 1024
        )?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;

    #[test]
    fn both_forms_show_units_latency_and_faults() {
        let report = report(1);
        let text = report.to_string();
        for part in [
            "echo on ws://h/",
            "10 of unit message in 2.00 s",
            "latency, us",
            "fault: bad",
            "all is lost",
            "FAILED, 1 faults",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["verdict"], "failed");
        assert_eq!(json["latencies"][0]["count"], 1);
        assert_eq!(json["counts"]["sent"], 10);
        assert_eq!(json["conclusion"], "all is lost");
    }

    #[test]
    fn faults_are_counted_beyond_those_kept() {
        let report = report(1_000);
        assert_eq!(report.faults.count, 1_000);
        assert_eq!(report.faults.first.len(), FAULTS_KEPT_MAX);
        assert_eq!(Faults::default().verdict(), Verdict::Passed);
    }

    #[test]
    fn rates_of_nothing_are_zero() {
        assert!(per_unit(1.0, 0).abs() < f64::EPSILON && per_second(5, 0).abs() < f64::EPSILON);
        assert!((per_unit(3.0, 2) - 1.5).abs() < f64::EPSILON);
        assert!((per_second(5, 500_000_000) - 10.0).abs() < f64::EPSILON);
    }

    fn report(fault_count: u64) -> Report {
        let mut latency = Latency::new();
        latency.record(1_000);
        let mut faults = Faults::default();
        (0..fault_count).for_each(|_| faults.add(|| "bad".to_owned()));
        Report {
            scenario: "echo",
            url: "ws://h/".to_owned(),
            verdict: faults.verdict(),
            measured_seconds: 2.0,
            unit: "message",
            units: 10,
            units_per_second: 5.0,
            counts: BTreeMap::from([("sent", 10)]),
            latencies: vec![latency.summary("echo")],
            server: None,
            derived: BTreeMap::new(),
            endings: BTreeMap::new(),
            details: BTreeMap::new(),
            conclusion: Some("all is lost".to_owned()),
            faults,
        }
    }
}
