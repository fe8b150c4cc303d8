//! Spans as a collector sees them, and what providers are told of the trace.

use http::Request;
use http_body_util::Full;
use serde_json::Value;

use crate::support::client::{Client, Raw};
use crate::support::collector::Collector;
use crate::support::patience::{PATIENCE, eventually_asked};
use crate::support::program::Program;
use crate::support::provider::{Echo, Script, told, told_header};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A program that sends spans to a collector, with these providers and more in its section.
async fn traced(collector: &Collector, providers: &str, more: &str) -> Program {
    Program::configured(&format!(
        "[registry]\nurl = \"fixed:greeter={providers}\"\n[tracing]\nendpoint = \"http://{}\"\n{more}\n",
        collector.address
    ))
    .await
}

/// Asks for a path with these headers; the status, and what the provider was told.
async fn ask(program: &Program, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = Request::get(path).header("host", "localhost:4140").header("user-agent", "a test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = Client::connect(program.listeners()[0]).await;
    let answer = client.send(request.body(Full::default()).unwrap()).await;
    let status = answer.status().as_u16();
    (status, if status == 200 { told(&answer) } else { Value::Null })
}

fn only(told: &Value, name: &str) -> String {
    let values = told_header(told, name);
    assert_eq!(values.len(), 1, "{name} in {told}");
    values[0].clone()
}

#[tokio::test]
async fn a_request_is_a_span_and_its_attempt_is_one_within() {
    let (collector, echo) = (Collector::start().await, Echo::start().await);
    let more = "service_name = \"edge\"\nattributes = { team = \"blue\" }\nauth = \"x-api-key: abc\"\n\
                [access_log]\nenabled = true\nfields = [\"trace_id\", \"target\"]";
    let program = traced(&collector, &echo.address().to_string(), more).await;
    let (_, told) = ask(&program, "/greeter/hello?secret=1", &[]).await;
    let (server, attempts) = collector.trace("a trace", |_| true).await;
    let attempt = &attempts[0];
    assert_eq!((attempts.len(), server.parent.as_str(), server.failed), (1, "", false));
    assert_eq!(only(&told, "traceparent"), format!("00-{}-{}-01", server.trace, attempt.span));
    assert_eq!((server.name.as_str(), attempt.name.as_str()), ("GET greeter", "GET greeter"));
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/greeter/hello"),
        ("url.scheme", "http"),
        ("server.address", "localhost"),
        ("server.port", "4140"),
        ("client.address", "127.0.0.1"),
        ("user_agent.original", "a test"),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
        ("wayside.service", "greeter"),
        ("wayside.via", "path"),
    ] {
        assert_eq!(server.says(name), value, "{name}");
    }
    let port = echo.address().port().to_string();
    for (name, value) in [
        ("server.address", "127.0.0.1"),
        ("server.port", port.as_str()),
        ("url.full", &format!("http://127.0.0.1:{port}/hello")),
        ("http.response.status_code", "200"),
        ("http.request.resend_count", ""),
        ("error.type", ""),
    ] {
        assert_eq!(attempt.says(name), value, "{name}");
    }
    assert!(!format!("{server:?}{attempt:?}").contains("secret"), "queries are left out");
    assert_eq!(server.says("wayside.request_id"), only(&told, "x-request-id"));
    assert!(server.nanos >= attempt.nanos && attempt.nanos > 0);
    assert_eq!(
        (server.resource["service.name"].as_str(), server.resource["team"].as_str()),
        ("edge", "blue")
    );
    assert_eq!(collector.heads()[0].headers["x-api-key"], "abc");
    assert_eq!(
        program.says("/greeter/hello").await,
        format!("trace_id={} target=/greeter/hello?secret=1", server.trace)
    );
}

#[tokio::test]
async fn each_attempt_is_a_span_with_its_reason_and_number() {
    let (collector, echo) = (Collector::start().await, Echo::start().await);
    let program = traced(&collector, &format!("127.0.0.1:1,{}", echo.address()), "").await;
    // The dead provider is asked first by one of any two requests.
    for _ in 0..2 {
        assert_eq!(ask(&program, "/greeter/a", &[]).await.0, 200);
    }
    let (server, attempts) = collector.trace("a retry", |span| span.says("wayside.attempts") == "2").await;
    assert!(!server.failed && server.says("http.response.status_code") == "200");
    let dead = attempts.iter().find(|attempt| attempt.failed).unwrap();
    let alive = attempts.iter().find(|attempt| !attempt.failed).unwrap();
    assert_eq!((dead.says("error.type"), dead.says("server.port")), ("connection_refused", "1"));
    assert_eq!((dead.says("http.request.resend_count"), alive.says("http.request.resend_count")), ("", "1"));
    assert_ne!(dead.span, alive.span);
}

#[tokio::test]
async fn what_fails_is_told_with_its_reason() {
    let collector = Collector::start().await;
    let program = traced(&collector, "127.0.0.1:1", "[retries]\nmax = 0").await;
    assert_eq!(ask(&program, "/greeter/a", &[]).await.0, 502);
    let (server, attempts) = collector.trace("a failure", |_| true).await;
    assert!(server.failed && attempts[0].failed);
    assert_eq!(
        (server.says("error.type"), attempts[0].says("error.type")),
        ("connection_refused", "connection_refused")
    );
}

/// Its answer has as much to do at its end as any can have.
#[tokio::test]
async fn a_body_that_is_not_asked_for_is_answered_and_traced() {
    let (collector, script) = (Collector::start().await, Script::start().await);
    let program = traced(&collector, &script.address().to_string(), "").await;
    let mut client = Raw::connect(program.listeners()[0]).await;
    let waiting = "host: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    client.say(format!("POST /greeter/a HTTP/1.1\r\n{waiting}")).await;
    let mut provider = Raw::from(script.accept().await);
    provider.hear_head().await;
    provider.say("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").await;
    let heard = client.hear_all().await;
    assert!(heard.starts_with("HTTP/1.1 401 ") && heard.ends_with("no"), "{heard}");
    collector.trace("what was answered", |span| span.says("http.response.status_code") == "401").await;
    assert!(program.logged("panicked").is_empty(), "{}", program.log());
}

#[tokio::test]
async fn traces_of_callers_are_continued_in_the_way_they_came() {
    let (collector, echo) = (Collector::start().await, Echo::start().await);
    let program = traced(&collector, &echo.address().to_string(), "sample = 0").await;
    let (w3c, b3) = (format!("00-{TRACE}-{SPAN}-01"), format!("{TRACE}-{SPAN}-1"));
    let multi = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")];
    for (path, headers) in [
        ("/greeter/w3c", &[("traceparent", &*w3c), ("tracestate", "a=b")][..]),
        ("/greeter/b3", &[("b3", &*b3)]),
        ("/greeter/multi", &multi),
    ] {
        let (_, told) = ask(&program, path, headers).await;
        let (server, attempts) = collector.trace(path, |span| span.says("url.path") == path).await;
        let span = &attempts[0].span;
        assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, SPAN));
        // What is always told, too.
        assert_eq!(only(&told, "traceparent"), format!("00-{TRACE}-{span}-01"));
        match path {
            "/greeter/w3c" => {
                assert_eq!((only(&told, "tracestate").as_str(), server.state.as_str()), ("a=b", "a=b"));
                assert!(told_header(&told, "b3").is_empty() && told_header(&told, "x-b3-traceid").is_empty());
            }
            "/greeter/b3" => assert_eq!(only(&told, "b3"), format!("{TRACE}-{span}-1-{}", server.span)),
            _ => {
                let values = ["traceid", "spanid", "parentspanid", "sampled"]
                    .map(|name| only(&told, &format!("x-b3-{name}")));
                assert_eq!(values, [TRACE, span, &server.span, "1"]);
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_sampled_is_told_on_and_sent_nowhere() {
    let (collector, echo) = (Collector::start().await, Echo::start().await);
    let program = traced(&collector, &echo.address().to_string(), "sample = 0").await;
    // The caller decided: what it says passes as it is.
    let (w3c, b3) = (format!("00-{TRACE}-{SPAN}-00"), format!("{TRACE}-{SPAN}-0"));
    let (_, told) = ask(&program, "/greeter/a", &[("traceparent", &w3c)]).await;
    assert_eq!(only(&told, "traceparent"), w3c);
    let (_, told) = ask(&program, "/greeter/a", &[("b3", &b3)]).await;
    assert_eq!((only(&told, "b3"), told_header(&told, "traceparent").len()), (b3, 0));
    // This proxy decided: providers are told of that.
    let (_, told) = ask(&program, "/greeter/a", &[]).await;
    let parent = only(&told, "traceparent");
    assert!(parent.starts_with("00-") && parent.ends_with("-00"), "{parent}");
    // One that is sampled, behind them all: nothing else was sent before it.
    ask(&program, "/greeter/last", &[("b3", &format!("{TRACE}-{SPAN}-d"))]).await;
    collector.trace("the last", |span| span.says("url.path") == "/greeter/last").await;
    assert_eq!(collector.spans().iter().filter(|span| span.is_server()).count(), 1);
}

#[tokio::test]
async fn without_tracing_what_callers_say_passes_untouched() {
    let echo = Echo::start().await;
    let program =
        Program::configured(&format!("[registry]\nurl = \"fixed:greeter={}\"\n", echo.address())).await;
    let headers = [
        ("traceparent", "00-what-ever"),
        ("tracestate", "a=b"),
        ("b3", "1"),
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-parentspanid", "1"),
        ("x-b3-sampled", "1"),
        ("x-b3-flags", "1"),
        ("baggage", "c=d"),
    ];
    let (_, told) = ask(&program, "/greeter/a", &headers).await;
    for (name, value) in headers {
        assert_eq!(only(&told, name), value, "{name}");
    }
    let (_, told) = ask(&program, "/greeter/a", &[]).await;
    for (name, _) in headers {
        assert!(told_header(&told, name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn spans_go_over_grpc_too_and_the_last_ones_at_the_end() {
    let (collector, echo) = (Collector::start().await, Echo::start().await);
    let mut program = traced(&collector, &echo.address().to_string(), "protocol = \"grpc\"").await;
    ask(&program, "/greeter/first", &[]).await;
    collector.trace("the first", |span| span.says("url.path") == "/greeter/first").await;
    assert_eq!(collector.heads()[0].headers["content-type"], "application/grpc");
    // These still wait for others when the end begins.
    ask(&program, "/greeter/last", &[]).await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    collector.trace("the last", |span| span.says("url.path") == "/greeter/last").await;
    assert!(program.logged("does not take spans").is_empty(), "{}", program.log());
}

#[tokio::test]
async fn a_collector_that_is_gone_harms_no_request() {
    let echo = Echo::start().await;
    let program = Program::configured(&format!(
        "[registry]\nurl = \"fixed:greeter={}\"\n[tracing]\nendpoint = \"http://127.0.0.1:1\"\nqueue = 4\n",
        echo.address()
    ))
    .await;
    let failing = async || {
        assert_eq!(ask(&program, "/greeter/a", &[]).await.0, 200);
        let (failures, dropped) = (
            program.metric("wayside_span_export_failures_total", "").await,
            program.metric("wayside_spans_dropped_total", "").await,
        );
        (failures > 0.0 && dropped > 0.0).then_some(())
    };
    eventually_asked(PATIENCE * 3, "failures and lost spans are counted", failing).await;
    assert_eq!(program.logged("does not take spans").len(), 1, "said once: {}", program.log());
}
