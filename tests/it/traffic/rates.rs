//! Rates: what is more than a route may have is answered at once, in the form that its caller understands.

use http::Request;
use http_body_util::Full;

use super::{Changed, ask, configured, provider, registry, start};
use crate::support::client::Client;
use crate::support::provider::Echo;

fn config(echo: &Echo, limit: &str) -> String {
    registry(&[("a", &[provider(echo, "")])])
        + &format!("[[route]]\nname = \"a\"\nservice = \"a\"\nrate_limit = {{ {limit} }}\n")
}

#[tokio::test]
async fn what_is_too_much_is_told_when_to_come_again() {
    let echo = Echo::start().await;
    let mut config = configured(&config(&echo, "requests = 2, per = \"1h\", burst = 5"));
    config.workers = 2;
    let proxy = start(config);
    let mut passed = 0;
    // Connections are spread over the workers, which share the limit.
    for _ in 0..12 {
        let mut client = Client::connect(proxy.listeners[0]).await;
        passed += usize::from(ask(&mut client, &[]).await.status() == 200);
    }
    assert_eq!((passed, echo.requests()), (5, 5));

    let mut client = Client::connect(proxy.listeners[0]).await;
    let refused = ask(&mut client, &[]).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&wait), "{wait}");
    assert!(refused.headers()["proxy-status"].to_str().unwrap().contains("rate_limited"));
    let go_micro = Request::post("/").header("host", "x").header("micro-service", "a").body(Full::default());
    let error = client.send(go_micro.unwrap()).await;
    let error = error.headers()["micro-error"].to_str().unwrap();
    assert!(error.contains("\"code\":429"), "{error}");
    let grpc = Request::post("/").header("host", "a").header("content-type", "application/grpc");
    let error = client.send(grpc.body(Full::default()).unwrap()).await;
    assert_eq!((error.status().as_u16(), &error.headers()["grpc-status"]), (200, &"8".parse().unwrap()));
}

#[tokio::test]
async fn a_reload_gives_nobody_a_full_bucket_and_a_new_limit_holds_at_once() {
    let echo = Echo::start().await;
    let changed = Changed::run(&config(&echo, "requests = 1, per = \"1h\"")).await;
    let mut client = changed.client().await;
    assert_eq!(ask(&mut client, &[]).await.status(), 200);
    assert_eq!(ask(&mut client, &[]).await.status(), 429);
    changed.change(&(config(&echo, "requests = 1, per = \"1h\"") + "retries = 1\n")).await;
    assert_eq!(ask(&mut client, &[]).await.status(), 429);
    let file = config(&echo, "requests = 3, per = \"1h\"");
    super::write(&changed.file, &file);
    changed.program.logs("requests = 1 -> 3").await;
    assert_eq!(ask(&mut client, &[]).await.status(), 200);
}
