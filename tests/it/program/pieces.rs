//! A configuration in several files that change while the process runs, and what of it waits for the next start.

use std::fs;
use std::path::Path;

use crate::support::patience::at_last;
use crate::support::program::{Program, get, text};
use crate::support::provider::{Echo, told};

/// Replaces a file as a careful program does, so that nobody reads half of it.
fn write(folder: &Path, name: &str, text: &str) {
    let new = folder.join("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join(name)).unwrap();
}

/// A program with a file that includes those of `conf.d`, in which there are none yet.
async fn start(echo: &Echo, more: &str) -> (Program, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    let text =
        format!("include = [\"conf.d/*.toml\"]\n{more}\n[registry]\nurl = \"fixed:a={}\"\n", echo.address());
    write(folder.path(), "wayside.toml", &text);
    let program = Program::run(&["--config", folder.path().join("wayside.toml").to_str().unwrap()]).await;
    (program, folder)
}

#[tokio::test]
async fn files_that_are_included_are_followed_new_ones_too() {
    let echo = Echo::start().await;
    let (program, folder) = start(&echo, "").await;
    let status = async || get(program.listeners()[0], "/x").await.status();
    assert_ne!(status().await, 200);
    write(folder.path(), "conf.d/10.toml", "[[route]]\nname = \"x\"\nservice = \"a\"\npath = \"/x\"\n");
    at_last("a route of a new file", async || status().await == 200).await;
    assert!(text(&program.ask("/config").await).contains("conf.d/10.toml:2"));
    // What is wrong is told with the file it is in, and changes nothing.
    write(folder.path(), "conf.d/20.toml", "\n[[route]]\nservce = \"a\"\n");
    program.logs("20.toml:3:1: route.servce: there is no such key; write service").await;
    assert_eq!(status().await, 200);
    fs::remove_file(folder.path().join("conf.d/20.toml")).unwrap();
    fs::remove_file(folder.path().join("conf.d/10.toml")).unwrap();
    at_last("it goes with its file", async || status().await != 200).await;
    let counted =
        async |result: &str| program.metric("wayside_config_reloads_total", &format!("\"{result}\"")).await;
    assert!(counted("changed").await >= 2.0 && counted("refused").await >= 1.0);
}

#[tokio::test]
async fn a_secret_in_a_file_is_another_once_the_file_is() {
    let echo = Echo::start().await;
    let (program, folder) = start(&echo, "").await;
    write(folder.path(), "bearer", "one\n");
    let file = folder.path().join("bearer");
    let route = format!(
        "[[service]]\nname = \"a\"\n[service.request_headers]\nset = {{ authorization = {{ file = \"{}\" }} }}\n",
        file.display()
    );
    write(folder.path(), "conf.d/10.toml", &route);
    let sent = async || told(&get(program.listeners()[0], "/a/").await)["headers"].to_string();
    at_last("the first", async || sent().await.contains("one")).await;
    write(folder.path(), "bearer", "two\n");
    at_last("the second", async || sent().await.contains("two")).await;
    program.logs("~ service.request_headers.set, which is not shown").await;
}

#[tokio::test]
async fn what_waits_for_the_next_start_is_told_until_it_is_taken_back() {
    let echo = Echo::start().await;
    let (program, folder) = start(&echo, "workers = 1").await;
    let waiting = async || program.metric("wayside_config_keys_waiting", "").await;
    assert_eq!(waiting().await, 0.0);
    write(folder.path(), "conf.d/10.toml", "workers = 2\n[limits]\nrequests = 77\n");
    at_last("two keys wait", async || waiting().await == 2.0).await;
    let line = program.logs("these changes take effect at the next start").await;
    assert!(line.contains("limits.requests, workers"), "{line}");
    let shown = text(&program.ask("/config").await);
    assert!(shown.contains("# These wait for the next start: limits.requests, workers."), "{shown}");
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("requests = 77") && line.ends_with("waits for the next start")),
        "{shown}"
    );
    // Another change does not make them forgotten.
    write(folder.path(), "conf.d/20.toml", "[timeouts]\nrequest = \"7s\"\n");
    program.logs("~ request = \"15s\" -> \"7s\"").await;
    assert_eq!(waiting().await, 2.0);
    fs::remove_file(folder.path().join("conf.d/10.toml")).unwrap();
    at_last("nothing waits", async || waiting().await == 0.0).await;
    assert!(!text(&program.ask("/config").await).contains("next start"));
}

#[tokio::test]
async fn an_access_log_that_cannot_be_opened_asks_for_no_restart() {
    let echo = Echo::start().await;
    let (program, folder) = start(&echo, "workers = 1").await;
    let good = async || program.metric("wayside_config_good", "").await;
    let text = "[access_log]\nenabled = true\npath = \"/no/such/folder/access.log\"\n";
    write(folder.path(), "conf.d/10.toml", text);
    program.logs("the one in force stays, and a restart would fail").await;
    at_last("it is told", async || good().await == 0.0).await;
    assert_eq!(program.metric("wayside_config_keys_waiting", "").await, 0.0);
    fs::remove_file(folder.path().join("conf.d/10.toml")).unwrap();
    at_last("it is taken back", async || good().await == 1.0).await;
}

#[tokio::test]
async fn what_providers_are_told_and_how_long_the_end_takes_change_at_once() {
    let echo = Echo::start().await;
    let (mut program, folder) = start(&echo, "lame_duck = \"1h\"").await;
    let sent = async || told(&get(program.listeners()[0], "/a/").await)["headers"].to_string();
    let usual = sent().await;
    assert!(usual.contains("x-forwarded-for") && usual.contains("x-request-id"), "{usual}");
    write(
        folder.path(),
        "conf.d/10.toml",
        "lame_duck = \"0s\"\n[headers]\nforwarded = \"standard\"\nrequest_id = false\n",
    );
    at_last("they are told otherwise", async || {
        let sent = sent().await;
        sent.contains("\"forwarded\"") && !sent.contains("x-forwarded-for") && !sent.contains("x-request-id")
    })
    .await;
    program.logs("~ lame_duck = \"1h\" -> \"0s\"").await;
    assert!(program.logged("next start").is_empty(), "{:?}", program.logged("next start"));
    program.signal("TERM");
    program.ended().await;
}
