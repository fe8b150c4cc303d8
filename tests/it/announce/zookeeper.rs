//! Announcing in ZooKeeper: what is written, and what becomes of it when something goes wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use wayside::provider::Protocol;
use wayside::registry::announcer::{Announcement, Announcer, Standing};
use wayside::registry::kinds;
use zookeeper_client::{Acls, CreateMode, Stat};

use crate::support::announcing::{Announcing, announcement};
use crate::support::gate::Gate;
use crate::support::patience::{at_last, eventually};
use crate::support::watching::Watching;
use crate::support::zookeeper::{Release, Writer, ZooKeeper};

/// What a healthy registry needs for anything, many times over.
const SOON: Duration = Duration::from_secs(10);
/// A record that was deleted is back by then.
const RESTORED: Duration = Duration::from_secs(5);
const PATH: &str = "/micro-registry/greeter/g-1";

fn announcer(cluster: &str) -> Arc<dyn Announcer> {
    let url = format!("zookeeper://{cluster}?connection_timeout=1s");
    url.parse::<kinds::Settings>().unwrap().open_announcer().unwrap()
}

fn announcing(cluster: &str) -> Announcing {
    Announcing::start(announcer(cluster))
}

async fn stat(writer: &Writer, path: &str) -> Option<Stat> {
    writer.client.check_stat(path).await.unwrap()
}

/// Waits until a node is there, or not.
async fn is_there(writer: &Writer, path: &str, is_there: bool) {
    let what = if is_there { "the record is there" } else { "the record is gone" };
    at_last(what, async || stat(writer, path).await.is_some() == is_there).await;
}

async fn text(writer: &Writer, path: &str) -> String {
    String::from_utf8(writer.client.get_data(path).await.unwrap().0).unwrap()
}

/// The keys of a record and of its node, as a set.
fn keys(record: &Value) -> (Vec<String>, Vec<String>) {
    let keys = |value: &Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    (keys(record), keys(&record["nodes"][0]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_ephemeral_and_as_whole_as_go_micro_writes_it() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let mut announcing = announcing(&zookeeper.addresses());
    let mut one = announcement("g-1", "10.0.0.5:8080");
    one.provider.protocol = Protocol::Mucp;
    one.provider.version = "1.2".into();
    announcing.want(&[one]);
    assert_eq!(announcing.announced("g-1").await, PATH);

    let found = stat(&writer, PATH).await.unwrap();
    assert!(found.ephemeral_owner != 0 && found.num_children == 0, "{found:?}");
    let record: Value = serde_json::from_str(&text(&writer, PATH).await).unwrap();
    let dump: Value =
        serde_json::from_str(include_str!("../../fixtures/znodes/go-micro-1.18-and-2.9.json")).unwrap();
    let real = dump["nodes"].as_array().unwrap().iter().find(|node| node["children"] == 0).unwrap();
    let real: Value = serde_json::from_str(real["text"].as_str().unwrap()).unwrap();
    assert_eq!(keys(&record), keys(&real), "{record} {real}");
    assert_eq!(record["nodes"][0]["address"], "10.0.0.5:8080");
    assert_eq!(record["nodes"][0]["metadata"]["protocol"], "mucp");
    assert_eq!((&record["name"], &record["version"]), (&"greeter".into(), &"1.2".into()));
    for folder in ["/micro-registry", "/micro-registry/greeter"] {
        let found = stat(&writer, folder).await.unwrap();
        assert_eq!(
            (found.ephemeral_owner, found.data_length),
            (0, 0),
            "{folder} is an empty, lasting folder"
        );
    }
    // Whoever follows the registry reads it.
    let registry =
        format!("zookeeper://{}", zookeeper.addresses()).parse::<kinds::Settings>().unwrap().open();
    let watching = Watching::start(registry, &["greeter"]);
    eventually(SOON, "it is followed", || watching.has("greeter", &["g-1"])).await;

    announcing.want(&[]);
    is_there(&writer, PATH, false).await;
    announcing.withdrawn().await;
    assert!(stat(&writer, "/micro-registry/greeter").await.is_some(), "the folder stays");
    announcing.want(&[announcement("g-2", "10.0.0.6:8080")]);
    announcing.announced("g-2").await;
    announcing.end().await;
    is_there(&writer, "/micro-registry/greeter/g-2", false).await;
    assert_eq!(announcing.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_record_is_left_alone_and_a_changed_one_is_written_in_place() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let announcing = announcing(&zookeeper.addresses());
    let one = announcement("g-1", "10.0.0.5:8080");
    announcing.want(std::slice::from_ref(&one));
    announcing.announced("g-1").await;
    let before = stat(&writer, PATH).await.unwrap();
    // Something else changes; when that is there, the first was looked at again if it ever is.
    announcing.want(&[one.clone(), announcement("g-2", "10.0.0.6:8080")]);
    announcing.announced("g-2").await;
    assert_eq!(stat(&writer, PATH).await.unwrap(), before);

    let mut moved = one;
    moved.provider.address = "10.0.0.7:8080".parse().unwrap();
    announcing.want(&[moved]);
    at_last("the change is written", async || text(&writer, PATH).await.contains("10.0.0.7:8080")).await;
    let after = stat(&writer, PATH).await.unwrap();
    assert_eq!((after.czxid, after.version), (before.czxid, before.version + 1), "it was never away");
    is_there(&writer, "/micro-registry/greeter/g-2", false).await;
    // What somebody else wrote into it does not stay.
    writer.client.set_data(PATH, b"{}", None).await.unwrap();
    at_last("it is put right", async || text(&writer, PATH).await.contains("10.0.0.7:8080")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_record_is_back_within_five_seconds_and_so_is_a_deleted_prefix() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let announcing = announcing(&zookeeper.addresses());
    announcing.want(&[announcement("g-1", "10.0.0.5:8080")]);
    announcing.announced("g-1").await;
    for paths in [&[PATH][..], &[PATH, "/micro-registry/greeter", "/micro-registry"]] {
        // At once, so that it cannot come back in between.
        let mut writing = writer.client.new_multi_writer();
        for path in paths {
            writing.add_delete(path, None).unwrap();
        }
        writing.commit().await.unwrap();
        let deleted = Instant::now();
        is_there(&writer, PATH, true).await;
        assert!(deleted.elapsed() < RESTORED, "{:?}", deleted.elapsed());
        assert!(text(&writer, PATH).await.contains("10.0.0.5:8080"));
    }
    assert_eq!(announcing.failures(), [""; 0]);
}

/// An announcement whose session expires soon.
fn short_lived() -> Announcement {
    Announcement { ttl: Duration::from_secs(2), ..announcement("g-1", "10.0.0.5:8080") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_session_is_followed_by_another_one_with_the_record() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let gate = Gate::open(zookeeper.addresses()).await;
    let announcing = announcing(&gate.address.to_string());
    announcing.want(&[short_lived()]);
    announcing.announced("g-1").await;
    let before = stat(&writer, PATH).await.unwrap();
    gate.freeze(true);
    is_there(&writer, PATH, false).await;
    gate.cut();
    is_there(&writer, PATH, true).await;
    let after = stat(&writer, PATH).await.unwrap();
    assert!(after.ephemeral_owner != 0 && after.ephemeral_owner != before.ephemeral_owner, "{after:?}");
    announcing.announced("g-1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_without_its_data_gets_the_record_again() {
    let mut zookeeper = ZooKeeper::start().await;
    let announcing = announcing(&zookeeper.addresses());
    announcing.want(&[announcement("g-1", "10.0.0.5:8080")]);
    announcing.announced("g-1").await;
    zookeeper.server().kill();
    zookeeper.server().forget();
    zookeeper.server().start();
    zookeeper.server().ready().await;
    let writer = zookeeper.writer().await;
    is_there(&writer, PATH, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_answer_is_lost_is_found_to_be_ours() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let gate = Gate::open(zookeeper.addresses()).await;
    let announcing = announcing(&gate.address.to_string());
    // With the folder there, the first create is the one that is obeyed.
    writer.put("/micro-registry/greeter/other", "{}").await;
    gate.freeze_after("10.0.0.5:8080");
    announcing.want(&[announcement("g-1", "10.0.0.5:8080")]);
    gate.froze().await;
    is_there(&writer, PATH, true).await;
    let created = stat(&writer, PATH).await.unwrap();
    assert_eq!(announcing.standing("g-1"), None, "the answer did not come through");
    gate.cut();
    announcing.announced("g-1").await;
    assert_eq!(stat(&writer, PATH).await.unwrap(), created, "it was neither created again nor written");
    assert_eq!(announcing.failures(), [""; 0], "the session went on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_dead_left_in_its_place_is_replaced() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    // Of a Go program, which lasts; and of a program that was killed, whose session has not expired.
    writer.put(PATH, "{}").await;
    let other = zookeeper.writer().await;
    let mode = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    other.client.create("/micro-registry/greeter/g-2", b"{}", &mode).await.unwrap();
    let announcing = announcing(&zookeeper.addresses());
    announcing.want(&[announcement("g-1", "10.0.0.5:8080"), announcement("g-2", "10.0.0.6:8080")]);
    announcing.announced("g-1").await;
    announcing.announced("g-2").await;
    let (one, two) =
        (stat(&writer, PATH).await.unwrap(), stat(&writer, "/micro-registry/greeter/g-2").await.unwrap());
    assert!(one.ephemeral_owner != 0 && one.ephemeral_owner == two.ephemeral_owner, "{one:?} {two:?}");
    // A folder of others is never taken for a record.
    writer.put("/micro-registry/greeter/g-3/child", "x").await;
    announcing.want(&[announcement("g-3", "10.0.0.7:8080")]);
    let cause = announcing.refused("g-3").await;
    assert!(cause.contains("/micro-registry/greeter/g-3 is a folder of others; "), "{cause}");
    assert!(stat(&writer, "/micro-registry/greeter/g-3/child").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_announce_the_same_id_the_later_has_it_and_the_other_is_told() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let (first, second) = (announcing(&zookeeper.addresses()), announcing(&zookeeper.addresses()));
    first.want(&[announcement("g-1", "10.0.0.5:8080")]);
    first.announced("g-1").await;
    second.want(&[announcement("g-1", "10.0.0.6:8080")]);
    second.announced("g-1").await;
    let cause = first.refused("g-1").await;
    assert!(cause.contains(PATH) && cause.contains("; give each its own"), "{cause}");
    assert!(text(&writer, PATH).await.contains("10.0.0.6:8080"));
    // The one that is refused withdraws nothing that is not its own.
    let before = stat(&writer, PATH).await.unwrap();
    first.want(&[]);
    first.withdrawn().await;
    assert_eq!(stat(&writer, PATH).await, Some(before));
    // It has the id once the other gives it up.
    let third = announcing(&zookeeper.addresses());
    third.want(&[announcement("g-1", "10.0.0.7:8080")]);
    third.announced("g-1").await;
    second.refused("g-1").await;
    third.want(&[]);
    third.withdrawn().await;
    at_last("the second has it again", async || {
        stat(&writer, PATH).await.is_some() && text(&writer, PATH).await.contains("10.0.0.6:8080")
    })
    .await;
    second.announced("g-1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shorter_ttl_gets_a_shorter_session() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let mut announcing = announcing(&zookeeper.addresses());
    let long = announcement("g-2", "10.0.0.6:8080");
    announcing.want(std::slice::from_ref(&long));
    announcing.announced("g-2").await;
    let before = stat(&writer, "/micro-registry/greeter/g-2").await.unwrap();
    announcing.want(&[long, short_lived()]);
    announcing.announced("g-1").await;
    at_last("the first is taken over by the new session", async || {
        let after = stat(&writer, "/micro-registry/greeter/g-2").await;
        after.is_some_and(|after| after.ephemeral_owner != before.ephemeral_owner)
    })
    .await;
    let owner = stat(&writer, PATH).await.unwrap().ephemeral_owner;
    assert_eq!(stat(&writer, "/micro-registry/greeter/g-2").await.unwrap().ephemeral_owner, owner);
    assert_eq!(announcing.failures(), [""; 0]);
    announcing.end().await;
    is_there(&writer, "/micro-registry/greeter/g-2", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_is_refused_with_the_cure() {
    let zookeeper = ZooKeeper::start().await;
    let announcing = announcing(&format!("{}/not/there", zookeeper.addresses()));
    let mut large = announcement("large", "10.0.0.5:8080");
    large.provider.metadata.insert("k".to_owned(), "v".repeat(600_000));
    announcing.want(&[announcement("g-1", "10.0.0.5:8080"), large]);
    let cause = announcing.refused("g-1").await;
    assert!(cause.contains("the chroot /not/there is not there; create it"), "{cause}");
    let cause = announcing.refused("large").await;
    assert!(cause.contains("; give it less metadata"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_before_3_5_are_announced_in_too() {
    let zookeeper = ZooKeeper::start_release(Release::V3_4).await;
    let writer = zookeeper.writer().await;
    let mut announcing = announcing(&zookeeper.addresses());
    announcing.want(&[announcement("g-1", "10.0.0.5:8080")]);
    announcing.announced("g-1").await;
    writer.delete(PATH).await;
    is_there(&writer, PATH, true).await;
    announcing.end().await;
    is_there(&writer, PATH, false).await;
    assert_eq!(announcing.failures(), [""; 0]);
}

/// The names of the children of a folder.
async fn children(writer: &Writer, folder: &str) -> Vec<String> {
    writer.client.list_children(folder).await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_records_of_other_formats_are_read_back_as_they_were_meant() {
    let zookeeper = ZooKeeper::start().await;
    for format in ["curator", "dubbo", "nerve"] {
        let url = format!("zookeeper://{}?format={format}", zookeeper.addresses());
        let settings = url.parse::<kinds::Settings>().unwrap();
        let mut announcing = Announcing::start(settings.clone().open_announcer().unwrap());
        announcing.want(&[announcement("g-1", "10.0.0.5:8080")]);
        announcing.announced("g-1").await;
        let watching = Watching::start(settings.open(), &["greeter"]);
        eventually(SOON, "it is followed", || {
            let providers = watching.providers("greeter")?;
            (providers.len() == 1 && providers[0].address.to_string() == "10.0.0.5:8080").then_some(())
        })
        .await;
        announcing.end().await;
        eventually(SOON, "it is withdrawn", || {
            watching.providers("greeter").unwrap_or_default().is_empty().then_some(())
        })
        .await;
        assert_eq!(announcing.failures(), [""; 0], "{format}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_numbered_record_whose_answer_is_lost_is_there_once() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let gate = Gate::open(zookeeper.addresses()).await;
    let url = format!("zookeeper://{}?format=nerve&connection_timeout=1s&prefix=/nerve", gate.address);
    let mut announcing = Announcing::start(url.parse::<kinds::Settings>().unwrap().open_announcer().unwrap());
    let folder = "/nerve/greeter/services";
    // With the folder there, the first create is the one that is obeyed.
    writer.put(&format!("{folder}/other"), "").await;
    gate.freeze_after("10.0.0.5");
    announcing.want(&[announcement("g-1", "10.0.0.5:8080")]);
    gate.froze().await;
    at_last("it is there", async || children(&writer, folder).await.len() == 2).await;
    gate.cut();
    let record = announcing.announced("g-1").await;
    let (_, number) = record.rsplit_once('_').unwrap();
    assert!(number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit()), "{record}");
    assert_eq!(children(&writer, folder).await.len(), 2);
    // A deleted one comes back under another number; what changes is written where it lies.
    writer.delete(&record).await;
    at_last("it is back", async || children(&writer, folder).await.len() == 2).await;
    announcing.want(&[announcement("g-1", "10.0.0.6:8080")]);
    eventually(SOON, "it stands under its new number", || match announcing.standing("g-1") {
        Some(Standing::Announced { record: new }) if new != record => Some(new),
        Some(_) | None => None,
    })
    .await;
    announcing.end().await;
    assert_eq!(children(&writer, folder).await, ["other"]);
    assert_eq!(announcing.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbered_records_of_one_service_lie_side_by_side() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    // Members of a ServerSet have one name, but for the number.
    let url = format!("zookeeper://{}?format=serverset&prefix=/sets", zookeeper.addresses());
    let mut announcing = Announcing::start(url.parse::<kinds::Settings>().unwrap().open_announcer().unwrap());
    let (one, two) = (announcement("g-1", "10.0.0.5:8080"), announcement("g-2", "10.0.0.5:8081"));
    announcing.want(&[one.clone(), two]);
    let (first, second) = (announcing.announced("g-1").await, announcing.announced("g-2").await);
    assert_ne!(first, second);
    assert_eq!(children(&writer, "/sets/greeter").await.len(), 2);
    announcing.want(&[one]);
    at_last("the other is withdrawn", async || children(&writer, "/sets/greeter").await.len() == 1).await;
    assert!(stat(&writer, &first).await.is_some(), "the one that stays was never touched");
    announcing.end().await;
    assert_eq!(children(&writer, "/sets/greeter").await, [""; 0]);
    assert_eq!(announcing.failures(), [""; 0]);
}
