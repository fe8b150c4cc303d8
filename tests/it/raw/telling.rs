//! What is told of raw connections: a line in the access log, metrics, what operators see, and a bounded log.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{assert_turned_away, hear};
use crate::support::program::{ANY, Program, whole};
use crate::support::provider::Script;

/// A program with a raw listener for one provider, an access log in JSON, and a log from this level on.
pub(super) async fn telling(folder: &Path, provider: &str, level: &str) -> (Program, SocketAddr) {
    let file = folder.join("wayside.toml");
    let text = format!(
        r#"
        [[listener]]
        address = "{ANY}"
        protocol = "tcp"
        service = "redis"
        [[registry]]
        services = {{ redis = [{{ address = "{provider}", protocol = "tcp" }}] }}
        [access_log]
        enabled = true
        format = "json"
        [log]
        level = "{level}"
        "#
    );
    std::fs::write(&file, text).unwrap();
    let program = Program::launch(&["run", "--admin", ANY, "--config", file.to_str().unwrap()], &[]);
    program.logs("operators are answered").await;
    let line = program.logs("connections are passed on raw").await;
    let address = line.rsplit_once("address=").unwrap().1.trim().parse().unwrap();
    (program, address)
}

#[tokio::test]
async fn a_connection_is_told_of_at_its_end_and_shown_while_it_lasts() {
    let (provider, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    let (program, listener) = telling(folder.path(), &provider.address().to_string(), "debug").await;
    let mut client = TcpStream::connect(listener).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut server = provider.accept().await;
    assert_eq!(hear(&mut server, 5).await, "hello");
    server.write_all(b"welcome").await.unwrap();
    assert_eq!(hear(&mut client, 7).await, "welcome");

    let service = program.ask_json("/services/redis").await;
    let raw: Vec<&Value> =
        service["claims"].as_array().unwrap().iter().filter(|claim| claim["raw"] == true).collect();
    assert_eq!(
        (raw.len(), &raw[0]["endpoints"], &raw[0]["declared"]),
        (1, &1.into(), &true.into()),
        "{service}"
    );
    assert_eq!(service["endpoints"][0]["in_flight"], 1);
    let services = program.ask_json("/services").await;
    assert_eq!(
        (&services["services"][0]["available"], &services["services"][0]["in_flight"]),
        (&1.into(), &1.into())
    );
    for (name, label, value) in [
        ("wayside_raw_connections_open", "service=\"redis\"", 1.0),
        ("wayside_raw_bytes_total", "direction=\"received\"", 5.0),
        ("wayside_raw_bytes_total", "direction=\"sent\"", 7.0),
        ("wayside_upstream_connections_open", "", 1.0),
        ("wayside_raw_connections_total", "", 0.0),
    ] {
        assert_eq!(program.metric(name, label).await, value, "{name}");
    }

    drop(server);
    let own = client.local_addr().unwrap();
    drop(client);
    let line: Value = serde_json::from_str(&program.says("\"TCP\"").await).unwrap();
    let expected = serde_json::json!({
        "client": own.to_string(), "method": "TCP", "target": "-", "host": null, "service": "redis", "via": "listener",
        "endpoint": provider.address().to_string(), "status": 0, "reason": null, "attempts": 1, "bytes_sent": 7, "bytes_received": 5,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(line[key], *value, "{key} of {line}");
    }
    assert!(line["first_byte_ms"].as_f64().unwrap() <= line["duration_ms"].as_f64().unwrap(), "{line}");
    let why = program.logs("a raw connection goes to a provider").await;
    assert!(why.contains("policy=\"round-robin\"") && why.contains("number=1"), "{why}");
}

#[tokio::test]
async fn failures_are_told_with_their_cause_and_not_each() {
    let folder = tempfile::tempdir().unwrap();
    let dead = super::dead().await.to_string();
    let (program, listener) = telling(folder.path(), &dead, "info").await;
    for _ in 0..20 {
        assert_turned_away(listener).await;
    }
    let line: Value = serde_json::from_str(&program.says("\"connection_refused\"").await).unwrap();
    assert_eq!(
        (&line["attempts"], &line["endpoint"], &line["first_byte_ms"]),
        (&1.into(), &dead.clone().into(), &Value::Null)
    );
    // One for each worker, and another where this took long.
    let told = program.logged("a raw connection could not be passed on");
    assert!((1..=6).contains(&told.len()), "{told:?}");
    assert!(
        told[0].contains("reason=\"connection_refused\"")
            && told[0].contains(&format!("{dead} refuses connections")),
        "{told:?}"
    );
    assert!(told[0].contains("service=redis"), "{told:?}");
}

#[test]
fn a_check_says_where_a_raw_listener_leads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let text = "[registry]\nurl = \"fixed:redis=127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:6379\"\nprotocol = \"tcp\"\nservice = \"redis\"\n";
    std::fs::write(&file, text).unwrap();
    let (code, said, complaint) = whole(&["check", file.to_str().unwrap()], &[]);
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert!(
        said.contains("listens on 127.0.0.1:6379 (tcp, to redis)") && said.contains("1 service followed"),
        "{said}"
    );
}
