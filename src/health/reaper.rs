//! The reaper: deletes the records of ghosts that have been silent for long, where the configuration says so.

use std::time::Duration;

use arc_swap::ArcSwap;
use rand::RngExt as _;

use super::checks::Checks;
use crate::catalog::Catalog;
use crate::upstream::Dialler;

/// The longest between two rounds, as a share of the time after which ghosts are reaped: of a fleet, somebody is first, and
/// the others find the record gone.
const ROUND: f64 = 0.2;

/// Reaps for ever, one ghost after the other.
pub(super) async fn reap(catalog: &Catalog, dialler: &Dialler, checks: &ArcSwap<Checks>) {
    let Some(after) = catalog.settings().reap_after else { return std::future::pending().await };
    loop {
        let pause: Duration = after.mul_f64(ROUND * rand::rng().random::<f64>());
        tokio::time::sleep(pause.max(Duration::from_secs(1))).await;
        for (service, endpoint) in catalog.reapable() {
            // The last word is the provider's. Who answers in a way that is not accepted here is there all the same.
            let opening = checks.load().opening_of(Some(&service));
            let connected = dialler.connect_opening(Some(&service), &endpoint.provider, opening).await;
            if connected.is_err_and(|error| error.shows_nobody()) {
                catalog.reap(&service, &endpoint).await;
            }
        }
    }
}
