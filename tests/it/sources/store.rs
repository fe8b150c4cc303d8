//! A start of the program while no registry answers: requests are served from the files that an earlier process left.

use std::fs;
use std::path::{Path, PathBuf};

use http::StatusCode;
use tempfile::TempDir;

use crate::support::etcd::Etcd;
use crate::support::light::Light;
use crate::support::patience::at_last;
use crate::support::program::{Program, get, text};
use crate::support::zookeeper::ZooKeeper;

/// A registry in a file, which is down while there is no file, and a store beside it.
struct Stored {
    folder: TempDir,
    light: Light,
}

impl Stored {
    /// A first process has learnt of `greeter`, and was told to stop.
    async fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap(), light: Light::start().await };
        this.announce();
        let mut program = this.run().await;
        assert_eq!(ask(&program).await, StatusCode::OK);
        program.signal("TERM");
        assert!(program.ended().await.success());
        this
    }

    fn announce(&self) {
        let text = format!("[services]\ngreeter = [\"{}\"]\n", self.light.address);
        fs::write(self.registry(), text).unwrap();
    }

    fn registry(&self) -> PathBuf {
        self.folder.path().join("providers.toml")
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The only file of the store.
    fn file(&self) -> PathBuf {
        let entries = fs::read_dir(self.store()).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    async fn run(&self) -> Program {
        run(&self.folder, &format!("file:{}", self.registry().display()), &self.store()).await
    }
}

/// The program with one registry and a store.
async fn run(folder: &TempDir, url: &str, store: &Path) -> Program {
    run_all(folder, &[url], store).await
}

/// The program with several registries and a store.
async fn run_all(folder: &TempDir, urls: &[&str], store: &Path) -> Program {
    let config = folder.path().join("wayside.toml");
    let registries: String = urls.iter().map(|url| format!("[[registry]]\nurl = \"{url}\"\n")).collect();
    let text = format!("{registries}[store]\nfolder = \"{}\"\n", store.display());
    fs::write(&config, text).unwrap();
    Program::run(&["--config", config.to_str().unwrap()]).await
}

/// A record as go-micro v2 writes it for a plain HTTP server.
fn record(light: &Light) -> String {
    format!(
        r#"{{"name":"greeter","version":"latest","metadata":null,"endpoints":null,"nodes":[{{"id":"{0}","address":"{0}","metadata":{{}}}}]}}"#,
        light.address
    )
}

async fn ask(program: &Program) -> StatusCode {
    get(program.listeners()[0], "/greeter/").await.status()
}

async fn freshness(program: &Program) -> String {
    let answer = program.ask_json("/services/greeter").await;
    answer["freshness"]["state"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_while_zookeeper_is_down_is_served_from_disk() {
    let mut zookeeper = ZooKeeper::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let (one, two) = (Light::start().await, Light::start().await);
    let writer = zookeeper.writer().await;
    writer.put("/micro-registry/greeter/one", record(&one)).await;
    let url = format!("zookeeper://{}", zookeeper.addresses());
    let first = run(&folder, &url, &store).await;
    assert_eq!(ask(&first).await, StatusCode::OK);
    at_last("it is written", async || first.metric("wayside_store_writes_total", "").await == 1.0).await;
    // Killed, so that nothing but what was written after the change is there.
    drop(first);
    zookeeper.server().kill();

    let second = run(&folder, &url, &store).await;
    assert_eq!(ask(&second).await, StatusCode::OK, "the first request, without a registry");
    assert_eq!(freshness(&second).await, "from disk");
    assert_eq!(get(second.admin(), "/readyz").await.status(), StatusCode::OK);
    let metrics = text(&second.ask("/metrics").await);
    assert!(metrics.contains("wayside_registry_up{registry=\"zookeeper\"} 0"), "{metrics}");
    assert_eq!(get(second.listeners()[0], "/nobody/").await.status(), StatusCode::SERVICE_UNAVAILABLE);

    zookeeper.server().start();
    zookeeper.server().ready().await;
    at_last("the registry is heard", async || freshness(&second).await == "live").await;
    let writer = zookeeper.writer().await;
    writer.put("/micro-registry/greeter/two", record(&two)).await;
    writer.delete("/micro-registry/greeter/one").await;
    at_last("requests follow, all of them", async || {
        let before = (one.requests(), two.requests());
        for _ in 0..4 {
            assert_eq!(ask(&second).await, StatusCode::OK);
        }
        (one.requests(), two.requests()) == (before.0, before.1 + 4)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_while_all_of_several_registries_are_down_is_served_from_disk() {
    let (mut zookeeper, mut etcd) = (ZooKeeper::start().await, Etcd::start().await);
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let (one, two) = (Light::start().await, Light::start().await);
    zookeeper.writer().await.put("/micro-registry/greeter/one", record(&one)).await;
    etcd.writer().await.put("/micro/registry/greeter/two", record(&two)).await;
    let urls = [format!("zookeeper://{}", zookeeper.addresses()), format!("etcd://{}", etcd.address())];
    let urls = [urls[0].as_str(), urls[1].as_str()];
    let first = run_all(&folder, &urls, &store).await;
    at_last("both are known", async || {
        assert_eq!(ask(&first).await, StatusCode::OK);
        one.requests() > 0 && two.requests() > 0
    })
    .await;
    at_last("both are written", async || {
        let written = |kind: &str| {
            let files = fs::read_dir(&store).into_iter().flatten().flatten();
            let mut named = files.filter(|file| file.file_name().to_string_lossy().starts_with(kind));
            named.any(|file| fs::read_to_string(file.path()).is_ok_and(|text| text.contains("greeter")))
        };
        written("zookeeper") && written("etcd")
    })
    .await;
    drop(first);
    zookeeper.server().kill();
    etcd.kill();

    let second = run_all(&folder, &urls, &store).await;
    let before = (one.requests(), two.requests());
    for _ in 0..10 {
        assert_eq!(ask(&second).await, StatusCode::OK, "no request fails without a registry");
    }
    assert_eq!((one.requests(), two.requests()), (before.0 + 5, before.1 + 5), "both are used");
    assert_eq!(freshness(&second).await, "from disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_the_registry_does_not_know_any_more_is_gone_once_it_says_so() {
    let stored = Stored::new().await;
    fs::write(stored.registry(), "[services]\nusers = []\n").unwrap();
    let program = stored.run().await;
    at_last("it is gone", async || ask(&program).await == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(freshness(&program).await, "absent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_good_is_told_of_and_put_aside() {
    let stored = Stored::new().await;
    fs::remove_file(stored.registry()).unwrap();
    let good = fs::read_to_string(stored.file()).unwrap();
    for (bad, cause) in [
        (good.replace("greeter", "greetor"), "it is damaged: its checksum is"),
        (good[..good.len() - 20].to_owned(), "it is damaged"),
        (
            good.replacen("wayside-store 1", "wayside-store 0", 1),
            "it is of version 0, and this program reads version 1",
        ),
        (String::new(), "it is no file of last known providers"),
    ] {
        let file = stored.file();
        fs::write(&file, bad).unwrap();
        let mut program = stored.run().await;
        let line = program.logs("last known providers are not used").await;
        assert!(line.contains(cause) && line.contains(file.to_str().unwrap()), "{line}");
        assert_eq!(ask(&program).await, StatusCode::SERVICE_UNAVAILABLE, "nothing is known");
        let aside = file.with_extension("unusable");
        assert!(aside.exists() && !file.exists());
        // It goes on as if there had been no file: the registry is heard, and what it says is kept again.
        stored.announce();
        at_last("the registry is heard", async || ask(&program).await == StatusCode::OK).await;
        program.signal("TERM");
        assert!(program.ended().await.success());
        fs::remove_file(stored.registry()).unwrap();
        fs::remove_file(aside).unwrap();
    }
    let program = stored.run().await;
    assert_eq!((ask(&program).await, freshness(&program).await), (StatusCode::OK, "from disk".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_is_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let light = Light::start().await;
    let occupied = folder.path().join("occupied");
    fs::write(&occupied, "").unwrap();
    let url = format!("fixed:greeter={}", light.address);
    let mut program = run(&folder, &url, &occupied).await;
    assert_eq!(ask(&program).await, StatusCode::OK);
    program.logs("last known providers cannot be kept").await;
    assert_eq!(ask(&program).await, StatusCode::OK);
    program.signal("TERM");
    assert!(program.ended().await.success());
    assert_eq!(program.logged("last known providers cannot be kept").len(), 1);
}
