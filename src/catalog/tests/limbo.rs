//! Providers whose records go: who is used on, how long, and what an operator is told.

use super::*;
use crate::balance::Ask;
use crate::endpoint::{Care, Cause, Ending, Outcome, Said};
use crate::provider::Tenure;
use crate::registry::Listing;

fn lasting(port: u16) -> Arc<Provider> {
    Arc::new(Provider { tenure: Tenure::Lasting, ..Provider::clone(&provider(port)) })
}

fn leased(port: u16) -> Arc<Provider> {
    Arc::new(Provider { tenure: Tenure::Leased(port.into()), ..Provider::clone(&provider(port)) })
}

async fn list(bed: &Bed, providers: Vec<Arc<Provider>>) {
    bed.say(listed("greeter", View::Present { providers, skipped: Vec::new() })).await;
    bed.pass(Duration::from_millis(100)).await;
}

/// The ports of those that are picked, and of the spares.
fn picked(subscription: &Subscription) -> (Vec<u16>, Vec<u16>) {
    let snapshot = subscription.snapshot().load();
    let ports = |endpoints: &[crate::endpoint::Endpoint]| {
        endpoints.iter().map(|endpoint| endpoint.provider.address.port()).collect()
    };
    (ports(&snapshot.endpoints), ports(&snapshot.spares))
}

fn happened(bed: &Bed) -> Vec<(String, String)> {
    let word = |event: What| serde_json::to_value(event).unwrap().as_str().unwrap().to_owned();
    let events = bed.catalog.events(Some("greeter"), 100);
    events.into_iter().rev().map(|event| (event.id, word(event.event))).collect()
}

fn told(id: &str, event: &str) -> (String, String) {
    (id.to_owned(), event.to_owned())
}

#[tokio::test(start_paused = true)]
async fn one_whose_session_is_lost_is_a_spare_for_a_minute() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    list(&bed, vec![leased(1), leased(2), leased(3)]).await;
    list(&bed, vec![leased(1), leased(3)]).await;
    assert_eq!(picked(&greeter), (vec![1, 3], vec![2]));
    let status = bed.catalog.service("greeter").unwrap();
    assert_eq!(
        (status.endpoints[1].state, status.endpoints[1].limbo.as_ref().unwrap().cause),
        ("limbo", "session")
    );
    bed.pass(Duration::from_secs(58)).await;
    assert_eq!(picked(&greeter).1, [2]);
    bed.pass(Duration::from_secs(3)).await;
    assert_eq!(picked(&greeter), (vec![1, 3], vec![]));
    assert_eq!(happened(&bed)[3..], [told("p2", "kept"), told("p2", "dropped")]);
    assert_eq!(bed.metrics.catalog.removals(Cause::Session.as_str()).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_deleted_by_itself_is_gone_at_once() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    list(&bed, vec![lasting(1), lasting(2), lasting(3)]).await;
    list(&bed, vec![lasting(1), lasting(3)]).await;
    assert_eq!(picked(&greeter), (vec![1, 3], vec![]));
    assert_eq!(happened(&bed)[3..], [told("p2", "withdrawn")]);
}

#[tokio::test(start_paused = true)]
async fn what_went_while_the_registry_was_not_heard_is_a_spare() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    list(&bed, vec![lasting(1), lasting(2), lasting(3)]).await;
    bed.say(Report::Disconnected { cause: "gone".to_owned() }).await;
    list(&bed, vec![lasting(1), lasting(3)]).await;
    assert_eq!(picked(&greeter), (vec![1, 3], vec![2]));
    list(&bed, vec![lasting(1), lasting(2), lasting(3)]).await;
    assert_eq!(picked(&greeter), (vec![1, 2, 3], vec![]));
    assert_eq!(happened(&bed)[3..], [told("p2", "kept"), told("p2", "returned")]);
}

#[tokio::test(start_paused = true)]
async fn a_mass_loss_is_not_believed_until_a_second_look_finds_the_same() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    list(&bed, vec![lasting(1), lasting(2), lasting(3)]).await;
    let watches = bed.begun.lock().len();
    bed.absent("greeter").await;
    assert_eq!(picked(&greeter), (vec![1, 2, 3], vec![]));
    // The played registry answers the second look as it answers the first: with the next steps.
    bed.pass(Duration::from_secs(7)).await;
    assert_eq!(bed.begun.lock().len(), watches + 1, "the registry is asked again");
    bed.absent("greeter").await;
    bed.absent("greeter").await;
    bed.pass(Duration::from_mins(5)).await;
    assert_eq!(picked(&greeter), (vec![1, 2, 3], vec![]), "nobody else is there");
    let status = bed.catalog.service("greeter").unwrap();
    assert!(status.endpoints.iter().all(|endpoint| !endpoint.limbo.as_ref().unwrap().unconfirmed));
    list(&bed, vec![lasting(9)]).await;
    bed.pass(Duration::from_secs(2)).await;
    assert_eq!(picked(&greeter), (vec![9], vec![1, 2, 3]), "now somebody is");
    bed.pass(Duration::from_secs(61)).await;
    assert_eq!(picked(&greeter), (vec![9], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_second_look_that_was_overtaken_takes_nothing_back() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    list(&bed, vec![lasting(1), lasting(2), lasting(3)]).await;
    let watches = bed.begun.lock().len();
    bed.absent("greeter").await;
    bed.pass(Duration::from_secs(7)).await;
    assert_eq!(bed.begun.lock().len(), watches + 1, "the registry is asked again");
    // The first of these is said to the watch itself, the second to who looks again: as it was a moment ago.
    list(&bed, vec![lasting(1), lasting(2), lasting(3)]).await;
    list(&bed, vec![lasting(1)]).await;
    assert_eq!(picked(&greeter), (vec![1, 2, 3], vec![]));
    let status = bed.catalog.service("greeter").unwrap();
    assert!(status.endpoints.iter().all(|endpoint| endpoint.limbo.is_none()), "they are listed");
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_ends_limbo() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    list(&bed, vec![lasting(1), lasting(2)]).await;
    bed.absent("greeter").await;
    greeter.snapshot().load().endpoints[0].memory.note(
        Outcome::Broken,
        Said::Nothing,
        Ending::at(Moment::START),
        &Care::default(),
    );
    bed.pass(Duration::from_secs(2)).await;
    assert_eq!(picked(&greeter), (vec![2], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_record_without_an_owner_behind_which_nobody_answers_is_a_ghosts() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    list(&bed, vec![lasting(1), leased(2)]).await;
    let endpoints = Arc::clone(&greeter.snapshot().load().endpoints);
    for _ in 0..3 {
        for endpoint in &*endpoints {
            endpoint.memory.fail_to_connect(bed.catalog.clock.now(), 0.5);
        }
        bed.pass(Duration::from_secs(5)).await;
    }
    let states = || -> Vec<&str> {
        bed.catalog.service("greeter").unwrap().endpoints.iter().map(|endpoint| endpoint.state).collect()
    };
    assert_eq!(states(), ["ghost", "unreachable"], "one with an owner will go by itself");
    // The newer record of the address is used at once.
    let heir = Arc::new(Provider { id: "heir".into(), ..Provider::clone(&lasting(1)) });
    list(&bed, vec![lasting(1), heir, leased(2)]).await;
    bed.pass(Duration::from_secs(2)).await;
    assert_eq!(states()[0], "available");
    assert_eq!(happened(&bed)[2..], [told("p1", "ghost"), told("heir", "replaced"), told("heir", "revived")]);
}

#[tokio::test(start_paused = true)]
async fn weights_grow_while_providers_warm_up() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    let warm_up = |over| crate::provider::WarmUp { since: std::time::SystemTime::now(), over };
    let cold = |over| Arc::new(Provider { warm_up: Some(warm_up(over)), ..Provider::clone(&lasting(1)) });
    let weight = || greeter.snapshot().load().endpoints[0].weight.hundredths();
    list(&bed, vec![cold(Duration::from_hours(1))]).await;
    assert_eq!(weight(), 1);
    let status = bed.catalog.service("greeter").unwrap();
    assert!((status.endpoints[0].weight - 0.01).abs() < 1e-9);
    // The wall clock goes on by itself, and nothing but time is needed.
    list(&bed, vec![cold(Duration::from_millis(200))]).await;
    let begun = std::time::Instant::now();
    while weight() < 100 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is warm, and weighs {}", weight());
        bed.pass(Duration::from_secs(1)).await;
        greeter.touch(bed.catalog.clock.now());
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_from_a_change_to_the_first_pick_is_measured() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    let view = View::Present { providers: vec![lasting(1)], skipped: Vec::new() };
    let listing =
        Listing { heard: Some(std::time::Instant::now()), ..Listing::new("greeter".parse().unwrap(), view) };
    bed.say(Report::Listed(listing)).await;
    let metrics = &bed.metrics.catalog;
    assert_eq!(metrics.notification_to_swap_seconds.get_sample_count(), 1);
    assert_eq!(metrics.swap_to_pick_seconds.get_sample_count(), 0);
    let now = bed.catalog.clock.now();
    let mut rng = rng::for_worker(1, 1);
    bed.pass(Duration::from_secs(1)).await;
    let _ = greeter
        .snapshot()
        .load()
        .pick(&mut Ask::new(now.after(Duration::from_millis(300)), &mut rng))
        .unwrap();
    bed.pass(Duration::from_secs(2)).await;
    assert_eq!(metrics.swap_to_pick_seconds.get_sample_count(), 1);
    assert!((metrics.swap_to_pick_seconds.get_sample_sum() - 0.3).abs() < 1e-9);
}
