//! Telling: picks that are kept with all that they depended on, so that they can be explained, and made again.

mod document;
mod story;

use std::cell::{Cell, RefCell};

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

pub use document::{MadeDocument, ReplayError};
pub use story::story;

use super::directory::Bound;
use super::pick::Sought;
use super::worker::Worker;
use crate::balance::{Ask, Detour, Notes, Wish};
use crate::catalog::scene::Scene;
use crate::catalog::{NoEndpoint, Snapshot};
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::provider::Address;

/// The most endpoints of which all is kept with a pick: what is remembered must not outgrow what is served.
const KEPT_MAX: usize = 256;

/// The picks of one request, as far as they are to be told.
#[derive(Debug, Default)]
pub struct Telling {
    /// The draw of the next pick; drawn by the worker if there is none.
    draw: Cell<Option<u64>>,
    /// Whether all of a scene is kept, however large it is.
    is_unbounded: bool,
    picks: RefCell<Vec<Made>>,
}

/// One pick as it was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// What all its luck follows from.
    pub draw: u64,
    /// The key of the request.
    pub key: Option<u64>,
    /// What the request wished for.
    pub wish: Option<Wish>,
    /// What it had tried, by the numbers of memories.
    pub tried: Vec<u64>,
    /// Whether it only looked for an endpoint to be tried again, before another service stood in.
    pub is_trial: bool,
    /// All else that it depended on; the number of endpoints where they were too many to be kept.
    pub scene: Result<Scene, usize>,
    /// What it took from elsewhere, and its course.
    pub notes: Notes,
    /// What led away from the usual choice.
    pub detour: Option<Detour>,
    /// Where it led.
    pub picked: Picked,
}

/// Where a pick led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picked {
    /// To this endpoint.
    Endpoint(Address),
    /// To none, for this reason.
    Nothing(NoEndpoint),
    /// To none, since no endpoint was due to be tried again.
    NoTrial,
}

impl Telling {
    /// Tells of picks of which the first has this draw, however many endpoints there are.
    pub fn with(draw: u64) -> Self {
        Self { draw: Cell::new(Some(draw)), is_unbounded: true, picks: RefCell::default() }
    }

    /// The pick for a first or further attempt, which is kept.
    #[cold]
    pub fn pick<'s>(
        &self,
        sought: &Sought<'_>,
        bound: &Bound,
        snapshot: &'s Snapshot,
        worker: &Worker,
        now: Moment,
    ) -> (Result<&'s Endpoint, NoEndpoint>, Option<Detour>) {
        let mut picked = Err(NoEndpoint::NotListed);
        let detour = self.make(sought, bound, snapshot, worker, now, false, |ask| {
            picked = snapshot.pick(ask);
            match picked {
                Ok(endpoint) => Picked::Endpoint(endpoint.memory.address.clone()),
                Err(why) => Picked::Nothing(why),
            }
        });
        (picked, detour)
    }

    /// The pick of an endpoint that is due to be tried again, which is kept.
    #[cold]
    pub fn pick_trial(
        &self,
        sought: &Sought<'_>,
        snapshot: &Snapshot,
        worker: &Worker,
        now: Moment,
    ) -> Option<Endpoint> {
        let mut picked = None;
        self.make(sought, sought.bound, snapshot, worker, now, true, |ask| {
            picked = snapshot.pick_trial(ask).cloned();
            let address = picked.as_ref().map(|endpoint| endpoint.memory.address.clone());
            address.map_or(Picked::NoTrial, Picked::Endpoint)
        });
        picked
    }

    #[expect(clippy::too_many_arguments, reason = "all that a pick has, and what is to be done with it")]
    fn make(
        &self,
        sought: &Sought<'_>,
        bound: &Bound,
        snapshot: &Snapshot,
        worker: &Worker,
        now: Moment,
        is_trial: bool,
        pick: impl FnOnce(&mut Ask<'_>) -> Picked,
    ) -> Option<Detour> {
        let draw = self.draw.take().unwrap_or_else(|| worker.draw());
        let count = snapshot.all().count();
        let is_kept = self.is_unbounded || count <= KEPT_MAX;
        let claim = bound.subscription.claim();
        let mut scene = if is_kept { Ok(snapshot.scene(claim, now)) } else { Err(count) };
        let (mut notes, mut rng) = (Notes::default(), SmallRng::seed_from_u64(draw));
        let mut ask = Ask {
            tried: sought.tried,
            key: sought.key,
            wish: sought.wish,
            notes: Some(&mut notes),
            ..Ask::new(now, &mut rng)
        };
        let picked = pick(&mut ask);
        let detour = ask.detour;
        if let Ok(scene) = &mut scene {
            // Other workers send requests in the meantime.
            notes.loads.iter().for_each(|(number, in_flight)| scene.correct(*number, *in_flight));
        }
        self.picks.borrow_mut().push(Made {
            draw,
            key: sought.key,
            wish: sought.wish.cloned(),
            tried: sought.tried.to_vec(),
            is_trial,
            scene,
            notes,
            detour,
            picked,
        });
        detour
    }

    /// How many picks were told so far.
    pub fn count(&self) -> usize {
        self.picks.borrow().len()
    }

    /// The picks told so far, in order.
    pub fn take(&self) -> Vec<Made> {
        self.picks.take()
    }
}

impl Made {
    /// Makes the pick again, from copies, by the balancer itself; gives where it leads now, and its notes.
    ///
    /// # Errors
    /// The number of endpoints where they were too many to be kept.
    pub fn again(&self) -> Result<(Picked, Notes), usize> {
        // Any moment does: all that is kept is as it was at that of the pick.
        let now = Moment::from_millis(24 * 60 * 60 * 1000);
        let snapshot = self.scene.as_ref().map_err(|count| *count)?.snapshot(now);
        let mut notes = Notes::again(self.notes.tickets.clone(), self.notes.room);
        let mut rng = SmallRng::seed_from_u64(self.draw);
        let mut ask = Ask {
            tried: &self.tried,
            key: self.key,
            wish: self.wish.as_ref(),
            notes: Some(&mut notes),
            ..Ask::new(now, &mut rng)
        };
        let address = |endpoint: &Endpoint| endpoint.memory.address.clone();
        let picked = if self.is_trial {
            snapshot.pick_trial(&mut ask).map_or(Picked::NoTrial, |it| Picked::Endpoint(address(it)))
        } else {
            match snapshot.pick(&mut ask) {
                Ok(endpoint) => Picked::Endpoint(address(endpoint)),
                Err(why) => Picked::Nothing(why),
            }
        };
        Ok((picked, notes))
    }
}
