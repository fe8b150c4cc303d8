//! What an operator is told of tiers.

use std::collections::HashMap;

use serde::Serialize;

use crate::catalog::service::Service;
use crate::catalog::snapshot::{Snapshot, TierView};

/// The endpoints of one subscription that are equally near.
#[derive(Clone, Debug, Serialize)]
pub struct TierStatus {
    /// What they have in common, in words; `all` when nothing tells endpoints apart.
    pub name: String,
    /// How many they are.
    pub endpoints: usize,
    /// How many of them are available.
    pub available: usize,
    /// The part of the traffic that goes there at present, from 0 to 1.
    pub share: f64,
    /// Whether too few are available, so that requests go to those that are not well, too.
    pub panic: bool,
}

/// The tiers of a subscription, nearest first.
pub(super) fn of(snapshot: &Snapshot) -> Vec<TierStatus> {
    let status = |tier: TierView<'_>| TierStatus {
        share: tier.part(),
        name: tier.name,
        endpoints: tier.endpoints.len(),
        available: tier.endpoints.iter().filter(|endpoint| endpoint.is_available()).count(),
        panic: tier.panics,
    };
    snapshot.tiers().map(status).collect()
}

/// What the tier of each endpoint is called, by the number of its memory, where there are several: as the first
/// subscription has it that knows the endpoint.
pub(super) fn by_endpoint(service: &Service) -> HashMap<u64, String> {
    let mut names = HashMap::new();
    for claimed in &service.claims {
        let snapshot = claimed.subscription.snapshot().load();
        for tier in snapshot.tiers().filter(|tier| !tier.is_alone) {
            for endpoint in tier.endpoints {
                names.entry(endpoint.memory.number).or_insert_with(|| tier.name.clone());
            }
        }
    }
    names
}
