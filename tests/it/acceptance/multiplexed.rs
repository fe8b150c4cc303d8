//! A hundred HTTP/2 clients with a hundred requests in flight each, made by h2load: not one of them fails.

use std::process::Stdio;

use tokio::process::Command;

use super::*;
use crate::support::files;
use crate::support::light::Light;
use crate::support::program::Program;

/// Requests in flight on each connection.
const STREAMS: &str = "100";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_on_many_connections_are_all_answered() {
    files::as_many_as_may_be();
    // Each request needs a connection of its own there, and a worker makes 1,024 to each provider.
    let providers = Light::several(either(3, 10)).await;
    let addresses: Vec<String> = providers.iter().map(|provider| provider.address.to_string()).collect();
    // Ten thousand connections at once take those who accept them here, on few cores, longer than they may take usually.
    // One ends and the next begins in any order, so a few more than are asked for at once may be in flight.
    let text = format!(
        "workers = 2\n[registry]\nurl = \"fixed:svc={}\"\n[limits]\nrequests = 12000\n[timeouts]\nconnect = \"10s\"",
        addresses.join(",")
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    std::fs::write(&file, text).unwrap();
    let program = Program::run(&["--config", file.to_str().unwrap()]).await;
    let (requests, clients) = either(("20000", "20"), ("1000000", "100"));
    let before = program.resident();
    let output = Command::new("h2load")
        .args(["-n", requests, "-c", clients, "-m", STREAMS, "-t", "1"])
        .arg(format!("http://{}/svc/", program.listeners()[0]))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("h2load, of Debian's package nghttp2-client, is installed by tests/servers.sh");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        |begin: &str| said.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{said}"));
    println!("{clients} connections of {STREAMS} streams: {}; {}", line("finished in"), line("requests:"));
    println!("{}; RSS {} and then {} KiB", line("status codes:"), before / 1024, program.resident() / 1024);
    let page = program.ask("/metrics").await;
    let page = String::from_utf8_lossy(page.body()).into_owned();
    // Why any failed.
    for series in page.lines().filter(|line| line.contains("reason=\"") && !line.contains("reason=\"\"")) {
        println!("{series}");
    }
    assert!(
        line("requests:")
            .ends_with(&format!("{requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout")),
        "{said}"
    );
    assert!(line("status codes:").contains(&format!("{requests} 2xx, 0 3xx, 0 4xx, 0 5xx")), "{said}");
    assert_eq!(program.metric("wayside_panics_total", "").await, 0.0);
}
