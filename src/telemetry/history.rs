//! History: the rate, the failures and the latency of each service over the last quarter of an hour, in fixed memory.
//!
//! Nothing is counted for it: a task looks at the counters that metrics have anyway, every five seconds. A service without
//! requests costs next to nothing, one with requests under 5 KiB.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use super::metrics::{Metrics, REQUEST_BUCKETS, Totals};
use crate::provider::ServiceName;

/// How long a step is.
pub const STEP: Duration = Duration::from_secs(5);
/// Steps kept: a quarter of an hour.
pub const STEPS: usize = 180;
/// Steps that count as the present: a minute.
const PRESENT: usize = 12;

/// How requests to each service went, step by step. Written by one task, read by admin.
#[derive(Debug, Default)]
pub struct History {
    courses: Mutex<HashMap<ServiceName, Course>>,
}

/// How requests to one service went.
#[derive(Debug, Default)]
struct Course {
    /// What was counted up to the last step.
    before: Totals,
    /// The latest steps, the newest last; empty while there was no request in any that would be kept.
    steps: VecDeque<Step>,
    /// How long requests took in the last [`PRESENT`] of them.
    present: VecDeque<Buckets>,
    /// Steps in a row without a request.
    quiet: usize,
}

type Buckets = [u32; REQUEST_BUCKETS.len() + 1];

/// What was counted in one step, or in several together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Requests answered.
    pub requests: u32,
    /// Those that failed.
    pub failed: u32,
    /// The time within which half were answered; 0 without any. As exact as the buckets of the metric are.
    pub p50_ms: f32,
    /// The time within which 99 in 100 were answered; 0 without any.
    pub p99_ms: f32,
}

/// How requests to a service go at present.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Present {
    /// Requests a second.
    pub rate: f64,
    /// The part of them that failed, from 0 to 1.
    pub failed_share: f64,
    /// The time within which half are answered.
    pub p50_ms: f32,
    /// The time within which 99 in 100 are.
    pub p99_ms: f32,
}

impl History {
    /// Looks at what was counted, for ever.
    pub async fn follow(&self, metrics: &Metrics) {
        let mut ticks = tokio::time::interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.take_step(metrics.totals());
        }
    }

    /// Adds a step: what was counted by now of each service that is known. The others are forgotten.
    fn take_step(&self, totals: Vec<(ServiceName, Totals)>) {
        let courses = &mut *self.courses.lock();
        let mut before = std::mem::take(courses);
        for (service, totals) in totals {
            let mut course = before.remove(&service).unwrap_or_default();
            course.take_step(&totals);
            courses.insert(service, course);
        }
    }

    /// How requests to a service go at present; `None` where there was none in the last minute.
    pub fn present(&self, service: &str) -> Option<Present> {
        self.courses.lock().get(service)?.present()
    }

    /// How requests to a service went, in so many points at most, the latest last: fewer where less is known. `None` where
    /// there was no request within all that is kept.
    pub fn points(&self, service: &str, points: usize) -> Option<Vec<Step>> {
        let courses = self.courses.lock();
        let steps = &courses.get(service)?.steps;
        if steps.is_empty() {
            return None;
        }
        let together = together(points);
        // From the newest back, so that points move on whole.
        let newest: Vec<Step> = steps.iter().rev().copied().collect();
        let mut points: Vec<Step> = newest.chunks(together).map(join).collect();
        points.reverse();
        Some(points)
    }
}

/// How many steps are told as one where so many points are wanted of all.
pub fn together(points: usize) -> usize {
    STEPS.div_ceil(points.clamp(1, STEPS))
}

impl Course {
    fn take_step(&mut self, totals: &Totals) {
        // Counted anew where the service was forgotten meanwhile.
        let before = if totals.requests < self.before.requests { Totals::default() } else { self.before };
        let since = |now: u64, before: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        let buckets: Buckets =
            std::array::from_fn(|bucket| since(totals.buckets[bucket], before.buckets[bucket]));
        let requests = since(totals.requests, before.requests);
        let failed = since(totals.failed, before.failed);
        self.before = *totals;
        self.quiet = if requests == 0 { self.quiet + 1 } else { 0 };
        if self.quiet >= STEPS || (self.steps.is_empty() && requests == 0) {
            (self.steps, self.present) = Default::default();
            return;
        }
        let [p50_ms, p99_ms] = [0.5, 0.99].map(|part| percentile(&buckets, part).unwrap_or_default());
        push(&mut self.steps, Step { requests, failed, p50_ms, p99_ms }, STEPS);
        push(&mut self.present, buckets, PRESENT);
    }

    fn present(&self) -> Option<Present> {
        let steps = self.steps.iter().rev().take(PRESENT);
        let (requests, failed) = steps.fold((0_u64, 0_u64), |(requests, failed), step| {
            (requests + u64::from(step.requests), failed + u64::from(step.failed))
        });
        let sums: Buckets = std::array::from_fn(|bucket| {
            self.present.iter().fold(0, |sum, buckets| buckets[bucket].saturating_add(sum))
        });
        let (p50_ms, p99_ms) = (percentile(&sums, 0.5)?, percentile(&sums, 0.99)?);
        let (requests, failed, seconds) =
            (requests as f64, failed as f64, STEP.as_secs_f64() * self.present.len() as f64);
        Some(Present { rate: requests / seconds, failed_share: failed / requests.max(1.0), p50_ms, p99_ms })
    }
}

fn push<T>(kept: &mut VecDeque<T>, one: T, max: usize) {
    if kept.len() == max {
        kept.pop_front();
    }
    kept.push_back(one);
}

/// Several steps as one. Of percentiles the middle one is the mean over requests, and the high one the highest: exact ones
/// would take all buckets, and a peak is what is looked for.
fn join(steps: &[Step]) -> Step {
    let mut joined = Step::default();
    let mut middle = 0.0;
    for step in steps {
        joined.requests = joined.requests.saturating_add(step.requests);
        joined.failed = joined.failed.saturating_add(step.failed);
        joined.p99_ms = joined.p99_ms.max(step.p99_ms);
        middle += f64::from(step.p50_ms) * f64::from(step.requests);
    }
    let mean = (middle / f64::from(joined.requests.max(1))) as f32;
    Step { p50_ms: mean, ..joined }
}

/// The time in milliseconds within which this part of what is counted lies, taken to be spread evenly within its bucket, as
/// Prometheus has it. What is above the last bound counts as that bound. `None` of nothing.
fn percentile(buckets: &Buckets, part: f64) -> Option<f32> {
    let total: f64 = buckets.iter().copied().map(f64::from).sum();
    if total == 0.0 {
        return None;
    }
    let wanted = total * part;
    let (mut below, mut lower) = (0.0, 0.0);
    for (bound, count) in REQUEST_BUCKETS.iter().zip(buckets) {
        let count = f64::from(*count);
        if count > 0.0 && below + count >= wanted {
            let seconds = lower + (bound - lower) * (wanted - below) / count;
            return Some((seconds * 1000.0) as f32);
        }
        (below, lower) = (below + count, *bound);
    }
    Some((lower * 1000.0) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64, failed: u64) -> Totals {
        let mut totals = Totals { requests, failed, ..Totals::default() };
        // Between 2.5 and 5 ms.
        totals.buckets[3] = requests;
        totals
    }

    fn service() -> ServiceName {
        "greeter".parse().unwrap()
    }

    #[test]
    fn what_was_counted_between_two_steps_is_told() {
        let history = History::default();
        history.take_step(vec![(service(), totals(0, 0))]);
        assert_eq!((history.present("greeter"), history.points("greeter", 9)), (None, None));
        history.take_step(vec![(service(), totals(100, 10))]);
        history.take_step(vec![(service(), totals(150, 60))]);
        let points = history.points("greeter", STEPS).unwrap();
        let counts: Vec<_> = points.iter().map(|step| (step.requests, step.failed)).collect();
        assert_eq!(counts, [(100, 10), (50, 50)]);
        let present = history.present("greeter").unwrap();
        assert_eq!((present.rate, present.failed_share), (15.0, 0.4));
        assert!((present.p50_ms - 3.75).abs() < 0.01 && (present.p99_ms - 4.975).abs() < 0.01, "{present:?}");
        history.take_step(vec![(service(), totals(3, 0))]);
        assert_eq!(history.points("greeter", STEPS).unwrap()[2].requests, 3, "counted anew");
        history.take_step(Vec::new());
        assert_eq!(history.points("greeter", STEPS), None, "forgotten");
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let history = History::default();
        for step in 1..=400 {
            history.take_step(vec![(service(), totals(step, 0))]);
        }
        let kept = |history: &History| {
            let courses = history.courses.lock();
            (courses["greeter"].steps.len(), courses["greeter"].present.len())
        };
        assert_eq!(kept(&history), (STEPS, PRESENT));
        let points = history.points("greeter", 30).unwrap();
        assert_eq!((points.len(), points[0].requests), (30, 6));
        for _ in 0..PRESENT {
            history.take_step(vec![(service(), totals(400, 0))]);
        }
        assert_eq!(history.present("greeter"), None);
        assert!(history.points("greeter", 30).is_some());
        for _ in 0..STEPS {
            history.take_step(vec![(service(), totals(400, 0))]);
        }
        assert_eq!((kept(&history), history.points("greeter", 30)), ((0, 0), None));
        assert!(size_of::<Step>() * STEPS + size_of::<Buckets>() * PRESENT + size_of::<Course>() < 5 * 1024);
    }

    #[test]
    fn percentiles_lie_within_their_bucket() {
        let mut buckets = Buckets::default();
        assert_eq!(percentile(&buckets, 0.5), None);
        buckets[0] = 1;
        assert_eq!(percentile(&buckets, 0.5), Some(0.25));
        buckets[REQUEST_BUCKETS.len()] = 9;
        assert_eq!(percentile(&buckets, 0.99), Some(60_000.0), "beyond the last bound nothing is known");
    }
}
