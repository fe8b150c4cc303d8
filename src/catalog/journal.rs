//! What the catalog writes to the log about one list: each change once, each bad record once, in bounded lines.

use super::service::Applied;
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
    if !list.is_unchanged() {
        tracing::info!(
            %service,
            providers,
            added = list.added.len(),
            removed = list.retired.len(),
            changed = list.changed,
            added_ids = ids(&list.added),
            removed_ids = ids(&list.retired),
            "providers changed"
        );
    } else if applied.absence_changed && absent {
        tracing::info!(%service, "the registry knows no such service");
    } else if applied.absence_changed {
        tracing::info!(%service, "the registry knows the service, without providers");
    }
}

/// The ids of the first few endpoints.
fn ids(endpoints: &[Endpoint]) -> String {
    let mut text = String::new();
    for endpoint in endpoints.iter().take(NAMED_MAX) {
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(&endpoint.provider.id);
    }
    if endpoints.len() > NAMED_MAX {
        text.push_str(", ...");
    }
    text
}
