//! Two processes of the program, one after the other: what the first found out, the second does not find out again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use tempfile::TempDir;
use wayside::provider::Address;

use crate::support::patience::at_last;
use crate::support::patient::Patient;
use crate::support::ports;
use crate::support::program::{Program, get};
use crate::support::staffed::{Staffed, Work};

/// Three providers: one that says it is ill, one that is not there, and one that is well; and a folder for all files.
struct Fleet {
    ill: Patient,
    gone: Address,
    well: Patient,
    folder: TempDir,
}

impl Fleet {
    async fn new() -> Self {
        let (ill, well) = (Patient::start().await, Patient::start().await);
        ill.fall_ill(true);
        let [port] = ports::free();
        let gone = format!("127.0.0.1:{port}").parse().unwrap();
        Self { ill, gone, well, folder: tempfile::tempdir().unwrap() }
    }

    /// A process that checks so often, with this in its section of the store. With two of three out it would be in panic, and
    /// use the one that is ill.
    async fn run(&self, interval: &str, store: &str) -> Program {
        let Self { ill, gone, well, folder } = self;
        let text = format!(
            "[registry]\nurl = \"fixed:greeter={},{gone},{}\"\n[services]\npanic_below = 0\n[services.check]\nkind = \"http\"\npath = \"/health\"\ninterval = \"{interval}\"\n[store]\nfolder = \"{}\"\n{store}\n",
            ill.address(),
            well.address(),
            self.store().display(),
        );
        let file = folder.path().join("wayside.toml");
        std::fs::write(&file, text).unwrap();
        Program::run(&["--config", file.to_str().unwrap()]).await
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A process finds out that two of the three are out, and ends.
    async fn found_out(&self) {
        let mut program = self.run("100ms", "").await;
        at_last("two are found out", async || {
            assert_eq!(ask(&program).await, StatusCode::OK);
            program.metric("wayside_endpoints", "state=\"unwell\"").await == 2.0
        })
        .await;
        program.signal("TERM");
        assert!(program.ended().await.success());
    }

    /// How many of the first thirty requests of a process are tried at the one that is ill, whether any is at the one that is
    /// gone, and how many at the other. Its own checks find nothing out so soon.
    async fn first_requests(&self, program: &Program) -> (usize, usize, usize) {
        let (ill, well) = (self.ill.requests(), self.well.requests());
        for _ in 0..30 {
            assert_eq!(ask(program).await, StatusCode::OK);
        }
        let gone = format!("endpoint=\"{}\"", self.gone);
        let gone = program.metric("wayside_endpoint_attempts_total", &gone).await;
        (self.ill.requests() - ill, usize::from(gone > 0.0), self.well.requests() - well)
    }
}

async fn ask(program: &Program) -> StatusCode {
    get(program.listeners()[0], "/greeter/").await.status()
}

fn holds(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_out_gets_no_request_of_the_next_process() {
    let fleet = Fleet::new().await;
    fleet.found_out().await;
    let second = fleet.run("30s", "").await;
    assert_eq!(fleet.first_requests(&second).await, (0, 0, 30));
    let told = second.ask_json("/services/greeter").await;
    let endpoints = told["endpoints"].as_array().unwrap();
    let ill = endpoints.iter().find(|it| it["address"] == fleet.ill.address().to_string()).unwrap();
    let why = ill["why"].as_str().unwrap();
    assert!(ill["state"] == "unwell" && why.ends_with("Internal Server Error to GET /health"), "{ill}");

    // What was handed over is not for ever: its own checks find that it is well again.
    drop(second);
    fleet.found_out().await;
    let third = fleet.run("100ms", "").await;
    fleet.ill.fall_ill(false);
    let before = fleet.ill.requests();
    at_last("it is used again", async || {
        assert_eq!(ask(&third).await, StatusCode::OK);
        fleet.ill.requests() > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_it_the_next_process_finds_everything_out_again() {
    let fleet = Fleet::new().await;
    fleet.found_out().await;
    assert!(holds(&fleet.store(), "endpoints.handover"));
    let second = fleet.run("30s", "handover = \"0s\"").await;
    let (ill, gone, well) = fleet.first_requests(&second).await;
    assert!(ill > 5 && gone > 0 && well > 5, "{ill} {gone} {well}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_ejected_stays_out_and_who_was_slow_counts_as_slow() {
    let (failing, slow) = (
        Staffed::start(Work::of(Duration::ZERO)).await,
        Staffed::start(Work::of(Duration::from_secs(1))).await,
    );
    failing.says(500);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let text = format!(
        "[registry]\nurl = \"fixed:greeter={},{}\"\n[services.health]\npause = \"50s\"\n[store]\nfolder = \"{}\"\n",
        failing.address,
        slow.address,
        folder.path().join("store").display(),
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    let ejected = async |program: &Program| program.metric("wayside_endpoints", "state=\"ejected\"").await;
    let mut first = Program::run(&arguments).await;
    while ejected(&first).await == 0.0 {
        ask(&first).await;
    }
    assert_eq!(ask(&first).await, StatusCode::OK);
    first.signal("TERM");
    assert!(first.ended().await.success());

    let (before, second) = (failing.requests(), Program::run(&arguments).await);
    assert_eq!(ask(&second).await, StatusCode::OK);
    assert_eq!(ejected(&second).await, 1.0, "from the first request on");
    assert_eq!(failing.requests(), before);
    let told = second.ask_json("/services/greeter").await;
    let endpoints = told["endpoints"].as_array().unwrap();
    let of = |address: String| endpoints.iter().find(|it| it["address"] == address).unwrap();
    let out = of(failing.address.to_string());
    assert!(out["ejections"] == 1 && out["pause_ms"].as_u64().unwrap() > 10_000, "{out}");
    let known = of(slow.address.to_string());
    assert!(known["latency_ms"].as_f64().unwrap() > 100.0, "{known}");
}
