//! Changes of which no event tells: found by reading, and counted.

use wayside::registry::Listing;

use super::folders::{INTERFACE, configurator, provider};
use super::*;
use crate::support::gate::Gate;

/// The lists of a service that show a change found by reading alone.
fn healed(watching: &Watching, service: &str, count: usize) -> Vec<Listing> {
    watching.lists_since(count, service).into_iter().filter(|listing| listing.healed).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_event_is_lost_is_found_within_the_interval() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "greeter", "a", "10.0.0.1:80").await;
    let gate = Gate::open(zookeeper.addresses()).await;
    let watching = Watching::start(registry(&format!("zookeeper://{}?audit=1s", gate.address)), &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    let mut count = watching.count();
    gate.lose_events(true);
    for (ids, lost) in [(vec!["a", "b"], 1), (vec!["b"], 2), (vec!["b"], 3)] {
        match lost {
            1 => announce(&writer, "greeter", "b", "10.0.0.2:80").await,
            2 => writer.delete("/micro-registry/greeter/a").await,
            _ => announce(&writer, "greeter", "b", "10.0.0.3:80").await,
        }
        eventually(SOON, "the event is lost", || (gate.events_lost() >= lost).then_some(())).await;
        eventually(SOON, "the change is found", || healed(&watching, "greeter", count).pop()).await;
        assert_eq!(watching.ids("greeter").unwrap(), ids);
        count = watching.count();
    }
    assert_eq!(watching.providers("greeter").unwrap()[0].address.to_string(), "10.0.0.3:80");
    assert!(healed(&watching, "greeter", 0).iter().all(|listing| listing.heard.is_none()));

    gate.lose_events(false);
    let heard = std::time::Instant::now();
    announce(&writer, "greeter", "c", "10.0.0.4:80").await;
    eventually(SOON, "what is heard is seen", || watching.has("greeter", &["b", "c"])).await;
    let listing = watching.listing("greeter").unwrap();
    assert!(!listing.healed && listing.heard.is_some_and(|at| at >= heard), "{listing:?}");
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steady_changes_are_never_counted_as_found_by_reading() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "greeter", "a", "10.0.0.1:80").await;
    let watching = watch(&zookeeper, "audit=1s", &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    let mut last = String::new();
    for number in 0..1000 {
        last = format!("10.0.{}.{}:80", number / 250, number % 250);
        announce(&writer, "greeter", "a", &last).await;
    }
    let is_last = || (watching.providers("greeter")?[0].address.to_string() == last).then_some(());
    eventually(SOON, "the last is seen", is_last).await;
    assert_eq!(healed(&watching, "greeter", 0).len(), 0);
    assert!(watching.lists_since(0, "greeter").len() > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_whose_event_is_lost_is_found_as_well() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    writer.put(&provider(1), "").await;
    let gate = Gate::open(zookeeper.addresses()).await;
    let url = format!("zookeeper://{}?format=dubbo&audit=1s", gate.address);
    let watching = Watching::start(registry(&url), &[INTERFACE]);
    eventually(SOON, "it is listed", || watching.providers(INTERFACE)).await;
    let count = watching.count();
    gate.lose_events(true);
    writer.put(&provider(2), "").await;
    let found = eventually(SOON, "the change is found", || healed(&watching, INTERFACE, count).pop()).await;
    assert_eq!(watching.providers(INTERFACE).unwrap().len(), 2);
    assert_eq!(found.reads, 1, "what is known by its name is not read again");
    let count = watching.count();
    writer.put(&configurator(50), "").await;
    eventually(SOON, "the rule is found", || healed(&watching, INTERFACE, count).pop()).await;
    assert_eq!(watching.providers(INTERFACE).unwrap()[0].weight.hundredths(), 50);
}
