//! The power of two choices: two endpoints are drawn by weight, and the better one is proposed.

use std::sync::Arc;

use super::alias::Alias;
use super::{Ask, Step, weights};
use crate::endpoint::{Endpoint, Memory};

/// Proposals of one pick that choose among two. Whoever is still asking refused all of them for reasons not known here,
/// such as endpoints that are full, and gets plain draws.
const TURNS_MAX: usize = 4;

/// How often two are drawn anew when one of them is out: the other one would be taken however much it costs.
const REDRAWS_MAX: usize = 2;

/// Two endpoints drawn by weight, of which the better one is proposed (Mitzenmacher, "The power of two choices in
/// randomized load balancing", 2001): nearly as good as to look at all, at the cost of looking at two.
///
/// Costs are compared per weight, and what costs the same is decided for the one drawn first: while nothing tells
/// endpoints apart, their shares are exactly their weights.
#[derive(Debug)]
pub(super) struct TwoChoices {
    alias: Alias,
    /// What a choice reads of each endpoint: 16 bytes, four to a cache line, so that no list of endpoints is read.
    slots: Box<[Slot]>,
}

#[derive(Debug)]
struct Slot {
    memory: Arc<Memory>,
    /// The mean weight of all that get traffic, in weights of this one; not a number in use for one that gets none.
    scale: f32,
}

impl TwoChoices {
    /// The choices among these endpoints, of which there is at least one.
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        let weights = weights(endpoints);
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let mean = total / weights.iter().filter(|weight| **weight > 0).count().max(1) as f64;
        let slot = |(endpoint, weight): (&Endpoint, &u32)| Slot {
            memory: Arc::clone(&endpoint.memory),
            scale: (mean / f64::from((*weight).max(1))) as f32,
        };
        let slots = endpoints.iter().zip(&weights).map(slot).collect();
        Self { alias: Alias::new(&weights), slots }
    }

    /// The better of two. `cost` is told a memory and its load: its attempts in flight, as they would be at the mean weight.
    ///
    /// One that is out wins only when it is time to try it again, or the other one is out as well; one that this request
    /// tried wins only against one that is out.
    pub(super) fn choose(&self, ask: &mut Ask<'_>, turn: usize, cost: impl Fn(&Memory, f32) -> f32) -> usize {
        if turn >= TURNS_MAX {
            return self.alias.draw(ask.rng);
        }
        let (first, second) = self.alias.draw_two(ask.rng);
        let (one, other) = (&*self.slots[first].memory, &*self.slots[second].memory);
        if one.is_available() & other.is_available() & ask.tried.is_empty() {
            return if self.is_cheaper(ask, first, second, &cost) { first } else { second };
        }
        self.choose_around(ask, turn, (first, second), &cost)
    }

    /// The better of two, or of others that are drawn in their place, where one of them is out or was tried.
    #[cold]
    fn choose_around(
        &self,
        ask: &mut Ask<'_>,
        turn: usize,
        drawn: (usize, usize),
        cost: &impl Fn(&Memory, f32) -> f32,
    ) -> usize {
        let (first, second) = self.redraw(ask, turn, drawn);
        let (one, other) = (&self.slots[first].memory, &self.slots[second].memory);
        let first_is_better =
            prefers(ask, turn, one, other).unwrap_or_else(|| self.is_cheaper(ask, first, second, cost));
        if first_is_better { first } else { second }
    }

    /// Whether the first of two costs no more than the second.
    fn is_cheaper(
        &self,
        ask: &mut Ask<'_>,
        first: usize,
        second: usize,
        cost: &impl Fn(&Memory, f32) -> f32,
    ) -> bool {
        let costs = |index: usize| {
            let Slot { memory, scale } = &self.slots[index];
            let in_flight = memory.in_flight();
            (memory, in_flight, cost(memory, in_flight as f32 * scale))
        };
        let (one, other) = (costs(first), costs(second));
        if let Some(notes) = &mut ask.notes {
            for (memory, in_flight, _) in [one, other] {
                notes.load(memory, in_flight);
            }
            notes.step(Step::Compared([(one.0.number, one.2), (other.0.number, other.2)]));
        }
        one.2 <= other.2
    }

    /// Whether only one of two is there to be chosen.
    fn is_no_choice(&self, first: usize, second: usize) -> bool {
        self.slots[first].memory.is_available() != self.slots[second].memory.is_available()
    }

    /// Two of which both can be chosen, if they come soon; unless one of these is to be tried again.
    fn redraw(&self, ask: &mut Ask<'_>, turn: usize, mut drawn: (usize, usize)) -> (usize, usize) {
        for _ in 0..REDRAWS_MAX {
            let (one, other) = (&*self.slots[drawn.0].memory, &*self.slots[drawn.1].memory);
            if !self.is_no_choice(drawn.0, drawn.1) || on_trial(ask, turn, one, other).is_some() {
                break;
            }
            drawn = self.alias.draw_two(ask.rng);
        }
        drawn
    }
}

/// Whether it is time to try the first of two again, or the second. Whoever is picked at a first attempt may be on trial.
fn on_trial(ask: &Ask<'_>, turn: usize, one: &Memory, other: &Memory) -> Option<bool> {
    let is_due = |memory: &Memory| !memory.is_available() && memory.is_due(ask.now);
    if turn > 0 || !ask.tried.is_empty() {
        None
    } else if is_due(one) {
        Some(true)
    } else {
        is_due(other).then_some(false)
    }
}

/// Whether the first of two is to be preferred whatever it costs, or the second; `None` when the cost decides.
fn prefers(ask: &Ask<'_>, turn: usize, one: &Memory, other: &Memory) -> Option<bool> {
    if let Some(is_first) = on_trial(ask, turn, one, other) {
        return Some(is_first);
    }
    let rank = |memory: &Memory| (!memory.is_available(), ask.tried.contains(&memory.number));
    match rank(one).cmp(&rank(other)) {
        std::cmp::Ordering::Less => Some(true),
        std::cmp::Ordering::Greater => Some(false),
        std::cmp::Ordering::Equal => None,
    }
}
