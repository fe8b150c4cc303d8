//! Sends spans to the collector, many at once, and gives up those that it does not take.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};

use super::message::request;
use super::post::{PostError, post};
use super::{Endpoint, Queue, Settings, Span};
use crate::backoff::Backoff;
use crate::drain::Drain;
use crate::telemetry::metrics::TraceMetrics;

/// Spans that are sent at once.
const BATCH_MAX: usize = 512;
/// How long spans wait for others to be sent with.
const GATHERING: Duration = Duration::from_secs(1);
/// How often the same spans are sent.
const TRIES_MAX: u32 = 4;
/// The longest that the last spans may take, when everything else has ended.
const FAREWELL: Duration = Duration::from_millis(1500);

/// Sends what is taken to the collector until the end begins, and then what waits. A collector that fails harms nobody but
/// the spans, of which those are lost that there is no room for.
pub async fn export(settings: Settings, mut queue: Queue, metrics: TraceMetrics, drain: Drain) {
    let Some(endpoint) = settings.endpoint.clone() else { return };
    let Some(tls) = terms(&endpoint, &drain).await else { return };
    let mut exporter = Exporter { settings, endpoint, tls, metrics, drain, is_failing: false };
    while let Some(spans) = exporter.gather(&mut queue).await {
        exporter.send(&spans).await;
    }
    let mut last = Vec::new();
    while queue.try_recv().map(|span| last.push(span)).is_ok() {}
    for spans in last.chunks(BATCH_MAX) {
        let sent = tokio::time::timeout(FAREWELL, exporter.post(spans)).await;
        exporter.settle(spans.len(), &sent.unwrap_or(Err(PostError::Late)));
    }
}

/// How TLS is spoken with the collector, if it is; `None` where it cannot be, which is told.
async fn terms(endpoint: &Endpoint, drain: &Drain) -> Option<Option<Arc<ClientConfig>>> {
    if endpoint.uri().scheme_str() != Some("https") {
        return Some(None);
    }
    let loaded = drain.run_aside("system roots", rustls_native_certs::load_native_certs).await?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    match ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions() {
        Ok(builder) => Some(Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))),
        Err(error) => {
            tracing::error!(%error, "spans are not sent: TLS cannot be set up");
            None
        }
    }
}

struct Exporter {
    settings: Settings,
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    metrics: TraceMetrics,
    drain: Drain,
    /// Whether the collector took nothing the last time, so that this is said once.
    is_failing: bool,
}

impl Exporter {
    /// Waits for spans, and a while for others; `None` once the end begins.
    async fn gather(&self, queue: &mut Queue) -> Option<Vec<Box<Span>>> {
        let mut spans = Vec::new();
        let gathered = async {
            if queue.recv_many(&mut spans, BATCH_MAX).await == 0 {
                return false;
            }
            let more = async {
                while spans.len() < BATCH_MAX {
                    let room = BATCH_MAX - spans.len();
                    if queue.recv_many(&mut spans, room).await == 0 {
                        break;
                    }
                }
            };
            // What was taken out of the queue is in the list, whenever the time is over.
            let _ = tokio::time::timeout(GATHERING, more).await;
            true
        };
        tokio::select! {
            goes_on = gathered => if !goes_on { return None },
            () = self.drain.begun() => {}
        }
        // At the end, what was gathered is still to be sent.
        if spans.is_empty() { None } else { Some(spans) }
    }

    /// Sends spans, again where that may help.
    async fn send(&mut self, spans: &[Box<Span>]) {
        let mut backoff = Backoff::default();
        for tried in 1.. {
            let sent = self.post(spans).await;
            let ends = self.drain.has_begun();
            match sent {
                Err(error) if error.may_repeat() && tried < TRIES_MAX && !ends => {
                    self.failed(&error);
                    tokio::select! {
                        () = tokio::time::sleep(backoff.failed(1.0)) => {}
                        () = self.drain.begun() => {}
                    }
                }
                sent => return self.settle(spans.len(), &sent),
            }
        }
    }

    async fn post(&self, spans: &[Box<Span>]) -> Result<u64, PostError> {
        let message = request(&self.settings, spans);
        let answer = post(&self.settings, self.endpoint.uri(), self.tls.as_ref(), &message).await?;
        let Some(partial) = answer.partial_success else { return Ok(0) };
        if !partial.error_message.is_empty() {
            tracing::debug!(said = partial.error_message, "the collector has something to say of spans");
        }
        Ok(u64::try_from(partial.rejected_spans).unwrap_or(0))
    }

    /// Counts what became of spans: how many were not taken, or all.
    fn settle(&mut self, spans: usize, sent: &Result<u64, PostError>) {
        let spans = spans as u64;
        let lost = match sent {
            Ok(rejected) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(endpoint = %self.endpoint, "spans are taken again");
                }
                (*rejected).min(spans)
            }
            Err(error) => {
                self.failed(error);
                spans
            }
        };
        self.metrics.exported_total.inc_by(spans - lost);
        self.metrics.dropped_total.inc_by(lost);
    }

    fn failed(&mut self, error: &PostError) {
        self.metrics.failures_total.inc();
        if !std::mem::replace(&mut self.is_failing, true) {
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            tracing::warn!(endpoint = %self.endpoint, "the collector does not take spans: {error}{cause}; requests go on");
        }
    }
}
