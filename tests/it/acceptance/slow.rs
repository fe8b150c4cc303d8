//! One provider of eleven turns slow for half of the time: how many requests still succeed, by policy.
//!
//! The experiment is a public one, in which 1,000 requests a second meet one provider of eleven that takes two seconds for
//! half a minute, with a time limit of one second and no retries.

use super::*;
use crate::support::modelled::Modelled;
use crate::support::steady::{Figures, Steady};

const PROVIDERS: usize = 11;
/// What an answer takes at a provider that is well.
const WELL: Duration = Duration::from_millis(10);
/// What it takes at one that is not: more than a request may take in all.
const SLOW: Duration = Duration::from_secs(2);

/// What becomes of requests under a policy.
async fn figures(policy: Policy) -> Figures {
    let providers = Modelled::several(PROVIDERS, WELL).await;
    let text = format!(
        "[services]\npolicy = \"{policy}\"\n[timeouts]\nrequest = \"1s\"\n[retries]\nmax = 0\nidempotent = false\n"
    );
    let running = proxy(&Modelled::url("greeter", &providers), &text);
    let _claim = claim_on_greeter(&running).await;
    let whole = either(Duration::from_secs(8), Duration::from_mins(1));
    let steady = Steady { proxy: running.listeners[0], service: "greeter", rate: either(400, 1000) };
    let figures = steady
        .run(whole, |passed| {
            let is_slow = passed >= whole / 4 && passed < whole * 3 / 4;
            providers[0].takes(if is_slow { SLOW } else { WELL });
        })
        .await;
    let at_slow = providers[0].requests();
    println!("one of {PROVIDERS} slow, {policy}: {figures}; {at_slow} requests went to it");
    figures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_provider_of_eleven_costs_no_more_than_its_share() {
    for policy in Policy::ALL {
        let success = figures(policy).await.success();
        assert!(success >= 0.90, "{policy}: {success}");
    }
}
