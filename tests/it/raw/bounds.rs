//! How much there may be: connections in all, requests in all, connections at one provider, connections in a time.

use tokio::io::AsyncWriteExt as _;

use super::{assert_ended, assert_metric, assert_turned_away, connect, hear, pair, proxy};
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;

#[tokio::test]
async fn a_provider_has_as_many_as_it_may() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("[services.limits]\nin_flight = 2", &[provider.address()]);
    let (_one, _two) = (pair(&proxy, &provider).await, pair(&proxy, &provider).await);
    assert_turned_away(proxy.listeners[0]).await;
    assert_ended(&proxy, "endpoints_full", 1.0).await;
    let endpoint = &proxy.catalog.service("svc").unwrap().endpoints[0];
    assert_eq!((endpoint.in_flight, endpoint.failures), (2, 0));
}

#[tokio::test]
async fn who_waits_in_line_is_passed_on_when_another_ends() {
    let provider = Script::start().await;
    let limits = "[services.limits]\nin_flight = 1\nqueue = 1\nqueue_timeout = \"10s\"";
    let (proxy, _registry) = proxy(limits, &[provider.address()]);
    let first = pair(&proxy, &provider).await;
    let mut second = connect(&proxy).await;
    let waits = || (proxy.metrics.proxy.queue_waiting.get() == 1).then_some(());
    eventually(PATIENCE, "it waits", waits).await;
    assert_turned_away(proxy.listeners[0]).await;
    drop(first);
    let mut its = provider.accept().await;
    its.write_all(b"at last").await.unwrap();
    assert_eq!(hear(&mut second, 7).await, "at last");
}

#[tokio::test]
async fn a_connection_is_one_of_all_requests() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("[limits]\nrequests = 1", &[provider.address()]);
    let first = pair(&proxy, &provider).await;
    assert_turned_away(proxy.listeners[0]).await;
    assert_ended(&proxy, "overloaded", 1.0).await;
    drop(first);
    super::at_rest(&proxy).await;
    let none = || (proxy.metrics.proxy.requests_in_flight.get() == 0).then_some(());
    eventually(PATIENCE, "none is in flight", none).await;
    pair(&proxy, &provider).await;
}

#[tokio::test]
async fn one_too_many_is_reset() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("[limits]\nconnections = 1", &[provider.address()]);
    let _first = pair(&proxy, &provider).await;
    assert_turned_away(proxy.listeners[0]).await;
    assert_metric(&proxy, "wayside_connections_refused_total", 1.0).await;
}

#[tokio::test]
async fn a_rate_counts_connections() {
    let provider = Script::start().await;
    let service = "[[service]]\nname = \"svc\"\nrate_limit = { requests = 1, per = \"1h\" }";
    let (proxy, _registry) = proxy(service, &[provider.address()]);
    pair(&proxy, &provider).await;
    assert_turned_away(proxy.listeners[0]).await;
    assert_ended(&proxy, "rate_limited", 1.0).await;
}

#[tokio::test]
async fn an_attempt_is_only_made_within_the_budget() {
    let dead = [super::dead().await, super::dead().await];
    let retries = "[retries]\nbudget_percent = 0\nbudget_per_second = 0";
    let (proxy, _registry) = proxy(retries, &dead);
    assert_turned_away(proxy.listeners[0]).await;
    assert_metric(&proxy, "wayside_retry_budget_exhausted_total", 1.0).await;
}
