//! Latency: how long an endpoint is expected to take, learnt from how long it took.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::{Ending, Outcome};
use crate::clock::Moment;

/// What is expected of an endpoint that was not heard yet, in milliseconds (linkerd2's default).
const FIRST_GUESS_MS: f32 = 30.0;
/// The time in which what was learnt fades to a third (Finagle's and linkerd2's default).
const DECAY: Duration = Duration::from_secs(10);
/// A failure counts as at least that long: to fail fast is no merit.
const FAILURE: Duration = Duration::from_secs(5);
/// Nothing counts as longer, whatever a provider asks for.
const LONGEST: Duration = Duration::from_secs(300);
/// Nothing is expected to take less, in milliseconds, so that load always counts.
const LEAST_MS: f32 = 0.001;
/// An endpoint not heard for so long is on trial when it is asked.
const UNHEARD: Duration = Duration::from_secs(1);
/// How long a trial lasts while nothing is heard.
const TRIAL: Duration = Duration::from_secs(5);

/// How long an endpoint is expected to take: a moving average that goes up to a peak at once and comes down slowly, as in
/// Finagle's `PeakEwma` and linkerd2's balancer.
///
/// While nothing is heard it comes down as well, so that who was slow is asked again some day. From then on until it is
/// heard, what was learnt last is expected once more: a single request finds out, and not all there are.
#[derive(Debug, Default)]
pub struct Latency {
    /// The average in milliseconds as bits of an `f32`, above the tick of the last answer; 0 before anybody looked. Written by
    /// workers after each attempt, read at picks.
    learnt: AtomicU64,
    /// The tick at which the present trial began, 0 without one. Written and read by workers at picks and after attempts.
    asked: AtomicU32,
}

/// A coarse time that fits 32 bits for two years: 16 ms, of which the decay is six hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tick(u32);

impl Tick {
    const MILLIS: u32 = 16;

    #[expect(clippy::cast_possible_truncation, reason = "counts round and round; only differences matter")]
    const fn of(now: Moment) -> Self {
        let tick = (now.to_bits() / Self::MILLIS as u64) as u32;
        // 0 stands for "never".
        Self(if tick == 0 { 1 } else { tick })
    }

    /// Ticks since an earlier one; 0 when that lies ahead.
    const fn since(self, earlier: Self) -> u32 {
        let ticks = self.0.wrapping_sub(earlier.0);
        if ticks > u32::MAX / 2 { 0 } else { ticks }
    }

    const fn in_time(time: Duration) -> u32 {
        (time.as_millis() / Self::MILLIS as u128) as u32
    }
}

impl Latency {
    /// What is expected at this moment, in milliseconds: positive and finite.
    pub fn expected_ms(&self, now: Moment) -> f32 {
        let now = Tick::of(now);
        let Some((average, heard)) = unpack(self.learnt.load(Ordering::Relaxed)) else {
            return self.begin(now);
        };
        let asked = self.asked.load(Ordering::Relaxed);
        if asked != 0 && now.since(Tick(asked)) < const { Tick::in_time(TRIAL) } {
            return average;
        }
        (average * kept(now.since(heard))).max(LEAST_MS)
    }

    /// What is expected at this moment, to the microsecond.
    pub fn expected(&self, now: Moment) -> Duration {
        Duration::from_micros((f64::from(self.expected_ms(now)) * 1000.0).round() as u64)
    }

    /// Notes that it is about to be asked: a trial, when it was not heard for a while.
    pub fn ask(&self, now: Moment) {
        let now = Tick::of(now);
        if let Some((_, heard)) = unpack(self.learnt.load(Ordering::Relaxed))
            && now.since(heard) >= const { Tick::in_time(UNHEARD) }
        {
            self.asked.store(now.0, Ordering::Relaxed);
        }
    }

    /// What is expected at this moment, in milliseconds, if anybody ever looked. Changes nothing.
    pub(super) fn look(&self, now: Moment) -> Option<f32> {
        (self.learnt.load(Ordering::Relaxed) != 0).then(|| self.expected_ms(now))
    }

    /// One of which this is expected at this moment; nothing, where nobody ever looked.
    pub(super) fn expecting(expected_ms: Option<f32>, now: Moment) -> Self {
        let learnt = expected_ms.map_or(0, |expected| pack(expected, Tick::of(now)));
        Self { learnt: AtomicU64::new(learnt), asked: AtomicU32::new(0) }
    }

    /// What is expected at this moment, if anybody ever looked.
    pub(super) fn known(&self, now: Moment) -> Option<Duration> {
        (self.learnt.load(Ordering::Relaxed) != 0).then(|| self.expected(now))
    }

    /// Takes over what an earlier process expected this long ago, faded by so much.
    pub fn recall(&self, expected: Duration, elapsed: Duration, now: Moment) {
        let kept = kept(Tick::in_time(elapsed.min(LONGEST)));
        self.learnt.store(pack(millis(expected) * kept, Tick::of(now)), Ordering::Relaxed);
    }

    /// Forgets everything: another process is there.
    pub(super) fn forget(&self) {
        self.learnt.store(0, Ordering::Relaxed);
        self.asked.store(0, Ordering::Relaxed);
    }

    /// Learns from how an attempt went.
    pub(super) fn note(&self, outcome: Outcome, ending: &Ending) {
        let counted = match outcome {
            Outcome::Success => ending.took,
            Outcome::Busy { pause } => ending.took.max(FAILURE).max(pause.unwrap_or_default()),
            Outcome::Overloaded { pause } => ending.took.max(FAILURE).max(pause),
            Outcome::Failure | Outcome::Late | Outcome::Broken | Outcome::Unreachable => {
                ending.took.max(FAILURE)
            }
        };
        self.learn(millis(counted), ending.now);
    }

    /// Learns from an attempt whose caller went away: it took at least so long.
    pub(super) fn note_at_least(&self, took: Duration, now: Moment) {
        if millis(took) > self.expected_ms(now) {
            self.learn(millis(took), now);
        }
    }

    fn learn(&self, sample: f32, now: Moment) {
        let now = Tick::of(now);
        let learnt = |word: u64| {
            let (average, heard) = unpack(word).unwrap_or((FIRST_GUESS_MS, now));
            let kept = kept(now.since(heard));
            // Below the average it is approached, the more the longer nothing was heard.
            let average = if sample >= average { sample } else { average * kept + sample * (1.0 - kept) };
            let later = if heard.since(now) > 0 { heard } else { now };
            Some(pack(average, later))
        };
        let _ = self.learnt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, learnt);
        if self.asked.load(Ordering::Relaxed) != 0 {
            self.asked.store(0, Ordering::Relaxed);
        }
    }

    /// The first guess, which fades from the first look on.
    #[cold]
    fn begin(&self, now: Tick) -> f32 {
        let guess = pack(FIRST_GUESS_MS, now);
        let _ = self.learnt.compare_exchange(0, guess, Ordering::Relaxed, Ordering::Relaxed);
        FIRST_GUESS_MS
    }
}

/// The part of an average that is kept after so many ticks.
fn kept(ticks: u32) -> f32 {
    const RATE: f32 = Tick::MILLIS as f32 / DECAY.as_millis() as f32;
    if ticks == 0 { 1.0 } else { (-(ticks as f32) * RATE).exp() }
}

/// A time in milliseconds, within the bounds of what counts.
fn millis(time: Duration) -> f32 {
    (time.min(LONGEST).as_secs_f32() * 1000.0).max(LEAST_MS)
}

fn pack(average: f32, heard: Tick) -> u64 {
    u64::from(average.max(LEAST_MS).to_bits()) << 32 | u64::from(heard.0)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the word")]
const fn unpack(word: u64) -> Option<(f32, Tick)> {
    if word == 0 { None } else { Some((f32::from_bits((word >> 32) as u32), Tick(word as u32))) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn ending(now: u64, took: u64) -> Ending {
        Ending { took: Duration::from_millis(took), ..Ending::at(at(now)) }
    }

    fn heard(latency: &Latency, now: u64, took: u64) {
        latency.note(Outcome::Success, &ending(now, took));
    }

    #[test]
    fn a_peak_is_believed_at_once_and_forgotten_slowly() {
        let latency = Latency::default();
        assert_eq!(latency.expected(at(0)), Duration::from_millis(30), "a guess");
        heard(&latency, 0, 200);
        assert_eq!(latency.expected(at(0)), Duration::from_millis(200));
        // What is heard each 100 ms pulls it down with the time constant of 10 s.
        for now in (100..=10_000).step_by(100) {
            heard(&latency, now, 20);
        }
        let expected = latency.expected_ms(at(10_000));
        assert!((20.0 + 180.0 * 0.33..20.0 + 180.0 * 0.42).contains(&expected), "{expected}");
        heard(&latency, 10_000, 150);
        assert!((latency.expected_ms(at(10_000)) - 150.0).abs() < 0.01);
    }

    #[test]
    fn a_guess_fades_from_the_first_look_on_and_what_was_learnt_from_the_last_answer_on() {
        let latency = Latency::default();
        assert!((latency.expected_ms(at(500_000)) - 30.0).abs() < 0.01);
        assert!(latency.expected_ms(at(530_000)) < 30.0 * 0.051);
        heard(&latency, 530_000, 100);
        assert!((latency.expected_ms(at(540_000)) - 100.0 * 0.3679).abs() < 1.0);
        let long_after = latency.expected_ms(at(10_000_000));
        assert!(long_after > 0.0 && long_after <= LEAST_MS);
    }

    #[test]
    fn to_fail_fast_is_no_merit() {
        let busy = |pause| Outcome::Busy { pause };
        let hour = Some(Duration::from_secs(3600));
        for (outcome, took, counted) in [
            (Outcome::Failure, 1, 5_000),
            (Outcome::Broken, 1, 5_000),
            (Outcome::Unreachable, 0, 5_000),
            (Outcome::Late, 8_000, 8_000),
            (busy(None), 1, 5_000),
            (busy(Some(Duration::from_secs(1))), 1, 5_000),
            (busy(Some(Duration::from_secs(20))), 1, 20_000),
            (busy(hour), 1, 300_000),
            (Outcome::Overloaded { pause: Duration::from_secs(20) }, 1, 20_000),
            (Outcome::Success, 86_400_000, 300_000),
        ] {
            let latency = Latency::default();
            latency.note(outcome, &ending(7, took));
            assert_eq!(latency.expected(at(7)), Duration::from_millis(counted), "{outcome:?}");
        }
    }

    #[test]
    fn a_single_request_finds_out_about_one_that_was_not_heard_for_long() {
        let latency = Latency::default();
        latency.note(Outcome::Failure, &ending(0, 1));
        assert!(latency.expected_ms(at(60_000)) < 13.0, "it may have another chance");
        latency.ask(at(60_000));
        assert!(latency.expected_ms(at(60_000)) >= 5_000.0, "somebody is asking it");
        assert!(latency.expected_ms(at(64_000)) >= 5_000.0);
        assert!(latency.expected_ms(at(66_000)) < 13.0, "nothing came of that");
        latency.ask(at(66_000));
        heard(&latency, 66_100, 20);
        let expected = latency.expected_ms(at(66_100));
        assert!((20.0..28.0).contains(&expected), "{expected}");
        latency.ask(at(66_200));
        assert!(latency.expected_ms(at(66_200)) < 28.0, "it was heard just now, and is no trial");
    }

    #[test]
    fn whose_caller_went_away_took_at_least_so_long() {
        let latency = Latency::default();
        heard(&latency, 0, 50);
        latency.note_at_least(Duration::from_millis(10), at(0));
        assert_eq!(latency.expected(at(0)), Duration::from_millis(50));
        latency.note_at_least(Duration::from_millis(900), at(0));
        assert_eq!(latency.expected(at(0)), Duration::from_millis(900));
    }

    #[test]
    fn what_another_process_learnt_is_taken_over() {
        let latency = Latency::default();
        latency.recall(Duration::from_millis(250), Duration::ZERO, at(0));
        assert_eq!(latency.expected(at(0)), Duration::from_millis(250));
    }

    #[test]
    fn two_workers_leave_a_sane_value() {
        let latency = Latency::default();
        let work = |took: u64| {
            for now in 0..20_000 {
                heard(&latency, now, took);
                let expected = latency.expected_ms(at(now));
                assert!((10.0..=90.0).contains(&expected), "{expected}");
                latency.ask(at(now));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| work(10));
            work(90);
        });
    }

    proptest! {
        #[test]
        fn is_positive_finite_and_bounded_whatever_happens(
            steps in prop::collection::vec((0_u64..u64::MAX, 0_u64..u64::MAX, 0_u8..4), 1..40),
        ) {
            let latency = Latency::default();
            for (now, took, what) in steps {
                // Time may also stand far apart, and run backwards between workers.
                let now = now >> (took % 64);
                match what {
                    0 => latency.ask(at(now)),
                    1 => latency.note(Outcome::Busy { pause: Some(Duration::from_millis(took)) }, &ending(now, took)),
                    2 => latency.note_at_least(Duration::from_millis(took), at(now)),
                    _ => heard(&latency, now, took),
                }
                let expected = latency.expected_ms(at(now));
                prop_assert!((LEAST_MS..=300_000.0).contains(&expected), "{}", expected);
            }
        }

        #[test]
        fn stays_between_the_least_and_the_most_heard(tooks in prop::collection::vec(1_u64..10_000, 1..40), step in 0_u64..2_000) {
            let latency = Latency::default();
            let mut now = 0;
            for took in &tooks {
                heard(&latency, now, *took);
                now += step;
            }
            let last = latency.expected_ms(at(now.saturating_sub(step)));
            let (least, most) = (*tooks.iter().min().unwrap(), *tooks.iter().max().unwrap());
            prop_assert!(last >= (least.min(30) as f32) * 0.999 && last <= (most.max(30) as f32) * 1.001);
        }
    }
}
