//! Eleven providers in simulated time: how the policies compare where nothing but the choice tells them apart.
//!
//! Each request goes through a real snapshot and tells the real memory how it went; only the providers are played, and time
//! passes as fast as it can.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use wayside::balance::{Ask, rng};
use wayside::catalog::{Claim, Members, Snapshot};
use wayside::clock::Moment;
use wayside::endpoint::{Care, Ejecting, Ending, Endpoint, LoadGuard, Memory, Outcome, Said, Verdict};
use wayside::provider::{Address, Provider};

use super::*;

/// Requests in a second, at random moments.
const RATE: f64 = 1000.0;
/// How long a request waits for its answer.
const LIMIT: Duration = Duration::from_secs(1);

/// What a provider does with a request: how long it takes, and how it ends.
type Play = fn(provider: usize, at: Duration, luck: f64) -> (Duration, Outcome);

/// What became of the requests of a run.
struct Played {
    success: f64,
    /// The times of those that succeeded, in order.
    times: Vec<Duration>,
    /// Requests at each provider from some moment on.
    counts: Vec<usize>,
}

impl Played {
    fn percentile(&self, part: f64) -> Duration {
        self.times[((self.times.len() - 1) as f64 * part) as usize]
    }
}

fn endpoints(count: usize) -> Arc<[Endpoint]> {
    let endpoint = |number: usize| {
        let address: Address = format!("10.0.0.{}:80", number + 10).parse().unwrap();
        let provider = Provider::new(address.to_string(), address.clone());
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(number as u64, address)))
    };
    (0..count).map(endpoint).collect()
}

/// Plays this for so long; requests are counted per provider from `counted` on.
fn run(
    policy: Policy,
    ejecting: Option<Ejecting>,
    providers: usize,
    whole: Duration,
    counted: Duration,
    play: Play,
) -> Played {
    let care = Care { ejecting, ..Care::default() };
    let members = Members { care: care.into(), ..Members::of(endpoints(providers)) };
    let mut rng = rng::for_worker(7, 0);
    let claim = Claim::on("svc".parse().unwrap(), policy);
    let snapshot = Snapshot::new(&members, &claim, &Snapshot::not_listed(), Moment::START, &mut rng);
    let mut ends: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
    let mut running: Vec<Option<(LoadGuard, Duration, Outcome)>> = Vec::new();
    let mut played = Played { success: 0.0, times: Vec::new(), counts: vec![0; providers] };
    let end = |at: Duration,
               number: usize,
               running: &mut Vec<Option<(LoadGuard, Duration, Outcome)>>,
               rng: &mut SmallRng| {
        let (guard, took, outcome) = running[number].take().unwrap();
        let (memory, now) = (guard.memory(), Moment::START.after(at));
        let ending = Ending { now, begun: now.before(took), took, luck: rng.random() };
        if let Verdict::Suspect(grounds) = memory.note(outcome, Said::Nothing, ending, &snapshot.care) {
            memory.eject(grounds, ending, &snapshot.care, &snapshot.peers(memory));
        }
        (outcome == Outcome::Success).then_some(took)
    };
    let mut at = Duration::ZERO;
    while at < whole {
        while let Some(Reverse((ended, number))) =
            ends.peek().copied().filter(|Reverse((ended, _))| *ended <= at)
        {
            ends.pop();
            played.times.extend(end(ended, number, &mut running, &mut rng));
        }
        let picked = snapshot.pick(&mut Ask::new(Moment::START.after(at), &mut rng)).unwrap();
        let provider = usize::try_from(picked.memory.number).unwrap();
        let (takes, outcome) = play(provider, at, rng.random());
        let (took, outcome) = if takes > LIMIT { (LIMIT, Outcome::Late) } else { (takes, outcome) };
        if at >= counted {
            played.counts[provider] += 1;
        }
        ends.push(Reverse((at + took, running.len())));
        running.push(Some((picked.memory.begin(), took, outcome)));
        // The time to the next one, as of a Poisson process.
        at += Duration::from_secs_f64(-(1.0 - rng.random::<f64>()).ln() / RATE);
    }
    while let Some(Reverse((ended, number))) = ends.pop() {
        played.times.extend(end(ended, number, &mut running, &mut rng));
    }
    played.success = played.times.len() as f64 / running.len() as f64;
    played.times.sort();
    played
}

/// Half a minute of a minute one takes two seconds; the others 10 ms, more or less.
fn one_turns_slow(provider: usize, at: Duration, luck: f64) -> (Duration, Outcome) {
    let is_slow = provider == 4 && at >= Duration::from_secs(15) && at < Duration::from_secs(45);
    let takes = if is_slow { 2.0 } else { 0.005 + 0.01 * luck };
    (Duration::from_secs_f64(takes), Outcome::Success)
}

#[test]
fn who_looks_at_what_happens_does_not_notice_a_slow_provider() {
    let whole = Duration::from_mins(1);
    for (policy, least) in [
        (Policy::RoundRobin, 0.94),
        (Policy::Random, 0.94),
        (Policy::Maglev, 0.94),
        (Policy::LeastRequest, 0.99),
        (Policy::PeakEwma, 0.999),
    ] {
        let played = run(policy, None, 11, whole, Duration::ZERO, one_turns_slow);
        println!(
            "one of 11 slow, simulated, {policy}: {:.3} % succeed, p50 {:.1?}, p99.9 {:.1?}; {} went to the slow one",
            played.success * 100.0,
            played.percentile(0.5),
            played.percentile(0.999),
            played.counts[4],
        );
        assert!(played.success >= least, "{policy}: {}", played.success);
    }
}

/// One says within a millisecond how it is; the others take 20 ms.
fn one_is_quick_to_say(outcome: Outcome, provider: usize, luck: f64) -> (Duration, Outcome) {
    if provider == 4 {
        (Duration::from_millis(1), outcome)
    } else {
        (Duration::from_secs_f64(0.015 + 0.01 * luck), Outcome::Success)
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn one_fails(provider: usize, _at: Duration, luck: f64) -> (Duration, Outcome) {
    one_is_quick_to_say(Outcome::Failure, provider, luck)
}

fn one_fails_and_says_until_when(provider: usize, _at: Duration, luck: f64) -> (Duration, Outcome) {
    one_is_quick_to_say(Outcome::Overloaded { pause: SECOND }, provider, luck)
}

fn one_is_busy(provider: usize, _at: Duration, luck: f64) -> (Duration, Outcome) {
    one_is_quick_to_say(Outcome::Busy { pause: None }, provider, luck)
}

fn one_is_busy_and_says_until_when(provider: usize, _at: Duration, luck: f64) -> (Duration, Outcome) {
    one_is_quick_to_say(Outcome::Busy { pause: Some(SECOND) }, provider, luck)
}

/// It is ejected, and its trials are told to come back later.
fn one_fails_then_is_busy(provider: usize, at: Duration, luck: f64) -> (Duration, Outcome) {
    if at < SECOND { one_fails(provider, at, luck) } else { one_is_busy(provider, at, luck) }
}

#[test]
fn who_fails_fast_or_wants_less_gets_little() {
    for (what, play) in [
        ("answers 503", one_fails as Play),
        ("answers 503 with Retry-After: 1", one_fails_and_says_until_when),
        ("answers 429", one_is_busy),
        ("answers 429 with Retry-After: 1", one_is_busy_and_says_until_when),
        ("answers 503, and 429 from then on", one_fails_then_is_busy),
    ] {
        for policy in Policy::ALL {
            let played = run(policy, Some(Ejecting::USUAL), 11, 12 * SECOND, 2 * SECOND, play);
            let share = played.counts[4] as f64 / played.counts.iter().sum::<usize>() as f64;
            println!(
                "one of 11 {what} in 1 ms, simulated, {policy}: {:.3} % of requests after 2 s",
                share * 100.0
            );
            assert!(share < 0.02, "{what}, {policy}: {share}");
        }
    }
}

/// All want less than there is: each says so to every other request.
fn all_are_busy(_provider: usize, _at: Duration, luck: f64) -> (Duration, Outcome) {
    let outcome = if luck < 0.5 { Outcome::Busy { pause: Some(10 * SECOND) } } else { Outcome::Success };
    (Duration::from_millis(5), outcome)
}

#[test]
fn where_all_want_less_each_gets_its_share() {
    for policy in Policy::ALL {
        let played = run(policy, Some(Ejecting::USUAL), 10, 5 * SECOND, SECOND, all_are_busy);
        let all: usize = played.counts.iter().sum();
        println!("all of 10 answer every other request with 429, simulated, {policy}: {:?}", played.counts);
        assert!(played.counts.iter().all(|count| count * 10 > all / 2 && count * 10 < all * 2), "{policy}");
    }
}
