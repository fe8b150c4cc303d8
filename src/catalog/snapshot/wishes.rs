//! Picks for requests that wish for certain endpoints.

use std::sync::OnceLock;

use rand::Rng as _;
use twox_hash::XxHash3_64;

use super::pick::was_tried;
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
    /// Who is wished for gets the request whatever its weight: one of weight 0 keeps the sessions it has. If it is out, one of
    /// them tries it again once it is time.
    #[cold]
    pub(super) fn grant(&self, wish: &Wish, ask: &mut Ask<'_>) -> Option<Result<&Endpoint, NoEndpoint>> {
        match wish {
            Wish::Prefer(token) => {
                let endpoint = &self.endpoints[self.places.of(*token, &self.endpoints)?];
                let has_room = matches!(endpoint.fit(&self.care, ask.now), Fit::Ready | Fit::Deferred);
                let serves = has_room && !was_tried(endpoint, ask.tried);
                // Where its weight is 0, those who prefer it are all that ever come, and nobody else would try it again.
                let is_due = || self.due(std::slice::from_ref(endpoint), wish, ask).is_some();
                (serves || is_due()).then_some(Ok(endpoint))
            }
            Wish::Only(_) | Wish::Such { .. } => Some(self.among(wish, ask)),
        }
    }

    /// The pick among those that a wish names.
    fn among(&self, wish: &Wish, ask: &mut Ask<'_>) -> Result<&Endpoint, NoEndpoint> {
        if let Wish::Such { .. } = wish {
            // Those further away only where the nearest do not serve: a far one that is still dead would cost the request a detour.
            let nearest = self.tiers.list.first().map_or(&[] as &[Endpoint], |tier| &*tier.endpoints);
            let found = self.due(nearest, wish, ask).or_else(|| self.draw(wish, ask));
            if let Some(endpoint) = found.or_else(|| self.due(&self.endpoints, wish, ask)) {
                return Ok(endpoint);
            }
        }
        self.search(ask, &|endpoint| wish.wants(endpoint)).map_err(|why| {
            if self.all().any(|endpoint| wish.wants(endpoint)) { why } else { NoEndpoint::Unknown }
        })
    }

    /// Of those of these endpoints that a wish names, one whose turn it is to be tried again: where all that comes has wishes, or
    /// where its weight is 0, nothing else would ever propose it.
    fn due<'e>(&self, endpoints: &'e [Endpoint], wish: &Wish, ask: &Ask<'_>) -> Option<&'e Endpoint> {
        let is_due = |endpoint: &&Endpoint| {
            !endpoint.is_available()
                && wish.wants(endpoint)
                && endpoint.memory.has_room(&self.care)
                && endpoint.memory.try_claim(ask.now)
        };
        if ask.tried.is_empty() { endpoints.iter().find(is_due) } else { None }
    }

    /// Of the endpoints in the nearest tier that a wish names and that are ready, one by weight: the same for the same key.
    ///
    /// Not as the balancer proposes: the turns of those that are not named are for the requests that wish for nothing.
    fn draw(&self, wish: &Wish, ask: &mut Ask<'_>) -> Option<&Endpoint> {
        let luck = ask.key.unwrap_or_else(|| ask.rng.next_u64());
        let is_fit = |endpoint: &&Endpoint| {
            wish.wants(endpoint)
                && endpoint.weight.hundredths() > 0
                && endpoint.fit(&self.care, ask.now) == Fit::Ready
                && !was_tried(endpoint, ask.tried)
        };
        let fit = self.tiers.list.first()?.endpoints.iter().filter(is_fit);
        let ranked = fit.map(|endpoint| (rank(luck, endpoint), endpoint));
        ranked.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, endpoint)| endpoint)
    }
}

/// How far behind an endpoint is drawn, by rendezvous hashing: the least of all is by chance, in proportion to weight.
#[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
fn rank(luck: u64, endpoint: &Endpoint) -> f64 {
    let hash = XxHash3_64::oneshot_with_seed(luck, &endpoint.token().to_bits().to_le_bytes());
    let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -uniform.ln() / f64::from(endpoint.weight.hundredths())
}
