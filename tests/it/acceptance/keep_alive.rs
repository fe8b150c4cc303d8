//! Providers that close idle connections at random moments, just when requests come on them.

use http::Method;

use super::*;
use crate::support::fickle::{Asked, Fickle, ask};
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

/// Clients at a time: enough that several connections to each provider idle at any moment.
const ASKERS: usize = 64;
const PROVIDERS: usize = 3;

/// What becomes of so many requests in all, with what is learnt of idle connections or without; and how many of those their
/// providers closed.
async fn race(requests: usize, method: Method, body: &'static str, learns: bool) -> (Asked, usize) {
    let mut providers = Vec::new();
    for _ in 0..PROVIDERS {
        providers.push(Fickle::start().await);
    }
    let addresses: Vec<_> = providers.iter().map(Fickle::address).collect();
    let mut config = config_with(&format!("[upstream]\nidle_learnt = {learns}"));
    config.workers = 2;
    let proxy = start(config, Told::with("svc", &addresses));
    let asked = ask(proxy.listeners[0], ASKERS, requests, &method, body).await;
    let closed: usize = providers.iter().map(Fickle::closed).sum();
    let metrics = &proxy.metrics.proxy;
    let (stale, dials) = (metrics.upstream_stale_total.get(), metrics.upstream_dials_total.get());
    let perhaps = metrics.upstream_resets_total.get();
    println!(
        "{method} with {} bytes, learning {learns}: {asked}; {closed} idle connections closed, {dials} made, \
         {stale} requests sent again on another, {perhaps} met the end on their way",
        body.len()
    );
    assert!(closed > requests / 20, "only {closed} connections were closed");
    assert_eq!(metrics.retries_total.get(), 0, "none of it costs a retry");
    assert_eq!(asked.answered + asked.failed.len(), requests / ASKERS * ASKERS, "{asked}");
    (asked, closed)
}

fn requests() -> usize {
    either(5_000, 100_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_idempotent_fails_on_a_connection_that_is_being_closed() {
    for (method, body, learns) in
        [(Method::GET, "", true), (Method::GET, "", false), (Method::PUT, "hello", false)]
    {
        let (asked, _) = race(requests(), method, body, learns).await;
        assert!(asked.failed.is_empty(), "{asked}: {:?}", asked.failed);
    }
}

/// What was written while the end was on its way may have been looked at, as far as we can know; all else is repaired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_posts_fail_on_a_connection_that_is_being_closed() {
    let (asked, closed) = race(requests(), Method::POST, "hello", false).await;
    let reasons = asked.failed.iter().filter(|reason| reason.contains("connection_stale")).count();
    assert_eq!(reasons, asked.failed.len(), "{:?}", asked.failed);
    // The busier the machine, the longer the moment between look and write.
    let failed = asked.failed.len();
    assert!(failed * 20 <= closed, "{failed} failed at {closed} connections that ended: {asked}");
}
