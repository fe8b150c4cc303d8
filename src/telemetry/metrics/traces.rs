//! Metrics of the spans that are sent to a collector.

use prometheus::IntCounter;

use super::name::Names;

/// Metrics of the spans that are sent to a collector. Written by workers and by the exporter.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    /// Spans that a collector took.
    pub exported_total: IntCounter,
    /// Spans that were lost: too many waited, or no collector took them.
    pub dropped_total: IntCounter,
    /// Times that a collector could not be reached, or refused what it was sent.
    pub failures_total: IntCounter,
}

impl TraceMetrics {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            exported_total: names.counter("spans_exported_total", "Spans that the collector took."),
            dropped_total: names.counter(
                "spans_dropped_total",
                "Spans that were lost, since too many waited or the collector did not take them.",
            ),
            failures_total: names.counter(
                "span_export_failures_total",
                "Times that the collector could not be reached, or refused what it was sent.",
            ),
        }
    }
}
