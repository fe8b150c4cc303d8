//! Picks for requests that wish for certain endpoints.

use std::sync::OnceLock;

use super::pick::{PROPOSALS_MAX, was_tried};
use super::{NoEndpoint, Snapshot};
use crate::balance::{Ask, Wish};
use crate::endpoint::{Endpoint, Fit, Token};

/// The place of each endpoint by its token, in order of tokens. Made by the first request that looks for one.
#[derive(Debug, Default)]
pub(super) struct Places(OnceLock<Box<[(Token, u32)]>>);

impl Places {
    /// Those of these endpoints; made at once if the ones before were needed, since a claim that has wishes goes on having them.
    pub(super) fn after(previous: &Self, endpoints: &[Endpoint]) -> Self {
        let were_needed = previous.0.get().is_some();
        Self(if were_needed { sorted(endpoints).into() } else { OnceLock::new() })
    }

    fn of(&self, token: Token, endpoints: &[Endpoint]) -> Option<usize> {
        let places = self.0.get_or_init(|| sorted(endpoints));
        let found = places.binary_search_by_key(&token, |(token, _)| *token).ok()?;
        Some(places[found].1 as usize)
    }
}

fn sorted(endpoints: &[Endpoint]) -> Box<[(Token, u32)]> {
    let mut places: Box<[_]> =
        (0..).zip(endpoints).map(|(place, endpoint)| (endpoint.token(), place)).collect();
    places.sort_unstable();
    places
}

impl Snapshot {
    /// What a wish leads to; `None` when it leads nowhere and any endpoint will do.
    ///
    /// Who is wished for gets the request whatever its weight: one of weight 0 keeps the sessions it has.
    #[cold]
    pub(super) fn grant(&self, wish: &Wish, ask: &mut Ask<'_>) -> Option<Result<&Endpoint, NoEndpoint>> {
        match wish {
            Wish::Prefer(token) => {
                let endpoint = &self.endpoints[self.places.of(*token, &self.endpoints)?];
                let has_room = matches!(endpoint.fit(&self.care), Fit::Ready | Fit::Ramping);
                (has_room && !was_tried(endpoint, ask.tried)).then_some(Ok(endpoint))
            }
            Wish::Only(_) | Wish::Such { .. } => Some(self.among(wish, ask)),
        }
    }

    /// The pick among those that a wish names.
    fn among(&self, wish: &Wish, ask: &mut Ask<'_>) -> Result<&Endpoint, NoEndpoint> {
        let proposed = (0..PROPOSALS_MAX).find_map(|turn| {
            let tier = self.tiers.list.first().filter(|_| matches!(wish, Wish::Such { .. }))?;
            let endpoint = &tier.endpoints[tier.balancer.propose(ask, turn)];
            let is_fit = wish.wants(endpoint) && endpoint.fit(&self.care) == Fit::Ready;
            (is_fit && !was_tried(endpoint, ask.tried)).then_some(endpoint)
        });
        if let Some(endpoint) = proposed {
            return Ok(endpoint);
        }
        self.search(ask, &|endpoint| wish.wants(endpoint)).map_err(|why| {
            if self.all().any(|endpoint| wish.wants(endpoint)) { why } else { NoEndpoint::Unknown }
        })
    }
}
