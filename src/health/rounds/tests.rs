//! How often who is checked, played over hours in a moment.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::balance::rng;
use crate::catalog::{Claim, Members};
use crate::check::{Check, CheckKind};
use crate::endpoint::{Counts, Memory};
use crate::provider::Provider;

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn endpoints(first: u64, count: u64) -> Vec<Endpoint> {
    let endpoint = |number: u64| {
        let address: crate::provider::Address =
            format!("10.{}.{}.1:80", number / 250, number % 250).parse().unwrap();
        let provider = Provider::new("p", address.clone());
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(number, address)))
    };
    (first..first + count).map(endpoint).collect()
}

fn using(service: &str, endpoints: &[Endpoint], used: Moment) -> Use {
    let service: ServiceName = service.parse().unwrap();
    let claim = Claim::on(service.clone(), crate::balance::Policy::default());
    let members = Members::of(endpoints.into());
    let mut rng = rng::for_worker(1, 1);
    let snapshot = Snapshot::new(&members, &claim, &Snapshot::not_listed(), at(0), &mut rng);
    Use { service, used, snapshot: Arc::new(snapshot) }
}

fn checks(kind: CheckKind, interval: u64) -> Arc<Checks> {
    let check = Check { kind, interval: Duration::from_millis(interval), ..Check::default() };
    let usual = Some(Arc::new(ServiceCheck { check, tls: None }));
    Arc::new(Checks { usual, ..Checks::default() })
}

/// Plays the time from `from` to `to` in steps of 50 ms, with checks that end at once; who was checked when.
fn play(rounds: &mut Rounds, uses: &[Use], checks: &Arc<Checks>, from: u64, to: u64) -> Vec<(u64, u64)> {
    let mut begun = Vec::new();
    for now in (from..to).step_by(50) {
        if now % 500 == 0 {
            rounds.adopt(uses, checks, at(now));
        }
        for job in rounds.due(at(now), 0) {
            begun.push((now, job.endpoint.memory.number));
            assert!(rounds.done(&job, at(now)));
        }
    }
    begun
}

fn count(begun: &[(u64, u64)], from: u64, to: u64) -> usize {
    begun.iter().filter(|(now, _)| (from..to).contains(now)).count()
}

#[test]
fn each_is_checked_once_in_an_interval_spread_over_it() {
    let (mut rounds, checks) = (Rounds::new(1), checks(CheckKind::Tcp, 5000));
    let uses = [using("greeter", &endpoints(0, 100), at(3_600_000))];
    let begun = play(&mut rounds, &uses, &checks, 0, 60_000);
    assert!((1100..1350).contains(&begun.len()), "{} in a minute", begun.len());
    for second in 0..60 {
        let in_second = count(&begun, second * 1000, second * 1000 + 1000);
        assert!((5..=40).contains(&in_second), "{in_second} in second {second}, 20 on average");
    }
    // A hundred new ones do not make a herd either.
    let more = [endpoints(0, 100), endpoints(100, 100)].concat();
    let begun = play(&mut rounds, &[using("greeter", &more, at(3_600_000))], &checks, 60_000, 65_000);
    let new = begun.iter().filter(|(_, number)| *number >= 100).count();
    assert!((95..=110).contains(&new), "{new} checks of new ones in their first interval");
    assert!((0..10).all(|half| count(&begun, 60_000 + half * 500, 60_500 + half * 500) <= 40));
}

#[test]
fn an_idle_service_is_checked_less_and_at_once_again_when_it_is_asked_for() {
    let (mut rounds, checks) = (Rounds::new(2), checks(CheckKind::Tcp, 5000));
    let all = endpoints(0, 20);
    let idle = [using("greeter", &all, at(0))];
    let begun = play(&mut rounds, &idle, &checks, 0, 1_200_000);
    let busy = count(&begun, 0, 30_000);
    assert!((110..140).contains(&busy), "{busy} in the first half minute");
    let late = count(&begun, 900_000, 1_200_000);
    assert!((60..90).contains(&late), "{late} in five minutes at a sixteenth of the rate");
    let wanted = [Use { used: at(1_200_000), ..idle[0].clone() }];
    let begun = play(&mut rounds, &wanted, &checks, 1_200_000, 1_206_000);
    let seen: BTreeSet<u64> = begun.iter().map(|(_, number)| *number).collect();
    assert_eq!(seen.len(), 20, "all within an interval");
    assert!((0..5).all(|second| count(&begun, 1_200_000 + second * 1000, 1_201_000 + second * 1000) <= 12));
}

#[test]
fn who_is_not_checked_any_more_counts_as_well() {
    let mut rounds = Rounds::new(3);
    let tcp = checks(CheckKind::Tcp, 5000);
    let all = endpoints(0, 3);
    let counts = Counts { rise: 1, fall: 1 };
    let fail = |number: usize| all[number].memory.check(Err("no"), counts, at(1));
    rounds.adopt(&[using("greeter", &all, at(0))], &tcp, at(0));
    assert!(fail(0) && fail(2));
    let fewer = [using("greeter", &all[..2], at(0))];
    rounds.adopt(&fewer, &tcp, at(500));
    assert!(!all[0].is_available() && all[2].is_available(), "the third is not used any more");
    let job = rounds.due(at(9000), 0).pop().expect("every turn has come by then");
    let none = Arc::new(Checks::default());
    rounds.adopt(&fewer, &none, at(9500));
    assert!(all[0].is_available() && rounds.is_empty());
    assert!(!rounds.done(&job, at(9500)), "what it found is of no interest");
    assert!(fail(1));
    rounds.adopt(&[using("greeter", &all, at(0))], &none, at(10_000));
    assert!(all[1].is_available(), "nobody would find that it is well");
}

#[test]
fn no_more_run_at_a_time_than_may_and_what_hangs_is_not_asked_twice() {
    let (mut rounds, checks) = (Rounds::new(4), checks(CheckKind::Tcp, 1000));
    let uses = [using("greeter", &endpoints(0, 1000), at(0))];
    let mut running = Vec::new();
    for now in (0..30_000).step_by(50) {
        rounds.adopt(&uses, &checks, at(now));
        running.extend(rounds.due(at(now), running.len()));
    }
    let numbers: BTreeSet<u64> = running.iter().map(|job| job.endpoint.memory.number).collect();
    assert_eq!((running.len(), numbers.len()), (RUNNING_MAX, RUNNING_MAX));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes and goes: a bounded rate over all, no endpoint sooner than its interval allows, and each in time as
    /// long as the rate allows it.
    #[test]
    fn the_rate_is_bounded(
        seed in any::<u64>(),
        counts in prop::collection::vec(0..600_u64, 1..8),
        interval in prop::sample::select(vec![100_u64, 1000, 5000]),
        busy in any::<bool>(),
    ) {
        let (mut rounds, checks) = (Rounds::new(seed), checks(CheckKind::Tcp, interval));
        let mut begun = Vec::new();
        for (phase, count) in (0_u64..).zip(&counts) {
            let from = phase * 20_000;
            let used = if busy || phase % 3 == 0 { at(from + 20_000) } else { at(0) };
            let uses = [using("greeter", &endpoints(phase % 2 * 50, *count), used)];
            begun.extend(play(&mut rounds, &uses, &checks, from, from + 20_000));
        }
        let end = counts.len() as u64 * 20_000;
        for from in (0..end).step_by(250) {
            let started = count(&begun, from, from + 1000);
            prop_assert!(started <= (RATE_MAX + BURST_MAX) as usize, "{started} in a second from {from}");
        }
        let mut last: HashMap<u64, (u64, u64)> = HashMap::new();
        for (now, number) in begun {
            if let Some((before, phase)) = last.insert(number, (now, now / 20_000)) {
                // One that went and came back is new.
                let stayed = phase == now / 20_000;
                prop_assert!(!stayed || now - before >= interval * 9 / 10, "after {} ms", now - before);
            }
        }
    }
}
