//! Two catalogs, one after the other, with a folder between them.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::catalog::Settings;
use crate::catalog::Subscription;
use crate::catalog::tests::{Bed, listed};
use crate::endpoint::{Counts, Memory, ReachState};
use crate::provider::Provider;
use crate::registry::View;

const MINUTE: Duration = Duration::from_mins(1);

/// A catalog that takes over what is in a folder, and leaves what it knows there.
async fn bed(folder: &TempDir) -> Bed {
    let path = folder.path().to_owned();
    let bed = Bed::prepared(Settings::default(), |catalog| catalog.open_handover(&path, MINUTE)).await;
    bed.drain.spawn("handover", bed.catalog.keep_handover(bed.drain.clone()));
    bed
}

fn memory(subscription: &Subscription, index: usize) -> Arc<Memory> {
    Arc::clone(&subscription.snapshot().load().endpoints[index].memory)
}

/// A first process finds that the first of two does not answer, and that the second fails its checks; then it ends.
async fn left(folder: &TempDir) {
    let first = bed(folder).await;
    let greeter = first.subscribe("greeter");
    first.list("greeter", &[1, 2, 3]).await;
    let now = first.catalog.clock.now();
    memory(&greeter, 0).fail_to_connect(now, 0.5);
    memory(&greeter, 1).check(Err("GET / answered 500"), Counts { rise: 2, fall: 1 }, now);
    end(first).await;
}

/// Ends a process whole: what it leaves is written by then, and nothing is later.
async fn end(bed: Bed) {
    bed.drain.finish(Duration::from_secs(5)).await;
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join(NAME)
}

/// Which of the endpoints are available.
fn available(subscription: &Subscription) -> Vec<bool> {
    subscription.snapshot().load().endpoints.iter().map(Endpoint::is_available).collect()
}

#[tokio::test(start_paused = true)]
async fn what_one_process_knows_the_next_one_knows_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    left(&folder).await;
    let second = bed(&folder).await;
    let greeter = second.subscribe("greeter");
    second.list("greeter", &[1, 2, 3, 4]).await;
    assert_eq!(available(&greeter), [false, false, true, true]);
    let now = second.catalog.clock.now();
    let state = memory(&greeter, 0).reach.state(now);
    let ReachState::Unreachable { failures: 1, pause } = state else { panic!("{state:?}") };
    assert!(pause <= Duration::from_secs(1));
    let status = second.catalog.service("greeter").unwrap();
    assert_eq!(status.endpoints[1].why.as_deref(), Some("its check fails: GET / answered 500"));

    // It is for the first time that this process hears of an endpoint, and no other.
    memory(&greeter, 0).answer(now);
    second.list("greeter", &[2, 3, 4]).await;
    second.pass(Duration::from_mins(2)).await;
    second.list("greeter", &[1, 2, 3, 4]).await;
    assert_eq!(available(&greeter), [true, false, true, true], "the first one is new");
}

#[tokio::test(start_paused = true)]
async fn what_is_old_or_of_another_process_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    left(&folder).await;
    let text = fs::read(file(&folder)).unwrap();
    let second = bed(&folder).await;
    second.pass(MINUTE + Duration::from_secs(1)).await;
    let greeter = second.subscribe("greeter");
    second.list("greeter", &[1, 2, 3]).await;
    assert_eq!(available(&greeter), [true; 3], "nobody knows whether it still holds");
    end(second).await;

    fs::write(file(&folder), &text).unwrap();
    let third = bed(&folder).await;
    let greeter = third.subscribe("greeter");
    let other = Arc::new(Provider::new("another", "10.0.0.1:1".parse().unwrap()));
    third.say(listed("greeter", View::Present { providers: vec![other], skipped: Vec::new() })).await;
    assert_eq!(available(&greeter), [true], "a process that was started anew");
    end(third).await;

    let mut legacy = document::decode(&text).unwrap();
    legacy.written -= MINUTE;
    fs::write(file(&folder), document::encode(&legacy)).unwrap();
    let fourth = bed(&folder).await;
    let greeter = fourth.subscribe("greeter");
    fourth.list("greeter", &[1, 2, 3]).await;
    assert_eq!(available(&greeter), [true; 3], "the file is too old");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_no_good_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    left(&folder).await;
    let text = fs::read_to_string(file(&folder)).unwrap();
    for bad in [text.replace("greeter", "greetor"), text[..text.len() - 9].to_owned(), String::new()] {
        fs::write(file(&folder), &bad).unwrap();
        let next = bed(&folder).await;
        let greeter = next.subscribe("greeter");
        next.list("greeter", &[1, 2, 3]).await;
        assert_eq!(available(&greeter), [true; 3]);
        assert_eq!(fs::read_to_string(folder.path().join("endpoints.unusable")).unwrap(), bad);
        end(next).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_written_now_and_then_while_anything_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let bed = bed(&folder).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1]).await;
    let writes = || bed.metrics.catalog.store_writes_total.get();
    bed.pass(Duration::from_secs(29)).await;
    assert!(writes() == 0 && !file(&folder).exists());
    bed.pass(Duration::from_secs(62)).await;
    assert_eq!(writes(), 1, "nothing was asked for since");
    greeter.touch(bed.catalog.clock.now());
    bed.pass(Duration::from_secs(31)).await;
    assert_eq!(writes(), 2);
    let legacy = document::decode(&fs::read(file(&folder)).unwrap()).unwrap();
    assert_eq!(legacy.services.len(), 1);
    drop(bed);
    assert!(file(&folder).exists(), "a crash finds it");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_written_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let bed = bed(&folder).await;
    bed.subscribe("greeter");
    bed.list("greeter", &[1]).await;
    fs::create_dir(file(&folder)).unwrap();
    bed.drain.finish(Duration::from_secs(5)).await;
    assert_eq!(bed.metrics.catalog.store_failures_total.get(), 1);
}

#[test]
fn a_clock_that_was_set_matters_within_bounds_only() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(400_000);
    let second = Duration::from_secs(1);
    assert_eq!(age(now - 5 * second, now, MINUTE), Some(5 * second));
    assert_eq!(age(now - MINUTE - second, now, MINUTE), None);
    assert_eq!(age(now + second, now, MINUTE), Some(Duration::ZERO), "set back by a little meanwhile");
    assert_eq!(age(now + MINUTE + second, now, MINUTE), None, "set back by more: nobody knows");
}
