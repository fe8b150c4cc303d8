//! What the catalog tells of registries: how each stands, and what it says of a service where there are several.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::super::heard::Heard;
use super::super::merge::Differences;
use super::super::service::Service;
use super::super::source::{Role, Standing};
use super::super::sources::Followed;
use super::{FreshnessStatus, millis};
use crate::catalog::Freshness;
use crate::clock::Moment;
use crate::provider::Address;
use crate::registry::View;

/// A registry as the catalog knows it.
#[derive(Clone, Debug, Serialize)]
pub struct RegistryStatus {
    /// What it is called.
    pub name: String,
    /// `use`, `fallback` or `shadow`.
    pub role: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Where it is.
    pub location: String,
    /// `connecting`, `up` or `down`.
    pub state: &'static str,
    /// For how long it has been in that state.
    pub for_ms: u64,
    /// What it said of the connection, while it is up.
    pub detail: Option<String>,
    /// Why it is down.
    pub cause: Option<String>,
    /// Services it is asked for.
    pub services: usize,
    /// Of how many of them what it said is not fresh.
    pub stale: usize,
    /// The highest version of what it said, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Lists that came from it.
    pub lists: u64,
    /// Lists in which it was found what it had not told of, by comparison.
    pub healed: u64,
    /// Connections to it that were lost.
    pub disconnects: u64,
}

impl RegistryStatus {
    pub(in super::super) fn of<'h>(
        followed: &Followed,
        standing: &Standing,
        heard: impl Iterator<Item = &'h Heard> + Clone,
        now: Moment,
    ) -> Self {
        let Followed { source, metrics, .. } = followed;
        let is_stale = |heard: &&Heard| match heard.freshness {
            Freshness::Stale { .. } | Freshness::FromDisk { .. } => true,
            Freshness::Pending | Freshness::Live | Freshness::Absent => false,
        };
        Self {
            name: source.name.to_string(),
            role: source.role.as_str(),
            kind: source.registry.kind(),
            location: source.registry.location(),
            state: standing.state.as_str(),
            for_ms: millis(now.since(standing.since)),
            detail: standing.detail.clone(),
            cause: standing.cause.clone(),
            services: heard.clone().count(),
            stale: heard.clone().filter(is_stale).count(),
            revision: heard.filter_map(|heard| heard.revision).max(),
            lists: metrics.listings_total.get(),
            healed: metrics.healed_total.get(),
            disconnects: metrics.disconnects_total.get(),
        }
    }

    /// Whether its providers can come to be used.
    pub fn is_used(&self) -> bool {
        self.role != Role::Shadow.as_str()
    }
}

impl fmt::Display for RegistryStatus {
    /// Such as `zookeeper 127.0.0.1:2181 is down for 3s: no server answers`; with its name before it, where that says more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name != self.kind {
            write!(f, "{}: ", self.name)?;
        }
        let since = Duration::from_secs(self.for_ms / 1000);
        write!(
            f,
            "{} {} is {} for {}",
            self.kind,
            self.location,
            self.state,
            humantime::format_duration(since)
        )?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

/// What one of several registries says of a service.
#[derive(Clone, Debug, Serialize)]
pub struct HeardStatus {
    /// The registry.
    pub name: String,
    /// `use`, `fallback` or `shadow`.
    pub role: &'static str,
    /// Whether its providers are used at present.
    pub used: bool,
    /// How far what it said can be trusted.
    pub freshness: FreshnessStatus,
    /// Its version of the last list, where it has one.
    pub revision: Option<i64>,
    /// Providers it names.
    pub providers: usize,
    /// Records that are no provider.
    pub skipped_count: usize,
    /// Of a shadow: what it says otherwise than those that are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differences: Option<DifferencesStatus>,
}

/// What a shadow says otherwise than the registries that are used; of each sort the first hundred.
#[derive(Clone, Debug, Serialize)]
pub struct DifferencesStatus {
    /// Addresses that differ, all of them.
    pub count: usize,
    /// Addresses that only the used registries name.
    pub only_used: Vec<String>,
    /// Addresses that only the shadow names.
    pub only_shadow: Vec<String>,
    /// Addresses of which both say something else.
    pub different: Vec<DifferentStatus>,
}

/// An address of which two registries say something else.
#[derive(Clone, Debug, Serialize)]
pub struct DifferentStatus {
    /// The address.
    pub address: String,
    /// What they differ in.
    pub aspects: Vec<&'static str>,
}

impl DifferencesStatus {
    fn of(differences: &Differences) -> Self {
        let texts = |addresses: &[Address]| addresses.iter().map(ToString::to_string).collect();
        let different = differences.different.iter();
        Self {
            count: differences.count,
            only_used: texts(&differences.only_used),
            only_shadow: texts(&differences.only_shadow),
            different: different
                .map(|(address, aspects)| DifferentStatus {
                    address: address.to_string(),
                    aspects: aspects.clone(),
                })
                .collect(),
        }
    }
}

/// What each of several registries says of a service; nothing where there is one, which says what is said of the service.
pub(super) fn heard(service: &Service, sources: &[Followed], now: Moment) -> Vec<HeardStatus> {
    if sources.len() < 2 {
        return Vec::new();
    }
    let asked = sources.iter().zip(&service.heard).enumerate();
    let told = asked.filter_map(|(number, (followed, heard))| {
        let heard = heard.as_ref()?;
        let skipped_count = match &heard.view {
            Some(View::Present { skipped, .. }) => skipped.len(),
            Some(View::Absent) | None => 0,
        };
        Some(HeardStatus {
            name: followed.source.name.to_string(),
            role: followed.source.role.as_str(),
            used: service.choice.from.contains(number) && !heard.providers().is_empty(),
            freshness: FreshnessStatus::of(&heard.freshness, now),
            revision: heard.revision,
            providers: heard.providers().len(),
            skipped_count,
            differences: heard.differences.as_ref().map(DifferencesStatus::of),
        })
    });
    told.collect()
}

/// The registries that name each address, where there are several.
pub(super) fn naming<'s>(service: &'s Service, sources: &[Followed]) -> HashMap<&'s Address, Vec<String>> {
    let mut naming: HashMap<&Address, Vec<String>> = HashMap::new();
    if sources.len() < 2 {
        return naming;
    }
    for (followed, heard) in sources.iter().zip(&service.heard) {
        for provider in heard.iter().flat_map(|heard| heard.providers()) {
            let names = naming.entry(&provider.address).or_default();
            if names.last().map(String::as_str) != Some(&*followed.source.name) {
                names.push(followed.source.name.to_string());
            }
        }
    }
    naming
}
