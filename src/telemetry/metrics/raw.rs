//! Metrics of raw connections, by service.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::name::Names;
use crate::provider::ServiceName;

/// Metrics of raw connections, shared by all workers.
pub struct RawMetrics {
    open: IntGaugeVec,
    total: IntCounterVec,
    bytes: IntCounterVec,
    /// The reasons told of each service, so that they can be dropped. Written when a connection ends.
    reasons: Mutex<BTreeMap<ServiceName, BTreeSet<&'static str>>>,
}

/// Where one connection counts what passes.
#[derive(Clone, Debug)]
pub struct RawCounters {
    /// Connections open now.
    pub open: IntGauge,
    /// Bytes that came from clients.
    pub received: IntCounter,
    /// Bytes that went to clients.
    pub sent: IntCounter,
}

const RECEIVED: &str = "received";
const SENT: &str = "sent";

impl RawMetrics {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            open: names.gauges(
                "raw_connections_open",
                "Raw connections of clients that have not ended.",
                &["service"],
            ),
            total: names.counters(
                "raw_connections_total",
                "Raw connections that ended; the reason is empty where both sides ended it in good order.",
                &["service", "reason"],
            ),
            bytes: names.counters(
                "raw_bytes_total",
                "Bytes passed on raw: received from clients, sent to them.",
                &["service", "direction"],
            ),
            reasons: Mutex::default(),
        }
    }

    /// Counts one more open, and gives where its bytes are counted. Whoever takes it takes it off again.
    pub fn begin(&self, service: &ServiceName) -> RawCounters {
        let name = service.as_str();
        let bytes = |direction| self.bytes.with_label_values(&[name, direction]);
        let open = self.open.with_label_values(&[name]);
        open.inc();
        RawCounters { open, received: bytes(RECEIVED), sent: bytes(SENT) }
    }

    /// Counts one that ended, by one of a few words for why; none if it did so in good order.
    pub fn end(&self, service: &ServiceName, reason: &'static str) {
        let mut known = self.reasons.lock();
        match known.get_mut(service) {
            Some(reasons) => _ = reasons.insert(reason),
            None => _ = known.insert(service.clone(), BTreeSet::from([reason])),
        }
        self.total.with_label_values(&[service.as_str(), reason]).inc();
    }

    pub(super) fn forget(&self, service: &ServiceName) {
        let name = service.as_str();
        for reason in self.reasons.lock().remove(service).unwrap_or_default() {
            let _ = self.total.remove_label_values(&[name, reason]);
        }
        // Absent where no connection ever came, which is as good as removed.
        let _ = self.open.remove_label_values(&[name]);
        for direction in [RECEIVED, SENT] {
            let _ = self.bytes.remove_label_values(&[name, direction]);
        }
    }
}

impl fmt::Debug for RawMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMetrics").finish_non_exhaustive()
    }
}
