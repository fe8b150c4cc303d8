//! One slow, one flapping and one dead provider among eleven, of which an app is to notice nothing; and all of them overloaded,
//! which it is to be told at once.

use std::time::Instant;

use tokio::task::JoinSet;

use super::*;
use crate::support::client::Client;
use crate::support::modelled::{Flaps, Modelled};
use crate::support::steady::{Figures, Steady};

/// Providers that are well, and what an answer takes there.
const WELL: usize = 8;
const USUAL: Duration = Duration::from_millis(10);
/// What it takes at the one that is slow.
const SLOW: Duration = Duration::from_secs(1);

/// What becomes of requests where one of eleven is slow, one flaps, and one refuses connections.
async fn figures(flaps: Flaps, text: &str) -> Figures {
    let mut providers = Modelled::several(WELL + 2, USUAL).await;
    providers[0].takes(SLOW);
    providers[1].flaps(flaps);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("{},{dead}", Modelled::url("greeter", &providers));
    let running = proxy(&url, text);
    let _claim = claim_on_greeter(&running).await;
    let steady = Steady { proxy: running.listeners[0], service: "greeter", rate: either(200, 1000) };
    // By then a request was answered by each, the slow one too.
    let first = steady.run(SLOW * 2, |_| {}).await;
    assert_eq!(first.failed, 0, "from the first request on, {first}");
    let figures = steady.run(either(Duration::from_secs(3), Duration::from_secs(30)), |_| {}).await;
    let went: Vec<usize> = providers.drain(..2).map(|provider| provider.requests()).collect();
    println!(
        "one slow, one flapping, one dead, {text:?}: {figures}; {went:?} requests went to the first two"
    );
    assert!(went[1] > 1, "it had the occasion to fail");
    figures
}

/// Whatever is set, an answer that breaks off before it began costs an app nothing that may be sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_with_one_slow_one_flapping_and_one_dead_by_default() {
    let figures = figures(Flaps::Closes, "").await;
    assert_eq!(figures.failed, 0, "{figures}");
}

/// What a provider answers is passed on, unless it is said that it is not to be; and round robin sends to a slow one what is
/// its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_or_is_slow_where_answers_count_and_latency_does() {
    let text = "[services]\npolicy = \"peak-ewma\"\n[retries]\nstatuses = [503]\n";
    let figures = figures(Flaps::Answers, text).await;
    assert_eq!(figures.failed, 0, "{figures}");
    let slow = figures.times.iter().filter(|time| **time >= SLOW).count();
    // Of two that are drawn the other is taken where one is out, however slow: with two of eleven out, 2 x 2 / (11 x 10).
    let share = slow as f64 / figures.times.len() as f64;
    assert!(share < 0.07, "{slow} were slow: {figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_all_are_overloaded_is_told_at_once() {
    let providers = Modelled::several(WELL + 3, Duration::from_secs(60)).await;
    let running = proxy(&Modelled::url("greeter", &providers), "[services.limits]\nin_flight = 1\n");
    let _claim = claim_on_greeter(&running).await;
    let address = running.listeners[0];
    let mut busy = JoinSet::new();
    for _ in 0..providers.len() {
        busy.spawn(async move { Client::connect(address).await.try_get("greeter", "/").await });
    }
    let full = || providers.iter().all(|provider| provider.requests() == 1).then_some(());
    eventually(SOON, "each has as much as it may", full).await;
    let (mut times, asked) = (Vec::new(), either(100, 1000));
    let mut client = Client::connect(address).await;
    for _ in 0..asked {
        let begun = Instant::now();
        let response = client.get("greeter", "/").await;
        times.push(begun.elapsed());
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"), "{response:?}");
        let told = response.headers()["proxy-status"].to_str().unwrap();
        assert!(told.contains("details=\"endpoints_full\""), "{told}");
        let body = String::from_utf8_lossy(response.body());
        assert!(body.contains("as many requests in flight as it may have"), "{body}");
    }
    let worst = times.iter().max().copied().unwrap();
    let median = spread("refused since all are full", times);
    assert!(median < Duration::from_millis(50), "{median:?}");
    assert!(worst < either(SOON, Duration::from_millis(50)), "{worst:?}");
    assert!(providers.iter().all(|provider| provider.requests() == 1), "nothing more was sent");
}
