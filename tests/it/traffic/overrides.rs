//! Overrides: a request chooses its provider, where the route lets it and whoever sends it is trusted.

use super::{ask, configured, port, provider, proxied, registry, start};
use crate::support::client::Client;
use crate::support::provider::{Echo, told, told_header};

const PROVIDER: &str = "X-Wayside-Provider";
const SUBSET: &str = "X-Wayside-Subset";

/// Three providers of `a`, of which requests usually go to the first alone.
async fn three() -> (Vec<Echo>, String) {
    let echoes = Echo::several(3).await;
    let more = [
        "id = \"one\", version = \"1\"",
        "id = \"two\", version = \"2\", metadata = { stage = \"canary\" }",
        "id = \"three\", version = \"2\"",
    ];
    let providers: Vec<String> = echoes.iter().zip(more).map(|(echo, more)| provider(echo, more)).collect();
    (echoes, registry(&[("a", &providers)]))
}

fn route(overrides: bool) -> String {
    format!("[[route]]\nhosts = \"a\"\nservice = \"a\"\nversion = \"1\"\noverrides = {overrides}\n")
}

#[tokio::test]
async fn a_request_chooses_its_provider_by_id_address_or_what_that_announces() {
    let (echoes, text) = three().await;
    let (_proxy, mut client) = proxied(&(text + &route(true))).await;
    let address = echoes[2].address().to_string();
    for _ in 0..5 {
        for (name, value, index) in [
            (PROVIDER, "two", 1),
            (PROVIDER, &*address, 2),
            (SUBSET, "version=2,stage=canary", 1),
            (SUBSET, "version=1", 0),
        ] {
            let response = ask(&mut client, &[(name, value)]).await;
            assert_eq!(port(&response), echoes[index].address().port(), "{name}: {value}");
            assert!(told_header(&told(&response), &name.to_lowercase()).is_empty(), "it goes no further");
        }
        assert_eq!(port(&ask(&mut client, &[]).await), echoes[0].address().port());
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_with_its_reason() {
    let (_echoes, text) = three().await;
    let stranger = Echo::start().await;
    let (_proxy, mut client) = proxied(&(text + &route(true))).await;
    let address = stranger.address().to_string();
    for (name, value, status, reason) in [
        (PROVIDER, "four", 404, "no_such_provider"),
        (PROVIDER, &*address, 404, "no_such_provider"),
        (SUBSET, "version=3", 404, "no_such_provider"),
        (SUBSET, "canary", 400, "bad_override"),
    ] {
        let response = ask(&mut client, &[(name, value)]).await;
        assert_eq!(response.status(), status, "{name}: {value}");
        let told = response.headers()["proxy-status"].to_str().unwrap();
        assert!(told.contains(&format!("details=\"{reason}\"")), "{told}");
    }
    assert_eq!(stranger.connections(), 0, "only what the registry announces is ever reached");
}

#[tokio::test]
async fn who_is_not_trusted_is_refused() {
    let (_echoes, text) = three().await;
    let mut config = configured(&(text + &route(true)));
    config.listeners[0].trusted = false;
    let proxy = start(config);
    let mut client = Client::connect(proxy.listeners[0]).await;
    let response = ask(&mut client, &[(PROVIDER, "two")]).await;
    let body = String::from_utf8_lossy(response.body());
    assert!(response.status() == 403 && body.contains("not trusted"), "{body}");
    assert_eq!(ask(&mut client, &[]).await.status(), 200);
}

#[tokio::test]
async fn where_it_is_not_allowed_the_headers_are_like_any_other() {
    let (echoes, text) = three().await;
    let (_proxy, mut client) = proxied(&(text + &route(false))).await;
    let response = ask(&mut client, &[(PROVIDER, "two"), (SUBSET, "version=2")]).await;
    assert_eq!(port(&response), echoes[0].address().port());
    assert_eq!(told_header(&told(&response), "x-wayside-provider"), ["two"]);
}
