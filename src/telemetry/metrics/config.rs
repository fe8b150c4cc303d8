//! Metrics of the configuration in force, and of the certificates that it names.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::Collector as _;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::name::Names;

/// Metrics of the configuration in force. Written by whoever reads it again.
#[derive(Clone, Debug)]
pub struct ConfigMetrics {
    /// 1 while the configuration that was read last is good, else 0: the one before it stays in force then.
    pub good: IntGauge,
    /// Keys that are written otherwise than they were at the start, and take effect at the next one.
    pub keys_waiting: IntGauge,
    reloads: IntCounterVec,
    certificates: IntGaugeVec,
}

/// What became of a configuration that was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// It says what the one in force says.
    Unchanged,
    /// It is in force now.
    Changed,
    /// It is wrong.
    Refused,
}

impl Reloaded {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Refused => "refused",
        }
    }
}

/// A certificate of ours, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    /// Who is shown it: `client` by a listener, or `provider`.
    pub shown_to: &'static str,
    /// The address of the listener, or the service; empty for what is shown to the providers of all others.
    pub of: String,
    /// When it ends.
    pub end: SystemTime,
}

impl ConfigMetrics {
    pub(super) fn new(names: &Names) -> Self {
        let good = names.gauge(
            "config_good",
            "1 while the configuration that was read last is good, else 0; the one before it stays in force then.",
        );
        good.set(1);
        Self {
            good,
            keys_waiting: names.gauge(
                "config_keys_waiting",
                "Keys of the configuration that were changed since the start, and take effect at the next one.",
            ),
            reloads: names.counters(
                "config_reloads_total",
                "Times that the configuration was read again, by what became of it: unchanged, changed or refused.",
                &["result"],
            ),
            certificates: names.gauges(
                "certificate_end_timestamp_seconds",
                "When a certificate of this proxy ends: one that a listener shows to clients, or that is shown to the \
                 providers of a service.",
                &["shown_to", "of"],
            ),
        }
    }

    /// Counts that the configuration was read again, and what became of it.
    pub fn reloaded(&self, result: Reloaded) {
        self.reloads.with_label_values(&[result.as_str()]).inc();
        self.good.set((result != Reloaded::Refused).into());
    }

    /// Which certificates there are, and when each ends; others have no series any more.
    pub fn set_certificates(&self, certificates: &[CertificateEnd]) {
        for CertificateEnd { shown_to, of, end } in certificates {
            let end = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let end = i64::try_from(end).unwrap_or(i64::MAX);
            self.certificates.with_label_values(&[shown_to, of.as_str()]).set(end);
        }
        for family in self.certificates.collect() {
            for metric in family.get_metric() {
                let label = |name: &str| {
                    let label = metric.get_label().iter().find(|label| label.name() == name);
                    label.map_or("", |label| label.value())
                };
                let (shown_to, of) = (label("shown_to"), label("of"));
                if !certificates.iter().any(|known| known.shown_to == shown_to && known.of == of) {
                    // It is there, since it was just collected by the only one who writes it.
                    let _ = self.certificates.remove_label_values(&[shown_to, of]);
                }
            }
        }
    }
}
