//! A scene: all that a pick from a snapshot depends on, as it was at one moment, from which a snapshot like that can be made.

mod document;

use std::sync::Arc;

pub use document::{SceneDocument, SceneError};

use super::{Members, Snapshot};
use crate::balance::rng;
use crate::catalog::layout::Layout;
use crate::catalog::subscription::Claim;
use crate::clock::Moment;
use crate::endpoint::{Care, Cause, Endpoint, Group, Limbo, Seen};
use crate::provider::{Provider, Weight};

/// All that a pick from a snapshot depends on, but for the draw.
///
/// Cheap to take for a service of few endpoints: what was announced is shared, and what was experienced is a few words each.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What is claimed.
    pub claim: Claim,
    /// The endpoints that are picked and the spares, in order of address.
    pub figures: Vec<Figure>,
    care: Arc<Care>,
    layout: Arc<Layout>,
    known: usize,
    out_of_reach: usize,
    absent: bool,
    listed: bool,
    /// The ticket that the order of each tier hands out next.
    tickets: Vec<Option<u64>>,
}

/// One endpoint of a scene.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was announced.
    pub provider: Arc<Provider>,
    /// Its share of traffic then.
    pub weight: Weight,
    /// The number of its memory.
    pub number: u64,
    /// What was experienced.
    pub seen: Seen,
    is_spare: bool,
}

impl Snapshot {
    /// All that a pick at this moment depends on, where this is the snapshot of that claim.
    pub fn scene(&self, claim: &Claim, now: Moment) -> Scene {
        let figure = |endpoint: &Endpoint| Figure {
            provider: Arc::clone(&endpoint.provider),
            weight: endpoint.weight,
            number: endpoint.memory.number,
            seen: endpoint.memory.seen(&self.care, now),
            is_spare: endpoint.is_spare(),
        };
        let mut claim = claim.clone();
        // It decides nothing.
        claim.choice.shadow = None;
        Scene {
            claim,
            figures: self.all().map(figure).collect(),
            care: Arc::clone(&self.care),
            layout: Arc::clone(&self.tiers.layout),
            known: self.known,
            out_of_reach: self.out_of_reach,
            absent: self.absent,
            listed: self.listed,
            tickets: self.tiers.list.iter().map(|tier| tier.balancer.ticket()).collect(),
        }
    }
}

impl Scene {
    /// What it takes of memory, but for what it shares with others.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.figures.len() * size_of::<Figure>()
    }

    /// A snapshot from which a pick at this moment finds everything as it was. Nothing that is done with it is known to
    /// anybody else.
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        if !self.listed {
            return Snapshot::not_listed();
        }
        let group = Arc::new(Group::of(self.claim.service.clone()));
        let spare = Limbo {
            cause: Cause::Session,
            since: now,
            until: None,
            is_spare: true,
            is_unconfirmed: false,
            failures: 0,
        };
        let spare = Arc::new(spare);
        let endpoint = |figure: &Figure| {
            let Figure { provider, weight, number, seen, is_spare } = figure;
            let memory = seen.memory(&group, *number, provider.address.clone(), now);
            let limbo = is_spare.then(|| Arc::clone(&spare));
            Endpoint { provider: Arc::clone(provider), memory: Arc::new(memory), weight: *weight, limbo }
        };
        let mut endpoints: Vec<Endpoint> = self.figures.iter().map(endpoint).collect();
        endpoints.sort_by(|one, other| one.memory.address.cmp(&other.memory.address));
        let members = Members {
            endpoints: endpoints.into(),
            absent: self.absent,
            care: Arc::clone(&self.care),
            layout: Arc::clone(&self.layout),
        };
        // Where an order begins is said below.
        let rng = &mut rng::for_worker(0, 0);
        let made = Snapshot::new(&members, &self.claim, &Snapshot::not_listed(), now, rng);
        for (tier, ticket) in made.tiers.list.iter().zip(&self.tickets) {
            if let Some(ticket) = ticket {
                tier.balancer.go_on(*ticket);
            }
        }
        Snapshot { known: self.known, out_of_reach: self.out_of_reach, ..made }
    }

    /// Corrects what was in flight at an endpoint, by the number of its memory.
    pub fn correct(&mut self, number: u64, in_flight: u32) {
        if let Some(figure) = self.figures.iter_mut().find(|figure| figure.number == number) {
            figure.seen.in_flight = in_flight;
        }
    }
}

#[cfg(test)]
mod tests;
