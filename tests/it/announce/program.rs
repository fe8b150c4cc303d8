//! The program that announces the app beside it: health, the end, reloading, and the command `register`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::net::TcpStream;

use crate::support::light::Light;
use crate::support::patience::{at_last, spot};
use crate::support::program::{ANY, Program, whole};
use crate::support::provider::Echo;
use crate::support::zookeeper::{Writer, ZooKeeper};

const FOLDER: &str = "/micro-registry/greeter";

/// A program with a configuration in ZooKeeper, and what can look into that.
struct Announcing {
    program: Program,
    writer: Writer,
    file: PathBuf,
    registry: String,
    _folder: tempfile::TempDir,
    _zookeeper: ZooKeeper,
}

impl Announcing {
    async fn start(sections: &str) -> Self {
        let zookeeper = ZooKeeper::start().await;
        let writer = zookeeper.writer().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wayside.toml");
        let registry = format!("[registry]\nurl = \"zookeeper://{}\"\n", zookeeper.addresses());
        fs::write(&file, format!("{registry}{sections}")).unwrap();
        let program = Program::run(&["--config", file.to_str().unwrap()]).await;
        Self { program, writer, file, registry, _folder: folder, _zookeeper: zookeeper }
    }

    fn change(&self, top: &str, sections: &str) {
        write(&self.file, &format!("{top}{}{sections}", self.registry));
    }

    async fn records(&self) -> Vec<String> {
        records(&self.writer).await
    }

    async fn has(&self, ids: &[&str]) {
        at_last("these are announced", async || self.records().await == ids).await;
    }

    /// How the first announcement stands, as admin tells.
    async fn first(&self) -> Value {
        self.program.ask_json("/announcements").await["announcements"][0].clone()
    }
}

/// Replaces a file as a careful program does, so that nobody reads half of it.
fn write(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

/// The records of the service, by name.
async fn records(writer: &Writer) -> Vec<String> {
    let mut names = writer.client.list_children(FOLDER).await.unwrap_or_default();
    names.sort();
    names
}

fn section(id: &str, address: &str, rest: &str) -> String {
    format!(
        "[[announce]]\nservice = \"greeter\"\nid = \"{id}\"\naddress = \"{address}\"\n{rest}\n\
         [announce.check]\ninterval = \"100ms\"\nrise = 2\nfall = 2\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_follows_the_health_of_the_app() {
    let app = Echo::start().await;
    let address: SocketAddr = app.address().to_string().parse().unwrap();
    let it = Announcing::start(&section("g-1", &address.to_string(), "")).await;
    it.has(&["g-1"]).await;
    at_last("admin tells it", async || it.first().await["state"] == "announced").await;
    let first = it.first().await;
    assert_eq!((&first["is_well"], &first["check"]), (&true.into(), &"tcp".into()), "{first}");
    assert_eq!(first["record"], format!("{FOLDER}/g-1"));
    at_last("it is counted", async || it.program.metric("wayside_announced", "greeter").await == 1.0).await;

    app.kill().await;
    it.has(&[]).await;
    let first = it.first().await;
    assert_eq!((&first["state"], &first["is_well"]), (&"withheld".into(), &false.into()), "{first}");
    assert!(first["record"].is_null(), "{first}");
    assert!(first["cause"].as_str().unwrap().contains("cannot connect"), "{first}");
    at_last("and no longer", async || it.program.metric("wayside_announced", "greeter").await == 0.0).await;
    it.program.logs("the app is not well, and is withdrawn").await;

    let _app = Echo::at(address).await;
    it.has(&["g-1"]).await;
    it.program.logs("the app is well again").await;
    let changes = async || it.program.metric("wayside_announcement_changes_total", "announced").await;
    at_last("both times are counted", async || changes().await == 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_announced_before_the_app_answers() {
    // A port that nobody listens on.
    let address = tokio::net::TcpListener::bind(ANY).await.unwrap().local_addr().unwrap();
    let it = Announcing::start(&section("g-1", &address.to_string(), "")).await;
    at_last("it was asked", async || it.first().await["is_well"] == false).await;
    assert_eq!(it.records().await, [""; 0]);
    let _app = Echo::at(address).await;
    it.has(&["g-1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_the_record_is_gone_while_connections_are_still_taken() {
    let app = Light::start().await;
    let mut it = Announcing::start(&section("g-1", &app.address.to_string(), "")).await;
    it.has(&["g-1"]).await;
    let listener = it.program.listeners()[0];
    // The moment at which nobody listens any more, seen by a thread of its own.
    let closed = tokio::spawn(spot("nobody listens any more", move || {
        std::net::TcpStream::connect(listener).is_err()
    }));
    let (client, gone) = (it.writer.client.clone(), format!("{FOLDER}/g-1"));
    it.program.signal("TERM");
    at_last("it is gone", async || client.check_stat(&gone).await.unwrap().is_none()).await;
    let withdrawn = std::time::Instant::now();
    assert_eq!(it.program.ended().await.code(), Some(0), "{}", it.program.log());
    let closed = closed.await.unwrap();
    let log = it.program.log();
    let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text:?} in {log}"));
    assert!(place("withdrawn id=\"greeter/g-1\"") < place("stopping: draining"), "{log}");
    // The record was seen to be gone at some time after it was; the end came later still, if only by the drain's 1.5 s.
    println!("closed {:?} after the record was seen to be gone", closed.saturating_duration_since(withdrawn));
    assert!(!log.contains("not all could be withdrawn"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_is_a_lame_duck_it_takes_requests_without_being_announced() {
    let app = Light::start().await;
    let mut it = Announcing::start("").await;
    it.program.signal("TERM");
    it.program.ended().await;
    it.change("lame_duck = \"5s\"\n", &section("g-1", &app.address.to_string(), ""));
    it.program = Program::run(&["--config", it.file.to_str().unwrap()]).await;
    it.has(&["g-1"]).await;
    let listener = it.program.listeners()[0];
    it.program.signal("TERM");
    it.has(&[]).await;
    TcpStream::connect(listener).await.expect("the record is gone, and the listener is still there");
    assert_eq!(it.program.ask("/readyz").await.status(), http::StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(it.program.ended().await.code(), Some(0), "{}", it.program.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_gone_does_not_hold_up_the_end() {
    let app = Light::start().await;
    let mut it = Announcing::start(&section("g-1", &app.address.to_string(), "")).await;
    it.has(&["g-1"]).await;
    it._zookeeper.server().pause();
    it.program.signal("TERM");
    assert_eq!(it.program.ended().await.code(), Some(0), "{}", it.program.log());
    assert!(it.program.log().contains("not all could be withdrawn in time"), "{}", it.program.log());
    it._zookeeper.server().resume();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_leaves_alone_what_did_not_change() {
    let app = Light::start().await;
    let address = app.address.to_string();
    let nameless = format!("[[announce]]\nservice = \"greeter\"\naddress = \"{address}\"\nversion = \"1\"\n");
    let it = Announcing::start(&(section("g-1", &address, "") + &nameless)).await;
    at_last("both are announced", async || it.records().await.len() == 2).await;
    let names = it.records().await;
    assert!(names[0] == "g-1" && names[1].starts_with("greeter-") && names[1].len() == 44, "{names:?}");
    let stat = async |name: &str| it.writer.client.check_stat(&format!("{FOLDER}/{name}")).await.unwrap();
    let (one, two) = (stat("g-1").await, stat(&names[1]).await.unwrap());

    it.change("", &(section("g-1", &address, "") + &nameless.replace("\"1\"", "\"2\"")));
    at_last("the change is written", async || {
        stat(&names[1]).await.is_some_and(|now| now.version > two.version)
    })
    .await;
    assert_eq!(stat("g-1").await, one, "it was neither away nor written");
    assert_eq!(stat(&names[1]).await.unwrap().czxid, two.czxid, "it was not away, and kept its id");
    it.change("", &(section("g-1", &address, "") + &section("g-3", &address, "")));
    it.has(&["g-1", "g-3"]).await;
    assert_eq!(stat("g-1").await, one);
    assert!(!it.program.log().contains("at the next start"), "{}", it.program.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_announces_until_it_is_told_to_stop() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let app = Light::start().await;
    let registry = format!("zookeeper://{}", zookeeper.addresses());
    for (signal, address) in [("TERM", app.address.to_string()), ("INT", format!(":{}", app.address.port()))]
    {
        let arguments = ["register", "--service", "greeter", "--address", &address, "--id", "g-1"];
        let more =
            ["--check", "http:/health", "--interval", "200ms", "--metadata", "owner=ops", "--weight", "0.5"];
        let arguments = [&arguments[..], &more].concat();
        let mut program = Program::launch(&arguments, &[("WAYSIDE_REGISTRY", &registry)]);
        at_last("it is announced", async || records(&writer).await == ["g-1"]).await;
        let line = program.logs("announced id=").await;
        assert!(line.contains(&format!("record=\"{FOLDER}/g-1\"")), "{line}");
        let (data, _) = writer.client.get_data(&format!("{FOLDER}/g-1")).await.unwrap();
        let record: Value = serde_json::from_slice(&data).unwrap();
        // The registry is on this machine's loopback, so the address that is found is too.
        assert_eq!(record["nodes"][0]["address"], app.address.to_string());
        assert_eq!(record["nodes"][0]["metadata"], serde_json::json!({"owner": "ops", "weight": "0.5"}));
        program.signal(signal);
        assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
        assert_eq!(records(&writer).await, [""; 0], "it was withdrawn before the command ended");
    }
}

#[test]
fn register_names_every_mistake_with_its_flag() {
    let arguments =
        ["register", "--registry", "fixed:a=h:1", "--service", "a b", "--address", "here", "--check", "tpc"];
    let (code, said, complaint) = whole(&arguments, &[]);
    assert_eq!((code, said.as_str()), (1, ""), "{complaint}");
    for part in [
        "--service: \"a b\" is not a service name",
        "--address: \"here\" is no address with a port; write",
        "--check: there is no \"tpc\"; write \"tcp\"",
        "nothing can be announced in the registry fixed, which is only read; announce in another: zookeeper",
    ] {
        assert!(complaint.contains(part), "{part} in {complaint}");
    }
    let (code, _, complaint) = whole(&["register", "--service", "a", "--address", ":1"], &[]);
    assert_eq!(code, 2);
    assert!(complaint.contains("there is no registry to announce in; give one:"), "{complaint}");
}
