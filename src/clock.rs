//! Time as a number: coarse instants that fit an atomic and are handed to pure code as `now`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

/// Milliseconds since this process began to count, never 0.
///
/// Small enough for an atomic, and given as an argument wherever behaviour depends on time, so that tests choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The first moment there is.
    pub const START: Self = Self(1);

    /// The moment that many milliseconds after [`Moment::START`].
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_add(1))
    }

    /// The number behind this moment, for an atomic; at least 1.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The moment behind a number that [`Moment::to_bits`] gave; `None` for 0, which stands for "never".
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    /// This moment, later by a duration (whole milliseconds).
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This moment, earlier by a duration (whole milliseconds), but never before [`Moment::START`].
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis)).max(Self::START)
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// What turns the runtime's clock into [`Moment`]s: one per process, copied freely.
///
/// Reads tokio's clock, so paused time in tests moves it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// A clock whose [`Moment::START`] is now.
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        self.at(tokio::time::Instant::now())
    }

    /// How long it had run at an instant.
    pub fn run_at(&self, instant: tokio::time::Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }

    /// The moment of an instant.
    pub fn at(&self, instant: tokio::time::Instant) -> Moment {
        let since = self.run_at(instant);
        Moment::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The time as one thread last looked: as exact as it looks often, and free to read.
#[derive(Debug)]
pub struct Tick {
    clock: Clock,
    last: Cell<Moment>,
}

impl Tick {
    /// A tick that shows the present.
    pub fn new(clock: Clock) -> Self {
        Self { clock, last: Cell::new(clock.now()) }
    }

    /// Looks at the clock.
    pub fn advance(&self) {
        self.last.set(self.clock.now());
    }

    /// The time of the last look.
    pub fn now(&self) -> Moment {
        self.last.get()
    }

    /// The clock it looks at.
    pub const fn clock(&self) -> Clock {
        self.clock
    }
}

/// When something last moved, as exact as the tick it reads.
#[derive(Debug)]
pub struct Pulse {
    tick: Rc<Tick>,
    last: Cell<Moment>,
    /// Whether it is not to go on.
    stopped: Cell<bool>,
    /// Who is to learn of that.
    waker: RefCell<Option<Waker>>,
}

impl Pulse {
    /// Of something that moves right now.
    pub fn new(tick: Rc<Tick>) -> Self {
        let last = Cell::new(tick.now());
        Self { tick, last, stopped: Cell::new(false), waker: RefCell::default() }
    }

    /// Has it end, and wakes whoever asked last whether it does.
    pub fn stop(&self) {
        self.stopped.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether it is to end; registers the one task that is woken by that.
    pub fn is_stopped(&self, cx: &Context<'_>) -> bool {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        self.stopped.get()
    }

    /// It moves.
    pub fn beat(&self) {
        self.last.set(self.tick.now());
    }

    /// For how long it has lain still.
    pub fn still(&self) -> Duration {
        self.tick.now().since(self.last.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_not_a_moment() {
        assert_eq!(Moment::from_bits(0), None);
        assert_eq!(Moment::from_bits(Moment::START.to_bits()), Some(Moment::START));
    }

    #[test]
    fn durations_add_and_subtract() {
        let later = Moment::START.after(Duration::from_millis(250));
        assert_eq!(later.since(Moment::START), Duration::from_millis(250));
        assert_eq!(Moment::START.since(later), Duration::ZERO);
        assert_eq!(later.before(Duration::from_millis(50)), Moment::from_millis(200));
        assert_eq!(later.before(Duration::MAX), Moment::START);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pulse_is_as_old_as_its_last_beat() {
        let tick = Rc::new(Tick::new(Clock::start()));
        let pulse = Pulse::new(Rc::clone(&tick));
        let pass = async |seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            tick.advance();
        };
        pass(3).await;
        assert_eq!(pulse.still(), Duration::from_secs(3));
        pulse.beat();
        pass(2).await;
        assert_eq!(pulse.still(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_the_runtime() {
        let clock = Clock::start();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now().since(Moment::START), Duration::from_secs(3));
    }
}
