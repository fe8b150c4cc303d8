//! Providers with a long tail, with hedging and without: what becomes of the slowest requests, and what it costs.

use super::*;
use crate::support::modelled::Modelled;
use crate::support::steady::{Figures, Steady};

const PROVIDERS: usize = 5;
/// What nearly all answers take.
const USUAL: Duration = Duration::from_millis(5);
/// What one in a hundred takes.
const TAIL: Duration = Duration::from_millis(500);
const ONE_IN: usize = 100;

/// What becomes of requests, and how many attempts there were for each.
async fn figures(hedge: &str) -> (Figures, f64) {
    let providers = Modelled::several(PROVIDERS, USUAL).await;
    for provider in &providers {
        provider.lags(TAIL, ONE_IN);
    }
    let text = format!("[[service]]\nname = \"greeter\"\nhedge = \"{hedge}\"\n");
    let running = proxy(&Modelled::url("greeter", &providers), &text);
    let _claim = claim_on_greeter(&running).await;
    let lasting = either(Duration::from_secs(5), Duration::from_mins(1));
    let steady = Steady { proxy: running.listeners[0], service: "greeter", rate: 200 };
    let figures = steady.run(lasting, |_| {}).await;
    let attempts: usize = providers.iter().map(Modelled::requests).sum();
    let per_request = attempts as f64 / figures.times.len() as f64;
    println!(
        "one answer in {ONE_IN} takes {TAIL:?}, hedge {hedge}: {figures}; {per_request:.3} attempts for each"
    );
    (figures, per_request)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedging_cuts_the_tail_for_a_few_attempts_more() {
    let (without, _) = figures("off").await;
    let (with, attempts) = figures("p95").await;
    for figures in [&without, &with] {
        assert_eq!(figures.failed, 0);
    }
    assert!(without.quantile(0.999) >= TAIL, "the tail is there: {without}");
    let worst = with.quantile(either(0.99, 0.999));
    assert!(worst < either(TAIL, TAIL / 5), "{with}");
    assert!(attempts <= either(1.2, 1.1), "{attempts} attempts for each request");
}
