//! What an operator is told of a policy that is compared with the one in use.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::snapshot::ShadowTally;

/// How the choices of a shadow differ from those made, over all first attempts of a claim.
#[derive(Clone, Debug, Serialize)]
pub struct ShadowStatus {
    /// The policy that is compared.
    pub policy: &'static str,
    /// Choices that were the same.
    pub same: u64,
    /// Choices that were not.
    pub different: u64,
    /// Attempts in flight at the endpoint chosen, before the attempt, on average.
    pub mean_in_flight: Means,
    /// Latency expected of the endpoint chosen, on average.
    pub mean_latency_ms: Means,
    /// How often the shadow would have chosen each endpoint.
    pub chosen: BTreeMap<String, u64>,
}

/// A mean, of the choices made and of those of the shadow.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Means {
    /// Of the choices made.
    pub made: f64,
    /// Of those of the shadow.
    pub shadow: f64,
}

impl ShadowStatus {
    pub(super) fn of(tally: &ShadowTally) -> Self {
        let means = |[made, shadow]: [u64; 2], unit: f64| {
            let mean = |sum| (tally.mean(sum) / unit * 1000.0).round() / 1000.0;
            Means { made: mean(made), shadow: mean(shadow) }
        };
        Self {
            policy: tally.policy.as_str(),
            same: tally.same,
            different: tally.different,
            mean_in_flight: means(tally.in_flight, 1.0),
            mean_latency_ms: means(tally.latency_us, 1000.0),
            chosen: tally.chosen.iter().map(|(address, count)| (address.to_string(), *count)).collect(),
        }
    }
}
