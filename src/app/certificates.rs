//! Certificates of ours that end soon, told of every day: a proxy may run for longer than they hold.

use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::listeners::Fronts;
use crate::telemetry::metrics::{CertificateEnd, ConfigMetrics};
use crate::upstream::Dialler;

const DAY: Duration = Duration::from_hours(24);

/// Lets scrapes know when each ends.
pub(super) fn expose(fronts: &Fronts, dialler: &Dialler, metrics: &ConfigMetrics) {
    let to_clients = fronts.certificate_ends().map(|(address, end)| CertificateEnd {
        shown_to: "client",
        of: address.to_string(),
        end,
    });
    let to_providers = dialler.certificate_ends().into_iter().map(|(service, end)| CertificateEnd {
        shown_to: "provider",
        of: service.map_or_else(String::new, |service| service.to_string()),
        end,
    });
    let all: Vec<CertificateEnd> = to_clients.chain(to_providers).collect();
    metrics.set_certificates(&all);
}

/// Tells for ever of those that clients and providers are shown; the first time after a day, since the start and each reload
/// tell of them as well.
pub(super) async fn remind(fronts: &Fronts, dialler: &Dialler) {
    daily(|| {
        fronts.warn_of_expiry();
        dialler.warn_of_expiry();
    })
    .await;
}

async fn daily(mut tell: impl FnMut()) {
    let mut days = interval_at(Instant::now() + DAY, DAY);
    loop {
        days.tick().await;
        tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_told_every_day() {
        let mut told = 0;
        let days = tokio::time::timeout(DAY * 7 / 2, daily(|| told += 1)).await;
        assert!(days.is_err() && told == 3, "{told}");
    }
}
