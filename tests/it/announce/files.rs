//! Announcing in a folder of files, which other proxies follow.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use wayside::registry::kinds;

use crate::support::announcing::{Announcing, announcement};
use crate::support::light::Light;
use crate::support::patience::{PATIENCE, at_last, eventually};
use crate::support::program::{Program, get, text};
use crate::support::watching::Watching;

fn settings(folder: &Path) -> kinds::Settings {
    format!("file:{}", folder.display()).parse().unwrap()
}

/// The files in a folder that are not hidden.
fn files(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| !name.starts_with('.')).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_process_has_a_file_of_its_own_which_others_read() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Announcing::start(settings(folder.path()).open_announcer().unwrap());
    let (mut one, two) = (start(), start());
    one.want(&[announcement("g-1", "10.0.0.1:80")]);
    two.want(&[announcement("g-2", "10.0.0.2:80")]);
    let place = one.announced("g-1").await;
    two.announced("g-2").await;
    assert_eq!(files(folder.path()).len(), 2);
    let watching = Watching::start(settings(folder.path()).open(), &["greeter"]);
    eventually(PATIENCE, "both are read", || watching.has("greeter", &["g-1", "g-2"])).await;

    fs::remove_file(&place).unwrap();
    let removed = std::time::Instant::now();
    eventually(PATIENCE, "it is put back", || fs::exists(&place).unwrap().then_some(())).await;
    assert!(removed.elapsed() < std::time::Duration::from_secs(5), "{:?}", removed.elapsed());
    eventually(PATIENCE, "both are read", || watching.has("greeter", &["g-1", "g-2"])).await;

    two.want(&[]);
    eventually(PATIENCE, "the second is withdrawn", || watching.has("greeter", &["g-1"])).await;
    // The last one that withdraws leaves no provider to those who read, either.
    one.end().await;
    eventually(PATIENCE, "the first is withdrawn", || watching.has("greeter", &[])).await;
    assert_eq!((one.failures(), two.failures()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("services");
    let announcer = settings(&inner).open_announcer().unwrap();
    // A file is in its way.
    fs::write(&inner, "").unwrap();
    let announcing = Announcing::start(Arc::clone(&announcer));
    announcing.want(&[announcement("g-1", "10.0.0.1:80")]);
    let failed = eventually(PATIENCE, "it fails", || announcing.failures().first().cloned()).await;
    assert!(failed.contains("cannot write to") && failed.contains("; make it a folder"), "{failed}");
    fs::remove_file(&inner).unwrap();
    announcing.announced("g-1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_program_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let registry = format!("file:{}", folder.path().display());
    let app = Light::start().await;
    let address = app.address.to_string();
    let register = |id: &str| {
        let arguments =
            ["register", "--registry", &registry, "--service", "greeter", "--address", &address, "--id", id];
        Program::launch(&arguments, &[])
    };
    let mut killed = register("g-1");
    killed.logs("announced id=").await;
    let reader = Program::run(&["--registry", &registry]).await;
    let ask = async || text(&get(reader.listeners()[0], "/greeter/").await);
    at_last("requests arrive", async || ask().await == "ok").await;
    killed.signal("KILL");
    killed.ended().await;
    assert_eq!(files(folder.path()).len(), 1, "nobody withdrew it");

    let mut next = register("g-2");
    next.logs("removed what a process that ended had announced").await;
    next.logs("announced id=").await;
    assert_eq!(files(folder.path()).len(), 1);
    next.signal("TERM");
    assert_eq!(next.ended().await.code(), Some(0));
    at_last("the reader has no provider any more", async || ask().await != "ok").await;
}
