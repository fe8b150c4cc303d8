//! What the catalog writes down: to the log, of one list, each change once, each bad record once, in bounded lines; and as events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::events::{Events, What};
use super::service::{Applied, Service};
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;

/// Providers or records named per line or list; the rest is counted.
const NAMED_MAX: usize = 8;

/// Logs what a list changed.
pub(super) fn log(service: &ServiceName, applied: &Applied, absent: bool, providers: usize) {
    for skipped in applied.newly_skipped.iter().take(NAMED_MAX) {
        let (record, reason) = (&skipped.record, skipped.reason.as_str());
        tracing::warn!(%service, record, reason, "record skipped: {}", skipped.detail);
    }
    let more = applied.newly_skipped.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        tracing::warn!(%service, more, "more records skipped; the admin page of the service lists them");
    }
    let list = &applied.reconciled;
    if !applied.is_unchanged() {
        tracing::info!(
            %service,
            providers,
            added = list.added.len(),
            removed = applied.withdrawn.len(),
            kept = applied.kept.len(),
            returned = list.returned.len(),
            changed = list.changed.len(),
            added_ids = ids(&list.added),
            removed_ids = ids(applied.withdrawn.iter().map(|(endpoint, _)| endpoint)),
            kept_ids = ids(&applied.kept),
            "providers changed"
        );
    }
    if let Some(cause) =
        applied.kept.first().and_then(|endpoint| endpoint.limbo.as_ref()).map(|limbo| limbo.cause)
    {
        let kept = applied.kept.len();
        tracing::warn!(%service, kept, "records are gone, but their providers are used while they answer: {}", cause.sentence());
    }
    if applied.absence_changed && absent {
        tracing::info!(%service, "the registry knows no such service");
    } else if applied.absence_changed {
        tracing::info!(%service, "the registry knows the service, without providers");
    }
}

/// The ids of the first few endpoints.
fn ids<'e>(endpoints: impl IntoIterator<Item = &'e Endpoint, IntoIter: ExactSizeIterator>) -> String {
    let endpoints = endpoints.into_iter();
    let count = endpoints.len();
    let mut text = String::new();
    for endpoint in endpoints.take(NAMED_MAX) {
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(&endpoint.provider.id);
    }
    if count > NAMED_MAX {
        text.push_str(", ...");
    }
    text
}

/// What a list changed, as events.
pub(super) fn record(events: &mut Events, service: &ServiceName, applied: &Applied) {
    let list = &applied.reconciled;
    for endpoint in &list.added {
        events.add(service, endpoint, What::Added, "");
    }
    for endpoint in &list.changed {
        let replaced =
            list.restarted.iter().any(|restarted| Arc::ptr_eq(&restarted.memory, &endpoint.memory));
        events.add(service, endpoint, if replaced { What::Replaced } else { What::Changed }, "");
    }
    for endpoint in &list.returned {
        events.add(service, endpoint, What::Returned, "");
    }
    for endpoint in &applied.kept {
        let cause = endpoint.limbo.as_ref().map_or("", |limbo| limbo.cause.sentence());
        events.add(service, endpoint, What::Kept, cause);
    }
    for (endpoint, reason) in &applied.withdrawn {
        events.add(service, endpoint, What::Withdrawn, reason.sentence());
    }
}

/// What requests, checks and probes told of the endpoints of a service since this was asked last, as events.
pub(super) fn hear(events: &mut Events, name: &ServiceName, service: &Service, now: Moment) {
    let news = service.group.news();
    if news.is_empty() {
        return;
    }
    let by_number: HashMap<u64, &Endpoint> =
        service.endpoints.iter().map(|endpoint| (endpoint.memory.number, endpoint)).collect();
    for it in news {
        // Whoever has gone meanwhile is of no interest any more.
        if let Some(endpoint) = by_number.get(&it.number) {
            let at = SystemTime::now().checked_sub(now.since(it.at)).unwrap_or(SystemTime::UNIX_EPOCH);
            events.add_at(name, endpoint, it.turn.into(), String::from(it.cause).into(), at);
        }
    }
}
