//! Records that are no providers, under the program itself: skipped, counted, logged once, and nothing else suffers.

use super::*;
use crate::support::client::Client;
use crate::support::light::Light;
use crate::support::patience::at_last;
use crate::support::program::Program;
use crate::support::zookeeper::ZooKeeper;

/// Records that are no providers: what is wrong, and the record.
fn bad_records() -> Vec<(&'static str, Vec<u8>)> {
    let whole = record("cut", "10.0.0.1:80").into_bytes();
    let mut compressed = b"\x78\x9c".to_vec();
    compressed.extend_from_slice(&[0xff; 64]);
    vec![
        ("empty", Vec::new()),
        ("null", b"null".to_vec()),
        ("cut-in-half", whole[..whole.len() / 2].to_vec()),
        ("cut-at-the-end", whole[..whole.len() - 1].to_vec()),
        ("not-text", vec![0xff, 0xfe, 0x00, 0x80]),
        ("zeros", vec![0; 4096]),
        ("deep", "[".repeat(100_000).into_bytes()),
        ("compressed", compressed),
        ("other-types", br#"{"name":7,"nodes":"none"}"#.to_vec()),
        ("without-nodes", br#"{"name":"greeter","version":"1","nodes":[]}"#.to_vec()),
        ("without-address", record("x", "").into_bytes()),
        ("port-too-high", record("x", "10.0.0.1:99999").into_bytes()),
        ("large", vec![b'x'; 900_000]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_are_skipped_counted_and_logged_once() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let good = Light::several(2).await;
    announce(&writer, "good-0", good[0].address).await;
    let bad = bad_records();
    for (id, data) in &bad {
        writer.put(&path(id), data).await;
    }
    let mut program =
        Program::run(&["--registry", &format!("zookeeper://{}", zookeeper.addresses()), "--workers", "2"])
            .await;
    let mut client = Client::connect(program.listeners()[0]).await;
    for _ in 0..100 {
        assert_eq!(client.get("greeter", "/").await.status(), http::StatusCode::OK);
    }
    let skipped = "wayside_registry_records_skipped_total";
    assert_eq!(program.metric(skipped, "").await, bad.len() as f64);
    for reason in ["empty", "malformed", "address"] {
        assert!(program.metric(skipped, &format!("\"{reason}\"")).await > 0.0, "{reason}");
    }

    // Each list that follows has the bad ones in it again.
    let available = async || program.metric("wayside_endpoints", "\"greeter\"").await;
    for round in 0..5 {
        announce(&writer, "good-1", good[1].address).await;
        at_last("the second comes", async || available().await == 2.0).await;
        writer.delete(&path("good-1")).await;
        at_last("the second goes", async || available().await == 1.0).await;
        assert_eq!(client.get("greeter", "/").await.status(), http::StatusCode::OK, "{round}");
    }
    // One that gets worse is bad anew; one that is mended serves.
    writer.put(&path("empty"), "{").await;
    at_last("it is counted", async || program.metric(skipped, "").await == bad.len() as f64 + 1.0).await;
    writer.put(&path("empty"), record("empty", &good[1].address.to_string())).await;
    at_last("it serves", async || available().await == 2.0).await;

    let lines = program.logged("record skipped");
    let more = program.logged("more records skipped");
    println!(
        "malformed: {} of {} records told one by one, {} lines of more",
        lines.len(),
        bad.len(),
        more.len()
    );
    assert_eq!((lines.len(), more.len()), (8 + 1, 1), "{lines:#?} {more:#?}");
    let told: BTreeSet<&String> = lines.iter().collect();
    assert_eq!(told.len(), lines.len(), "each once");
    assert!(program.is_alive());
    assert!(program.logged("panic").is_empty(), "{:?}", program.logged("panic"));
}
