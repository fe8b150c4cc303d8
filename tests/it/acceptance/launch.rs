//! How long after its start the program gives the first answer of a provider.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zookeeper_client::{Acls, CreateMode};

use super::*;
use crate::support::light::Process;
use crate::support::ports;
use crate::support::program::Program;
use crate::support::zookeeper::ZooKeeper;

/// Starts that are timed.
const STARTS: usize = 11;
const SERVICES: usize = 100;
const PROVIDERS: usize = 20;

/// Asks a service until somebody takes the connection.
async fn answered(address: SocketAddr, service: &str, begun: Instant) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            assert!(begun.elapsed() < LATER, "nobody listens at {address}");
            continue;
        };
        let request = format!("GET / HTTP/1.1\r\nhost: {service}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        return;
    }
}

/// Times from the start of the program, with this in its file, to the first answer of a service.
async fn starts(what: &str, text: &str, service: &str) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    std::fs::write(&file, text).unwrap();
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let [port] = ports::free();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let arguments = ["run", "--admin", "off", "--listen", &address.to_string(), "--config"];
        let begun = Instant::now();
        let mut program = Program::launch(&[&arguments[..], &[file.to_str().unwrap()]].concat(), &[]);
        answered(address, service, begun).await;
        times.push(begun.elapsed());
        assert!(program.is_alive());
    }
    spread(what, times)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_registry_is_answered_from_within_milliseconds() {
    let provider = Process::start().await;
    let text = format!("[registry]\nurl = \"fixed:svc={}\"", provider.address);
    let median = starts("start to first answer, fixed registry", &text, "svc").await;
    assert!(median < either(Duration::from_secs(2), Duration::from_millis(20)), "{median:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_services_of_twenty_providers_are_known_in_no_time() {
    let zookeeper = ZooKeeper::start().await;
    let provider = Process::start_at("0.0.0.0:0".parse().unwrap()).await;
    let writer = zookeeper.writer().await;
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for service in 0..SERVICES {
        writer.put(&format!("/micro-registry/svc-{service}"), "").await;
        let mut multi = writer.client.new_multi_writer();
        for number in 0..PROVIDERS {
            // Every one of them is there: all of loopback leads to one process.
            let address = format!("127.1.{service}.{}:{}", number + 1, provider.address.port());
            let id = format!("svc-{service}-{number}");
            let data = record(&id, &address).replace("greeter", &format!("svc-{service}"));
            multi
                .add_create(&format!("/micro-registry/svc-{service}/{id}"), data.as_bytes(), &options)
                .unwrap();
        }
        multi.commit().await.unwrap();
    }
    let mut text = format!("[registry]\nurl = \"zookeeper://{}\"\n", zookeeper.addresses());
    let on_demand = starts("start to first answer, ZooKeeper, one service asked for", &text, "svc-50").await;
    for service in 0..SERVICES {
        text.push_str(&format!("[[service]]\nname = \"svc-{service}\"\n"));
    }
    let what = format!(
        "start to first answer of the last of {SERVICES} services of {PROVIDERS} providers, ZooKeeper"
    );
    let declared = starts(&what, &text, &format!("svc-{}", SERVICES - 1)).await;
    let most = either(Duration::from_secs(5), Duration::from_millis(150));
    assert!(on_demand < most && declared < most, "{on_demand:?}, {declared:?}");
}
