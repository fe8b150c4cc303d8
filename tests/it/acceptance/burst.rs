//! Thousands of clients that come at once and go again: the memory they took is given back.

use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::iter;
use http::StatusCode;

use super::crowd::served;
use super::*;
use crate::support::client::Client;
use crate::support::files;
use crate::support::light::Process;
use crate::support::patience::at_last;
use crate::support::program::Program;

/// Requests of each client, one after the other.
const REQUESTS: usize = 3;
/// Clients that ask at a time: a debug build would otherwise answer some later than anybody waits.
const AT_A_TIME: usize = 512;
/// Clients before the burst, so that it finds the program warm.
const FEW: usize = 32;
/// How long it may take from the end of a burst until the memory is back.
const BACK: Duration = Duration::from_secs(30);
/// How often it is told meanwhile how much there is.
const TOLD: Duration = Duration::from_secs(2);

/// Lets this many clients connect, each ask a few times, and all go. Gives the memory while all were there.
async fn burst(program: &Program, count: usize) -> [u64; 2] {
    let address = program.listeners()[0];
    let clients = join_all((0..count).map(|_| Client::connect(address))).await;
    let ask = |mut client: Client| async move {
        for _ in 0..REQUESTS {
            let answer = client.get("svc", "/").await;
            assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        }
        client
    };
    let clients: Vec<Client> = iter(clients).map(ask).buffer_unordered(AT_A_TIME).collect().await;
    let open = program.metric("wayside_connections_open", "").await;
    assert!(open >= count as f64, "{open} of {count} are open");
    let memory = [program.resident_whole(), program.resident()];
    drop(clients);
    at_last("all are closed", async || program.metric("wayside_connections_open", "").await == 0.0).await;
    memory
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_burst_took_is_given_back() {
    files::as_many_as_may_be();
    let provider = Process::start().await;
    let count = either(1_000, 5_000);
    let mut program =
        Program::configured(&format!("[registry]\nurl = \"fixed:svc={}\"", provider.address)).await;
    served(&program, "before the burst").await;
    burst(&program, FEW).await;
    at_last("nothing is left of the few", async || {
        program.metric("wayside_upstream_connections_open", "").await == 0.0
    })
    .await;
    let idle = [program.resident_whole(), program.resident()];

    let begun = Instant::now();
    let high = burst(&program, count).await;
    let (gone, mut tells) = (Instant::now(), Duration::ZERO);
    let back = || {
        let now = [program.resident_whole(), program.resident()];
        if gone.elapsed() >= tells {
            println!("{:.1?} after the burst: {} KiB", gone.elapsed(), now[0] >> 10);
            tells += TOLD;
        }
        (now[0] <= idle[0] + idle[0] / 5).then_some(now)
    };
    let low = eventually(BACK, "the memory is back", back).await;
    let told = |[whole, own]: [u64; 2]| format!("{} KiB ({} its own)", whole >> 10, own >> 10);
    println!(
        "{count} clients came and went in {:.1?}: {} before, {} while all were there, {} after {:.1?}",
        gone - begun,
        told(idle),
        told(high),
        told(low),
        gone.elapsed()
    );
    served(&program, "after the burst").await;
    assert!(program.is_alive());
    assert!(program.logged("panic").is_empty(), "{:?}", program.logged("panic"));
}
