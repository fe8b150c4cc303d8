//! The pick for one attempt, be it of a request or of a raw connection: an endpoint of the service asked for, or of one that
//! stands in.

use std::rc::Rc;

use rand::rngs::SmallRng;

use super::directory::Bound;
use super::error::ProxyError;
use super::telling::Telling;
use super::worker::Worker;
use crate::balance::{Ask, Wish};
use crate::catalog::{Claim, NoEndpoint, Snapshot};
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;

/// An endpoint, and the subscription it is of: the one that was asked for, or another one that stands in.
pub type Picked = (Endpoint, Rc<Bound>);

/// Whom one attempt looks for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// The subscription that is asked for.
    pub bound: &'a Rc<Bound>,
    /// What takes its place while nothing of it is available, the first of these of which something is.
    pub failover: &'a [Claim],
    /// Endpoints it should not go to any more, by their numbers.
    pub tried: &'a [u64],
    /// Whether nobody is to have it rather than one of those.
    pub elsewhere: bool,
    /// The hash of what it is told apart by, if there is one.
    pub key: Option<u64>,
    /// The endpoints it should go to, or must.
    pub wish: Option<&'a Wish>,
    /// Where its pick is told, if it is.
    pub telling: Option<&'a Telling>,
}

impl Sought<'_> {
    /// Picks an endpoint.
    ///
    /// # Errors
    /// When there is none, or none that has room.
    pub fn pick(&self, worker: &Worker, now: Moment) -> Result<Picked, ProxyError> {
        if !self.failover.is_empty()
            && let Some(picked) = self.fail_over(worker, now)
        {
            return Ok(picked);
        }
        Ok((self.pick_of(self.bound, worker, now)?, Rc::clone(self.bound)))
    }

    /// The endpoint of one attempt at a service.
    fn pick_of(&self, bound: &Bound, worker: &Worker, now: Moment) -> Result<Endpoint, ProxyError> {
        bound.look(|snapshot| {
            let (picked, detour) = match self.telling {
                None => worker.with_luck(|rng| {
                    let mut ask = self.ask(now, rng);
                    (snapshot.pick(&mut ask), ask.detour)
                }),
                Some(telling) => telling.pick(self, bound, snapshot, worker, now),
            };
            if let Some(detour) = detour {
                bound.recorder.detour(detour.as_str());
            }
            if picked.is_ok_and(|endpoint| !endpoint.is_available())
                && !snapshot.all().any(Endpoint::is_available)
            {
                worker.shared.metrics.proxy.desperate_picks_total.inc();
            }
            // What was tried is picked only where nothing else is left.
            let had_it = |endpoint: &Endpoint| self.tried.contains(&endpoint.memory.number);
            let picked = match picked {
                Ok(endpoint) if self.elsewhere && had_it(endpoint) => Err(NoEndpoint::AllTried),
                picked => picked,
            };
            picked.cloned().map_err(|why| told(why, bound.service(), snapshot))
        })
    }

    fn ask<'a>(&'a self, now: Moment, rng: &'a mut SmallRng) -> Ask<'a> {
        Ask { tried: self.tried, key: self.key, wish: self.wish, ..Ask::new(now, rng) }
    }

    /// The endpoint of one attempt at another service, while nothing is available of the one that was asked for. Whoever
    /// of that one is due to be tried again is tried first, since nobody else would.
    fn fail_over(&self, worker: &Worker, now: Moment) -> Option<Picked> {
        let is_strict = self.wish.is_some_and(Wish::is_strict);
        if is_strict || self.bound.look(|snapshot| snapshot.is_usable(now)) {
            return None;
        }
        let trial = |snapshot: &Snapshot| match self.telling {
            None => worker.with_luck(|rng| snapshot.pick_trial(&mut self.ask(now, rng)).cloned()),
            Some(telling) => telling.pick_trial(self, snapshot, worker, now),
        };
        if let Some(endpoint) = self.bound.look(trial) {
            return Some((endpoint, Rc::clone(self.bound)));
        }
        let (directory, shared) = (&worker.directory, &worker.shared);
        for claim in self.failover {
            let Ok(bound) = directory.claimed(claim, &shared.catalog, &shared.metrics) else { continue };
            if bound.look(|snapshot| snapshot.is_usable(now))
                && let Ok(endpoint) = self.pick_of(&bound, worker, now)
            {
                bound.subscription.touch(now);
                self.bound.recorder.detour("failover");
                return Some((endpoint, bound));
            }
        }
        None
    }
}

/// Why nothing was picked, as the caller is told.
fn told(why: NoEndpoint, service: &ServiceName, snapshot: &Snapshot) -> ProxyError {
    let service = service.clone();
    match why {
        NoEndpoint::NotListed => ProxyError::NotListed { service },
        NoEndpoint::Absent => ProxyError::Absent { service },
        NoEndpoint::OutOfReach => ProxyError::OutOfReach { service, count: snapshot.out_of_reach },
        NoEndpoint::Unknown => ProxyError::Unwanted { service },
        NoEndpoint::Full => ProxyError::EndpointsFull { service },
        NoEndpoint::Empty | NoEndpoint::AllTried => ProxyError::NoProvider { service, known: snapshot.known },
    }
}
