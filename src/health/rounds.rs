//! When each endpoint is checked: in turn, spread over the interval by chance, and never more than so many a second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::checks::{Checks, ServiceCheck};
use crate::catalog::{Snapshot, Use};
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;

/// Checks that begin in a second, at the most, whatever the number of endpoints: beyond 500 of them at the usual interval,
/// each is checked less often. A third of a percent of what one core of this proxy serves.
pub(super) const RATE_MAX: u32 = 100;
/// Checks that may begin at once, after a time with fewer.
pub(super) const BURST_MAX: u32 = 20;
/// Checks at a time: as many as begin within the usual time that each may take.
pub(super) const RUNNING_MAX: usize = 200;
/// How far the time between two checks is varied by chance, either way.
const JITTER: f64 = 0.1;
/// How long after its last request a service is checked less often: half as often, and again after double the time.
const BUSY: Duration = Duration::from_secs(30);
/// How much less often an idle service is checked at the most.
const STRETCH_MAX: u32 = 16;
/// The longest time between two checks of an idle service, unless its interval is longer.
const IDLE_MAX: Duration = Duration::from_mins(5);

/// Who is checked, and when.
#[derive(Debug)]
pub(super) struct Rounds {
    services: BTreeMap<ServiceName, Round>,
    /// By the number of its memory.
    turns: BTreeMap<u64, Turn>,
    /// When those are due that are not being checked.
    queue: BTreeSet<(Moment, u64)>,
    /// What the turns were made of.
    made_of: Option<(Arc<Checks>, Vec<Arc<Snapshot>>)>,
    /// Thousandths of checks that may begin, and as of when.
    credit: (u64, Moment),
    rng: SmallRng,
}

/// A service that is checked.
#[derive(Debug)]
struct Round {
    check: Arc<ServiceCheck>,
    /// The time between two checks at present.
    pause: Duration,
}

/// One endpoint that is checked.
#[derive(Debug)]
struct Turn {
    service: ServiceName,
    endpoint: Endpoint,
    /// When it is checked next; `None` while it is being checked.
    due: Option<Moment>,
    /// When the last check began.
    last: Option<Moment>,
}

/// A check that is to begin.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) service: ServiceName,
    pub(super) endpoint: Endpoint,
    pub(super) check: Arc<ServiceCheck>,
}

impl Rounds {
    /// Nobody is checked yet.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            services: BTreeMap::new(),
            turns: BTreeMap::new(),
            queue: BTreeSet::new(),
            made_of: None,
            credit: (0, Moment::START),
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// Whether nobody is checked.
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Takes over what is used now. Whoever is new has a turn within one interval, at random; what is not checked any more is
    /// forgotten, by its endpoint too.
    pub(super) fn adopt(&mut self, uses: &[Use], checks: &Arc<Checks>, now: Moment) {
        let is_same = self.made_of.as_ref().is_some_and(|(before, snapshots)| {
            Arc::ptr_eq(before, checks)
                && snapshots.len() == uses.len()
                && snapshots.iter().zip(uses).all(|(before, using)| Arc::ptr_eq(before, &using.snapshot))
        });
        if !is_same {
            self.services.retain(|name, _| uses.iter().any(|using| using.service == *name));
        }
        self.pace(uses, checks, now);
        if is_same {
            return;
        }
        let mut gone: BTreeSet<u64> = self.turns.keys().copied().collect();
        for using in uses {
            let is_checked = self.services.contains_key(&using.service);
            for endpoint in using.snapshot.all() {
                if is_checked {
                    gone.remove(&endpoint.memory.number);
                    self.admit(&using.service, endpoint, now);
                } else if endpoint.memory.checked.was_checked() {
                    endpoint.memory.uncheck();
                }
            }
        }
        for number in gone {
            self.dismiss(number);
        }
        let snapshots = uses.iter().map(|using| Arc::clone(&using.snapshot)).collect();
        self.made_of = Some((Arc::clone(checks), snapshots));
    }

    /// Sees how often each service is to be checked now, and brings forward what is due too late.
    fn pace(&mut self, uses: &[Use], checks: &Checks, now: Moment) {
        let mut hurried = BTreeSet::new();
        for service in uses.chunk_by(|a, b| a.service == b.service) {
            let Some(first) = service.first() else { continue };
            let Some(check) = checks.of(&first.service) else {
                self.services.remove(&first.service);
                continue;
            };
            let used = service.iter().map(|using| using.used).max().unwrap_or(first.used);
            let pause = pause(check.check.interval, now.since(used));
            let round = Round { check: Arc::clone(check), pause };
            let before = self.services.insert(first.service.clone(), round);
            if before.is_some_and(|before| before.pause > pause) {
                hurried.insert(&first.service);
            }
        }
        if hurried.is_empty() {
            return;
        }
        for (number, turn) in &mut self.turns {
            let Some(due) = turn.due.filter(|_| hurried.contains(&turn.service)) else { continue };
            let Some(round) = self.services.get(&turn.service) else { continue };
            if due > now.after(round.pause) {
                let soon = now.after(round.pause.mul_f64(self.rng.random()));
                let rested = turn.last.map_or(now, |last| last.after(round.pause.mul_f64(1.0 - JITTER)));
                let next = soon.max(rested).min(due);
                self.queue.remove(&(due, *number));
                self.queue.insert((next, *number));
                turn.due = Some(next);
            }
        }
    }

    fn admit(&mut self, service: &ServiceName, endpoint: &Endpoint, now: Moment) {
        let number = endpoint.memory.number;
        if let Some(turn) = self.turns.get_mut(&number) {
            turn.endpoint = endpoint.clone();
            return;
        }
        let Some(round) = self.services.get(service) else { return };
        let due = now.after(round.check.check.interval.mul_f64(self.rng.random()));
        let (service, endpoint) = (service.clone(), endpoint.clone());
        self.turns.insert(number, Turn { service, endpoint, due: Some(due), last: None });
        self.queue.insert((due, number));
    }

    fn dismiss(&mut self, number: u64) {
        let Some(turn) = self.turns.remove(&number) else { return };
        if let Some(due) = turn.due {
            self.queue.remove(&(due, number));
        }
        turn.endpoint.memory.uncheck();
    }

    /// The checks to begin now, while `running` are on their way.
    pub(super) fn due(&mut self, now: Moment, running: usize) -> Vec<Job> {
        let (credit, since) = self.credit;
        let passed = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        let most = u64::from(BURST_MAX) * 1000;
        let mut credit = credit.saturating_add(passed.saturating_mul(u64::from(RATE_MAX))).min(most);
        let mut jobs = Vec::new();
        while credit >= 1000 && running + jobs.len() < RUNNING_MAX {
            let Some((_, number)) = self.queue.first().copied().filter(|(due, _)| *due <= now) else { break };
            self.queue.pop_first();
            let Some(turn) = self.turns.get_mut(&number) else { continue };
            turn.due = None;
            turn.last = Some(now);
            let Some(round) = self.services.get(&turn.service) else { continue };
            let (service, endpoint) = (turn.service.clone(), turn.endpoint.clone());
            jobs.push(Job { service, endpoint, check: Arc::clone(&round.check) });
            credit -= 1000;
        }
        self.credit = (credit, now);
        jobs
    }

    /// Notes that a check has ended; true when what it found is still of interest.
    pub(super) fn done(&mut self, job: &Job, now: Moment) -> bool {
        let number = job.endpoint.memory.number;
        let Some(turn) = self.turns.get_mut(&number) else { return false };
        let Some(round) = self.services.get(&turn.service) else { return false };
        if turn.due.is_none() {
            let varied = round.pause.mul_f64(self.rng.random_range(1.0 - JITTER..1.0 + JITTER));
            let due = turn.last.unwrap_or(now).after(varied).max(now);
            turn.due = Some(due);
            self.queue.insert((due, number));
        }
        Arc::ptr_eq(&round.check, &job.check) || round.check == job.check
    }
}

/// The time between two checks of a service that was last asked for so long ago.
fn pause(interval: Duration, idle: Duration) -> Duration {
    let mut stretch = 1;
    let mut bound = BUSY;
    while idle >= bound && stretch < STRETCH_MAX {
        stretch *= 2;
        bound *= 2;
    }
    (interval * stretch).min(IDLE_MAX.max(interval))
}

#[cfg(test)]
mod tests;
