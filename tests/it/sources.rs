//! Several registries at once, and what is kept of them on disk.

mod migration;
mod store;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use wayside::app::Running;
use wayside::balance::Policy;
use wayside::catalog::{Claim, Freshness, Role, Source};
use wayside::provider::{Address, Protocol};
use wayside::registry::Registry;

use crate::support::client::Client;
use crate::support::load::Load;
use crate::support::patience::{PATIENCE, at_last, eventually};
use crate::support::provider::{Echo, told};
use crate::support::proxy::{config, start_with};
use crate::support::registry::Told;

fn source(name: &str, role: Role, registry: &Arc<Told>) -> Source {
    Source { name: name.into(), role, registry: Arc::clone(registry) as Arc<dyn Registry> }
}

fn addresses(echoes: &[Echo]) -> Vec<Address> {
    echoes.iter().map(Echo::address).collect()
}

/// The addresses that requests for `greeter` can go to now, in order, and how far that can be trusted.
fn known(running: &Running) -> (Vec<String>, Freshness) {
    let claim = Claim::on("greeter".parse().unwrap(), Policy::RoundRobin);
    let subscription = running.catalog.subscribe(&claim).unwrap();
    let snapshot = subscription.snapshot().load();
    let addresses = snapshot.endpoints.iter().map(|endpoint| endpoint.provider.address.to_string());
    (addresses.collect(), subscription.freshness())
}

async fn sends_to(running: &Running, echoes: &[&Echo]) {
    let mut expected: Vec<Address> = echoes.iter().map(|echo| echo.address()).collect();
    expected.sort();
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    let same = || (known(running).0 == expected).then_some(());
    eventually(PATIENCE, "requests are sent to those announced now", same).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_down_from_the_start_stands_in_nobodys_way() {
    let echoes = Echo::several(2).await;
    let (down, up) = (Told::new(), Told::with("greeter", &addresses(&echoes)));
    down.answer(false);
    let running = start_with(config(), vec![source("a", Role::Use, &down), source("b", Role::Use, &up)]);
    let mut client = Client::connect(running.listeners[0]).await;
    assert_eq!(client.get("greeter", "/").await.status(), StatusCode::OK);
    let is_down = || (running.catalog.registries()[0].state == "down").then_some(());
    eventually(PATIENCE, "the first is known to be down", is_down).await;
    assert_eq!(known(&running).1, Freshness::Live);
    let begin = std::time::Instant::now();
    let response = client.get("nobody", "/").await;
    let text = String::from_utf8_lossy(response.body()).into_owned();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(
        text.contains("a: told in this test is down") && text.contains("b: told in this test is up"),
        "{text}"
    );
    assert!(begin.elapsed() < Duration::from_secs(1), "nobody is waited for who cannot answer");

    let third = Echo::start().await;
    down.tell("greeter", Protocol::Http1, &[third.address()]);
    down.answer(true);
    sends_to(&running, &[&echoes[0], &echoes[1], &third]).await;
    up.answer(false);
    let is_down = || (running.catalog.registries()[1].state == "down").then_some(());
    eventually(PATIENCE, "the second is known to be down", is_down).await;
    assert_eq!((known(&running).0.len(), known(&running).1), (3, Freshness::Live));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_takes_over_and_gives_back_without_a_failed_request() {
    let (own, other) = (Echo::several(2).await, Echo::several(2).await);
    let (first, fallback) =
        (Told::with("greeter", &addresses(&own)), Told::with("greeter", &addresses(&other)));
    let sources = vec![source("a", Role::Use, &first), source("b", Role::Fallback, &fallback)];
    let running = start_with(config(), sources);
    let mut client = Client::connect(running.listeners[0]).await;
    assert_eq!(client.get("greeter", "/").await.status(), StatusCode::OK);
    let load = Load::start(running.listeners[0], "greeter", 4, None);
    load.goes_on().await;
    assert_eq!(other.iter().map(Echo::requests).sum::<usize>(), 0, "not while the first knows providers");
    first.answer(false);
    load.goes_on().await;
    sends_to(&running, &[&own[0], &own[1]]).await;
    for _ in 0..3 {
        first.tell("greeter", Protocol::Http1, &[]);
        first.answer(true);
        sends_to(&running, &[&other[0], &other[1]]).await;
        load.goes_on().await;
        first.tell("greeter", Protocol::Http1, &addresses(&own));
        sends_to(&running, &[&own[0], &own[1]]).await;
        load.goes_on().await;
    }
    load.finish().await.none_failed("a fallback that takes over and gives back three times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_serves_a_first_request_while_the_first_registry_is_down() {
    let other = Echo::start().await;
    let (first, fallback) = (Told::new(), Told::with("greeter", &[other.address()]));
    first.answer(false);
    let sources = vec![source("a", Role::Use, &first), source("b", Role::Fallback, &fallback)];
    let running = start_with(config(), sources);
    let mut client = Client::connect(running.listeners[0]).await;
    assert_eq!(client.get("greeter", "/").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_is_never_sent_to() {
    let (own, other) = (Echo::start().await, Echo::start().await);
    let first = Told::with("greeter", &[own.address()]);
    let shadow = Told::with("greeter", &[own.address(), other.address()]);
    let sources = vec![source("a", Role::Use, &first), source("b", Role::Shadow, &shadow)];
    let running = start_with(config(), sources);
    let mut client = Client::connect(running.listeners[0]).await;
    let differ = || running.catalog.known().first()?.shadows.first().map(|(_, count)| *count);
    at_last("it is compared", async || {
        let response = client.get("greeter", "/").await;
        assert_eq!(told(&response)["port"], own.address().port());
        differ() == Some(1)
    })
    .await;
    first.tell("greeter", Protocol::Http1, &[]);
    at_last("there is none", async || client.get("greeter", "/").await.status() != StatusCode::OK).await;
    assert_eq!((other.requests(), differ()), (0, Some(2)));
}
