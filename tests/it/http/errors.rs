//! Errors: told in the caller's own form, by one word that answer, metrics and access log share.

use serde_json::Value;
use wayside::provider::Protocol;
use wayside::telemetry::metrics::Metrics;

use super::{body, get, hear_answer, line, nobody, status};
use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::proxy::{config, config_with, start};
use crate::support::registry::Told;

#[tokio::test]
async fn each_caller_is_told_in_its_own_form() {
    let proxy = start(config(), Told::with("svc", &[nobody()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    let mut ask = async |lines: &str| {
        client.say(get(lines)).await;
        let heard = hear_answer(&mut client).await;
        assert!(line(&heard, "proxy-status").unwrap().contains("details=\"connection_refused\""), "{heard}");
        assert_eq!(line(&heard, "x-request-id"), Some("mine"));
        heard
    };
    let heard = ask("x-request-id: mine\r\n").await;
    assert_eq!((status(&heard), line(&heard, "content-type")), (502, Some("text/plain; charset=utf-8")));
    assert!(body(&heard).contains("refuses connections") && body(&heard).ends_with('\n'), "{heard}");

    let heard = ask("x-request-id: mine\r\naccept: application/problem+json\r\n").await;
    assert_eq!((status(&heard), line(&heard, "content-type")), (502, Some("application/json")));
    let told: Value = serde_json::from_str(body(&heard)).unwrap();
    assert_eq!(
        (&told["error"], &told["status"], &told["service"]),
        (&"connection_refused".into(), &502.into(), &"svc".into())
    );

    let heard = ask("x-request-id: mine\r\ncontent-type: application/grpc\r\n").await;
    assert_eq!((status(&heard), line(&heard, "grpc-status"), body(&heard)), (200, Some("14"), ""));
    assert!(line(&heard, "grpc-message").unwrap().contains("refuses connections"), "{heard}");

    let heard = ask("x-request-id: mine\r\nmicro-service: svc\r\n").await;
    let told: Value = serde_json::from_str(line(&heard, "micro-error").unwrap()).unwrap();
    assert_eq!((status(&heard), &told["id"], &told["code"]), (200, &"wayside".into(), &502.into()));
}

#[tokio::test]
async fn providers_that_speak_no_http_are_named_as_such_and_never_called() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().into();
    let registry = Told::new();
    registry.tell("orders", Protocol::Tcp, &[address, nobody(), nobody()]);
    let proxy = start(config(), registry);
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say("GET / HTTP/1.1\r\nhost: orders\r\n\r\n").await;
    let heard = hear_answer(&mut client).await;
    assert_eq!(status(&heard), 502);
    assert!(line(&heard, "proxy-status").unwrap().ends_with("details=\"not_http\""), "{heard}");
    let told =
        "the 3 providers of service orders speak tcp, which HTTP cannot reach; service orders: 3 known";
    assert!(body(&heard).starts_with(told), "{heard}");
    assert_eq!(proxy.metrics.proxy.upstream_dials_total.get(), 0);
}

fn counted(metrics: &Metrics, series: &str) -> bool {
    metrics.render(&[]).lines().any(|line| line.starts_with(series) && line.ends_with(" 1"))
}

#[tokio::test]
async fn one_word_says_why_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let text =
        format!("[access_log]\nenabled = true\nformat = \"json\"\npath = {:?}\n", path.display().to_string());
    let proxy = start(config_with(&text), Told::with("svc", &[nobody()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    for (request, service, class, reason) in [
        (get(""), "svc", "5xx", "connection_refused"),
        ("GET / HTTP/1.1\r\nhost: gone\r\n\r\n".to_owned(), "gone", "5xx", "absent"),
        ("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".to_owned(), "", "4xx", "unroutable"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "", "4xx", "bad_request"),
    ] {
        client.say(&request).await;
        let heard = hear_answer(&mut client).await;
        let told = line(&heard, "proxy-status").unwrap();
        assert!(told.ends_with(&format!("details=\"{reason}\"")), "{told}");
        let series =
            format!("wayside_requests_total{{class=\"{class}\",reason=\"{reason}\",service=\"{service}\"}}");
        eventually(PATIENCE, &series, || counted(&proxy.metrics, &series).then_some(())).await;
        let logged = || {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            let last: Value = serde_json::from_str(log.lines().last()?).ok()?;
            (last["reason"] == reason && last["status"] == status(&heard)).then_some(())
        };
        eventually(PATIENCE, reason, logged).await;
    }
}
