//! A server that dies, hangs, forgets, and comes back; watches that are over, and watches that were lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::support::way::Way;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_while_the_server_was_dead_is_seen_and_nothing_is_emptied() {
    let mut etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "a", "10.0.0.1:80").await;
    announce(&mut writer, "greeter", "b", "10.0.0.2:80").await;
    let watching = watch(&etcd, "", &["greeter", "absent"]);
    eventually(SOON, "both are listed", || watching.has("greeter", &["a", "b"])).await;
    eventually(SOON, "and the other is not there", || watching.is_absent("absent")).await;
    let count = watching.count();
    etcd.kill();
    eventually(LATER, "the watch ends", || (!watching.failures().is_empty()).then_some(())).await;
    // On another port, so that the changes are made before the watch can see the server.
    let public = etcd.move_to(None);
    etcd.run();
    etcd.ready().await;
    let mut writer = etcd.writer().await;
    writer.delete("/micro/registry/greeter/a").await;
    announce(&mut writer, "greeter", "c", "10.0.0.3:80").await;
    let last = announce(&mut writer, "absent", "d", "10.0.0.4:80").await;
    writer.client.compact(last, None).await.unwrap();
    etcd.kill();
    assert!(watching.lists_since(count, "greeter").is_empty(), "nothing is said while nobody knows");
    etcd.move_to(Some(public));
    etcd.run();
    eventually(LATER, "the changes are seen", || watching.has("greeter", &["b", "c"])).await;
    eventually(LATER, "the new service is seen", || watching.has("absent", &["d"])).await;
    assert_eq!(watching.lists_since(count, "greeter").len(), 1, "one list, and never an empty one");
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "e", "10.0.0.5:80").await;
    eventually(SOON, "and it is followed on", || watching.has("greeter", &["b", "c", "e"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_noticed_and_found_again() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "a", "10.0.0.1:80").await;
    let watching = watch(&etcd, "", &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    let count = watching.count();
    let begin = std::time::Instant::now();
    etcd.pause();
    eventually(LATER, "the hang is noticed", || (!watching.failures().is_empty()).then_some(())).await;
    println!("etcd: a hang noticed after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    eventually(LATER, "it is tried again", || (watching.failures().len() >= 2).then_some(())).await;
    assert!(watching.since(count).is_empty(), "nothing is said while nobody knows");
    etcd.resume();
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "b", "10.0.0.2:80").await;
    eventually(LATER, "it is found again", || watching.has("greeter", &["a", "b"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_data_is_followed_all_the_same() {
    let mut etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    for _ in 0..20 {
        announce(&mut writer, "greeter", "a", "10.0.0.1:80").await;
    }
    let watching = watch(&etcd, "", &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    etcd.kill();
    etcd.forget();
    etcd.run();
    eventually(LATER, "the registry itself says that it is gone", || watching.is_absent("greeter")).await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "b", "10.0.0.2:80").await;
    eventually(SOON, "and that it came, at a lower revision", || watching.has("greeter", &["b"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_servers_those_that_are_down_are_passed_over() {
    let etcd = Etcd::start().await;
    announce(&mut etcd.writer().await, "greeter", "a", "10.0.0.1:80").await;
    // Where it begins is left to chance.
    for _ in 0..8 {
        let url = format!("etcd://127.0.0.1:1,{},127.0.0.1:2", etcd.address());
        let watching = Watching::start(registry(&url), &["greeter"]);
        eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
        assert_eq!(watching.failures(), [""; 0]);
    }
    let watching = Watching::start(registry("etcd://127.0.0.1:1"), &["greeter"]);
    let failure = eventually(SOON, "there is none", || watching.failures().pop()).await;
    assert!(failure.contains("127.0.0.1:1"), "{failure}");
    assert_eq!(watching.count(), 0);
}

/// Where the request for a watch of these keys says so; a request to list them says it elsewhere.
fn watched(bytes: &[u8], key: &str) -> Option<usize> {
    let field = [&[0x0a, u8::try_from(key.len()).unwrap()], key.as_bytes()].concat();
    let at = bytes.windows(field.len()).position(|window| window == field)?;
    (at >= 2 && bytes[at - 2] == 0x0a).then_some(at + 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_watch_has_missed_is_found_by_the_audit_and_the_watch_replaced() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "a", "10.0.0.1:80").await;
    let way = Way::open(etcd.address()).await;
    let altered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&altered);
    // The watch is of another service, so that nothing is heard.
    way.alter(move |bytes| {
        if let Some(at) = watched(bytes, "/micro/registry/greeter/") {
            let (key, service) = ("/micro/registry/greeter/".len(), "/micro/registry/".len());
            bytes[at + service] = b'G';
            // The end of the keys follows their begin.
            bytes[at + key + 2 + service] = b'G';
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let watching = Watching::start(registry(&format!("etcd://{}?audit=4s", way.address)), &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    eventually(SOON, "the watch is misled", || (altered.load(Ordering::Relaxed) == 1).then_some(())).await;
    way.leave_alone();
    announce(&mut writer, "greeter", "b", "10.0.0.2:80").await;
    eventually(SOON, "the audit finds it", || watching.has("greeter", &["a", "b"])).await;
    let listing = watching.listing("greeter").unwrap();
    assert!(listing.healed && listing.heard.is_none(), "{listing:?}");
    announce(&mut writer, "greeter", "c", "10.0.0.3:80").await;
    eventually(SOON, "the new watch hears", || watching.has("greeter", &["a", "b", "c"])).await;
    let listing = watching.listing("greeter").unwrap();
    assert!(!listing.healed && listing.heard.is_some(), "{listing:?}");
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_that_finds_nothing_reports_nothing_even_while_much_changes() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "a", "10.0.0.1:80").await;
    let watching = watch(&etcd, "audit=1s", &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    let begin = std::time::Instant::now();
    let mut number = 0;
    while begin.elapsed() < Duration::from_secs(6) {
        announce(&mut writer, "greeter", &format!("x{}", number % 5), "10.0.0.2:80").await;
        if number % 3 == 0 {
            writer.delete(&format!("/micro/registry/greeter/x{}", number % 5)).await;
        }
        number += 1;
    }
    let healed = watching.lists_since(0, "greeter").iter().filter(|listing| listing.healed).count();
    assert_eq!(healed, 0, "of {number} changes");
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_a_revision_that_is_no_longer_kept_begins_again() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    for _ in 0..10 {
        announce(&mut writer, "greeter", "a", "10.0.0.1:80").await;
    }
    let last = announce(&mut writer, "greeter", "b", "10.0.0.2:80").await;
    writer.client.compact(last, None).await.unwrap();
    let way = Way::open(etcd.address()).await;
    let altered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&altered);
    // The first two watches are asked for from revision 1.
    way.alter(move |bytes| {
        let key = "/micro/registry/greeter/";
        if let Some(at) = watched(bytes, key)
            && count.load(Ordering::Relaxed) < 2
        {
            let revision = at + key.len() + 2 + key.len() + 1;
            assert_eq!(bytes[revision - 1], 0x18, "the field of the revision");
            bytes[revision] = 1;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let watching = Watching::start(registry(&format!("etcd://{}", way.address)), &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a", "b"])).await;
    eventually(SOON, "twice", || (altered.load(Ordering::Relaxed) == 2).then_some(())).await;
    announce(&mut writer, "greeter", "c", "10.0.0.3:80").await;
    eventually(SOON, "and followed", || watching.has("greeter", &["a", "b", "c"])).await;
    announce(&mut writer, "greeter", "d", "10.0.0.4:80").await;
    eventually(SOON, "by a watch", || watching.has("greeter", &["a", "b", "c", "d"])).await;
    assert!(watching.listing("greeter").unwrap().heard.is_some());
    assert_eq!(watching.failures(), [""; 0]);
}
