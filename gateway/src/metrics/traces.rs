//! What became of spans: where they are exported to, they may be lost without anyone else noticing.

use std::fmt;

use super::page::Page;

impl Page<'_, '_> {
    pub(super) fn traces(&mut self) -> fmt::Result {
        let stats = self.node.spans.stats();
        self.gauge("trace_spans_queued", "Spans that wait to be exported", None, stats.queued)?;
        self.counter_of("trace_spans_exported", "Spans that the collector took", stats.exported)?;
        self.counters(
            "trace_spans_dropped",
            "Spans that were lost: too many waited (`telemetry.span_queue`), or the collector did not take them",
            None,
            "reason",
            &[("queue_full", stats.dropped_full), ("export_failed", stats.dropped_export)],
        )?;
        self.counter_of(
            "trace_export_failures",
            "Batches of spans that the collector did not take",
            stats.export_failures,
        )
    }
}
