//! What is written, in which order, and what happens when it cannot be.

use std::fs;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;

use crate::provider::Address;
use crate::telemetry::peer::Peer;

use super::*;

fn line(endpoint: &Address) -> AccessLine<'_> {
    AccessLine {
        at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        client: Peer::At("127.0.0.1:50000".parse().unwrap()),
        method: "GET",
        target: "/greeter/hello?name=a%20b",
        host: Some("localhost:4140"),
        service: Some("greeter"),
        failover: None,
        via: Some("path"),
        part: Some("greeter[version=2]"),
        endpoint: Some(endpoint),
        status: 200,
        reason: None,
        fault: Some("delay"),
        attempts: 2,
        duration: Duration::from_nanos(1_234_567),
        first_byte: Some(Duration::from_micros(1_001)),
        bytes_sent: 12,
        bytes_received: 0,
        request_id: Some("a \"b\"\n"),
        trace_id: None,
        request_headers: &[],
        response_headers: &[],
    }
}

fn written(format: LineFormat, lines: &[AccessLine<'_>]) -> String {
    written_as(format, &[], lines)
}

fn written_as(format: LineFormat, fields: &[&str], lines: &[AccessLine<'_>]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let settings = Settings {
        enabled: true,
        format,
        fields: fields.iter().map(|field| field.parse().unwrap()).collect(),
        destination: Destination::File(path.clone()),
        ..Settings::default()
    };
    let log = AccessLog::open(&settings).unwrap();
    assert!(log.is_on());
    lines.iter().for_each(|line| log.write(line));
    drop(log);
    fs::read_to_string(path).unwrap()
}

#[test]
fn text_is_one_line_of_words() {
    let endpoint = "10.0.0.1:80".parse().unwrap();
    let failed = AccessLine {
        endpoint: None,
        service: None,
        status: 404,
        reason: Some("no_route"),
        part: None,
        fault: None,
        first_byte: None,
        request_id: None,
        ..line(&endpoint)
    };
    insta::assert_snapshot!(written(LineFormat::Text, &[line(&endpoint), failed]));
}

#[test]
fn a_failover_is_named() {
    let endpoint = "10.0.0.1:80".parse().unwrap();
    let failed_over = AccessLine { failover: Some("greeter-far"), ..line(&endpoint) };
    let text = written(LineFormat::Text, std::slice::from_ref(&failed_over));
    assert!(text.contains(" greeter 10.0.0.1:80 200 ") && text.contains(" failover=greeter-far "), "{text}");
    assert!(written(LineFormat::Json, &[failed_over]).contains(r#""failover":"greeter-far""#));
}

#[test]
fn json_is_one_object_a_line() {
    let endpoint = "10.0.0.1:80".parse().unwrap();
    let text =
        written(LineFormat::Json, &[line(&endpoint), AccessLine { endpoint: None, ..line(&endpoint) }]);
    let objects: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["request_id"], "a \"b\"\n");
    assert!(objects[1]["endpoint"].is_null());
    insta::assert_snapshot!(text.lines().next().unwrap());
}

#[test]
fn what_cannot_be_written_is_counted_and_never_waited_for() {
    /// Takes one line and then stands still until it is told to go on.
    struct Stuck(mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (go_on, stuck) = mpsc::channel();
    let settings = Settings { enabled: true, queue: 4, ..Settings::default() };
    let log = AccessLog::to(&settings, To::Output(Box::new(Stuck(stuck))));
    let endpoint = "10.0.0.1:80".parse().unwrap();
    (0..1000).for_each(|_| log.write(&line(&endpoint)));
    assert!(log.dropped_lines()() > 0);
    drop(go_on);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let destination = Destination::File("no-such-folder/access.log".into());
    let settings = Settings { enabled: true, destination, ..Settings::default() };
    let error = AccessLog::open(&settings).unwrap_err();
    assert_eq!(error.to_string(), "cannot open the access log no-such-folder/access.log");
    assert!(!AccessLog::open(&Settings::default()).unwrap().is_on());
}

#[test]
fn fields_stand_in_the_order_and_under_the_names_that_are_asked_for() {
    let endpoint = "10.0.0.1:80".parse().unwrap();
    let fields = [
        "status",
        "env=text:our prod",
        "ua=request:user-agent",
        "response:server",
        "took=duration_ms",
        "reason",
    ];
    let value = |text: &'static str| Some(HeaderValue::from_static(text));
    let request = [None, None, value("curl/8 \"x\""), None, None, None];
    let response = [None, None, None, None, None, None];
    let line = AccessLine { request_headers: &request, response_headers: &response, ..line(&endpoint) };
    assert_eq!(
        written_as(LineFormat::Text, &fields, std::slice::from_ref(&line)),
        "status=200 env=\"our prod\" ua=\"curl/8 \\\"x\\\"\" response_server=- took=1.235 reason=-\n"
    );
    assert_eq!(
        written_as(LineFormat::Json, &fields, &[line]),
        "{\"status\":200,\"env\":\"our prod\",\"ua\":\"curl/8 \\\"x\\\"\",\"response_server\":null,\"took\":1.235,\"reason\":null}\n"
    );
}

#[test]
fn every_field_can_be_asked_for_and_only_wanted_headers_are_taken() {
    let endpoint = "10.0.0.1:80".parse().unwrap();
    let fields = Field::ALL.map(Field::as_str);
    let line = AccessLine { trace_id: Some("0af7651916cd43dd8448eb211c80319c"), ..line(&endpoint) };
    let json = written_as(LineFormat::Json, &fields, std::slice::from_ref(&line));
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
    let usual = written(LineFormat::Json, &[AccessLine { failover: Some("a"), ..line }]);
    let usual: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&usual).unwrap();
    assert_eq!(
        object.keys().collect::<Vec<_>>(),
        usual.keys().collect::<Vec<_>>(),
        "the usual ones have these names"
    );
    let mut headers = http::HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static("a"));
    let settings = Settings { enabled: true, ..Settings::default() };
    let plain = AccessLog::open(&settings).unwrap();
    assert!(plain.request_headers(&headers).is_empty() && plain.response_headers(&headers).is_empty());
    let fields = vec!["request:user-agent".parse().unwrap()];
    let wanting = AccessLog::open(&Settings { fields, ..settings }).unwrap();
    assert_eq!(wanting.request_headers(&headers)[0].as_ref().unwrap(), "a");
    assert!(wanting.response_headers(&headers).is_empty());
}
