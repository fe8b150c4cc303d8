//! A scene as JSON, as it is written down and read back in another process.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Figure, Scene};
use crate::balance::Choice;
use crate::catalog::layout::Layout;
use crate::catalog::subscription::Claim;
use crate::catalog::subset::Subset;
use crate::endpoint::{Adaptive, Care, Seen};
use crate::provider::{Protocol, Provider, Weight};

/// A text or number in a document that cannot be what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no {what}")]
pub struct SceneError {
    text: String,
    what: &'static str,
}

/// A [`Scene`] as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneDocument {
    service: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    raw: bool,
    policy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    load_bound: Option<String>,
    in_flight_max: u32,
    slow_start: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adaptive_min: Option<u32>,
    tiers: Tiers,
    known: usize,
    out_of_reach: usize,
    absent: bool,
    listed: bool,
    tickets: Vec<Option<u64>>,
    endpoints: Vec<Place>,
}

/// A [`Layout`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tiers {
    zone: Option<String>,
    zones: Vec<String>,
    priority_key: Option<String>,
    spill_below: u8,
    panic_below: u8,
    subset_size: Option<usize>,
    /// Hexadecimal, since it is longer than what a number is in some readers of JSON.
    identity: Option<String>,
}

/// A [`Figure`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    address: String,
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    protocol: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    weight_hundredths: u32,
    number: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    spare: bool,
    #[serde(flatten)]
    seen: Seen,
}

impl From<&Scene> for SceneDocument {
    fn from(scene: &Scene) -> Self {
        let Claim { service, subset, choice } = &scene.claim;
        Self {
            service: service.to_string(),
            version: subset.version.as_deref().map(str::to_owned),
            metadata: subset.metadata.clone(),
            raw: subset.raw,
            policy: choice.policy.to_string(),
            load_bound: choice.load_bound.map(|bound| bound.to_string()),
            in_flight_max: scene.care.in_flight_max,
            slow_start: scene.care.slow_start,
            adaptive_min: scene.care.adaptive.map(|adaptive| adaptive.min),
            tiers: Tiers::of(&scene.layout),
            known: scene.known,
            out_of_reach: scene.out_of_reach,
            absent: scene.absent,
            listed: scene.listed,
            tickets: scene.tickets.clone(),
            endpoints: scene.figures.iter().map(Place::of).collect(),
        }
    }
}

impl TryFrom<&SceneDocument> for Scene {
    type Error = SceneError;

    fn try_from(document: &SceneDocument) -> Result<Self, SceneError> {
        let subset = Subset {
            version: document.version.as_deref().map(Arc::from),
            metadata: document.metadata.clone(),
            raw: document.raw,
        };
        let bound = document.load_bound.as_deref().map(|bound| parsed(bound, "load bound")).transpose()?;
        let policy = parsed(&document.policy, "policy")?;
        let choice = Choice { policy, shadow: None, load_bound: bound };
        let care = Care {
            in_flight_max: document.in_flight_max,
            slow_start: document.slow_start,
            adaptive: document.adaptive_min.map(|min| Adaptive { min }),
            ..Care::default()
        };
        Ok(Self {
            claim: Claim { service: parsed(&document.service, "service name")?, subset, choice },
            figures: document.endpoints.iter().map(Place::figure).collect::<Result<_, _>>()?,
            care: Arc::new(care),
            layout: Arc::new(document.tiers.layout()?),
            known: document.known,
            out_of_reach: document.out_of_reach,
            absent: document.absent,
            listed: document.listed,
            tickets: document.tickets.clone(),
        })
    }
}

impl Tiers {
    fn of(layout: &Layout) -> Self {
        let text = |text: &Arc<str>| text.as_ref().to_owned();
        Self {
            zone: layout.zone.as_ref().map(text),
            zones: layout.zones.iter().map(text).collect(),
            priority_key: layout.priority.as_ref().map(text),
            spill_below: layout.spill_below,
            panic_below: layout.panic_below,
            subset_size: layout.sample.map(NonZeroUsize::get),
            identity: layout.identity.map(|identity| format!("{identity:016x}")),
        }
    }

    fn layout(&self) -> Result<Layout, SceneError> {
        let identity = |text: &String| {
            u64::from_str_radix(text, 16)
                .map_err(|_| SceneError { text: text.clone(), what: "number in hexadecimal digits" })
        };
        Ok(Layout {
            zone: self.zone.as_deref().map(Arc::from),
            zones: self.zones.iter().map(|zone| Arc::from(zone.as_str())).collect(),
            priority: self.priority_key.as_deref().map(Arc::from),
            spill_below: self.spill_below,
            panic_below: self.panic_below,
            sample: self.subset_size.and_then(NonZeroUsize::new),
            identity: self.identity.as_ref().map(identity).transpose()?,
        })
    }
}

impl Place {
    fn of(figure: &Figure) -> Self {
        let Figure { provider, weight, number, seen, is_spare } = figure;
        Self {
            address: provider.address.to_string(),
            id: provider.id.as_ref().to_owned(),
            version: provider.version.as_ref().to_owned(),
            zone: provider.zone.as_deref().map(str::to_owned),
            protocol: provider.protocol.as_str().to_owned(),
            metadata: provider.metadata.clone(),
            weight_hundredths: weight.hundredths(),
            number: *number,
            spare: *is_spare,
            seen: seen.clone(),
        }
    }

    fn figure(&self) -> Result<Figure, SceneError> {
        let known = Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == self.protocol);
        let unknown = || SceneError { text: self.protocol.clone(), what: "protocol" };
        let provider = Provider {
            zone: self.zone.as_deref().map(Arc::from),
            version: self.version.as_str().into(),
            protocol: known.ok_or_else(unknown)?,
            metadata: self.metadata.clone(),
            ..Provider::new(self.id.as_str(), parsed(&self.address, "address")?)
        };
        Ok(Figure {
            provider: Arc::new(provider),
            weight: Weight::from_hundredths(self.weight_hundredths),
            number: self.number,
            seen: self.seen.clone(),
            is_spare: self.spare,
        })
    }
}

fn parsed<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, SceneError> {
    text.parse().map_err(|_| SceneError { text: text.to_owned(), what })
}
