//! How requests are spread over providers, counted where they arrive.

use tokio::task::JoinSet;

use super::*;
use crate::support::client::Client;
use crate::support::light::Light;
use crate::support::zookeeper::ZooKeeper;

const PROVIDERS: usize = 7;
/// Connections that share the requests; the system spreads them over the workers.
const CONNECTIONS: usize = 14;

/// Sends so many requests through a proxy with this policy; gives how many each provider got.
async fn counts(policy: &str, requests: usize) -> Vec<usize> {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let providers = Light::several(PROVIDERS).await;
    for (number, provider) in providers.iter().enumerate() {
        announce(&writer, &format!("greeter-{number}"), provider.address).await;
    }
    let url = format!("zookeeper://{}", zookeeper.addresses());
    let running = proxy(&url, &format!("[services]\npolicy = \"{policy}\"\n"));
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let address = running.listeners[0];
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..requests / CONNECTIONS {
                assert_eq!(client.get("greeter", "/").await.status(), http::StatusCode::OK);
            }
        });
    }
    clients.join_all().await;
    let counts: Vec<usize> = providers.iter().map(Light::requests).collect();
    assert_eq!(counts.iter().sum::<usize>(), requests);
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_gives_each_provider_the_same() {
    let requests = either(7_000, 70_000);
    let counts = counts("round-robin", requests).await;
    println!("round robin: {requests} requests over {PROVIDERS} providers and 2 workers: {counts:?}");
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 1, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_is_as_even_as_chance_is() {
    let requests = either(7_000, 70_000);
    let counts = counts("random", requests).await;
    let share = requests as f64 / PROVIDERS as f64;
    let chi_square: f64 = counts.iter().map(|count| (*count as f64 - share).powi(2) / share).sum();
    let p = p_of_6(chi_square);
    println!("random: {requests} requests: {counts:?}; chi-square {chi_square:.2}, p {p:.3}");
    assert!(p > 1e-6, "so uneven is chance once in a million runs: {counts:?}");
    assert!(p < 1.0 - 1e-6, "and so even as well: {counts:?}");
}

/// The chance of a chi-square of at least this with six degrees of freedom, one less than there are providers.
fn p_of_6(chi_square: f64) -> f64 {
    let half = chi_square / 2.0;
    (-half).exp() * (1.0 + half + half * half / 2.0)
}

#[test]
fn the_chances_are_those_of_the_tables() {
    for (chi_square, p) in [(12.592, 0.05), (16.812, 0.01), (1.635, 0.95)] {
        assert!((p_of_6(chi_square) - p).abs() < 1e-3, "{chi_square}");
    }
}
