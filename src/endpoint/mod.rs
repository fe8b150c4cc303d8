//! An endpoint: a provider as this proxy knows it, with the memory that survives every change of the registry.

mod care;
mod checked;
mod fit;
mod ghost;
mod group;
mod latency;
mod limbo;
mod load;
mod outcome;
mod reach;
mod remembered;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

pub use care::Care;
pub use checked::{Checked, Checking, Counts};
pub use fit::Fit;
pub use ghost::Ghost;
pub use group::Group;
pub use latency::Latency;
pub use limbo::{Cause, Limbo};
pub use load::LoadGuard;
pub use outcome::{Ending, Outcome};
pub use reach::{Reach, ReachState};
pub use remembered::{Remembered, Unreachable};
pub use token::{Token, TokenError};

use crate::clock::Moment;
use crate::provider::{Address, Provider, Weight};
use ghost::Haunting;

/// A provider as this proxy knows it: what was announced, and what was experienced.
///
/// Immutable and cheap to clone. When a record changes, a new endpoint with the same [`Memory`] takes its place.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The provider as announced last.
    pub provider: Arc<Provider>,
    /// What this proxy experienced with it; shared by every snapshot the provider is in.
    pub memory: Arc<Memory>,
    /// Its share of traffic at present: what the provider announces, less while it warms up.
    pub weight: Weight,
    /// Why it is still used though its registry lists it no more; `None` while it is listed.
    pub limbo: Option<Arc<Limbo>>,
}

impl Endpoint {
    /// An endpoint that is listed, of full weight.
    pub fn new(provider: Arc<Provider>, memory: Arc<Memory>) -> Self {
        Self { weight: provider.weight, provider, memory, limbo: None }
    }

    /// Its short name, the same in every proxy.
    pub fn token(&self) -> Token {
        self.memory.token
    }

    /// Whether picking this endpoint is sound: reachable as far as is known.
    pub fn is_available(&self) -> bool {
        self.memory.is_available()
    }

    /// Whether it is picked only when no other one is available.
    pub fn is_spare(&self) -> bool {
        self.limbo.as_ref().is_some_and(|limbo| limbo.is_spare)
    }

    /// Whether its weight has yet to grow.
    pub fn is_warming(&self) -> bool {
        self.provider.warm_up.is_some() && self.weight != self.provider.weight
    }

    /// Whether both say the same of the same memory.
    pub fn is_same(&self, other: &Self) -> bool {
        let limbo = |one: &Self| one.limbo.as_ref().map(Arc::as_ptr);
        Arc::ptr_eq(&self.memory, &other.memory)
            && Arc::ptr_eq(&self.provider, &other.provider)
            && self.weight == other.weight
            && limbo(self) == limbo(other)
    }

    /// How it is, in one word for metrics and operators.
    pub fn state(&self) -> &'static str {
        if self.memory.ghost().is_some() {
            "ghost"
        } else if !self.memory.checked.is_well() {
            "unwell"
        } else if !self.is_available() {
            "unreachable"
        } else if self.limbo.is_some() {
            "limbo"
        } else {
            "available"
        }
    }
}

/// What this proxy experienced with the provider at one address. Lives as long as the provider is announced.
///
/// The first fields are what a pick reads and what an attempt writes: they fill one cache line, which is all that a policy
/// touches of an endpoint.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Memory {
    /// Attempts in flight. Written by the workers at pick and at the end of each body, read by balancers and admin.
    in_flight: load::InFlight,
    /// How long it is expected to take. Written by workers after each attempt, read by balancers and admin.
    pub latency: Latency,
    /// Whether connections succeed. Written by workers after each attempt, read at each pick.
    pub reach: Reach,
    /// Whether checks find it well. Written by whoever checks, read at each pick.
    pub checked: Checked,
    /// A number of its own within this process; connection pools are keyed by it.
    pub number: u64,
    /// The address it is about.
    pub address: Address,
    /// The short name of whoever is there.
    pub token: Token,
    /// Attempts begun. Written by the workers, read by metrics and admin.
    attempts: CachePadded<AtomicU64>,
    /// The bits of the moment of the last answer. Written by workers and probes, read by probes and admin.
    answered: AtomicU64,
    /// Whether nobody, or somebody else, is behind its record. Written by the catalog, workers and probes, read at picks of
    /// unreachable endpoints and by admin.
    haunting: Haunting,
    /// Attempts that failed on the way to or at the provider. Written by the workers, read by metrics and admin.
    failures: AtomicU64,
    /// Set once by the catalog when the provider is withdrawn; pools of a retired endpoint are dropped by workers.
    retired: AtomicBool,
    /// What it shares with the other endpoints of its service.
    group: Arc<Group>,
}

impl Memory {
    /// A memory of nothing yet, of an endpoint by itself. `number` is unique within the process: the catalog counts.
    pub fn new(number: u64, address: Address) -> Self {
        Self::among(Arc::default(), number, address)
    }

    /// A memory of nothing yet, of an endpoint among others of its service.
    pub fn among(group: Arc<Group>, number: u64, address: Address) -> Self {
        Self {
            in_flight: load::InFlight::default(),
            latency: Latency::default(),
            reach: Reach::default(),
            checked: Checked::default(),
            number,
            token: Token::of(&address),
            address,
            attempts: CachePadded::default(),
            answered: AtomicU64::new(0),
            haunting: Haunting::default(),
            failures: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            group,
        }
    }

    /// Begins an attempt: counts it, and holds it in flight until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> LoadGuard {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        LoadGuard::new(Arc::clone(self))
    }

    /// Whether any attempt may be made there, as far as is known.
    pub fn is_available(&self) -> bool {
        self.reach.is_available() && self.checked.is_well()
    }

    /// Claims the right to a single attempt at an endpoint that is out: true for one caller once its pause is over. What
    /// checks found to be unwell, checks alone find to be well again.
    pub fn try_claim(&self, now: Moment) -> bool {
        self.ghost().is_none() && self.checked.is_well() && self.reach.try_claim(now)
    }

    /// Whether it is time for a single attempt at an endpoint that is out.
    pub fn is_due(&self, now: Moment) -> bool {
        self.ghost().is_none() && self.checked.is_well() && self.reach.may_try(now)
    }

    /// Notes how an attempt went. True when that put the endpoint out.
    pub fn note(&self, outcome: Outcome, ending: Ending) -> bool {
        self.latency.note(outcome, &ending);
        if outcome != Outcome::Success {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        match outcome {
            Outcome::Success | Outcome::Failure | Outcome::Busy { .. } => {
                self.answer(ending.now);
                false
            }
            Outcome::Late | Outcome::Broken => false,
            Outcome::Unreachable => self.fail_to_connect(ending.now, ending.luck),
        }
    }

    /// Notes that the caller of an attempt went away before there was an answer: it says nothing but how long it took so far.
    pub fn note_abandoned(&self, ending: Ending) {
        self.latency.note_at_least(ending.took, ending.now);
    }

    /// Notes that the provider answered a request. Whoever answers at a stranger's address proves nothing.
    pub fn answer(&self, now: Moment) {
        self.answered.store(now.to_bits(), Ordering::Relaxed);
        if !self.reach.is_available() && self.ghost() != Some(Ghost::Stranger) {
            self.find_well();
        }
    }

    /// Notes that no connection came about; `luck`, from 0 to 1, varies the pause. True when this put the endpoint out.
    pub fn fail_to_connect(&self, now: Moment, luck: f64) -> bool {
        let is_news = self.reach.fail(now, luck);
        if is_news {
            self.group.change();
        }
        is_news
    }

    /// Notes that a connection came about.
    pub fn reached(&self) {
        if !self.reach.is_available() {
            self.reach.succeed();
            self.group.change();
        }
    }

    /// Notes what a check of it found; the cause in full where it failed. True when it came to count as well or unwell by that.
    pub fn check(&self, result: Result<(), &str>, counts: Counts, now: Moment) -> bool {
        let is_news = self.checked.note(result, counts, now);
        if is_news {
            self.group.change();
        }
        is_news
    }

    /// Forgets what checks found: none are made any more, or another program is there now. It counts as well.
    pub fn uncheck(&self) {
        if self.checked.forget() {
            self.group.change();
        }
    }

    /// Notes that the provider was found to be well and to be itself: by a probe, or because it was announced anew.
    pub fn find_well(&self) {
        self.haunting.end();
        self.reached();
    }

    /// Notes that its record is a ghost's. True when that is news. It is out from now on: a silent
    /// one until it answers, a stranger until a newer record of its address is there.
    pub fn haunt(&self, ghost: Ghost, now: Moment, luck: f64) -> bool {
        self.fail_to_connect(now, luck);
        self.haunting.begin(ghost)
    }

    /// What kind of ghost its record is, if it is one.
    pub fn ghost(&self) -> Option<Ghost> {
        self.haunting.ghost()
    }

    /// When it answered last.
    pub fn answered(&self) -> Option<Moment> {
        Moment::from_bits(self.answered.load(Ordering::Relaxed))
    }

    /// What it shares with the other endpoints of its service.
    pub const fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Attempts in flight now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.count()
    }

    /// Attempts begun since the provider was first announced.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Attempts that failed since the provider was first announced.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Marks the provider as withdrawn: what runs may finish, nothing new begins, pools let go.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether the provider was withdrawn.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_in_flight_until_the_guard_goes() {
        let memory = Arc::new(Memory::new(1, "10.0.0.1:80".parse().unwrap()));
        let first = memory.begin();
        let second = memory.begin();
        assert_eq!((memory.in_flight(), memory.attempts()), (2, 2));
        drop(first);
        drop(second);
        assert_eq!((memory.in_flight(), memory.attempts()), (0, 2));
    }

    #[test]
    fn a_silent_ghost_is_alive_once_it_answers_and_a_stranger_is_not() {
        let memory = Memory::new(1, "10.0.0.1:80".parse().unwrap());
        for (ghost, alive) in [(Ghost::Silent, true), (Ghost::Stranger, false)] {
            assert!(memory.haunt(ghost, Moment::START, 0.5) && !memory.haunt(ghost, Moment::START, 0.5));
            memory.answer(Moment::from_millis(5));
            assert_eq!((memory.ghost().is_none(), memory.reach.is_available()), (alive, alive));
            assert_eq!(memory.answered(), Some(Moment::from_millis(5)));
        }
        memory.find_well();
        assert!(memory.ghost().is_none() && memory.reach.is_available(), "a newer record is there");
    }
}
