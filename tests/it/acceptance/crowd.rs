//! Ten thousand clients that only hold their connections: what each costs, and that others are served meanwhile.

use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use http::StatusCode;

use super::*;
use crate::support::client::Client;
use crate::support::files;
use crate::support::light::Process;
use crate::support::patience::at_last;
use crate::support::program::Program;

/// The most that a client connection may cost which idles after a request, with whatever was needed for that request.
const BYTES_MAX: u64 = 16 * 1024;

/// Asks again and again, on one connection, how long an ordinary request takes.
pub(super) async fn served(program: &Program, what: &str) {
    let mut client = Client::connect(program.listeners()[0]).await;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        let answer = client.get("svc", "/").await;
        assert_eq!(answer.status(), StatusCode::OK, "{what}: {answer:?}");
        times.push(begun.elapsed());
    }
    let median = spread(what, times);
    assert!(median < either(Duration::from_secs(1), Duration::from_millis(20)), "{what}: {median:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_idle_cost_little_and_stand_in_nobodys_way() {
    files::as_many_as_may_be();
    let provider = Process::start().await;
    let count = either(2_000, 10_000);
    let text = format!(
        "[registry]\nurl = \"fixed:svc={}\"\n[limits]\nconnections = 12000\nrequests = 12000",
        provider.address
    );
    let mut program = Program::configured(&text).await;
    let address = program.listeners()[0];
    served(&program, "before anybody idles").await;
    let before = program.resident();
    let connect = |_| async {
        let mut client = Client::connect(address).await;
        assert_eq!(client.get("svc", "/").await.status(), StatusCode::OK);
        client
    };
    let idle: Vec<Client> = iter(0..count).map(connect).buffer_unordered(64).collect().await;
    let open = async || program.metric("wayside_connections_open", "").await;
    assert!(open().await >= f64::from(count), "{}", open().await);
    served(&program, &format!("beside {count} that idle")).await;
    let (resident, count) = (program.resident(), count as u64);
    let each = resident.saturating_sub(before) / count;
    println!("{count} idle connections: {each} bytes for each; {} MiB in all", resident >> 20);
    assert!(each < BYTES_MAX, "{each} bytes for each");
    drop(idle);
    at_last("all are closed", async || open().await <= 2.0).await;
    assert!(program.is_alive());
    assert!(program.logged("panic").is_empty(), "{:?}", program.logged("panic"));
}
