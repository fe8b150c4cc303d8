//! Services that move from ZooKeeper to a file while requests run, as an operator would do it with the program itself.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::support::light::Light;
use crate::support::load::Load;
use crate::support::patience::at_last;
use crate::support::program::{Program, text};
use crate::support::zookeeper::ZooKeeper;

/// Writes the file registry anew, as a careful program does.
fn announce(path: &Path, providers: &[&Light]) {
    let one = |light: &&Light| format!("{{ address = \"{}\", version = \"latest\" }}", light.address);
    let addresses: Vec<String> = providers.iter().map(one).collect();
    let new = path.with_extension("new");
    fs::write(&new, format!("[services]\ngreeter = [{}]\n", addresses.join(", "))).unwrap();
    fs::rename(new, path).unwrap();
}

fn record(light: &Light) -> String {
    format!(
        r#"{{"name":"greeter","version":"latest","metadata":null,"endpoints":null,"nodes":[{{"id":"{0}","address":"{0}","metadata":{{}}}}]}}"#,
        light.address
    )
}

fn node(number: usize) -> String {
    format!("/micro-registry/greeter/{number}")
}

/// A configuration with both registries, and the roles they have.
fn configuration(zookeeper: &str, file: &Path, roles: [&str; 2]) -> String {
    let urls = [format!("zookeeper://{zookeeper}"), format!("file:{}", file.display())];
    let mut text = String::new();
    for ((name, url), role) in ["old", "new"].iter().zip(urls).zip(roles) {
        let _ = write!(text, "[[registry]]\nname = \"{name}\"\nurl = \"{url}\"\nrole = \"{role}\"\n");
    }
    text
}

/// The addresses of `greeter`, and of each the registries that name it.
async fn known(program: &Program) -> Vec<(String, String)> {
    let answer = program.ask_json("/services/greeter").await;
    let endpoints = answer["endpoints"].as_array().cloned().unwrap_or_default();
    let one = |endpoint: &serde_json::Value| {
        (endpoint["address"].as_str().unwrap().to_owned(), endpoint["registries"].to_string())
    };
    endpoints.iter().map(one).collect()
}

/// Waits until these are known, each from these registries.
async fn knows(program: &Program, expected: &[(&Light, &str)]) {
    let mut expected: Vec<(String, String)> = expected
        .iter()
        .map(|(light, registries)| (light.address.to_string(), (*registries).to_owned()))
        .collect();
    expected.sort();
    at_last("it is known who is announced where", async || {
        let mut now = known(program).await;
        now.sort();
        now == expected
    })
    .await;
}

const OLD: &str = r#"["old"]"#;
const NEW: &str = r#"["new"]"#;
const BOTH: &str = r#"["old","new"]"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_moves_from_zookeeper_to_a_file_while_requests_run() {
    let mut zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let lights = Light::several(3).await;
    for (number, light) in lights.iter().enumerate() {
        writer.put(&node(number), record(light)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, config) = (folder.path().join("providers.toml"), folder.path().join("wayside.toml"));
    announce(&file, &[&lights[0]]);

    // First the new one is only compared.
    fs::write(&config, configuration(&zookeeper.addresses(), &file, ["use", "shadow"])).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let mut program = Program::run(&arguments).await;
    let load = Load::start(program.listeners()[0], "greeter", 4, None);
    load.goes_on().await;
    knows(&program, &[(&lights[0], BOTH), (&lights[1], OLD), (&lights[2], OLD)]).await;
    let differing = async || program.metric("wayside_shadow_differences", "registry=\"new\"").await;
    at_last("two differ", async || differing().await == 2.0).await;
    announce(&file, &[&lights[0], &lights[1], &lights[2]]);
    at_last("none differs", async || differing().await == 0.0).await;
    load.finish().await.none_failed("a registry that is compared");
    program.signal("TERM");
    assert!(program.ended().await.success());

    // Then both are used, and providers move one by one.
    announce(&file, &[]);
    fs::write(&config, configuration(&zookeeper.addresses(), &file, ["use", "use"])).unwrap();
    let program = Program::run(&arguments).await;
    let load = Load::start(program.listeners()[0], "greeter", 4, None);
    load.goes_on().await;
    let all = [&lights[0], &lights[1], &lights[2]];
    for moved in 1..=all.len() {
        announce(&file, &all[..moved]);
        let where_to = |number: usize| match number {
            number if number + 1 < moved => NEW,
            number if number + 1 == moved => BOTH,
            _ => OLD,
        };
        let expected: Vec<_> =
            all.iter().enumerate().map(|(number, light)| (*light, where_to(number))).collect();
        knows(&program, &expected).await;
        load.goes_on().await;
        writer.delete(&node(moved - 1)).await;
        load.goes_on().await;
    }
    knows(&program, &all.map(|light| (light, NEW))).await;
    zookeeper.server().kill();
    at_last("the old one is down", async || {
        program.metric("wayside_registry_up", "registry=\"old\"").await == 0.0
    })
    .await;
    let fourth = Light::start().await;
    announce(&file, &[&lights[0], &fourth]);
    knows(&program, &[(&lights[0], NEW), (&fourth, NEW)]).await;
    at_last("the new one is asked", async || fourth.requests() > 0).await;
    load.finish()
        .await
        .none_failed("three providers that move from ZooKeeper to a file, which then is alone");
    let page = text(&program.ask("/services").await);
    assert!(page.contains("\"name\":\"old\"") && page.contains("\"name\":\"new\""), "{page}");
}
