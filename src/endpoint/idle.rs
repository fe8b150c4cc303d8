//! How long a connection to an endpoint may idle before the provider closes it, as the provider says or lets us see.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// What we keep clear of a timeout that the provider told, so that its end and our request do not cross: a second, as its
/// clock may run while an answer is still on its way; half of it where it is shorter than two.
const MARGIN: Duration = Duration::from_secs(1);

/// The longest that a provider's word makes connections idle: proxies and firewalls between have timeouts too.
const LONGEST: Duration = Duration::from_mins(1);

/// How much later a second close has to come to be one of its own: a provider that ends closes all its connections at once.
const APART: Duration = Duration::from_secs(1);

/// How long closes are believed after the last one: providers are restarted with other settings.
const MEMORY: Duration = Duration::from_mins(5);

/// Closes it takes to be believed, so that a provider that was restarted twice is not.
const ENOUGH: u32 = 3;

/// What was learnt of how long connections may idle.
///
/// Three closes of idle connections, each a second or more after the last, teach a limit of three quarters of the shortest, for five
/// minutes. A connection that was used after idling half as long again as the shortest proves that there is no such limit.
#[derive(Debug, Default)]
pub struct Idling {
    /// The timeout that the provider told, in milliseconds; 0 if it told none. Written by workers at the first answer on a
    /// connection, read when an idle connection is looked for.
    told: AtomicU32,
    /// The shortest idling, in milliseconds and one more, after which the provider closed; 0 if it did not. Written at such
    /// closes, read when an idle connection is looked for or was used.
    shortest: AtomicU32,
    /// Such closes, apart from each other.
    closes: AtomicU32,
    /// The bits of the moment of the last close.
    last: AtomicU64,
}

/// Where a limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teacher {
    /// The `Keep-Alive` header of the provider.
    Word,
    /// Closes of idle connections.
    Closes,
}

impl Teacher {
    /// What an operator is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Word => "the provider says in Keep-Alive how long it keeps them",
            Self::Closes => "the provider was seen to close idle ones",
        }
    }
}

impl Idling {
    /// Notes the timeout that the provider told of.
    pub fn told(&self, timeout: Duration) {
        let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        if self.told.load(Ordering::Relaxed) != millis {
            self.told.store(millis, Ordering::Relaxed);
        }
    }

    /// Notes that the provider closed a connection after it had idled so long.
    ///
    /// What two workers note at once may count as one; the next close mends that.
    pub fn closed(&self, idled: Duration, now: Moment) {
        let last = Moment::from_bits(self.last.load(Ordering::Relaxed));
        let idled = u32::try_from(idled.as_millis()).unwrap_or(u32::MAX).saturating_add(1);
        let known = self.shortest.load(Ordering::Relaxed);
        let since = last.map(|last| now.since(last));
        if known == 0 || since.is_none_or(|since| since >= MEMORY) {
            self.shortest.store(idled, Ordering::Relaxed);
            self.closes.store(1, Ordering::Relaxed);
        } else {
            self.shortest.fetch_min(idled, Ordering::Relaxed);
            if since.is_some_and(|since| since >= APART) {
                let closes = self.closes.load(Ordering::Relaxed);
                self.closes.store(closes.saturating_add(1), Ordering::Relaxed);
            } else {
                return;
            }
        }
        self.last.store(now.to_bits(), Ordering::Relaxed);
    }

    /// Notes that a connection which had idled so long was of use. Costs a load where nothing is to be learnt from it.
    pub fn outlived(&self, idled: Duration) {
        let shortest = self.shortest.load(Ordering::Relaxed);
        if shortest != 0 && idled.as_millis() > u128::from(shortest) * 3 / 2 {
            self.closes.store(0, Ordering::Relaxed);
            self.shortest.store(0, Ordering::Relaxed);
        }
    }

    /// How long a connection may idle; as usual, where nothing else was learnt.
    pub fn limit(&self, usual: Duration, now: Moment) -> Duration {
        match self.learnt(now) {
            // Where the operator wants none to be kept, none is.
            Some(_) if usual.is_zero() => usual,
            Some((limit, Teacher::Word)) => limit,
            Some((limit, Teacher::Closes)) => limit.min(usual),
            None => usual,
        }
    }

    /// What was learnt, and from what: the shorter of both, if both.
    pub fn learnt(&self, now: Moment) -> Option<(Duration, Teacher)> {
        let told = Duration::from_millis(self.told.load(Ordering::Relaxed).into());
        let told = (!told.is_zero()).then(|| ((told - MARGIN.min(told / 2)).min(LONGEST), Teacher::Word));
        let seen = self.seen(now).map(|shortest| (shortest * 3 / 4, Teacher::Closes));
        match (told, seen) {
            (Some(told), Some(seen)) => Some(if seen.0 < told.0 { seen } else { told }),
            (told, seen) => told.or(seen),
        }
    }

    fn seen(&self, now: Moment) -> Option<Duration> {
        let shortest = self.shortest.load(Ordering::Relaxed);
        if shortest == 0 || self.closes.load(Ordering::Relaxed) < ENOUGH {
            return None;
        }
        let last = Moment::from_bits(self.last.load(Ordering::Relaxed))?;
        (now.since(last) < MEMORY).then(|| Duration::from_millis(u64::from(shortest - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(4);

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    #[test]
    fn a_provider_says_how_long_it_keeps_connections() {
        let idling = Idling::default();
        assert_eq!((idling.limit(USUAL, at(0)), idling.learnt(at(0))), (USUAL, None));
        for (told, limit) in
            [(5_000, 4_000), (2_000, 1_000), (1_000, 500), (30_000, 29_000), (3_600_000, 60_000)]
        {
            idling.told(millis(told));
            assert_eq!(idling.limit(USUAL, at(0)), millis(limit), "{told}");
        }
        assert_eq!(idling.limit(Duration::ZERO, at(0)), Duration::ZERO, "the operator wants none");
        idling.told(Duration::ZERO);
        assert_eq!(idling.limit(USUAL, at(0)), USUAL, "that is no word to go by");
    }

    #[test]
    fn few_closes_teach_nothing_and_three_apart_do_for_a_while() {
        let idling = Idling::default();
        idling.closed(millis(2_000), at(10));
        idling.closed(millis(2_100), at(10));
        idling.closed(millis(2_200), at(11));
        assert_eq!(idling.limit(USUAL, at(11)), USUAL, "some may have ended together");
        idling.closed(millis(2_400), at(20));
        assert_eq!(idling.limit(USUAL, at(20)), millis(1_500));
        assert_eq!(idling.learnt(at(20)), Some((millis(1_500), Teacher::Closes)));
        assert_eq!(idling.limit(USUAL, at(319)), millis(1_500));
        assert_eq!(idling.limit(USUAL, at(320)), USUAL, "it is forgotten");
        idling.closed(millis(3_000), at(400));
        assert_eq!(idling.limit(USUAL, at(400)), USUAL, "and begins anew");
        idling.closed(millis(3_000), at(402));
        idling.closed(millis(3_000), at(404));
        assert_eq!(idling.limit(USUAL, at(404)), millis(2_250));
    }

    #[test]
    fn a_connection_that_lived_longer_proves_the_close_an_accident() {
        let idling = Idling::default();
        idling.closed(millis(200), at(10));
        idling.outlived(millis(290));
        idling.closed(millis(200), at(15));
        idling.closed(millis(200), at(20));
        assert_eq!(idling.limit(USUAL, at(20)), millis(150), "a timeout may be a little longer at times");
        idling.outlived(millis(310));
        assert_eq!(idling.limit(USUAL, at(20)), USUAL);
        idling.closed(millis(1), at(30));
        assert_eq!(idling.limit(USUAL, at(30)), USUAL, "one alone, again");
    }

    #[test]
    fn the_shorter_of_word_and_closes_counts_and_closes_lengthen_nothing() {
        let idling = Idling::default();
        idling.told(millis(10_000));
        for second in [1, 2, 3] {
            idling.closed(millis(2_000), at(second));
        }
        assert_eq!(idling.limit(USUAL, at(3)), millis(1_500));
        let idling = Idling::default();
        for second in [1, 2, 3] {
            idling.closed(millis(60_000), at(second));
        }
        assert_eq!(idling.limit(USUAL, at(3)), USUAL);
        idling.closed(Duration::MAX, at(5));
        idling.closed(Duration::ZERO, at(7));
        assert_eq!(idling.limit(USUAL, at(7)), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        let idling = Idling::default();
        idling.closed(millis(100), at(10));
        idling.closed(millis(100), at(5));
        assert_eq!(idling.limit(USUAL, at(1)), USUAL);
    }
}
