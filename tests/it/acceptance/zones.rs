//! Two zones and a service to fall back on: where requests go while providers die and come back, under load.

use std::net::SocketAddr;

use serde_json::Value;

use super::*;
use crate::support::load::Load;
use crate::support::patience::at_last;
use crate::support::program::get;
use crate::support::provider::Echo;
use crate::support::proxy::start_with;

/// Providers in each zone.
const EACH: usize = 4;

/// A proxy with two workers and an admin port, and no registry that could fail.
fn configured(text: &str) -> Running {
    let text = format!(
        "workers = 2\n{text}\n[admin]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\""
    );
    let config = wayside::config::read(None, &text, &Overrides::default()).unwrap();
    let sources = config.open_sources();
    start_with(config, sources)
}

fn listed(zone: &str, providers: &[Echo]) -> String {
    let one = |echo: &Echo| format!("{{ address = \"{}\", zone = \"{zone}\" }}", echo.address());
    providers.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn total(providers: &[Echo]) -> usize {
    providers.iter().map(Echo::requests).sum()
}

/// The share of each tier in percent, as `/services/greeter` tells it.
async fn shares(admin: SocketAddr) -> Vec<f64> {
    let answer = get(admin, "/services/greeter").await;
    let service: Value = serde_json::from_slice(answer.body()).unwrap();
    let tiers = service["claims"][0]["tiers"].as_array().unwrap().clone();
    tiers.iter().map(|tier| tier["share"].as_f64().unwrap() * 100.0).collect()
}

async fn shares_become(admin: SocketAddr, expected: [f64; 2]) {
    let what = format!("the shares become {expected:?}");
    let is_near =
        |shares: &[f64]| shares.iter().zip(expected).all(|(share, expected)| (share - expected).abs() < 0.1);
    at_last(&what, async || is_near(&shares(admin).await)).await;
}

async fn again(addresses: &[SocketAddr]) -> Vec<Echo> {
    let mut providers = Vec::new();
    for address in addresses {
        providers.push(Echo::at(*address).await);
    }
    providers
}

fn socket(echo: &Echo) -> SocketAddr {
    echo.address().to_string().parse().unwrap()
}

/// How many percent of the next requests arrive at these.
async fn percent(load: &Load, here: &[Echo], there: &[Echo]) -> f64 {
    let (before, others) = (total(here), total(there));
    load.answers(either(2000, 20_000)).await;
    let (arrived, elsewhere) = (total(here) - before, total(there) - others);
    arrived as f64 * 100.0 / (arrived + elsewhere) as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_stay_in_the_zone_as_far_as_it_can_take_them() {
    let (mut near, far) = (Echo::several(EACH).await, Echo::several(EACH).await);
    let near_addresses: Vec<_> = near.iter().map(socket).collect();
    let running = configured(&format!(
        "zone = \"a\"\n[registry.services]\ngreeter = [{}, {}]\n[[service]]\nname = \"greeter\"",
        listed("a", &near),
        listed("b", &far)
    ));
    let admin = running.admin.unwrap();
    let load = Load::start(running.listeners[0], "greeter", CLIENTS, None);
    load.goes_on().await;
    assert_eq!(total(&far), 0, "all are well at home");

    let lost = near.split_off(EACH / 2);
    for provider in lost {
        provider.kill().await;
    }
    shares_become(admin, [71.43, 28.57]).await;
    let half = percent(&load, &near, &far).await;
    assert!((half - 71.43).abs() < 4.0, "half of the zone should take 5/7, not {half:.1} %");

    for provider in near {
        provider.kill().await;
    }
    shares_become(admin, [0.0, 100.0]).await;
    load.goes_on().await;

    let near = again(&near_addresses).await;
    shares_become(admin, [100.0, 0.0]).await;
    let home = percent(&load, &near, &far).await;
    assert!(home > 99.0, "all should be back, not {home:.1} %");
    load.finish()
        .await
        .none_failed(&format!("half of the zone took {half:.1} %, after its return {home:.1} %"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_service_stands_in_until_the_first_is_back() {
    let (first, far) = (Echo::start().await, Echo::several(2).await);
    let address = socket(&first);
    let running = configured(&format!(
        "[registry.services]\ngreeter = [\"{address}\"]\ngreeter-far = [{}]\n[[service]]\nname = \"greeter\"\n\
         failover = \"greeter-far\"",
        listed("b", &far)
    ));
    let load = Load::start(running.listeners[0], "greeter", CLIENTS, None);
    load.goes_on().await;
    assert_eq!(total(&far), 0);
    first.kill().await;
    let before = total(&far);
    at_last("the other service is asked", async || total(&far) > before).await;
    load.goes_on().await;
    let text = get(running.admin.unwrap(), "/metrics").await;
    let text = String::from_utf8_lossy(text.body()).into_owned();
    assert!(text.contains("wayside_detours_total{kind=\"failover\",service=\"greeter\"}"), "{text}");
    let first = again(&[address]).await;
    at_last("the first is asked again", async || total(&first) > 100).await;
    let back = percent(&load, &first, &far).await;
    assert!(back > 99.0, "{back:.1} % are back");
    load.finish().await.none_failed("with a service that stands in");
}
