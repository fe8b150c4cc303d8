//! Providers with a long tail, with hedging and without: what becomes of the slowest requests, and what it costs.

use super::*;
use crate::support::modelled::Modelled;
use crate::support::steady::{Figures, Steady};
use wayside::telemetry::metrics::HedgeResult;

const PROVIDERS: usize = 5;
/// What nearly all answers take.
const USUAL: Duration = Duration::from_millis(5);
/// What one in a hundred takes.
const TAIL: Duration = Duration::from_millis(500);
const ONE_IN: usize = 100;

/// What becomes of requests, how many attempts there were for each, and how many second ones answered first.
async fn figures(hedge: &str) -> (Figures, f64, u64) {
    let providers = Modelled::several(PROVIDERS, USUAL).await;
    for provider in &providers {
        provider.lags(TAIL, ONE_IN);
    }
    let text = format!("[[service]]\nname = \"greeter\"\nhedge = \"{hedge}\"\n");
    let running = proxy(&Modelled::url("greeter", &providers), &text);
    let _claim = claim_on_greeter(&running).await;
    let lasting = either(Duration::from_secs(8), Duration::from_mins(1));
    let steady = Steady { proxy: running.listeners[0], service: "greeter", rate: 200 };
    // How long answers usually take is known by then.
    steady.run(Duration::from_secs(1), |_| {}).await;
    let attempts = || providers.iter().map(Modelled::requests).sum::<usize>();
    let (before, won) = (attempts(), running.metrics.proxy.hedges_total.of(HedgeResult::Won));
    let won_before = won.get();
    let figures = steady.run(lasting, |_| {}).await;
    let per_request = (attempts() - before) as f64 / figures.times.len() as f64;
    let won = won.get() - won_before;
    println!(
        "one answer in {ONE_IN} takes {TAIL:?}, hedge {hedge}: {figures}; {per_request:.3} attempts for each, {} took as \
         long, {won} second ones won",
        slow(&figures)
    );
    (figures, per_request, won)
}

/// Requests that took as long as the tail does.
fn slow(figures: &Figures) -> usize {
    figures.times.iter().filter(|time| **time >= TAIL).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedging_cuts_the_tail_for_a_few_attempts_more() {
    let (without, once, _) = figures("off").await;
    let (with, attempts, won) = figures("p95").await;
    for figures in [&without, &with] {
        assert_eq!(figures.failed, 0);
    }
    assert!(without.quantile(0.999) >= TAIL, "the tail is there: {without}");
    assert!(slow(&with) * 2 < slow(&without), "with hedging: {with}; without: {without}");
    let worst = with.quantile(either(0.99, 0.999));
    assert!(worst < either(TAIL, TAIL / 5), "{with}");
    assert!(once <= 1.0, "{once} attempts for each request without hedging");
    assert!(attempts > 1.0 && won > 0, "{attempts} attempts for each request, {won} second ones won");
    assert!(attempts <= either(1.2, 1.1), "{attempts} attempts for each request");
}
