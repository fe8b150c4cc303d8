//! A catalog with a store: what is used of it, for how long, and when it is written.

use std::fs;

use tempfile::TempDir;

use super::super::tests::{Bed, Step, claim, listed, ports};
use super::*;
use crate::catalog::{Freshness, Settings};
use crate::registry::View;

/// A catalog with a store in a folder, that follows a script.
async fn bed(folder: &TempDir) -> Bed {
    let path = folder.path().to_owned();
    Bed::prepared(Settings::default(), |catalog| catalog.open_store(&path)).await
}

/// Lets a first process learn of `greeter` and `users`, and end.
async fn remembered(folder: &TempDir) {
    let first = bed(folder).await;
    let keeping = tokio::spawn(first.catalog.keep_store(first.drain.clone()));
    first.subscribe("greeter");
    first.subscribe("users");
    first.list("greeter", &[1, 2]).await;
    first.list("users", &[3]).await;
    first.drain.begin();
    keeping.await.unwrap();
}

fn text(folder: &TempDir) -> String {
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    fs::read_to_string(&files[0]).unwrap()
}

fn is_from_disk(freshness: &Freshness) -> bool {
    matches!(freshness, Freshness::FromDisk { .. })
}

#[tokio::test(start_paused = true)]
async fn a_start_without_the_registry_serves_what_was_known_last() {
    let folder = tempfile::tempdir().unwrap();
    remembered(&folder).await;
    let second = bed(&folder).await;
    second.step(Step::Fail("connecting")).await;
    let greeter = second.subscribe("greeter");
    assert!(greeter.listed(Duration::ZERO).await, "at once");
    assert_eq!(ports(&greeter), [1, 2]);
    assert!(is_from_disk(&greeter.freshness()));
    assert_eq!(second.catalog.services().len(), 1, "nobody asked for the other");
    let status = second.catalog.service("greeter").unwrap().freshness;
    assert_eq!((status.state, status.cause), ("from disk", None));
    second.pass(Duration::from_secs(90)).await;
    assert!(second.catalog.service("greeter").unwrap().freshness.for_ms >= Some(90_000));
    second.step(Step::Fail("connecting")).await;
    assert!(is_from_disk(&greeter.freshness()), "it is no staler for being asked in vain");
    let memory = Arc::clone(&greeter.snapshot().load().endpoints[1].memory);
    second.list("greeter", &[2, 4]).await;
    second.pass(Duration::from_secs(1)).await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![2, 4], Freshness::Live));
    assert!(Arc::ptr_eq(&memory, &greeter.snapshot().load().endpoints[0].memory));
}

#[tokio::test(start_paused = true)]
async fn the_word_of_the_registry_replaces_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    remembered(&folder).await;
    let second = bed(&folder).await;
    let keeping = tokio::spawn(second.catalog.keep_store(second.drain.clone()));
    let greeter = second.subscribe("greeter");
    assert!(is_from_disk(&greeter.freshness()), "the registry was not reached yet");
    second.absent("greeter").await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![], Freshness::Absent));
    let users = second.subscribe("users");
    assert_eq!(users.freshness(), Freshness::Pending, "the registry answers, so it is asked");
    second.step(Step::Fail("reading")).await;
    assert!(is_from_disk(&users.freshness()) && ports(&users) == [3], "it did not come to answer");
    second.drain.begin();
    keeping.await.unwrap();
    let text = text(&folder);
    assert!(!text.contains("greeter") && text.contains("users"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_to_another_process_is_written_no_more() {
    let folder = tempfile::tempdir().unwrap();
    remembered(&folder).await;
    let before = text(&folder);
    let second = bed(&folder).await;
    let keeping = tokio::spawn(second.catalog.keep_store(second.drain.clone()));
    second.subscribe("greeter");
    second.list("greeter", &[7]).await;
    second.catalog.leave_store();
    second.drain.begin();
    keeping.await.unwrap();
    assert_eq!(text(&folder), before);
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_written_once_and_steady_change_now_and_then() {
    let folder = tempfile::tempdir().unwrap();
    let bed = bed(&folder).await;
    bed.drain.spawn("store", bed.catalog.keep_store(bed.drain.clone()));
    bed.subscribe("greeter");
    let writes = || bed.metrics.catalog.store_writes_total.get();
    for last in 1..=5 {
        bed.list("greeter", &(1..=last).collect::<Vec<_>>()).await;
    }
    bed.pass(Duration::from_millis(900)).await;
    assert_eq!(writes(), 0);
    // Writing is beside the runtime, so it may end a little later than it is due.
    let written = async |count| {
        while writes() < count {
            bed.pass(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), written(1)).await.unwrap();
    assert!(text(&folder).contains("10.0.0.1:5"));
    bed.list("greeter", &[1, 2, 3, 4, 5]).await;
    bed.pass(Duration::from_mins(1)).await;
    assert_eq!(writes(), 1, "it says what is known already");
    for round in 0..600 {
        bed.list("greeter", &[round % 7 + 1]).await;
        bed.pass(Duration::from_millis(100)).await;
    }
    let count = writes();
    assert!((4..=8).contains(&count), "{count} in a minute");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_tried_again_and_stands_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("store");
    fs::write(&occupied, "").unwrap();
    let path = occupied.clone();
    let bed = Bed::prepared(Settings::default(), |catalog| catalog.open_store(&path)).await;
    bed.drain.spawn("store", bed.catalog.keep_store(bed.drain.clone()));
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1]).await;
    bed.pass(Duration::from_secs(25)).await;
    let metrics = &bed.metrics.catalog;
    assert!((2..=3).contains(&metrics.store_failures_total.get()), "{}", metrics.store_failures_total.get());
    assert_eq!(ports(&greeter), [1]);
    fs::remove_file(&occupied).unwrap();
    bed.pass(Duration::from_secs(25)).await;
    assert_eq!(metrics.store_writes_total.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_kept_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    remembered(&folder).await;
    let second = bed(&folder).await;
    let keeping = tokio::spawn(second.catalog.keep_store(second.drain.clone()));
    second.step(Step::Fail("connecting")).await;
    second.subscribe("greeter");
    second.say(listed("greeter", View::Present { providers: vec![], skipped: vec![] })).await;
    second.drain.begin();
    keeping.await.unwrap();
    assert!(text(&folder).contains("\"users\""), "nobody asked for it in this life");

    let kept = |age: u64| {
        let seen = SystemTime::now() - Duration::from_secs(age);
        Kept { providers: Vec::new(), seen }
    };
    let names = ["a", "b", "c", "d"].map(|name| name.parse::<ServiceName>().unwrap());
    let services = names.into_iter().zip([10, 8 * 24 * 3600, 30, 20].map(kept)).collect();
    let file = StoreFile::new(folder.path(), "x", "x", String::new());
    let mut shelf = Shelf { file, services, is_due: false };
    shelf.prune(|name| name.as_str() == "b", 3, SystemTime::now());
    let left = |shelf: &Shelf| shelf.services.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(left(&shelf), ["a", "b", "d"], "b is followed, and c the oldest of too many");
    shelf.prune(|_| false, 3, SystemTime::now());
    assert_eq!(left(&shelf), ["a", "d"], "b is too old");
}

#[tokio::test(start_paused = true)]
async fn without_a_store_nothing_is_due() {
    let bed = Bed::new(Settings::default()).await;
    let _greeter = bed.catalog.declare(&claim("greeter")).unwrap();
    bed.list("greeter", &[1]).await;
    assert!(bed.catalog.due_files().is_empty());
}
