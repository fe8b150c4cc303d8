//! A cold provider joins a fleet under load: how long requests take, with slow start and without.
//!
//! The model is that of a Java program: its first hundred requests cost ten times the processor time of later ones, and it
//! has so much of that, whatever is in flight.

use super::*;
use crate::support::registry::Told;
use crate::support::staffed::{Staffed, Work};
use crate::support::steady::{Figures, Steady};
use wayside::catalog::Source;
use wayside::provider::Protocol;

/// What a provider does that is warm: 200 requests a second.
const WARM: Work = Work { hands: 2, takes: Duration::from_millis(10), cold: 0, times: 1 };
/// What one does that is not: 20 a second at first.
const COLD: Work = Work { cold: 100, times: 10, ..WARM };
/// Those that are there.
const FLEET: usize = 4;
/// Requests in a second: of five providers each is to get 60.
const RATE: u32 = 300;

/// What becomes of requests while a cold one joins, how many of them it got, and how many it had at a time while it was cold.
async fn figures(slow_start: bool) -> (Figures, usize, usize) {
    let providers = Staffed::several(FLEET, WARM).await;
    let joins = Staffed::start(COLD).await;
    let mut addresses: Vec<_> = providers.iter().map(|provider| provider.address.into()).collect();
    let told = Told::with("greeter", &addresses);
    addresses.push(joins.address.into());
    let text = format!(
        "workers = 2\n[registry]\nurl = \"fixed:nothing=127.0.0.1:1\"\n[admin]\nenabled = false\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[services.health]\nslow_start = {slow_start}\n"
    );
    let config = wayside::config::read(None, &text, &Overrides::default()).unwrap();
    let running = start_with(config, vec![Source::new(told.clone())]);
    let _claim = claim_on_greeter(&running).await;
    let steady = Steady { proxy: running.listeners[0], service: "greeter", rate: RATE };
    steady.run(Duration::from_secs(1), |_| {}).await.all_answered();
    let mut addresses = Some(addresses);
    let figures = steady
        .run(either(Duration::from_secs(6), Duration::from_secs(20)), |_| {
            if let Some(addresses) = addresses.take() {
                told.tell("greeter", Protocol::Http1, &addresses);
            }
        })
        .await;
    let (got, peak) = (joins.requests(), joins.peak());
    println!(
        "a cold provider joins {FLEET} under {RATE} requests/s, slow start {slow_start}: {figures}; it got {got}, and up to \
         {peak} at a time while it was cold"
    );
    (figures, got, peak)
}

impl Figures {
    fn all_answered(&self) {
        assert_eq!(self.failed, 0, "{self}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_provider_that_joins_slows_nothing_down() {
    let (without, _, peak_without) = figures(false).await;
    let (with, got, peak) = figures(true).await;
    with.all_answered();
    assert!(peak * 4 < peak_without, "{peak} at a time with slow start, {peak_without} without");
    assert!(got > either(50, 100), "it is used nevertheless: {got}");
    let (with, without) = (with.quantile(0.99), without.quantile(0.99));
    // Where other tests run beside it, time tells of them as well.
    assert!(with * either(1, 4) < without, "p99 {with:?} with slow start, {without:?} without");
}
