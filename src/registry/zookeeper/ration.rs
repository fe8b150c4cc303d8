//! How often one service is read when its changes come fast: the first few at once, then a few times a second.

use std::time::Duration;

use tokio::time::Instant;

use super::session::varied;

/// The least time between two readings; varied by half. What is read sooner is held back by the catalog in any case.
const APART: Duration = Duration::from_millis(50);
/// The time between two readings in the long run; varied by half, so that a fleet that heard at one time drifts apart.
const APART_IN_THE_LONG_RUN: Duration = Duration::from_millis(250);
/// How far readings may run ahead of that: five in a row after a quiet second.
const AHEAD: Duration = Duration::from_secs(1);

/// How often one service is read. One change costs every sidecar one reading: at 10,000 of them, and four a second, that is
/// as much as an ensemble can answer.
pub(super) struct Ration {
    /// When the next reading may be, at the soonest.
    next: Instant,
    /// When all readings so far are paid for.
    paid: Instant,
}

impl Ration {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, paid: now }
    }

    /// How long the next reading has to wait.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let debt = self.paid.saturating_duration_since(now);
        self.next.saturating_duration_since(now).max(debt.saturating_sub(AHEAD))
    }

    /// Notes a reading.
    pub(super) fn take(&mut self, now: Instant) {
        self.next = now + varied(APART);
        self.paid = self.paid.max(now) + varied(APART_IN_THE_LONG_RUN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When readings take place, if one is always asked for.
    fn readings(within: Duration) -> Vec<Duration> {
        let begin = Instant::now();
        let (mut now, mut ration, mut readings) = (begin, Ration::new(begin), Vec::new());
        while now < begin + within {
            readings.push(now - begin);
            ration.take(now);
            now += ration.wait(now);
        }
        readings
    }

    #[test]
    fn the_first_is_at_once_a_few_follow_closely_and_then_it_is_four_a_second() {
        let readings = readings(Duration::from_mins(1));
        assert_eq!(readings[0], Duration::ZERO);
        assert!(readings[3] <= APART * 3 * 3 / 2, "{:?}", &readings[..6]);
        assert!((220..=270).contains(&readings.len()), "{} in a minute", readings.len());
        let apart = readings.windows(2).map(|pair| pair[1] - pair[0]);
        let (least, most) = (apart.clone().min().unwrap(), apart.max().unwrap());
        assert!(least >= APART / 2 && most <= APART_IN_THE_LONG_RUN * 3 / 2, "{least:?} {most:?}");
    }

    #[test]
    fn a_change_now_and_then_never_waits() {
        let mut now = Instant::now();
        let mut ration = Ration::new(now);
        for _ in 0..1000 {
            assert_eq!(ration.wait(now), Duration::ZERO);
            ration.take(now);
            now += Duration::from_millis(400);
        }
    }
}
