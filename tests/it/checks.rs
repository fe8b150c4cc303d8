//! Checks of every kind: who is not well is left out, by all of them alike, and used again once it is.

use std::time::{Duration, Instant};

use http::StatusCode;
use wayside::app::Running;
use wayside::balance::Policy;
use wayside::catalog::Claim;
use wayside::catalog::status::EndpointStatus;
use wayside::provider::{Address, Protocol};

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::patience::at_last;
use crate::support::patient::Patient;
use crate::support::program::{Program, get, text};
use crate::support::provider::{Echo, Script};
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

/// How often is asked, here.
const INTERVAL: Duration = Duration::from_millis(100);

/// A proxy that checks like this, ten times a second.
fn proxy(check: &str, told: std::sync::Arc<Told>) -> Running {
    start(config_with(&format!("[services.check]\ninterval = \"100ms\"\n{check}\n")), told)
}

/// The same, that follows `greeter` from the start.
fn declaring(check: &str, told: std::sync::Arc<Told>) -> Running {
    let mut config = config_with(&format!("[services.check]\ninterval = \"100ms\"\n{check}\n"));
    config.declared = vec![Claim::on("greeter".parse().unwrap(), Policy::default())];
    start(config, told)
}

/// An endpoint of `greeter`, as an operator sees it.
fn endpoint(running: &Running, address: &Address) -> Option<EndpointStatus> {
    let status = running.catalog.service("greeter")?;
    status.endpoints.into_iter().find(|endpoint| endpoint.address == address.to_string())
}

/// Waits until an endpoint is in a state; gives why it is.
async fn becomes(running: &Running, address: &Address, state: &str) -> String {
    at_last(&format!("it is {state}"), async || {
        endpoint(running, address).is_some_and(|endpoint| endpoint.state == state)
    })
    .await;
    endpoint(running, address).and_then(|endpoint| endpoint.why).unwrap_or_default()
}

/// How many of some requests for `greeter` arrive at each, none of which fails.
async fn spread(client: &mut Client, patients: &[Patient]) -> Vec<usize> {
    let before: Vec<usize> = patients.iter().map(Patient::requests).collect();
    for _ in 0..12 {
        assert_eq!(client.get("greeter", "/").await.status(), StatusCode::OK);
    }
    patients.iter().zip(before).map(|(patient, before)| patient.requests() - before).collect()
}

/// Two providers, one of which says for a while that it is ill; gives why it was left out.
async fn one_falls_ill(check: &str, protocol: Protocol) -> String {
    let patients = Patient::several(2).await;
    let told = Told::new();
    let addresses: Vec<Address> = patients.iter().map(Patient::address).collect();
    told.tell("greeter", protocol, &addresses);
    let running = proxy(check, told);
    let mut client = Client::connect(running.listeners[0]).await;
    assert_eq!(spread(&mut client, &patients).await, [6, 6], "nobody was asked yet, and both serve");
    at_last("both are asked", async || patients.iter().all(|patient| patient.asked() > 0)).await;

    patients[0].fall_ill(true);
    let (since, asked) = (Instant::now(), patients[0].asked());
    let why = becomes(&running, &addresses[0], "unwell").await;
    let took = since.elapsed();
    assert!(patients[0].asked() >= asked + 3, "three failures in a row, not fewer");
    assert!(took >= INTERVAL, "{took:?}");
    assert_eq!(spread(&mut client, &patients).await, [0, 12], "it is left out, whatever requests would find");
    let status = endpoint(&running, &addresses[0]).and_then(|it| it.check).expect("it is checked");
    assert!(
        status.in_a_row >= 3 && status.unwell_for_ms.is_some() && status.result == "failed",
        "{status:?}"
    );

    patients[1].fall_ill(true);
    becomes(&running, &addresses[1], "unwell").await;
    let both = spread(&mut client, &patients).await;
    assert!(both[0] > 0 && both[1] > 0, "where all fail, they are used all the same: {both:?}");

    let asked = patients[0].asked();
    patients[0].fall_ill(false);
    becomes(&running, &addresses[0], "available").await;
    assert!(patients[0].asked() >= asked + 2, "two passes in a row, not fewer");
    assert_eq!(spread(&mut client, &patients).await, [12, 0]);
    why
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_a_path_with_an_error_is_left_out_until_it_does_not() {
    let why = one_falls_ill("kind = \"http\"\npath = \"/health\"", Protocol::Http1).await;
    assert!(why.ends_with("answered 500 Internal Server Error to GET /health"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_is_asked_for_in_http2_where_that_is_spoken() {
    let why = one_falls_ill("kind = \"http\"\npath = \"/health\"", Protocol::H2c).await;
    assert!(why.ends_with("answered 500 Internal Server Error to GET /health"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_that_grpc_is_not_served_is_left_out_until_it_is() {
    let why = one_falls_ill("kind = \"grpc\"", Protocol::H2c).await;
    assert!(why.ends_with("answered NOT_SERVING to the health check"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_debug_health_with_an_error_is_left_out_until_it_does_not() {
    let why = one_falls_ill("kind = \"go-micro\"", Protocol::Mucp).await;
    assert!(why.contains("the database is gone"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_accepts_connections_and_hangs_is_left_out() {
    let (hanging, well) = (Script::start().await, Patient::start().await);
    let told = Told::with("greeter", &[hanging.address(), well.address()]);
    let check = "kind = \"http\"\npath = \"/health\"\ntimeout = \"100ms\"\n";
    let running = declaring(check, told);
    let why = becomes(&running, &hanging.address(), "unwell").await;
    assert!(why.ends_with("did not answer within 100ms"), "{why}");
    let mut client = Client::connect(running.listeners[0]).await;
    assert_eq!(spread(&mut client, &[well]).await, [12], "no request has to wait for it");
    let metrics = running.metrics.clone();
    assert!(metrics.catalog.checks("late").get() >= 3 && metrics.catalog.checks("well").get() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_refuses_connections_is_left_out_and_another_port_may_be_asked() {
    let (gone, health) = (Echo::start().await, Patient::start().await);
    let told = Told::with("greeter", &[gone.address()]);
    let port = health.address().port();
    let other = format!("kind = \"http\"\npath = \"/health\"\nport = {port}");
    let elsewhere = declaring(&other, std::sync::Arc::clone(&told));
    let in_place = declaring("kind = \"tcp\"", told);
    let address = gone.address();
    at_last("both ask", async || gone.connections() > 0 && health.asked() > 0).await;
    gone.kill().await;
    let why = becomes(&in_place, &address, "unwell").await;
    assert!(why.ends_with("refuses connections"), "{why}");
    let state = endpoint(&elsewhere, &address).map(|endpoint| endpoint.state);
    assert_eq!(state, Some("available"), "another port says that it is well");
    health.fall_ill(true);
    becomes(&elsewhere, &address, "unwell").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_reached_over_tls_is_asked_over_tls() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("127.0.0.1").server(&["http/1.1"])).await;
    let told = Told::new();
    told.tell_secure("greeter", Protocol::Http1, &[echo.address()]);
    let tls = "[upstream.tls]\nverify = false";
    let running = declaring(&format!("kind = \"http\"\n{tls}"), std::sync::Arc::clone(&told));
    at_last("it is well", async || {
        let check = endpoint(&running, &echo.address()).and_then(|endpoint| endpoint.check);
        check.is_some_and(|check| check.result == "well" && check.in_a_row >= 2)
    })
    .await;
    assert!(echo.requests() >= 2, "they were answered");
    let clear = declaring(&format!("kind = \"http\"\ntls = false\n{tls}"), told);
    becomes(&clear, &echo.address(), "unwell").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_why_and_a_change_of_the_file_takes_effect() {
    let patients = Patient::several(2).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let (one, two) = (patients[0].address(), patients[1].address());
    let write = |check: &str| {
        let text = format!(
            "[registry]\nurl = \"fixed:greeter={one},{two}\"\n[[service]]\nname = \"greeter\"\n[service.check]\ninterval = \"100ms\"\n{check}\n"
        );
        let new = file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    write("kind = \"http\"\npath = \"/health\"");
    patients[0].fall_ill(true);
    let program = Program::run(&["--config", file.to_str().unwrap()]).await;
    let states = async || {
        let answer = program.ask_json("/services/greeter").await;
        let endpoints = answer["endpoints"].as_array().unwrap().clone();
        let of = |address: &Address| {
            endpoints.iter().find(|endpoint| endpoint["address"] == address.to_string()).unwrap().clone()
        };
        (of(&one), of(&two))
    };
    program.logs("its checks fail, and it is left out").await;
    let (ill, well) = states().await;
    assert_eq!((&ill["state"], &well["state"]), (&"unwell".into(), &"available".into()));
    let reason = ill["check"]["reason"].as_str().unwrap();
    assert!(reason.ends_with("answered 500 Internal Server Error to GET /health"), "{reason}");
    assert_eq!((&ill["check"]["result"], &well["check"]["result"]), (&"failed".into(), &"well".into()));
    assert!(program.metric("wayside_checks_total", "result=\"status\"").await >= 3.0);
    assert_eq!(program.metric("wayside_endpoints", "state=\"unwell\"").await, 1.0);
    let before = patients[0].requests();
    for _ in 0..10 {
        assert_eq!(text(&get(program.listeners()[0], "/greeter/").await), "ok");
    }
    assert_eq!(patients[0].requests(), before);

    write("kind = \"none\"");
    at_last("nobody is left out any more", async || states().await.0["state"] == "available").await;
    assert!(program.logged("take effect at the next start").is_empty(), "{}", program.log());
    let asked = patients[0].asked();
    write("kind = \"http\"\npath = \"/health\"\nstatus = [\"200-299\", 500]");
    at_last("it is asked again", async || patients[0].asked() > asked + 3).await;
    assert_eq!(states().await.0["state"], "available", "such an answer is a good one now");
}
