//! One provider of eleven fails, or asks for less, faster than the others answer: how much of the traffic it gets, by policy.

use super::*;
use crate::support::staffed::{Staffed, Work};
use crate::support::steady::Steady;

/// What an answer takes at the ten that are well, and what the failure of the other takes.
const WELL: Duration = Duration::from_millis(20);
const FAST: Duration = Duration::from_millis(1);
/// By then a provider that fails is found out.
const FOUND_OUT: Duration = Duration::from_secs(2);
/// The share of traffic that it gets from then on, at most.
const SHARE: f64 = 0.02;

/// The share of traffic that the one gets once it was found out, and of requests that failed in all.
async fn shares(policy: Policy, status: u16, retry_after: u16) -> (f64, f64) {
    let mut providers = vec![Staffed::start(Work::of(FAST)).await];
    providers[0].says(status);
    providers[0].asks_for(retry_after);
    providers.extend(Staffed::several(10, Work::of(WELL)).await);
    let addresses: Vec<String> = providers.iter().map(|provider| provider.address.to_string()).collect();
    let text = format!("[services]\npolicy = \"{policy}\"\n[retries]\nmax = 0\n");
    let running = proxy(&format!("fixed:greeter={}", addresses.join(",")), &text);
    let _claim = claim_on_greeter(&running).await;
    let requests = || {
        let counts = providers.iter().map(Staffed::requests);
        (providers[0].requests(), counts.sum::<usize>())
    };
    let mut before = None;
    let steady = Steady { proxy: running.listeners[0], service: "greeter", rate: either(400, 1000) };
    let figures = steady
        .run(FOUND_OUT + either(Duration::from_secs(2), Duration::from_secs(10)), |passed| {
            if passed >= FOUND_OUT && before.is_none() {
                before = Some(requests());
            }
        })
        .await;
    let ((failing, all), before) = (requests(), before.unwrap());
    let share = (failing - before.0) as f64 / (all - before.1) as f64;
    println!(
        "one of 11 answers {status} (Retry-After: {retry_after}) in {FAST:?}, {policy}: {} of the first {} requests went to it, and {} of the {} after \
         {FOUND_OUT:?}, {:.2} %; {figures}",
        before.0,
        before.1,
        failing - before.0,
        all - before.1,
        100.0 * share
    );
    (share, 1.0 - figures.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_fails_fast_is_no_magnet() {
    for policy in Policy::ALL {
        is_no_magnet(policy, 503, 0).await;
    }
}

/// What the other policies do then is simulated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_that_asks_for_less() {
    for policy in [Policy::LeastRequest, Policy::RoundRobin] {
        for (status, retry_after) in [(503, 1), (429, 0), (429, 1)] {
            is_no_magnet(policy, status, retry_after).await;
        }
    }
}

async fn is_no_magnet(policy: Policy, status: u16, retry_after: u16) {
    let (share, failed) = shares(policy, status, retry_after).await;
    assert!(share < SHARE, "{policy}, {status}: {share}");
    assert!(failed < SHARE, "{policy}, {status}: {failed}");
}
