//! What is seen between two looks at a running proxy: rates, shares of failures, latencies.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::admin::{Admin, AskError};
use super::super::seen::{Detail, Endpoint, Freshness, Overview, Registry, read};
use super::INTERVAL_MIN;
use crate::telemetry::metrics::Scrape;

/// One look.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) overview: Overview,
    pub(super) scrape: Scrape,
    /// The service that is looked at in full, and what is known of it; nothing where it is followed no more.
    pub(super) opened: Option<(String, Option<Detail>)>,
}

impl Look {
    /// Asks for everything shown; in full of one service, where one is named.
    pub(super) async fn take(admin: &Admin, opened: Option<String>) -> Result<Self, AskError> {
        let overview = ask(admin, "/services").await?;
        let metrics = admin.read("/metrics").await?;
        let opened = match opened {
            None => None,
            Some(name) => match ask(admin, &Detail::path(&name)).await {
                Ok(detail) => Some((name, Some(detail))),
                Err(AskError::Refused { .. }) => Some((name, None)),
                Err(error) => return Err(error),
            },
        };
        let scrape = Scrape::parse(&String::from_utf8_lossy(&metrics));
        Ok(Self { at: Instant::now(), overview, scrape, opened })
    }
}

async fn ask<T: DeserializeOwned>(admin: &Admin, path: &str) -> Result<T, AskError> {
    read(&admin.read(path).await?).map_err(|error| admin.broken(path, error))
}

/// What two looks tell together.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Measured {
    pub(super) registries: Vec<Registry>,
    pub(super) services: Vec<ServiceRow>,
    /// The service that is looked at in full: its name and its endpoints.
    #[serde(skip)]
    pub(super) opened: Option<(String, Vec<EndpointRow>)>,
    pub(super) version: String,
    /// When the process started, in seconds since 1970.
    #[serde(skip)]
    pub(super) started: f64,
}

/// A service between two looks. Rates are those of a second, shares are of 1, times are seconds; none where there was no request.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct ServiceRow {
    pub(super) name: String,
    pub(super) list: Freshness,
    pub(super) endpoints: usize,
    pub(super) used: usize,
    pub(super) rate: f64,
    pub(super) failed_share: Option<f64>,
    pub(super) p50_s: Option<f64>,
    /// `null` in JSON where it lies beyond the highest bound of the histogram, too.
    pub(super) p99_s: Option<f64>,
    pub(super) in_flight: u64,
}

/// An endpoint between two looks.
#[derive(Clone, Debug, Default)]
pub(super) struct EndpointRow {
    pub(super) endpoint: Endpoint,
    /// Attempts in a second.
    pub(super) rate: f64,
    /// The share of those that failed.
    pub(super) failed_share: Option<f64>,
}

impl Measured {
    /// What is seen between two looks; everything but rates where they are too close to each other for these.
    pub(super) fn between(before: &Look, now: &Look) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64().max(0.001);
        let has_rates = now.at.duration_since(before.at) >= INTERVAL_MIN;
        let mut services: Vec<ServiceRow> = now
            .overview
            .services
            .iter()
            .map(|service| {
                let traffic = if has_rates {
                    now.scrape.since(&before.scrape, &service.name)
                } else {
                    Default::default()
                };
                ServiceRow {
                    name: service.name.clone(),
                    list: service.freshness.clone(),
                    endpoints: service.endpoints,
                    used: service.available,
                    rate: traffic.requests / seconds,
                    failed_share: traffic.failed_share(),
                    p50_s: traffic.quantile(0.5),
                    p99_s: traffic.quantile(0.99),
                    in_flight: service.in_flight,
                }
            })
            .collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            registries: now.overview.registries.clone(),
            services,
            opened: now
                .opened
                .as_ref()
                .map(|(name, detail)| (name.clone(), endpoints(before, now, name, detail.as_ref(), seconds))),
            version: now.scrape.version.clone(),
            started: now.scrape.started,
        }
    }

    /// All services together: requests in a second, and the share that failed.
    pub(super) fn total(&self) -> (f64, Option<f64>) {
        let rate: f64 = self.services.iter().map(|service| service.rate).sum();
        let failed: f64 =
            self.services.iter().map(|service| service.rate * service.failed_share.unwrap_or(0.0)).sum();
        (rate, (rate > 0.0).then(|| failed / rate))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of attempts are far below 2^53")]
fn endpoints(
    before: &Look,
    now: &Look,
    name: &str,
    detail: Option<&Detail>,
    seconds: f64,
) -> Vec<EndpointRow> {
    let earlier: BTreeMap<(&str, &str), &Endpoint> = match &before.opened {
        Some((same, Some(detail))) if same == name && before.scrape.is_of(&now.scrape) => detail
            .endpoints
            .iter()
            .map(|endpoint| ((endpoint.address.as_str(), endpoint.id.as_str()), endpoint))
            .collect(),
        Some(_) | None => BTreeMap::new(),
    };
    let row = |endpoint: &Endpoint| {
        let since = |count: fn(&Endpoint) -> u64| {
            let before = earlier.get(&(endpoint.address.as_str(), endpoint.id.as_str()));
            before.map_or(0, |before| count(endpoint).saturating_sub(count(before)))
        };
        let attempts = since(|endpoint| endpoint.attempts) as f64;
        let failures = since(|endpoint| endpoint.failures) as f64;
        EndpointRow {
            endpoint: endpoint.clone(),
            rate: attempts / seconds,
            failed_share: (attempts > 0.0).then(|| (failures / attempts).min(1.0)),
        }
    };
    detail.map(|detail| detail.endpoints.iter().map(row).collect()).unwrap_or_default()
}
