//! A hundred HTTP/2 clients with a hundred requests in flight each, made by h2load: not one of them fails.

use std::process::Stdio;

use tokio::process::Command;

use super::*;
use crate::support::light::Process;
use crate::support::program::Program;

/// Requests in flight on each connection.
const STREAMS: &str = "100";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_on_many_connections_are_all_answered() {
    let providers = [Process::start().await, Process::start().await];
    let registry = format!("fixed:svc={},{}", providers[0].address, providers[1].address);
    let program = Program::run(&["--registry", &registry, "--workers", "2"]).await;
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
    assert!(
        line("requests:")
            .ends_with(&format!("{requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout")),
        "{said}"
    );
    assert!(line("status codes:").contains(&format!("{requests} 2xx, 0 3xx, 0 4xx, 0 5xx")), "{said}");
    assert_eq!(program.metric("wayside_panics_total", "").await, 0.0);
}
