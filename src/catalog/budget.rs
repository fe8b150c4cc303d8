//! The budget of what is sent again: so much for each request, and a little at any rate, for a service as a whole.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;

/// How long requests and what was sent again are remembered. As in Finagle's `RetryBudget`, which this follows: long enough
/// for a burst to be worth something, short enough for an outage not to live on what was saved in good times.
pub const WINDOW: Duration = Duration::from_secs(10);

/// How finely the window moves.
const SLOT: Duration = Duration::from_secs(1);
/// The slots of the window, and the one that it has left in part.
const SLOTS: usize = 11;

/// What may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// In percent of the requests.
    pub percent: u32,
    /// And beside that, in each second: what a service with few requests can have.
    pub per_second: u32,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { percent: 20, per_second: 10 }
    }
}

/// The budget of a service. Shared by all workers: they count requests by themselves, and tell of them now and then, and
/// whenever they want to send something again, which is rare enough for a lock.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Ledger>);

impl Budget {
    /// Tells of requests that came.
    pub fn deposit(&self, now: Moment, requests: u32) {
        self.0.lock().deposit(now, requests);
    }

    /// Tells of requests that came, and asks for one attempt more: true if there is one.
    pub fn withdraw(&self, now: Moment, requests: u32, allowance: Allowance) -> bool {
        let mut ledger = self.0.lock();
        ledger.deposit(now, requests);
        ledger.withdraw(now, allowance)
    }

    /// Gives back an attempt that was not made.
    pub fn give_back(&self, now: Moment) {
        self.0.lock().give_back(now);
    }
}

/// What came and what was sent again, second by second.
#[derive(Debug, Default)]
struct Ledger {
    slots: [Slot; SLOTS],
    /// The number of the latest slot since the start.
    latest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u32,
    repeated: u32,
}

impl Ledger {
    /// The slot of a moment; one that lies before the latest is taken for the latest, since clocks of threads differ.
    fn slot(&mut self, now: Moment) -> &mut Slot {
        let number =
            u64::try_from(now.since(Moment::START).as_millis() / SLOT.as_millis()).unwrap_or(u64::MAX);
        let passed = number.saturating_sub(self.latest).min(SLOTS as u64);
        self.latest = self.latest.max(number);
        for back in 0..passed {
            let at = self.at(back);
            self.slots[at] = Slot::default();
        }
        let at = self.at(0);
        &mut self.slots[at]
    }

    /// Where the slot lies that is so many before the latest.
    fn at(&self, back: u64) -> usize {
        let number = self.latest.wrapping_sub(back) % SLOTS as u64;
        usize::try_from(number).unwrap_or_default()
    }

    fn deposit(&mut self, now: Moment, requests: u32) {
        let slot = self.slot(now);
        slot.requests = slot.requests.saturating_add(requests);
    }

    fn withdraw(&mut self, now: Moment, allowance: Allowance) -> bool {
        self.slot(now);
        let oldest = self.slots[self.at(SLOTS as u64 - 1)];
        let requests: u64 = self.slots.iter().map(|slot| u64::from(slot.requests)).sum();
        let repeated: u64 = self.slots.iter().map(|slot| u64::from(slot.repeated)).sum();
        // Of the slot that the window has left in part, all counts that was sent again and nothing that came: whatever ten
        // seconds one looks at, the bound holds.
        let requests = requests - u64::from(oldest.requests);
        let earned = requests.saturating_mul(u64::from(allowance.percent)) / 100;
        let given = u64::from(allowance.per_second) * WINDOW.as_secs();
        let is_granted = repeated < earned.saturating_add(given);
        if is_granted {
            let slot = self.slot(now);
            slot.repeated = slot.repeated.saturating_add(1);
        }
        is_granted
    }

    fn give_back(&mut self, now: Moment) {
        let slot = self.slot(now);
        slot.repeated = slot.repeated.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn granted(budget: &Budget, now: Moment, asked: u32) -> u32 {
        (0..asked).filter(|_| budget.withdraw(now, 0, Allowance::default())).count() as u32
    }

    #[test]
    fn a_fifth_of_the_requests_and_ten_a_second() {
        let budget = Budget::default();
        assert_eq!(granted(&budget, at(0), 1000), 100, "ten seconds' worth at once");
        budget.deposit(at(5_000), 1000);
        assert_eq!(granted(&budget, at(5_000), 1000), 200);
        assert_eq!(granted(&budget, at(10_999), 1000), 0);
        assert_eq!(granted(&budget, at(11_000), 1000), 100, "those of the first second are forgotten");
        assert_eq!(granted(&budget, at(60_000), 1000), 100, "and so are the requests");
    }

    #[test]
    fn what_was_not_used_is_given_back() {
        let budget = Budget::default();
        assert_eq!(granted(&budget, at(0), 1000), 100);
        budget.give_back(at(500));
        assert_eq!(granted(&budget, at(500), 1000), 1);
        Budget::default().give_back(at(0));
    }

    #[test]
    fn none_at_all_can_be_allowed_and_great_numbers_do_no_harm() {
        let budget = Budget::default();
        assert!(!budget.withdraw(at(0), u32::MAX, Allowance { percent: 0, per_second: 0 }));
        budget.deposit(at(0), u32::MAX);
        assert!(budget.withdraw(
            Moment::from_millis(u64::MAX),
            0,
            Allowance { percent: u32::MAX, per_second: u32::MAX }
        ));
        assert!(
            budget.withdraw(at(0), u32::MAX, Allowance::default()),
            "a clock that is behind asks for the present"
        );
    }

    /// What several workers do: requests at some times, told of after a while, and attempts that are asked for.
    fn history() -> impl Strategy<Value = Vec<(u64, u8, bool, u32)>> {
        let step = (0_u64..1500, 0_u8..4, any::<bool>(), 0_u32..60);
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        /// Whatever ten seconds one looks at: not more than the bound of the requests told of in them.
        #[test]
        fn never_more_than_the_bound_over_any_window(history in history(), percent in 0_u32..100, per_second in 0_u32..20) {
            let allowance = Allowance { percent, per_second };
            let budget = Budget::default();
            let mut held = [0_u32; 4];
            let (mut told, mut repeated) = (Vec::new(), Vec::new());
            let mut millis = 0;
            for (step, worker, asks, count) in history {
                millis += step;
                // A worker's clock may be behind by a little.
                let now = at(millis);
                let held = &mut held[usize::from(worker)];
                if asks {
                    let requests = std::mem::take(held);
                    told.push((millis, requests));
                    budget.deposit(now, requests);
                    repeated.extend((0..count).filter(|_| budget.withdraw(now, 0, allowance)).map(|_| millis));
                } else {
                    *held += count;
                }
            }
            for &until in &repeated {
                let within = |at: u64| at <= until && at + 10_000 > until;
                let used = repeated.iter().filter(|at| within(**at)).count() as u32;
                let requests: u32 = told.iter().filter(|(at, _)| within(*at)).map(|(_, requests)| requests).sum();
                prop_assert!(used <= requests * percent / 100 + per_second * 10, "{used} of {requests} until {until}");
            }
        }
    }
}
