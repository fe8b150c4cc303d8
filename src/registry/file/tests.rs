//! The file registry against real files: replaced, swapped, broken, missing, in folders.

use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::*;

/// Reads reports as short texts: `connected`, `disconnected: <cause>`, `<service>: <providers> | <skipped>`.
struct Heard(mpsc::Receiver<Report>);

impl Heard {
    async fn next(&mut self) -> String {
        let report = tokio::time::timeout(Duration::from_secs(10), self.0.recv()).await;
        match report.expect("a report comes in time").expect("the registry goes on") {
            Report::Connected { .. } => "connected".to_owned(),
            Report::Disconnected { cause } => format!("disconnected: {cause}"),
            Report::Unheard { service, cause } => format!("{service}: unheard: {cause}"),
            Report::Listed(Listing { service, view: View::Absent, .. }) => format!("{service}: absent"),
            Report::Listed(Listing { service, view: View::Present { providers, skipped }, .. }) => {
                let ports: Vec<String> =
                    providers.iter().map(|provider| provider.address.port().to_string()).collect();
                let skipped: Vec<&str> = skipped.iter().map(|skipped| skipped.record.as_str()).collect();
                format!("{service}: {} | {}", ports.join(" "), skipped.join(" "))
            }
        }
    }

    async fn says(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(self.next().await, *expected);
        }
    }
}

/// Runs checks beside a watch of these services.
async fn watching<F: Future<Output = ()>>(
    path: &Path,
    services: &[&str],
    checks: impl FnOnce(Heard, watch::Sender<Arc<BTreeSet<ServiceName>>>) -> F,
) {
    let registry = open(Settings { path: path.to_owned() });
    let (want, wanted) = watch::channel(names(services));
    let (reports, queue) = Reports::channel();
    tokio::select! {
        end = registry.watch(wanted, reports) => panic!("the watch ended: {end}"),
        () = checks(Heard(queue), want) => {}
    }
}

fn names(names: &[&str]) -> Arc<BTreeSet<ServiceName>> {
    Arc::new(names.iter().map(|name| name.parse().unwrap()).collect())
}

/// Wants another service as well; those wanted before stay what they are.
fn more(want: &watch::Sender<Arc<BTreeSet<ServiceName>>>, service: &str) {
    want.send_modify(|wanted| {
        Arc::make_mut(wanted).insert(service.parse().unwrap());
    });
}

fn greeter(ports: &[u16]) -> String {
    let entries: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    format!("[services]\ngreeter = [{}]\n", entries.join(", "))
}

/// Puts a file in place at once, as careful programs do.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, path).unwrap();
}

#[tokio::test]
async fn follows_a_file_through_writes_and_renames() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("providers.toml");
    fs::write(&path, greeter(&[1])).unwrap();
    watching(&path, &["greeter", "users"], async |mut heard, want| {
        heard.says(&["connected", "greeter: 1 | ", "users: absent"]).await;
        replace(&path, &greeter(&[1, 2]));
        heard.says(&["greeter: 1 2 | "]).await;
        fs::write(&path, greeter(&[3])).unwrap();
        heard.says(&["greeter: 3 | "]).await;
        replace(&path, &(greeter(&[3]) + "users = [\"127.0.0.1\"]\n"));
        heard.says(&["users:  | providers.toml:3"]).await;
        more(&want, "later");
        heard.says(&["later: absent"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_broken_file_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("providers.toml");
    fs::write(&path, greeter(&[1]) + "users = [\"127.0.0.1:7\"]\n").unwrap();
    watching(&path, &["greeter"], async |mut heard, want| {
        heard.says(&["connected", "greeter: 1 | "]).await;
        replace(&path, "[services]\ngreeter = [\"127.0.0.1:2\",");
        let broken = heard.next().await;
        assert!(broken.starts_with("disconnected: providers.toml:2:"), "{broken}");
        // A service that is asked for only now is told what was good last, and that it is no longer fresh.
        more(&want, "unknown");
        more(&want, "users");
        heard.says(&["users: 7 | providers.toml:2:26", &broken]).await;
        replace(&path, &greeter(&[1]));
        heard.says(&["connected", "greeter: 1 | ", "unknown: absent", "users: absent"]).await;
        fs::write(&path, "").unwrap();
        heard.says(&["disconnected: providers.toml: the file is empty"]).await;
        fs::remove_file(&path).unwrap();
        let said = heard.next().await;
        assert!(said.contains("providers.toml does not exist; waiting for it"), "{said}");
        replace(&path, &greeter(&[1, 2]));
        heard.says(&["connected", "greeter: 1 2 | "]).await;
    })
    .await;
}

#[tokio::test]
async fn waits_for_a_file_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later").join("providers.json");
    watching(&path, &["greeter"], async |mut heard, _want| {
        let said = heard.next().await;
        assert!(said.starts_with("disconnected: ") && said.contains("does not exist"), "{said}");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, r#"{"services": {"greeter": ["127.0.0.1:1"]}}"#).unwrap();
        // It may be caught half-written, which is told as well.
        while heard.next().await != "connected" {}
        heard.says(&["greeter: 1 | "]).await;
    })
    .await;
}

#[tokio::test]
async fn follows_links_that_are_swapped() {
    // As Kubernetes mounts a ConfigMap: providers.toml -> ..data/providers.toml, ..data -> ..1/.
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, ports) in [("..1", &[1][..]), ("..2", &[1, 2][..])] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("providers.toml"), greeter(ports)).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/providers.toml", at("providers.toml")).unwrap();
    for path in [at("providers.toml"), folder.path().to_owned()] {
        watching(&path, &["greeter"], async |mut heard, _want| {
            heard.says(&["connected", "greeter: 1 | "]).await;
            symlink("..2", at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
            heard.says(&["greeter: 1 2 | "]).await;
            symlink("..1", at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
            heard.says(&["greeter: 1 | "]).await;
        })
        .await;
    }
}

#[tokio::test]
async fn joins_the_files_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.toml"), greeter(&[1])).unwrap();
    fs::write(at("ignored.txt"), greeter(&[8])).unwrap();
    fs::write(at(".hidden.toml"), greeter(&[9])).unwrap();
    watching(folder.path(), &["greeter"], async |mut heard, _want| {
        heard.says(&["connected", "greeter: 1 | "]).await;
        replace(&at("b.json"), r#"{"services":{"greeter":["127.0.0.1:2"]}}"#);
        heard.says(&["greeter: 1 2 | "]).await;
        replace(&at("b.json"), r#"{"services":{"greeter":["#);
        heard.says(&["greeter: 1 2 | b.json:1:24"]).await;
        replace(&at("a.toml"), &greeter(&[1, 3]));
        heard.says(&["greeter: 1 3 2 | b.json:1:24"]).await;
        fs::remove_file(at("b.json")).unwrap();
        heard.says(&["greeter: 1 3 | "]).await;
        fs::remove_file(at("a.toml")).unwrap();
        let said = heard.next().await;
        assert!(said.starts_with("disconnected: there is no .toml or .json file in"), "{said}");
    })
    .await;
}

#[test]
fn settings_name_a_path() {
    assert_eq!("/etc/providers.toml".parse::<Settings>().unwrap().path, Path::new("/etc/providers.toml"));
    assert!(" ".parse::<Settings>().is_err());
}
