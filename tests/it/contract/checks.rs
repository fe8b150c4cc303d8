//! The checks: what is announced, changed, withdrawn, unreadable, or out of reach.

use wayside::catalog::Freshness;
use wayside::registry::View;

use super::LATER;
use super::eyes::Eyes;
use super::subject::Subject;
use crate::support::patience::eventually;

const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";
const C: &str = "10.0.0.3:80";
const D: &str = "10.0.0.4:80";

/// A registry with three providers of `greeter`.
async fn with_three<S: Subject>() -> S {
    let mut subject = S::start().await;
    for (id, address) in [("a", A), ("b", B), ("c", C)] {
        subject.announce("greeter", id, address).await;
    }
    subject
}

pub(super) async fn what_is_announced_is_seen_and_what_is_not_is_absent<S: Subject>() {
    let subject = with_three::<S>().await;
    let eyes = Eyes::open(subject.registry(), &["greeter", "unknown"]);
    eyes.see("what was there before", "greeter", &[A, B, C]).await;
    eyes.see_nothing("what is not there", "unknown").await;
    assert_eq!(eyes.watching.failures(), [""; 0]);
}

pub(super) async fn what_is_announced_later_is_seen<S: Subject>() {
    let mut subject = with_three::<S>().await;
    let eyes = Eyes::open(subject.registry(), &["greeter", "other", "unknown"]);
    eyes.see("what was there before", "greeter", &[A, B, C]).await;
    eyes.see_nothing("what is not there", "other").await;
    subject.announce("greeter", "d", D).await;
    eyes.see("what comes", "greeter", &[A, B, C, D]).await;
    subject.announce("other", "o", A).await;
    eyes.see("a service that comes", "other", &[A]).await;
    eyes.see_nothing("what is still not there", "unknown").await;
    assert_eq!(eyes.watching.failures(), [""; 0]);
}

pub(super) async fn what_changes_is_seen<S: Subject>() {
    let mut subject = with_three::<S>().await;
    let eyes = Eyes::open(subject.registry(), &["greeter"]);
    eyes.see("three", "greeter", &[A, B, C]).await;
    let count = eyes.watching.count();
    subject.announce("greeter", "b", D).await;
    eyes.see("one moved", "greeter", &[A, C, D]).await;
    subject.announce("greeter", "b", B).await;
    eyes.see("it moved back", "greeter", &[A, B, C]).await;
    assert!(!eyes.was_empty_since(count, "greeter"));
    assert_eq!(eyes.watching.failures(), [""; 0]);
}

pub(super) async fn what_is_withdrawn_is_gone<S: Subject>() {
    let mut subject = with_three::<S>().await;
    let eyes = Eyes::open(subject.registry(), &["greeter"]);
    eyes.see("three", "greeter", &[A, B, C]).await;
    subject.withdraw("greeter", "b").await;
    eyes.see("two", "greeter", &[A, C]).await;
    subject.announce("greeter", "b", B).await;
    eyes.see("it comes back", "greeter", &[A, B, C]).await;
    assert_eq!(eyes.watching.failures(), [""; 0]);
}

pub(super) async fn a_lost_connection_makes_stale_and_never_empty_and_once_back_what_changed_is_seen<
    S: Subject,
>() {
    let mut subject = with_three::<S>().await;
    let eyes = Eyes::open(subject.registry(), &["greeter", "other"]);
    eyes.see("three", "greeter", &[A, B, C]).await;
    eyes.see_nothing("what is not there", "other").await;
    let count = eyes.watching.count();
    subject.break_connection().await;
    let stale = || {
        let (known, freshness) = eyes.known("greeter");
        assert_eq!(known, [A, B, C], "nothing is given up for a connection");
        matches!(freshness, Freshness::Stale { .. }).then_some(())
    };
    eventually(LATER, "what is known is stale", stale).await;
    subject.withdraw("greeter", "a").await;
    subject.announce("greeter", "d", D).await;
    subject.announce("other", "o", A).await;
    assert!(stale().is_some() && eyes.watching.lists_since(count, "greeter").is_empty());
    subject.mend().await;
    let back = || {
        let (known, freshness) = eyes.known("greeter");
        assert!([B, C].iter().all(|address| known.iter().any(|known| known == address)), "{known:?}");
        // One that went meanwhile may be kept for a while: nobody knows why it went.
        (known.iter().any(|known| known == D) && freshness == Freshness::Live).then_some(())
    };
    eventually(LATER, "what came meanwhile is known", back).await;
    let reported = || (eyes.reported("greeter")? == [B, C, D]).then_some(());
    eventually(LATER, "all that changed is reported", reported).await;
    eyes.see("a service that came meanwhile", "other", &[A]).await;
    assert!(!eyes.was_empty_since(count, "greeter"));
    subject.announce("greeter", "e", A).await;
    let reported = || (eyes.reported("greeter")? == [A, B, C, D]).then_some(());
    eventually(LATER, "and it is followed on", reported).await;
}

pub(super) async fn a_bad_record_is_skipped_and_counted_and_harms_nobody<S: Subject>() {
    let mut subject = with_three::<S>().await;
    subject.put_bad("greeter", "bad").await;
    let eyes = Eyes::open(subject.registry(), &["greeter"]);
    eyes.see("those that are good", "greeter", &[A, B, C]).await;
    let reported = || match eyes.watching.listing("greeter")?.view {
        View::Present { skipped, .. } => Some(skipped.len()),
        View::Absent => None,
    };
    let known = || eyes.catalog.service("greeter").unwrap().skipped_count;
    assert_eq!((reported(), known()), (Some(1), 1));
    let counted = || {
        let metrics = eyes.metrics.render(&[]);
        let lines =
            metrics.lines().filter(|line| line.starts_with("wayside_registry_records_skipped_total{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum::<u32>()
    };
    assert_eq!(counted(), 1);
    subject.put_bad("greeter", "worse").await;
    eventually(LATER, "another", || (reported() == Some(2) && known() == 2).then_some(())).await;
    assert_eq!(counted(), 2);
    eyes.see("they are as they were", "greeter", &[A, B, C]).await;
    subject.announce("greeter", "bad", D).await;
    eyes.see("one is mended", "greeter", &[A, B, C, D]).await;
    eventually(LATER, "one is left", || (reported() == Some(1) && known() == 1).then_some(())).await;
    assert_eq!(eyes.watching.failures(), [""; 0]);
}
