//! What checks find of endpoints, and what the registry says of them meanwhile.

use super::*;
use crate::endpoint::{Counts, Memory};
use crate::provider::Tenure;

const COUNTS: Counts = Counts { rise: 2, fall: 1 };

fn memory(subscription: &Subscription, index: usize) -> Arc<Memory> {
    let snapshot = subscription.snapshot().load();
    let endpoint = snapshot.all().nth(index).expect("there are as many");
    Arc::clone(&endpoint.memory)
}

fn fail(bed: &Bed, memory: &Memory) {
    assert!(memory.check(Err("GET / answered 500"), COUNTS, bed.catalog.clock.now()));
}

#[tokio::test(start_paused = true)]
async fn nobody_goes_because_its_checks_fail() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    let lasting = |port| Arc::new(Provider { tenure: Tenure::Lasting, ..Provider::clone(&provider(port)) });
    let providers = vec![lasting(1), lasting(2)];
    bed.say(listed("greeter", View::Present { providers, skipped: Vec::new() })).await;
    fail(&bed, &memory(&greeter, 0));
    bed.absent("greeter").await;
    fail(&bed, &memory(&greeter, 1));
    bed.pass(Duration::from_secs(5)).await;
    assert_eq!(ports(&greeter), [1, 2], "both records are gone, and both may answer requests");
    assert_eq!(bed.catalog.service("greeter").unwrap().endpoints[0].state, "unwell");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_started_anew_counts_as_well() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1, 2]).await;
    (0..2).for_each(|index| fail(&bed, &memory(&greeter, index)));
    let address: crate::provider::Address = "10.0.0.1:1".parse().unwrap();
    let anew = Provider::new("another", address);
    let same = Provider { version: "2".into(), ..Provider::clone(&provider(2)) };
    let providers = vec![Arc::new(anew), Arc::new(same)];
    bed.say(listed("greeter", View::Present { providers, skipped: Vec::new() })).await;
    bed.pass(Duration::from_secs(1)).await;
    let states: Vec<_> =
        bed.catalog.service("greeter").unwrap().endpoints.iter().map(|endpoint| endpoint.state).collect();
    assert_eq!(states, ["available", "unwell"], "a record that says something else is no other process");
}

#[tokio::test(start_paused = true)]
async fn no_answer_ends_what_checks_find_and_no_request_tries() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1, 2]).await;
    let (one, now) = (memory(&greeter, 0), bed.catalog.clock.now());
    let before = one.group().changes();
    fail(&bed, &one);
    assert!(one.group().changes() > before, "whoever counts has to count anew");
    one.fail_to_connect(now, 0.5);
    let later = now.after(Duration::from_mins(5));
    assert!(!one.is_due(later) && !one.try_claim(later));
    one.answer(later);
    one.find_well();
    assert!(one.reach.is_available() && !one.is_available());
    assert!(!one.check(Ok(()), COUNTS, later) && one.check(Ok(()), COUNTS, later) && one.is_available());
    assert_eq!(one.ramp(), Some(1), "who is back begins slowly");
}
