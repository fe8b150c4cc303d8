//! Addresses that are never dialled, and those that lead back here.

use http::Request;
use http_body_util::Full;
use serde_json::Value;
use wayside::admin;
use wayside::provider::Protocol;

use crate::support::client::Client;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::program::{Program, get, request, text};
use crate::support::provider::Echo;
use crate::support::proxy::{config, loopback, start};
use crate::support::registry::Told;

#[tokio::test]
async fn a_reserved_address_is_skipped_and_told_once() {
    let echo = Echo::start().await;
    let registry = format!(
        "fixed:greeter=169.254.169.254:80,{},[::ffff:169.254.1.1]:80;bad=[fe80::1]:1",
        echo.address()
    );
    let program = Program::run(&["--registry", &registry]).await;
    for _ in 0..3 {
        assert_eq!(get(program.listeners()[0], "/greeter/").await.status(), 200);
    }
    let greeter = program.ask_json("/services/greeter").await;
    assert_eq!(greeter["endpoints"].as_array().unwrap().len(), 1, "{greeter}");
    let skipped = greeter["skipped"].as_array().unwrap();
    assert!(skipped.len() == 2 && skipped.iter().all(|skipped| skipped["reason"] == "reserved"), "{greeter}");
    assert!(skipped[0].to_string().contains("services.allow_addresses"), "{greeter}");
    let said = program.logged("169.254.169.254:80 is where a cloud keeps its metadata");
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(program.metric("wayside_registry_records_skipped_total", "reason=\"reserved\"").await, 2.0);
    let answer = get(program.listeners()[0], "/bad/").await;
    assert_eq!(answer.status(), 503, "{answer:?}");
}

#[tokio::test]
async fn a_name_is_looked_at_when_it_is_dialled() {
    // The system's resolver takes this for 169.254.169.254, and nothing else does.
    let names = "fixed:greeter=0xa9fea9fe:80";
    let program = Program::run(&["--registry", names]).await;
    let answer = get(program.listeners()[0], "/greeter/").await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    let status = answer.headers()["proxy-status"].to_str().unwrap();
    assert!(
        status.contains("error=destination_ip_prohibited") && status.contains("details=\"address_refused\""),
        "{status}"
    );
    let said = text(&answer);
    assert!(
        said.contains("169.254.169.254 is where a cloud keeps its metadata; if a provider is meant"),
        "{said}"
    );
}

#[tokio::test]
async fn checks_do_not_dial_it_either() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let text = "[registry]\nurl = \"fixed:greeter=0xa9fea9fe:80\"\n[[service]]\nname = \"greeter\"\n[service.check]\nkind = \"tcp\"\ninterval = \"1s\"\n";
    std::fs::write(&file, text).unwrap();
    let program = Program::run(&["--config", file.to_str().unwrap()]).await;
    crate::support::patience::at_last("the check says why it failed", async || {
        program.ask_json("/services/greeter").await.to_string().contains("where a cloud keeps its metadata")
    })
    .await;
}

#[tokio::test]
async fn what_is_allowed_is_dialled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let text = "[registry]\nurl = \"fixed:greeter=0.0.0.0:1\"\n[services]\nallow_addresses = [\"0.0.0.0\"]\n";
    std::fs::write(&file, text).unwrap();
    let program = Program::run(&["--config", file.to_str().unwrap()]).await;
    let answer = get(program.listeners()[0], "/greeter/").await;
    assert!(crate::support::program::text(&answer).contains("0.0.0.0:1 refuses connections"), "{answer:?}");
}

#[tokio::test]
async fn nobody_is_announced_where_nobody_would_call() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let providers = folder.path().join("providers");
    std::fs::create_dir(&providers).unwrap();
    std::fs::write(&file, format!("[registry]\nurl = \"file:{}\"\n", providers.display())).unwrap();
    let program = Program::run(&["--config", file.to_str().unwrap()]).await;
    let body = r#"{"name":"greeter","nodes":[{"id":"g-1","address":"169.254.169.254:80"}]}"#;
    let answer = request(program.admin(), "POST", "/registry", body).await;
    assert_eq!(answer.status(), 400, "{answer:?}");
    assert!(text(&answer).contains("nobody would call it"), "{answer:?}");
    let announced: Value = program.ask_json("/announcements").await;
    assert_eq!(announced["announcements"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_record_that_leads_back_here_is_a_loop_in_either_http() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let registry = Told::new();
        let proxy = start(config(), registry.clone());
        registry.tell("svc", protocol, &[proxy.listeners[0].into()]);
        let mut client = Client::connect(proxy.listeners[0]).await;
        let answer = client.get("svc", "/").await;
        assert_eq!(answer.status(), 508, "{answer:?}");
        let requests = || (proxy.metrics.proxy.requests_in_flight.get() == 0).then_some(());
        eventually(PATIENCE, "no request goes round", requests).await;
    }
}

#[tokio::test]
async fn a_record_that_leads_to_admin_is_refused_there() {
    let registry = Told::new();
    let mut config = config();
    config.admin = Some(admin::Settings { address: loopback(), ..admin::Settings::default() });
    let proxy = start(config, registry.clone());
    registry.tell("svc", Protocol::Http1, &[proxy.admin.unwrap().into()]);
    let mut client = Client::connect(proxy.listeners[0]).await;
    for host in ["svc", "localhost", "127.0.0.1:4141"] {
        for (method, path) in
            [("GET", "/config"), ("PUT", "/log-level"), ("POST", "/registry"), ("DELETE", "/registry")]
        {
            let path = if host == "svc" { path.to_owned() } else { format!("/svc{path}") };
            let request = Request::builder().method(method).uri(&path).header("host", host);
            let answer = client.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(answer.status(), 403, "{method} {host} {path}: {answer:?}");
            assert!(!answer.headers().contains_key("proxy-status"), "admin itself refuses");
        }
    }
}
