//! A configuration that changes while the process runs: what is good takes effect, what is wrong is told.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::patience::at_last;
use crate::support::program::{Program, get};
use crate::support::provider::{Echo, told};

/// A program whose configuration sends `/x` to the service `a` or `b`.
struct Reloaded {
    program: Program,
    echoes: Vec<Echo>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Reloaded {
    async fn start() -> Self {
        Self::start_as(|echoes| configuration(echoes, "a")).await
    }

    async fn start_as(text: impl FnOnce(&[Echo]) -> String) -> Self {
        let echoes = Echo::several(2).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wayside.toml");
        write(&file, &text(&echoes));
        let program = Program::run(&["--config", file.to_str().unwrap()]).await;
        let this = Self { program, echoes, file, _folder: folder };
        this.arrives_at(0).await;
        this
    }

    /// Writes a configuration in which requests go to this service.
    fn change(&self, service: &str) {
        write(&self.file, &configuration(&self.echoes, service));
    }

    /// Waits until requests arrive at this provider.
    async fn arrives_at(&self, index: usize) {
        let port = self.echoes[index].address().port();
        at_last("requests arrive there", async || self.port().await == u64::from(port)).await;
    }

    async fn port(&self) -> u64 {
        told(&get(self.program.listeners()[0], "/x").await)["port"].as_u64().unwrap()
    }
}

fn configuration(echoes: &[Echo], service: &str) -> String {
    let (a, b) = (echoes[0].address(), echoes[1].address());
    format!(
        "[registry]\nurl = \"fixed:a={a};b={b}\"\n[[route]]\nname = \"x\"\npath = \"/x\"\nservice = \"{service}\"\n"
    )
}

/// Replaces a file as a careful program does, so that nobody reads half of it.
fn write(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

#[tokio::test]
async fn a_change_of_the_file_takes_effect() {
    let it = Reloaded::start().await;
    it.change("b");
    it.arrives_at(1).await;
    it.program.logs("the configuration changed").await;
}

#[tokio::test]
async fn hup_reads_the_file_again() {
    let it = Reloaded::start().await;
    it.program.signal("HUP");
    it.program.logs("the configuration was read again; nothing changed").await;
    it.change("b");
    it.program.signal("HUP");
    it.arrives_at(1).await;
}

#[tokio::test]
async fn hup_without_a_file_ends_nothing() {
    let echo = Echo::start().await;
    let mut program = Program::run(&["--registry", &format!("fixed:a={}", echo.address())]).await;
    program.signal("HUP");
    program.logs("there is no file of it").await;
    assert!(program.is_alive());
    assert_eq!(get(program.listeners()[0], "/a/").await.status(), 200);
}

#[tokio::test]
async fn a_mistake_is_told_and_the_old_one_stays() {
    let it = Reloaded::start().await;
    write(&it.file, "[registry]\nurl = \"zookeper://h\"\n");
    it.program.logs("the configuration is wrong; the one in force stays").await;
    it.program.logs("wayside.toml:2").await;
    it.arrives_at(0).await;
    // Once it is right, it is taken.
    it.change("b");
    it.arrives_at(1).await;
}

#[tokio::test]
async fn what_waits_for_the_next_start_is_named() {
    let it = Reloaded::start().await;
    write(&it.file, &format!("workers = 7\n{}", configuration(&it.echoes, "a")));
    let line = it.program.logs("these changes take effect at the next start").await;
    assert!(line.contains("workers"), "{line}");
    it.arrives_at(0).await;
}

/// A configuration of a proxy in this zone, with a provider in each of two.
fn in_zone(echoes: &[Echo], zone: &str) -> String {
    let (a, b) = (echoes[0].address(), echoes[1].address());
    format!(
        "zone = \"{zone}\"\n[[route]]\npath = \"/x\"\nservice = \"a\"\n[registry.services]\n\
         a = [{{ address = \"{a}\", zone = \"a\" }}, {{ address = \"{b}\", zone = \"b\" }}]\n"
    )
}

#[tokio::test]
async fn another_zone_takes_effect_at_once() {
    let it = Reloaded::start_as(|echoes| in_zone(echoes, "a")).await;
    for (index, zone) in [(0, "a"), (1, "b"), (0, "a")] {
        write(&it.file, &in_zone(&it.echoes, zone));
        at_last("all requests stay in the zone", async || {
            let port = u64::from(it.echoes[index].address().port());
            let mut stays = true;
            for _ in 0..6 {
                stays &= it.port().await == port;
            }
            stays
        })
        .await;
    }
    assert!(!it.program.log().contains("zone, "), "nothing waits for the next start");
}

#[tokio::test]
async fn what_is_declared_of_a_service_changes_for_those_who_name_it() {
    let it = Reloaded::start().await;
    let declared = |version: u8| {
        let (a, b) = (it.echoes[0].address(), it.echoes[1].address());
        format!(
            "[registry.services]\nx = [{{ address = \"{a}\", version = \"1\" }}, {{ address = \"{b}\", version = \"2\" }}]\n\
             [[service]]\nname = \"x\"\nversion = \"{version}\"\n"
        )
    };
    // The registry is another one, so this takes a start.
    write(&it.file, &declared(1));
    let program = Program::run(&["--config", it.file.to_str().unwrap()]).await;
    for version in [1, 2, 1] {
        write(&it.file, &declared(version));
        let port = it.echoes[usize::from(version) - 1].address().port();
        at_last("requests arrive there", async || {
            told(&get(program.listeners()[0], "/x").await)["port"] == u64::from(port)
        })
        .await;
    }
}

/// A configuration in which all requests go to one of two parts, by these weights, and that has a secret of a registry.
fn split(echoes: &[Echo], (first, second): (u8, u8), auth: &str) -> String {
    let (a, b) = (echoes[0].address(), echoes[1].address());
    format!(
        "[[registry]]\nurl = \"fixed:a={a};b={b}\"\n[[registry]]\nurl = \"consul://127.0.0.1:1\"\nrole = \"shadow\"\n\
         auth = \"{auth}\"\n[[route]]\nname = \"x\"\npath = \"/x\"\n\
         split = [{{ service = \"a\", weight = {first} }}, {{ service = \"b\", weight = {second} }}]\n"
    )
}

#[tokio::test]
async fn swapped_weights_take_effect_and_a_changed_secret_is_told_to_wait() {
    let it = Reloaded::start_as(|echoes| split(echoes, (1, 0), "one")).await;
    write(&it.file, &split(&it.echoes, (0, 1), "one"));
    it.arrives_at(1).await;
    it.program.logs("~ weight = 1 -> 0").await;
    write(&it.file, &split(&it.echoes, (0, 1), "other"));
    let line = it.program.logs("these changes take effect at the next start").await;
    assert!(line.contains("registry.auth"), "{line}");
    assert!(!it.program.log().contains("other\""), "a secret is not shown");
}

#[tokio::test]
async fn swapped_routes_take_effect() {
    let it = Reloaded::start().await;
    let (a, b) = (it.echoes[0].address(), it.echoes[1].address());
    let registry = format!("[registry]\nurl = \"fixed:a={a};b={b}\"\n");
    // Each takes some requests that the other does not, and both take these.
    let to_a = "[[route]]\nname = \"a\"\npath = \"/x\"\nservice = \"a\"\n";
    let to_b = "[[route]]\nname = \"b\"\nmethods = [\"GET\"]\nservice = \"b\"\n";
    write(&it.file, &format!("{registry}{to_b}{to_a}"));
    it.arrives_at(1).await;
    write(&it.file, &format!("{registry}{to_a}{to_b}"));
    it.arrives_at(0).await;
    it.program.logs("in the order of its sections only").await;
}
