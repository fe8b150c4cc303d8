//! Certificates of ours that end soon, told of every day: a proxy may run for longer than they hold.

use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::listeners::Fronts;
use crate::upstream::Dialler;

const DAY: Duration = Duration::from_hours(24);

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
