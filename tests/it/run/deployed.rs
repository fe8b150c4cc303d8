//! What is in `deploy/` and the Dockerfile: that it parses, names what exists, and that every configuration in it is good.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};

use crate::support::program::whole;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Vec<Value> {
    let text = read(path);
    let documents = Deserializer::from_str(&text).map(Value::deserialize);
    documents.map(|document| document.unwrap_or_else(|error| panic!("{path}: {error}"))).collect()
}

fn texts(yaml: &Value) -> Vec<&str> {
    yaml.as_sequence()
        .unwrap_or_else(|| panic!("no list: {yaml:?}"))
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect()
}

/// `wayside check` says that it is good.
fn is_good(name: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    fs::write(&file, text).unwrap();
    let (code, said, complaint) =
        whole(&["check", file.to_str().unwrap()], &[("STATE_DIRECTORY", "/var/lib/wayside")]);
    assert_eq!(code, 0, "{name}: {said}{complaint}");
}

/// The arguments are understood: `wayside` finds nothing to say of them but what it does.
fn is_understood(arguments: &[&str]) {
    let (code, _, complaint) = whole(&[arguments, &["--help"]].concat(), &[]);
    assert_eq!(code, 0, "{arguments:?}: {complaint}");
}

#[test]
fn every_configuration_is_good() {
    for file in ["deploy/systemd/wayside.toml", "deploy/compose/wayside.toml"] {
        is_good(file, &read(file));
    }
    let sidecar = yaml("deploy/kubernetes/sidecar.yaml");
    is_good("sidecar.yaml", sidecar[0]["data"]["wayside.toml"].as_str().unwrap());
}

#[test]
fn the_sidecar_bounds_what_a_tiny_container_does() {
    let sidecar = yaml("deploy/kubernetes/sidecar.yaml");
    let own: toml::Table = sidecar[0]["data"]["wayside.toml"].as_str().unwrap().parse().unwrap();
    let tiny: toml::Table = read("config/tiny.toml").parse().unwrap();
    for section in ["limits", "upstream", "retries", "services", "access_log"] {
        assert_eq!(own[section], tiny[section], "{section}");
    }
}

#[test]
fn the_sidecar_is_a_native_one_with_probes_by_the_program_itself() {
    let sidecar = yaml("deploy/kubernetes/sidecar.yaml");
    let kinds: Vec<_> = sidecar.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ConfigMap", "Deployment"]);
    let pod = &sidecar[1]["spec"]["template"]["spec"];
    let wayside = &pod["initContainers"][0];
    assert_eq!(wayside["restartPolicy"].as_str(), Some("Always"));
    is_understood(&texts(&wayside["args"]));
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let command = texts(&wayside[probe]["exec"]["command"]);
        assert_eq!(command[0], "/usr/local/bin/wayside");
        is_understood(&command[1..]);
        // It gives up before it is given up.
        assert!(wayside[probe]["timeoutSeconds"].as_i64().unwrap() > 2);
    }
    let security = &wayside["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"].as_bool(), Some(true));
    assert_eq!(texts(&security["capabilities"]["drop"]), ["ALL"]);
    let volumes: Vec<_> =
        pod["volumes"].as_sequence().unwrap().iter().map(|volume| volume["name"].as_str()).collect();
    for mount in wayside["volumeMounts"].as_sequence().unwrap() {
        assert!(volumes.contains(&mount["name"].as_str()), "{mount:?}");
    }
    let config = sidecar[0]["metadata"]["name"].as_str();
    assert_eq!(pod["volumes"][0]["configMap"]["name"].as_str(), config);
    let matched = sidecar[1]["spec"]["selector"]["matchLabels"]["app"].as_str();
    assert_eq!(sidecar[1]["spec"]["template"]["metadata"]["labels"]["app"].as_str(), matched);
}

#[test]
fn the_composition_names_what_exists() {
    let services = &yaml("deploy/compose/compose.yaml")[0]["services"];
    let all = services.as_mapping().unwrap();
    for (name, service) in all {
        for needed in service["depends_on"].as_sequence().into_iter().flatten() {
            assert!(all.contains_key(needed), "{name:?} needs {needed:?}");
        }
        if let Some(shared) = service["network_mode"].as_str() {
            assert!(all.contains_key(shared.trim_start_matches("service:")), "{shared}");
        }
        if service["image"].as_str() == Some("wayside:latest") {
            is_understood(&texts(&service["command"]));
        }
        for volume in service["volumes"].as_sequence().into_iter().flatten() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            assert!(root().join("deploy/compose").join(from).exists(), "{name:?} mounts {from}");
        }
    }
    let check = texts(&services["wayside"]["healthcheck"]["test"]);
    assert_eq!(check[..2], ["CMD", "/usr/local/bin/wayside"]);
    is_understood(&check[2..]);
    let prometheus = yaml("deploy/compose/prometheus.yml");
    assert_eq!(
        prometheus[0]["scrape_configs"][0]["static_configs"][0]["targets"][0].as_str(),
        Some("wayside:4141")
    );
    assert_eq!(
        yaml("deploy/compose/grafana-datasource.yaml")[0]["datasources"][0]["url"].as_str(),
        Some("http://prometheus:9090")
    );
}

/// The settings of a unit of systemd; those that stand several times, joined.
fn unit(path: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::<String, String>::new();
    for line in read(path).lines().filter(|line| !line.starts_with(['#', '[']) && !line.is_empty()) {
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{path}: {line}"));
        let known = settings.entry(key.to_owned()).or_default();
        *known = format!("{known} {value}").trim().to_owned();
    }
    settings
}

#[test]
fn the_units_fit_the_program_and_each_other() {
    let service = unit("deploy/systemd/wayside.service");
    let run = service["ExecStart"].strip_prefix("/usr/local/bin/wayside ").unwrap();
    is_understood(&run.split(' ').collect::<Vec<_>>());
    let of = |key: &str| service[key].as_str();
    assert_eq!((of("Type"), of("DynamicUser"), of("StateDirectory")), ("notify", "yes", "wayside"));
    assert!(of("WatchdogSec") == "30s" && of("ExecReload").ends_with("-HUP $MAINPID"));
    let socket = unit("deploy/systemd/wayside.socket");
    assert_eq!(socket["Service"], "wayside.service");
    let config: toml::Table = read("deploy/systemd/wayside.toml").parse().unwrap();
    let listened = format!(
        "{} {}",
        config["listener"][0]["address"].as_str().unwrap(),
        config["admin"]["address"].as_str().unwrap()
    );
    assert_eq!(socket["ListenStream"], listened);
    let folder = format!("/run/{}", service["RuntimeDirectory"]);
    assert!(Path::new(config["succession"].as_str().unwrap()).starts_with(folder));
}

/// The instructions of the Dockerfile by stage, those that go on in the next line joined.
fn dockerfile() -> Vec<Vec<(String, String)>> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let mut stages = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "FROM" {
            stages.push(Vec::new());
        }
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        stages.last_mut().unwrap().push((word.to_owned(), rest));
    }
    stages
}

#[test]
fn the_dockerfile_copies_what_exists_and_checks_itself() {
    let stages = dockerfile();
    let [build, image] = &stages[..] else { panic!("{stages:?}") };
    let of = |stage: &[(String, String)], word: &str| {
        let found = stage.iter().filter(|(it, _)| it == word).map(|(_, rest)| rest.clone());
        found.collect::<Vec<_>>()
    };
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert_eq!(of(build, "FROM"), [format!("rust:{version}-slim-bookworm AS build")], "as Cargo.toml says");
    assert!(of(image, "FROM")[0].ends_with(":nonroot"), "a user without rights");
    assert_eq!(of(image, "RUN"), [""; 0], "there is no shell");
    for copied in of(image, "COPY") {
        let from = copied.split(' ').next().unwrap();
        assert!(from == "--from=build" || root().join(from).exists(), "{copied}");
    }
    let list = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap();
    assert_eq!(list(&of(image, "ENTRYPOINT")[0]), ["/usr/local/bin/wayside"]);
    let check = of(image, "HEALTHCHECK").remove(0);
    let command = list(check.split_once("CMD ").unwrap().1);
    assert_eq!(command[0], "/usr/local/bin/wayside");
    is_understood(&command[1..].iter().map(String::as_str).collect::<Vec<_>>());
    is_understood(&list(&of(image, "CMD")[0]).iter().map(String::as_str).collect::<Vec<_>>());
    // What is copied into the build is named, and all of it is there.
    for path in read(".dockerignore").lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(root().join(path).exists(), "{path}");
    }
}
