//! What is promised of the whole proxy, with real ZooKeepers, providers and clients; `--nocapture` shows the figures.

mod attackers;
mod burst;
mod churn;
mod cold;
mod convergence;
mod crowd;
mod dead;
mod failing;
mod fairness;
mod fleet;
mod flow;
mod hedging;
mod herd;
mod keep_alive;
mod launch;
mod malformed;
mod multiplexed;
mod outage;
mod removal;
mod restarts;
mod simulated;
mod size;
mod slow;
mod start;
mod tiny;
mod torrent;
mod trouble;
mod zones;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use wayside::app::Running;
use wayside::balance::Policy;
use wayside::catalog::{Claim, Subscription};
use wayside::config::Overrides;

use crate::support::patience::{either, eventually};
use crate::support::proxy::start_with;
use crate::support::zookeeper::Writer;

/// What a healthy registry needs for anything, many times over.
const SOON: Duration = Duration::from_secs(10);
/// What a server that was away needs to be back, many times over.
const LATER: Duration = Duration::from_secs(60);
/// Clients that ask at a time.
const CLIENTS: usize = 12;

/// A proxy with two workers and an admin port that follows the registry at a URL; `more` is added to its configuration.
fn proxy(url: &str, more: &str) -> Running {
    let text = format!(
        "workers = 2\n[registry]\nurl = \"{url}\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n{more}"
    );
    let config = wayside::config::read(None, &text, &Overrides::default()).unwrap();
    let sources = config.open_sources();
    start_with(config, sources)
}

/// The proxy's own claim on all of `greeter`, listed for the first time.
async fn claim_on_greeter(running: &Running) -> Arc<Subscription> {
    let claim = Claim::on("greeter".parse().unwrap(), Policy::RoundRobin);
    let subscription = running.catalog.subscribe(&claim).unwrap();
    assert!(subscription.listed(SOON).await, "greeter should be listed");
    subscription
}

/// The addresses that can be picked now.
fn addresses(subscription: &Subscription) -> BTreeSet<String> {
    let snapshot = subscription.snapshot().load();
    snapshot.endpoints.iter().map(|endpoint| endpoint.provider.address.to_string()).collect()
}

/// Waits until these are what can be picked, at most as long as a server needs that was away.
async fn picks_from(subscription: &Subscription, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
    let same = || (addresses(subscription) == expected).then_some(());
    eventually(LATER, "requests are sent to those announced now", same).await;
}

/// A record as go-micro v2 writes it for a plain HTTP server.
fn record(id: &str, address: &str) -> String {
    format!(
        r#"{{"name":"greeter","version":"latest","metadata":null,"endpoints":null,"nodes":[{{"id":"{id}","address":"{address}","metadata":{{}}}}]}}"#
    )
}

fn path(id: &str) -> String {
    format!("/micro-registry/greeter/{id}")
}

async fn announce(writer: &Writer, id: &str, address: impl ToString) {
    writer.put(&path(id), record(id, &address.to_string())).await;
}

/// How times spread.
fn spread(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let (best, median, worst) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!("{what}, {} times: best {best:.3?}, median {median:.3?}, worst {worst:.3?}", times.len());
    median
}
