//! What readers of `/live` are told, and what of services and their history is told in part.

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::*;
use crate::endpoint::Turn;

/// A reader of `/live`.
struct Reader(BodyDataStream);

impl Reader {
    async fn of(operated: &Operated) -> Result<Self, StatusCode> {
        let request =
            Request::builder().uri("/live").header("host", "localhost").body(Body::empty()).unwrap();
        let response = operated.router.clone().oneshot(request).await.unwrap();
        if response.status() != StatusCode::OK {
            return Err(response.status());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Self(response.into_body().into_data_stream()))
    }

    /// The next that it is told, signs of life left out; nothing if it is told no more.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let bytes = self.0.next().await?.unwrap();
            let text = std::str::from_utf8(&bytes).unwrap();
            if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) {
                assert!(text.contains("event: change\n") && text.contains("retry: 1000\n"), "{text}");
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}

fn names(change: &Value) -> Vec<&str> {
    change["services"].as_array().unwrap().iter().map(|service| service["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_told_all_and_then_what_changed() {
    let users = listed("users", View::Present { providers: vec![], skipped: vec![] });
    let operated = Operated::new(Some(vec![connected(), greeter(), users]), &["greeter", "users"]);
    operated.listed("users").await;
    let mut reader = Reader::of(&operated).await.unwrap();
    let first = reader.next().await.unwrap();
    assert_eq!(
        (names(&first), &first["whole"], &first["event"]),
        (vec!["greeter", "users"], &json!(true), &json!(2))
    );
    assert_eq!(first["registries"][0]["state"], "up");

    let silent = tokio::time::timeout(Duration::from_secs(60), reader.next()).await;
    assert!(silent.is_err(), "nothing changed: {silent:?}");
    let endpoint = operated.state.catalog.known()[0].endpoints[0].clone();
    let guard = endpoint.memory.begin();
    let second = reader.next().await.unwrap();
    assert_eq!((names(&second), &second["whole"]), (vec!["greeter"], &json!(false)));
    assert_eq!(second["services"][0]["in_flight"], 1);
    drop(guard);
    assert_eq!(reader.next().await.unwrap()["services"][0]["in_flight"], 0);
}

#[tokio::test(start_paused = true)]
async fn for_how_long_a_registry_is_down_and_what_is_open_is_told_without_any_other_change() {
    let operated = Operated::new(None, &[]);
    let mut reader = Reader::of(&operated).await.unwrap();
    let told = async |reader: &mut Reader, wanted: &dyn Fn(&Value) -> bool| {
        let told = async { while !wanted(&reader.next().await.unwrap()) {} };
        assert!(tokio::time::timeout(Duration::from_secs(60), told).await.is_ok());
    };
    let is_down = |change: &Value, ms: u64| {
        let registry = &change["registries"][0];
        registry["state"] == "down" && registry["for_ms"].as_u64().unwrap() >= ms
    };
    told(&mut reader, &|change| is_down(change, 20_000)).await;
    operated.state.metrics.proxy.connections_open.set(7);
    told(&mut reader, &|change| change["proxy"]["connections_open"] == 7).await;
}

#[tokio::test(start_paused = true)]
async fn places_are_few_and_given_back() {
    let operated = Operated::new(Some(vec![connected(), greeter()]), &["greeter"]);
    operated.listed("greeter").await;
    let mut readers = Vec::new();
    let refused = loop {
        match Reader::of(&operated).await {
            Ok(reader) => readers.push(reader),
            Err(status) => break status,
        }
    };
    assert_eq!((readers.len(), refused), (16, StatusCode::SERVICE_UNAVAILABLE));
    readers.pop();
    assert!(Reader::of(&operated).await.is_ok());
}

#[tokio::test]
async fn a_reader_is_let_go_when_the_server_is_drained() {
    let operated = Operated::new(Some(vec![connected(), greeter()]), &["greeter"]);
    operated.listed("greeter").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let drain = Drain::new();
    drain.spawn("admin", serve(listener, operated.router.clone(), drain.clone(), CancellationToken::new()));
    let mut reader = TcpStream::connect(address).await.unwrap();
    reader.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut heard = vec![0; 4096];
    assert!(reader.read(&mut heard).await.unwrap() > 0);
    assert_eq!(drain.finish(Duration::from_secs(5)).await, 0, "a reader does not hold up the end");
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_endpoints_is_told() {
    let operated = Operated::new(Some(vec![connected(), greeter()]), &["greeter"]);
    operated.listed("greeter").await;
    let memory = operated.state.catalog.known()[0].endpoints[1].memory.clone();
    let now = operated.state.clock.now();
    memory.fail_to_connect(now, 0.5);
    memory.tell(Turn::Unreachable, "10.0.0.2:8080 refuses connections", now);
    let asked = async |path: &str| -> Value { serde_json::from_str(&operated.get(path).await.1).unwrap() };
    let part = asked("/services/greeter?order=trouble&limit=1&find=GREETER-").await;
    assert_eq!((&part["endpoints_count"], &part["endpoints_found"]), (&json!(2), &json!(2)));
    assert_eq!(part["states"], json!({ "available": 1, "unreachable": 1 }));
    let endpoints = part["endpoints"].as_array().unwrap();
    assert_eq!((endpoints.len(), &endpoints[0]["id"]), (1, &json!("greeter-2")));
    assert_eq!(asked("/services/greeter?find=unreachable&offset=1").await["endpoints"], json!([]));
    let (status, refused) = operated.json("/services/greeter?order=size").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused.contains("\"in_flight\""), "{refused}");

    let events = asked("/events?limit=1").await;
    assert_eq!(events["events"][0]["event"], "unreachable");
    assert_eq!(events["events"][0]["cause"], "10.0.0.2:8080 refuses connections");
}

#[tokio::test(start_paused = true)]
async fn how_requests_went_is_told_step_by_step() {
    let operated = Operated::new(Some(vec![connected(), greeter()]), &["greeter"]);
    operated.listed("greeter").await;
    let (history, metrics) = (Arc::clone(&operated.state.history), Arc::clone(&operated.state.metrics));
    tokio::spawn(async move { history.follow(&metrics).await });
    let recorder = operated.state.metrics.recorder(&name("greeter"));
    for _ in 0..15 {
        recorder.record(200, None, Duration::from_millis(3));
    }
    recorder.record(404, None, Duration::from_millis(3));
    recorder.record(503, Some("no_endpoint"), Duration::from_millis(3));
    recorder.record(502, None, Duration::from_millis(3));
    recorder.record(200, Some("body_broken"), Duration::from_millis(3));
    recorder.record(499, Some("client_gone"), Duration::from_millis(3));
    recorder.flush();
    while operated.state.history.present("greeter").is_none() {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    let asked = async |path: &str| -> Value { serde_json::from_str(&operated.get(path).await.1).unwrap() };
    let greeter = json!({ "rate": [4.0], "failed_share": [0.15], "p50_ms": [3.75], "p99_ms": [4.97] });
    let told = json!({ "step_ms": 5000, "services": { "greeter": greeter } });
    assert_eq!(asked("/history?points=180&service=greeter&service=users").await, told);
    assert_eq!(asked("/history?points=180").await, told, "all that had requests");
    let traffic = json!({ "rate": 4.0, "failed_share": 0.15, "p50_ms": 3.75, "p99_ms": 4.97 });
    assert_eq!(asked("/services").await["services"][0]["traffic"], traffic);
    for wrong in ["/history?points=many", "/history?servce=greeter"] {
        assert_eq!(operated.get(wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
}
