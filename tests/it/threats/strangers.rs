//! Pages in browsers, and clients of listeners that are not trusted.

use http::Request;
use http_body_util::Full;
use wayside::app::Running;

use crate::support::client::Client;
use crate::support::provider::{Echo, told, told_header};
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

/// A proxy whose one listener is like this, with a service of one provider.
fn proxy(echo: &Echo, trusted: bool, refuse_cross_site: bool, sections: &str) -> Running {
    let mut config = config_with(sections);
    config.listeners[0].trusted = trusted;
    config.listeners[0].refuse_cross_site = refuse_cross_site;
    start(config, Told::with("svc", &[echo.address()]))
}

#[tokio::test]
async fn a_page_of_another_site_gets_nowhere_where_that_is_refused() {
    let echo = Echo::start().await;
    let page = [("origin", "http://evil.example"), ("content-type", "text/plain")];
    for (refuses, fields, status) in [
        (true, &[][..], 200),
        (true, &page[..], 403),
        (true, &[("sec-fetch-site", "cross-site")], 403),
        (true, &[("sec-fetch-site", "none")], 200),
        (false, &page, 200),
    ] {
        let proxy = proxy(&echo, true, refuses, "");
        let mut client = Client::connect(proxy.listeners[0]).await;
        let request = Request::post("/x").header("host", "svc");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = client.send(request.body(Full::from("x")).unwrap()).await;
        assert_eq!(answer.status(), status, "{refuses} {fields:?}");
        if status == 403 {
            assert!(answer.headers()["proxy-status"].to_str().unwrap().contains("cross_site"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_not_believed_whom_it_speaks_for() {
    let echo = Echo::start().await;
    for (trusted, told_for, told_forwarded) in
        [(true, "1.2.3.4, 127.0.0.1", "for=1.2.3.4, for=127.0.0.1;"), (false, "127.0.0.1", "for=127.0.0.1;")]
    {
        let proxy = proxy(&echo, trusted, false, "[headers]\nforwarded = \"both\"\n");
        let mut client = Client::connect(proxy.listeners[0]).await;
        let request = Request::get("/x").header("host", "svc").header("x-forwarded-for", "1.2.3.4");
        let request = request.header("forwarded", "for=1.2.3.4").header("x-forwarded-proto", "https");
        let told = told(&client.send(request.body(Full::default()).unwrap()).await);
        assert_eq!(told_header(&told, "x-forwarded-for"), [told_for]);
        let forwarded = told_header(&told, "forwarded");
        assert!(forwarded.len() == 1 && forwarded[0].starts_with(told_forwarded), "{forwarded:?}");
        assert!(forwarded[0].ends_with(";host=svc;proto=http"), "{forwarded:?}");
        assert_eq!(told_header(&told, "x-forwarded-proto"), [if trusted { "https" } else { "http" }]);
    }
}
