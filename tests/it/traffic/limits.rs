//! Limits and health of providers, as operators see and change them while the program runs.

use std::time::Duration;

use serde_json::Value;

use super::{Changed, ask, write};
use crate::support::load::Load;
use crate::support::modelled::Modelled;
use crate::support::patience::{at_last, eventually};
use crate::support::staffed::{Staffed, Work};

/// How long a bound that follows latency may take to get somewhere, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(60);

/// What an operator sees of a provider of `a`.
async fn endpoint(it: &Changed, address: &str) -> Value {
    let told = it.program.ask_json("/services/a").await;
    let all = told["endpoints"].as_array().unwrap();
    all.iter().find(|endpoint| endpoint["address"] == *address).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_slows_down_under_load_gets_less_at_a_time() {
    let provider = Modelled::start(Duration::from_millis(50)).await;
    let address = provider.address.to_string();
    let it = Changed::run(&format!(
        "[registry]\nurl = \"fixed:a={address}\"\n[services.limits]\nadaptive = true\nqueue = 100\nqueue_timeout = \"10s\"\n"
    ))
    .await;
    let load = Load::start(it.program.listeners()[0], "a", 30, None);
    load.goes_on().await;
    let bound = async || endpoint(&it, &address).await["in_flight_max"].as_u64().unwrap();
    // It begins at 20. Long enough for what is usual to be known, should the first answers have been slow by chance.
    becomes(async || bound().await > 35, "it bears more than at the beginning").await;
    provider.takes(Duration::from_millis(600));
    becomes(async || bound().await < 16, "it gets less").await;
    assert!(bound().await >= 4, "and never less than the least");
    load.finish().await.none_failed("with a bound that follows latency");
}

/// Waits for longer than is usual.
async fn becomes(mut holds: impl AsyncFnMut() -> bool, what: &str) {
    let begun = std::time::Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < LONG, "not within {LONG:?}: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_laid_down_for_providers_changes_while_the_program_runs() {
    let (failing, well) =
        (Staffed::start(Work::of(Duration::ZERO)).await, Staffed::start(Work::of(Duration::ZERO)).await);
    failing.says(500);
    let address = failing.address.to_string();
    let config = |care: &str| format!("[registry]\nurl = \"fixed:a={address},{}\"\n{care}", well.address);
    let it = Changed::run(&config("[services.health]\neject = false\n")).await;
    let mut client = it.client().await;
    for _ in 0..40 {
        ask(&mut client, &[]).await;
    }
    let told = endpoint(&it, &address).await;
    assert_eq!((&told["state"], &told["in_flight_max"]), (&"available".into(), &1024.into()), "{told}");
    assert!(failing.requests() >= 10);

    write(&it.file, &config("[services.limits]\nin_flight = 7\n[services.health]\nfailures_in_a_row = 2\n"));
    at_last("the bound is another one", async || endpoint(&it, &address).await["in_flight_max"] == 7).await;
    at_last("it is ejected now", async || {
        ask(&mut client, &[]).await;
        endpoint(&it, &address).await["state"] == "ejected"
    })
    .await;

    write(&it.file, &config("[services.health]\neject = false\n"));
    at_last("it is left in again once its pause is over", async || {
        ask(&mut client, &[]).await;
        endpoint(&it, &address).await["state"] == "available"
    })
    .await;
    let before = failing.requests();
    at_last("and gets requests", async || {
        ask(&mut client, &[]).await;
        failing.requests() > before + 5
    })
    .await;
    assert!(it.program.logged("take effect at the next start").is_empty(), "{}", it.program.log());
}

/// How sixteen requests with one key that are under way at once are spread over four providers.
async fn spread(more: &str) -> Vec<usize> {
    let providers = Modelled::several(4, Duration::from_secs(60)).await;
    let it = Changed::run(&format!(
        "[registry]\nurl = \"{}\"\n[services]\npolicy = \"maglev\"\nkey = \"header:x-user\"\n{more}\n[services.health]\nslow_start = false\n",
        Modelled::url("a", &providers)
    ))
    .await;
    let arrived = || providers.iter().map(Modelled::requests).sum::<usize>();
    let mut asking = tokio::task::JoinSet::new();
    for number in 1..=16 {
        let mut client = it.client().await;
        asking.spawn(async move { ask(&mut client, &[("x-user", "ann")]).await });
        eventually(LONG, "the request arrives", || (arrived() == number).then_some(())).await;
    }
    providers.iter().map(Modelled::requests).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_too_much_for_its_provider_overflows_to_others_where_that_is_wanted() {
    let kept = spread("").await;
    assert_eq!(kept.iter().max(), Some(&16), "all stay together: {kept:?}");
    // A quarter more than four, and one for the count that is a moment old.
    let bounded = spread("load_bound = 1.25").await;
    assert!(bounded.iter().all(|count| *count <= 6), "{bounded:?}");
}
