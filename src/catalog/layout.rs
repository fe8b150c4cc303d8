//! A layout: how the endpoints of a service are laid out in tiers, nearest first.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::sample::sample;
use crate::endpoint::Endpoint;
use crate::provider::Provider;

/// The most tiers of one snapshot; what lies further away belongs to the last.
pub const TIERS_MAX: usize = 16;

/// How the endpoints of a service are laid out in tiers. By default all of them are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where this proxy runs, if providers in the same zone come first.
    pub zone: Option<Arc<str>>,
    /// The zones that come next, nearest first; all others, and providers that name none, come last.
    pub zones: Vec<Arc<str>>,
    /// The metadata whose whole number says after how many others a provider is used: it decides before the zone does.
    /// A provider without it, or with something else in it, is of the first.
    pub priority: Option<Arc<str>>,
    /// The percentage of a tier, from 1 to 100, that must be available for it to get all the traffic that comes to it.
    pub spill_below: u8,
    /// The percentage of a tier under which too few are available to take what is sent to it: picks fall on those that
    /// are not well as well, if no other tier can take it. Never at 0.
    pub panic_below: u8,
    /// How many of its endpoints this proxy uses of each zone and priority; the rest only for what they cannot take.
    pub sample: Option<NonZeroUsize>,
    /// What tells this proxy apart from others in drawing that sample; the catalog has a number where there is none.
    pub identity: Option<u64>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            zone: None,
            zones: Vec::new(),
            priority: None,
            // Envoy's overprovisioning factor of 1.4 is its inverse.
            spill_below: 70,
            panic_below: 50,
            sample: None,
            identity: None,
        }
    }
}

/// Which tier an endpoint is of; in order, nearest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    priority: u32,
    /// 0 for the own zone, then the zones in their order, then all others.
    distance: usize,
    /// Whether it was left out of the sample.
    is_rest: bool,
    /// Whether what lies further away belongs to it.
    and_beyond: bool,
}

impl Layout {
    /// The tiers of these endpoints, which are in order of address, each with its own in the same order.
    pub fn part(&self, endpoints: &Arc<[Endpoint]>) -> Vec<(Place, Arc<[Endpoint]>)> {
        if endpoints.is_empty() {
            return Vec::new();
        }
        let is_sampled = self.sample.is_some_and(|size| size.get() < endpoints.len());
        if !self.has_zones() && self.priority.is_none() && !is_sampled {
            return vec![(Place::default(), Arc::clone(endpoints))];
        }
        let mut tiers: BTreeMap<Place, Vec<Endpoint>> = BTreeMap::new();
        for endpoint in &**endpoints {
            tiers.entry(self.place(&endpoint.provider)).or_default().push(endpoint.clone());
        }
        if let Some(size) = self.sample {
            tiers = tiers.into_iter().flat_map(|(place, all)| self.draw(size, place, all)).collect();
        }
        if let Some(last) = tiers.keys().nth(TIERS_MAX - 1).copied() {
            let far = tiers.split_off(&last);
            let place = Place { and_beyond: far.len() > 1, ..last };
            let mut beyond: Vec<_> = far.into_values().flatten().collect();
            beyond.sort_by(|a, b| a.memory.address.cmp(&b.memory.address));
            tiers.insert(place, beyond);
        }
        tiers.into_iter().map(|(place, endpoints)| (place, endpoints.into())).collect()
    }

    /// The tier that a provider is of, apart from the sample.
    pub fn place(&self, provider: &Provider) -> Place {
        let priority =
            self.priority.as_ref().and_then(|key| provider.metadata.get(&**key)?.trim().parse().ok());
        Place {
            priority: priority.unwrap_or(0),
            distance: self.distance(provider.zone.as_deref()),
            is_rest: false,
            and_beyond: false,
        }
    }

    /// What a tier is called, in words.
    pub fn name(&self, place: Place) -> String {
        let mut words = Vec::new();
        if self.priority.is_some() {
            words.push(format!("priority {}", place.priority));
        }
        let zone = if place.distance == 0 { self.zone.as_ref() } else { self.zones.get(place.distance - 1) };
        match zone {
            Some(zone) => words.push(format!("zone {zone}")),
            None if self.has_zones() => words.push("other zones".to_owned()),
            None => {}
        }
        if self.sample.is_some() {
            words.push(if place.is_rest { "rest" } else { "sample" }.to_owned());
        }
        if words.is_empty() {
            return "all".to_owned();
        }
        words.join(", ") + if place.and_beyond { ", and beyond" } else { "" }
    }

    fn has_zones(&self) -> bool {
        self.zone.is_some() || !self.zones.is_empty()
    }

    fn distance(&self, zone: Option<&str>) -> usize {
        if !self.has_zones() || (zone.is_some() && zone == self.zone.as_deref()) {
            return 0;
        }
        let next = self.zones.iter().position(|next| Some(&**next) == zone);
        1 + next.unwrap_or(self.zones.len())
    }

    /// The sample of a tier, and behind it the rest.
    fn draw(&self, size: NonZeroUsize, place: Place, all: Vec<Endpoint>) -> Vec<(Place, Vec<Endpoint>)> {
        let tokens: Vec<_> = all.iter().map(Endpoint::token).collect();
        let is_drawn = sample(self.identity.unwrap_or(0), &tokens, size.get());
        let (mut drawn, mut rest) = (Vec::with_capacity(size.get()), Vec::new());
        for (endpoint, is_drawn) in all.into_iter().zip(is_drawn) {
            if is_drawn { &mut drawn } else { &mut rest }.push(endpoint);
        }
        let rest = (Place { is_rest: true, ..place }, rest);
        [(place, drawn), rest].into_iter().filter(|(_, endpoints)| !endpoints.is_empty()).collect()
    }
}
