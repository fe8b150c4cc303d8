//! An endpoint: a provider as this proxy knows it, with the memory that survives every change of the registry.

mod aside;
mod care;
mod ceiling;
mod checked;
mod ejection;
mod fit;
mod ghost;
mod group;
mod history;
mod idle;
mod latency;
mod limbo;
mod line;
mod load;
mod news;
mod note;
mod outcome;
mod ramp;
mod reach;
mod refusal;
mod remembered;
mod said;
mod seen;
mod share;
mod tally;
mod token;
mod trial;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use care::{Adaptive, Care, Ejecting, Queue};
pub use checked::{Checked, Checking, Counts};
pub use ejection::{Ejected, EjectionState};
pub use fit::Fit;
pub use ghost::Ghost;
pub use group::Group;
pub use idle::{Idling, Teacher};
pub use latency::Latency;
pub use limbo::{Cause, Limbo};
pub use line::Place;
pub use load::LoadGuard;
pub use news::{News, Turn};
pub use note::{Sentence, Verdict};
pub use outcome::{Ending, Outcome};
pub use reach::{Reach, ReachState};
pub use refusal::Refusal;
pub use remembered::{Remembered, Unreachable};
pub use said::Said;
pub use seen::Seen;
pub use share::Peers;
pub use tally::Grounds;
pub use token::{Token, TokenError};

use crate::clock::Moment;
use crate::provider::{Address, Provider, ServiceName, Weight};
use aside::Aside;
use ejection::Ejection;
use ghost::Haunting;
use history::History;
use ramp::Ramp;

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

    /// Its service, if it is known.
    pub fn service(&self) -> Option<&ServiceName> {
        self.memory.group.service()
    }

    /// Whether picking this endpoint is sound: it can be reached and does not fail, as far as is known.
    pub fn is_available(&self) -> bool {
        self.memory.is_available()
    }

    /// Whether a connection to it would come about, and with it, as far as is known: one that is not well may still answer.
    pub fn is_reachable(&self) -> bool {
        self.memory.reach.is_available() && self.memory.ghost().is_none()
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
        } else if !self.memory.reach.is_available() {
            "unreachable"
        } else if self.memory.is_ejected() {
            "ejected"
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
    /// How many answers should be awaited while it is new. Written by workers while it is, read at each pick.
    ramp: Ramp,
    /// How long it is expected to take. Written by workers after each attempt, read by balancers and admin.
    pub latency: Latency,
    /// Whether connections succeed. Written by workers after each attempt, read at each pick.
    pub reach: Reach,
    /// Whether it is out because attempts failed. Written by workers when that changes, read at each pick.
    ejection: Ejection,
    /// Whether it asked to be left alone for a while. Written by workers after attempts, read at each pick.
    aside: Aside,
    /// Whether checks find it well. Written by whoever checks, read at each pick: its first field, the last of the line.
    pub checked: Checked,
    /// A number of its own within this process; connection pools are keyed by it.
    pub number: u64,
    /// The address it is about.
    pub address: Address,
    /// The short name of whoever is there.
    pub token: Token,
    /// Whether nobody, or somebody else, is behind its record. Written by the catalog, workers and probes, read at picks of
    /// unreachable endpoints and by admin.
    haunting: Haunting,
    /// Set once by the catalog when the provider is withdrawn; pools of a retired endpoint are dropped by workers.
    retired: AtomicBool,
    /// What it shares with the other endpoints of its service.
    group: Arc<Group>,
    /// The rest: what attempts leave behind, and no pick reads unless the endpoint is out or new, or its limit is found out.
    history: Box<History>,
}

const _: () = assert!(
    std::mem::offset_of!(Memory, checked) + size_of::<u64>() <= 64,
    "what a pick reads fills one cache line"
);

impl Memory {
    /// A memory of nothing yet, of an endpoint by itself. `number` is unique within the process: the catalog counts.
    pub fn new(number: u64, address: Address) -> Self {
        Self::among(Arc::default(), number, address)
    }

    /// A memory of nothing yet, of an endpoint among others of its service.
    pub fn among(group: Arc<Group>, number: u64, address: Address) -> Self {
        Self {
            in_flight: load::InFlight::default(),
            ramp: Ramp::default(),
            latency: Latency::default(),
            reach: Reach::default(),
            ejection: Ejection::default(),
            aside: Aside::default(),
            checked: Checked::default(),
            number,
            token: Token::of(&address),
            address,
            haunting: Haunting::default(),
            retired: AtomicBool::new(false),
            group,
            history: Box::default(),
        }
    }

    /// Begins an attempt: counts it, and holds it in flight until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> LoadGuard {
        self.history.attempts.fetch_add(1, Ordering::Relaxed);
        LoadGuard::new(Arc::clone(self))
    }

    /// Whether any attempt may be made there, as far as is known.
    pub fn is_available(&self) -> bool {
        // Not one after the other: it is on the path of every pick, and hardly ever false.
        self.reach.is_available() & !self.ejection.is_out() & self.checked.is_well()
    }

    /// Whether it is out because attempts failed.
    pub fn is_ejected(&self) -> bool {
        self.ejection.is_out()
    }

    /// Why it is ejected and for how long, while it is.
    pub fn ejection(&self, now: Moment) -> Option<EjectionState> {
        self.ejection.state(&self.history.past, now)
    }

    /// How often it was ejected, as far as that is not forgotten.
    pub fn ejections(&self) -> u32 {
        self.history.past.times()
    }

    /// Since when it is ejected, while it is, where this process ejected it.
    pub fn ejected_since(&self) -> Option<Moment> {
        self.history.past.since().filter(|_| self.is_ejected())
    }

    /// For how long yet it asked to be passed over; zero when it did not.
    pub fn aside_for(&self, now: Moment) -> Duration {
        self.aside.left(now)
    }

    /// How many attempts went well within this window, and how many failed.
    pub fn lately(&self, now: Moment, window: Duration) -> (u64, u64) {
        self.history.tally.lately(now, window)
    }

    /// How many answers should be awaited at most while it is new or just back; `None` when it is neither.
    pub fn ramp(&self) -> Option<u32> {
        self.ramp.allowed()
    }

    /// Claims the right to a single attempt at an endpoint that is out: true for one caller once its pause is over. What
    /// checks found to be unwell, checks alone find to be well again.
    pub fn try_claim(&self, now: Moment) -> bool {
        self.may_try(now) && self.history.trial.try_claim(now)
    }

    /// Whether it is time for a single attempt at an endpoint that is out.
    pub fn is_due(&self, now: Moment) -> bool {
        self.may_try(now) && self.history.trial.is_free(now)
    }

    /// Whether every pause is over for which it is out, and nothing else speaks against trying it.
    fn may_try(&self, now: Moment) -> bool {
        let (reach, ejection) = (&self.reach, &self.ejection);
        self.ghost().is_none()
            && self.checked.is_well()
            && !self.is_available()
            && (reach.is_available() || reach.is_due(now))
            && (!ejection.is_out() || ejection.is_due(now))
    }

    /// Notes what a check of it found; the cause in full where it failed. True when it came to count as well or unwell by that.
    pub fn check(&self, result: Result<(), &str>, counts: Counts, now: Moment) -> bool {
        let is_news = self.checked.note(result, counts, now);
        if is_news {
            if self.checked.is_well() {
                self.ramp.begin();
            }
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
        Moment::from_bits(self.history.answered.load(Ordering::Relaxed))
    }

    /// How long connections may idle.
    pub fn idling(&self) -> &Idling {
        &self.history.idling
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
        self.history.attempts.load(Ordering::Relaxed)
    }

    /// Attempts that failed since the provider was first announced.
    pub fn failures(&self) -> u64 {
        self.history.failures.load(Ordering::Relaxed)
    }

    /// Attempts since the provider was first announced that were not answered, or to which no connection came about.
    pub fn unanswered(&self) -> u64 {
        self.history.unanswered.load(Ordering::Relaxed)
    }

    /// How the last of the attempts that failed did.
    pub fn last_failure(&self) -> Said {
        self.history.last.said()
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
