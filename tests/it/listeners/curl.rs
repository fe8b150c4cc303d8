//! As people try it: curl over a Unix socket, under TLS, and with a PROXY header.

use tokio::process::Command;

use super::Front;
use crate::support::provider::told_header;

/// What curl is answered, once it was content.
async fn curl(arguments: &[&str]) -> serde_json::Value {
    let output =
        Command::new("curl").args(["-sS", "--fail", "--max-time", "20"]).args(arguments).output().await;
    let output = output.expect("curl should be there; tests/servers.sh installs it");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("svc.sock");
    let _front = Front::on_socket(&format!("unix:{}", path.display()), "").await;
    let path = path.to_str().unwrap();
    let told = curl(&["--unix-socket", path, "http://svc/hello"]).await;
    assert_eq!(told["target"], "/hello");
    curl(&["--unix-socket", path, "--http2-prior-knowledge", "http://svc/hello"]).await;
}

#[tokio::test]
async fn under_tls() {
    let front = Front::under_tls("", "").await;
    let ca = front.files.write("ca.pem", &front.authority.pem);
    let address = format!("https://localhost:{}/svc/hello", front.proxy.listeners[0].port());
    for version in ["--http1.1", "--http2"] {
        let told = curl(&["--cacert", ca.to_str().unwrap(), version, "-4", &address]).await;
        assert_eq!(told["target"], "/hello");
        assert_eq!(told_header(&told, "x-forwarded-proto"), ["https"]);
    }
}

#[tokio::test]
async fn with_a_proxy_header() {
    let front = Front::on_port("proxy_protocol = true\n", "").await;
    let address = format!("http://{}/svc/hello", front.proxy.listeners[0]);
    let told = curl(&["--haproxy-protocol", &address]).await;
    assert_eq!(told_header(&told, "x-forwarded-for"), ["127.0.0.1"]);
}
