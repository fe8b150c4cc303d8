//! Two real Redis servers behind one raw listener of the program, and Redis' own clients.

use std::net::SocketAddr;

use crate::support::patience::{at_last, either};
use crate::support::program::{ANY, Program};
use crate::support::redis::{Redis, client};

/// The program with a raw listener for these servers; gives the listener's address too.
async fn before(servers: &[Redis]) -> (Program, SocketAddr, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let record =
        |server: &Redis| format!("{{ address = \"127.0.0.1:{}\", protocol = \"tcp\" }}", server.port);
    let records: Vec<String> = servers.iter().map(record).collect();
    let text = format!(
        "[[listener]]\naddress = \"{ANY}\"\nprotocol = \"tcp\"\nservice = \"redis\"\n[[registry]]\nservices = {{ redis = [{}] }}\n",
        records.join(", ")
    );
    std::fs::write(&file, text).unwrap();
    let program = Program::launch(&["run", "--admin", ANY, "--config", file.to_str().unwrap()], &[]);
    program.logs("operators are answered").await;
    let line = program.logs("connections are passed on raw").await;
    let address = line.rsplit_once("address=").unwrap().1.trim().parse().unwrap();
    (program, address, folder)
}

#[tokio::test]
async fn the_benchmark_runs_without_an_error_and_new_connections_go_to_whoever_lives() {
    let mut servers = [Redis::start().await, Redis::start().await];
    let (program, listener, _folder) = before(&servers).await;
    let requests = either("20000", "1000000");
    for pipeline in ["1", "16"] {
        let arguments =
            ["--csv", "-n", requests, "-c", "50", "-P", pipeline, "-d", "100", "-t", "set,get,lrange_100"];
        let (succeeded, said) = client("redis-benchmark", listener.port(), &arguments).await;
        println!("through Wayside, {pipeline} at a time:\n{}", said.replace('\r', "\n"));
        assert!(succeeded && said.contains("LRANGE_100"), "{said}");
        assert!(!said.to_lowercase().contains("error"), "{said}");
    }
    // Both had their part: each has its own keys.
    let values = [
        client("redis-cli", servers[0].port, &["dbsize"]).await,
        client("redis-cli", servers[1].port, &["dbsize"]).await,
    ];
    assert!(values.iter().all(|(succeeded, said)| *succeeded && said != "0"), "{values:?}");
    let open = async || program.metric("wayside_raw_connections_open", "").await;
    at_last("all have ended", async || open().await == 0.0).await;
    let connections = program.metric("wayside_raw_connections_total", "reason=\"\"").await;
    assert!(connections >= 100.0, "{connections}");
    assert_eq!(
        program.metric("wayside_raw_connections_total", "").await,
        connections,
        "none ended otherwise"
    );

    let marks = ["one", "two"];
    for (server, mark) in servers.iter().zip(marks) {
        client("redis-cli", server.port, &["set", "mark", mark]).await;
    }
    servers[0].kill();
    for _ in 0..10 {
        assert_eq!(client("redis-cli", listener.port(), &["get", "mark"]).await, (true, "two".to_owned()));
    }
    servers[0] = Redis::start().await;
    servers[1].kill();
    at_last("the client is told at once", async || {
        let (succeeded, said) = client("redis-cli", listener.port(), &["ping"]).await;
        !succeeded && said != "PONG"
    })
    .await;
}
