//! Terms: each service may have authorities, a name, ids and an identity of its own.

use http::StatusCode;
use rustls::version::TLS13;
use wayside::app::Running;

use super::several;
use crate::support::certificates::{Authority, Files};
use crate::support::client::Client;
use crate::support::provider::{Echo, told};

async fn status(proxy: &Running, service: &str) -> StatusCode {
    Client::connect(proxy.listeners[0]).await.get(service, "/").await.status()
}

#[tokio::test]
async fn two_services_have_two_authorities() {
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let (a, b) = (
        Echo::secure(one.issue("127.0.0.1").server(&[])).await,
        Echo::secure(other.issue("127.0.0.1").server(&[])).await,
    );
    let files = Files::new();
    let (ca, other_ca) = (files.write("one.pem", &one.pem), files.write("other.pem", &other.pem));
    let sections = format!(
        "[upstream.tls]\nca = {ca:?}\n[[service]]\nname = \"b\"\n[service.tls]\nca = {other_ca:?}\n\
         [[service]]\nname = \"a-by-b\"\n[service.tls]\nca = {other_ca:?}"
    );
    let proxy = several(&[("a", &a), ("b", &b), ("a-by-b", &a), ("b-by-a", &b)], &sections);
    assert_eq!((status(&proxy, "a").await, status(&proxy, "b").await), (StatusCode::OK, StatusCode::OK));
    let bad = StatusCode::BAD_GATEWAY;
    assert_eq!((status(&proxy, "a-by-b").await, status(&proxy, "b-by-a").await), (bad, bad));
}

#[tokio::test]
async fn two_services_know_us_by_two_names() {
    let (servers, ours, theirs) = (Authority::new("one"), Authority::new("ours"), Authority::new("theirs"));
    let a = Echo::secure(servers.issue("127.0.0.1").server_for(&ours, &TLS13)).await;
    let b = Echo::secure(servers.issue("127.0.0.1").server_for(&theirs, &TLS13)).await;
    let files = Files::new();
    let ca = files.write("ca.pem", &servers.pem);
    let both = |name: &str, authority: &Authority| {
        let us = authority.issue("wayside");
        files.write(name, &format!("{}{}", us.certificate, us.key))
    };
    let (us, us_to_b) = (both("us.pem", &ours), both("us-to-b.pem", &theirs));
    let sections = format!(
        "[upstream.tls]\nca = {ca:?}\nclient_cert = {us:?}\n\
         [[service]]\nname = \"b\"\n[service.tls]\nclient_cert = {us_to_b:?}"
    );
    let proxy = several(&[("a", &a), ("b", &b), ("b-as-a", &b)], &sections);
    assert_eq!((status(&proxy, "a").await, status(&proxy, "b").await), (StatusCode::OK, StatusCode::OK));
    assert_eq!(status(&proxy, "b-as-a").await, 502);
}

#[tokio::test]
async fn what_a_service_says_goes_over_what_is_usual() {
    let authority = Authority::new("one");
    let named = Echo::secure(authority.issue("greeter.internal").server(&[])).await;
    let bearer = Echo::secure(authority.issue_to(&["spiffe://example.org/b"]).server(&[])).await;
    let files = Files::new();
    let ca = files.write("ca.pem", &authority.pem);
    let sections = format!(
        "[upstream.tls]\nca = {ca:?}\nserver_name = \"greeter.internal\"\n\
         [[service]]\nname = \"other-name\"\n[service.tls]\nserver_name = \"other.internal\"\n\
         [[service]]\nname = \"by-id\"\n[service.tls]\nspiffe_id = \"spiffe://example.org/*\"\n\
         [[service]]\nname = \"any\"\n[service.tls]\nverify = false\n"
    );
    let services = [
        ("usual", &named),
        ("other-name", &named),
        ("by-id", &bearer),
        ("not-by-id", &bearer),
        ("any", &bearer),
    ];
    let it = several(&services, &sections);
    for (service, expected) in
        [("usual", 200), ("other-name", 502), ("by-id", 200), ("not-by-id", 502), ("any", 200)]
    {
        assert_eq!(status(&it, service).await, expected, "{service}");
    }
    // Who says by what a certificate is verified wants it verified.
    let sections =
        format!("[upstream.tls]\nverify = false\n[[service]]\nname = \"a\"\n[service.tls]\nca = {ca:?}\n");
    let stranger = Echo::secure(Authority::new("other").issue("127.0.0.1").server(&[])).await;
    let it = several(&[("a", &stranger), ("b", &stranger)], &sections);
    assert_eq!((status(&it, "a").await, status(&it, "b").await), (StatusCode::BAD_GATEWAY, StatusCode::OK));
}

#[tokio::test]
async fn checks_and_streams_keep_to_the_terms_of_their_service() {
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let echo = Echo::secure(other.issue("127.0.0.1").server(&[])).await;
    let files = Files::new();
    let (ca, other_ca) = (files.write("one.pem", &one.pem), files.write("other.pem", &other.pem));
    let sections = format!(
        "[services.check]\nkind = \"http\"\ninterval = \"100ms\"\ntimeout = \"5s\"\nrise = 1\nfall = 1\n[upstream.tls]\nca = {ca:?}\n\
         [[service]]\nname = \"b\"\n[service.tls]\nca = {other_ca:?}\n[[service]]\nname = \"a\"\n"
    );
    let proxy = several(&[("a", &echo), ("b", &echo)], &sections);
    let state = |service: &'static str| {
        let endpoints = proxy.catalog.service(service)?.endpoints;
        endpoints.first().map(|endpoint| endpoint.state)
    };
    crate::support::patience::at_last("a is found unwell", async || state("a") == Some("unwell")).await;
    assert_eq!((state("b"), status(&proxy, "b").await), (Some("available"), StatusCode::OK));
    let well = || proxy.metrics.catalog.checks("well").get();
    crate::support::patience::at_last("b passes", async || well() > 0).await;
    let request = http::Request::get("/").header("host", "b").body(http_body_util::Full::default()).unwrap();
    let response = Client::connect(proxy.listeners[0]).await.send(request).await;
    assert_eq!(told(&response)["tls"]["client"], false);
}
