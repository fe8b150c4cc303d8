//! How a process ends: drained, told twice, or before it began.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::Raw;
use crate::support::patience::at_last;
use crate::support::program::{ANY, Program, get, request, text, whole};
use crate::support::provider::{Echo, Script};

/// Asks over and over on one connection, as a keep-alive client does, until an answer says that it is the last.
///
/// Every request that was sent has to be answered whole: to a client, one that met a closed connection has failed.
async fn ask_on(address: std::net::SocketAddr, answered: &AtomicUsize) -> Result<(), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    while sender.ready().await.is_ok() {
        let request = Request::get("/").header("host", "greeter").body(Full::default()).unwrap();
        let response = sender.send_request(request).await.map_err(|error| format!("cut off: {error}"))?;
        let last = response.headers().get("connection").is_some_and(|value| value == "close");
        if response.status() != StatusCode::OK {
            return Err(format!("{response:?}"));
        }
        response.into_body().collect().await.map_err(|error| format!("cut off: {error}"))?;
        answered.fetch_add(1, Ordering::Relaxed);
        if last {
            break;
        }
    }
    driver.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn term_under_load_fails_no_request() {
    let echo = Echo::start().await;
    let mut program = Program::run(&["--registry", &format!("fixed:greeter={}", echo.address())]).await;
    let address = program.listeners()[0];
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let answered = Arc::clone(&answered);
            tokio::spawn(async move { ask_on(address, &answered).await })
        })
        .collect();
    at_last("there is load", async || answered.load(Ordering::Relaxed) > 50).await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    for client in clients {
        assert_eq!(client.await.unwrap(), Ok(()));
    }
    assert!(program.log().contains("stopped") && !program.log().contains("dropped"), "{}", program.log());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_operator_may_have_it_drain() {
    let echo = Echo::start().await;
    let mut program = Program::run(&["--registry", &format!("fixed:greeter={}", echo.address())]).await;
    assert_eq!(get(program.listeners()[0], "/greeter/").await.status(), StatusCode::OK);
    let answer = request(program.admin(), "POST", "/drain", "").await;
    assert_eq!((answer.status(), text(&answer).as_str()), (StatusCode::ACCEPTED, "{\"draining\":true}"));
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert!(program.log().contains("told to stop by POST /drain"), "{}", program.log());
}

/// A program with one request under way, whose provider has it and does not answer yet.
async fn with_a_request_under_way() -> (Program, Raw, TcpStream) {
    let script = Script::start().await;
    let program = Program::run(&["--registry", &format!("fixed:greeter={}", script.address())]).await;
    let mut client = Raw::connect(program.listeners()[0]).await;
    client.say("GET / HTTP/1.1\r\nhost: greeter\r\n\r\n").await;
    let mut provider = script.accept().await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(provider.read_buf(&mut head).await.unwrap() > 0);
    }
    (program, client, provider)
}

#[tokio::test]
async fn what_runs_is_finished() {
    let (mut program, mut client, mut provider) = with_a_request_under_way().await;
    program.signal("TERM");
    program.logs("stopping").await;
    let ready = program.ask("/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(&ready).contains("stopping"), "{}", text(&ready));
    provider.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await.unwrap();
    let heard = client.hear_all().await;
    assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("late"), "{heard}");
    assert_eq!(program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn term_behind_drain_is_no_second_order() {
    let (mut program, mut client, mut provider) = with_a_request_under_way().await;
    request(program.admin(), "POST", "/drain", "").await;
    program.logs("stopping: draining").await;
    program.signal("TERM");
    program.logs("what runs is being finished already").await;
    provider.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await.unwrap();
    let heard = client.hear_all().await;
    assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("late"), "{heard}");
    assert_eq!(program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_waits_for_a_provider_is_finished_too() {
    let script = Script::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let text = format!(
        "[registry]\nurl = \"fixed:greeter={}\"\n[services.limits]\nin_flight = 1\nqueue = 4\nqueue_timeout = \"20s\"\n",
        script.address()
    );
    std::fs::write(&file, text).unwrap();
    let mut program = Program::run(&["--config", file.to_str().unwrap()]).await;
    let mut clients = Vec::new();
    let mut known = Vec::new();
    let mut serving = None;
    for waiting in 0..3_u8 {
        let mut client = Raw::connect(program.listeners()[0]).await;
        client.say(format!("GET /{waiting} HTTP/1.1\r\nhost: greeter\r\n\r\n")).await;
        clients.push(client);
        if waiting == 0 {
            serving = Some(script.hear_head(&mut known).await);
        }
        at_last("it waits", async || program.metric("wayside_queue_waiting", "").await == f64::from(waiting))
            .await;
    }
    program.signal("TERM");
    program.logs("stopping").await;
    for (number, client) in clients.iter_mut().enumerate() {
        let (head, at) = match serving.take() {
            Some(first) => first,
            None => script.hear_head(&mut known).await,
        };
        assert!(head.starts_with(&format!("GET /{number} ")), "{head}");
        known[at].say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
        let heard = client.hear_all().await;
        assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("late"), "{heard}");
    }
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
}

#[tokio::test]
async fn told_twice_it_ends_at_once() {
    let (mut program, mut client, _provider) = with_a_request_under_way().await;
    program.signal("TERM");
    program.logs("stopping").await;
    let told_again = std::time::Instant::now();
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    // It would wait 30 s for the request otherwise.
    assert!(told_again.elapsed() < std::time::Duration::from_secs(15));
    assert!(program.log().contains("told twice"), "{}", program.log());
    assert!(!client.hear_all().await.contains("200"));
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_cure() {
    let taken = TcpListener::bind(ANY).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let registry = "fixed:greeter=127.0.0.1:1";
    for (flag, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let (code, said, complaint) =
            whole(&["run", "--registry", registry, flag, &address, other, ANY], &[]);
        assert_eq!((code, said.as_str()), (1, ""), "{complaint}");
        assert!(complaint.contains(&format!("cannot listen on {address}")), "{complaint}");
        assert!(complaint.contains("another program listens there"), "{complaint}");
        assert!(complaint.contains(&format!("another address with {flag}")), "{complaint}");
    }
}

#[tokio::test]
async fn two_of_the_program_do_not_share_a_port() {
    let registry = "fixed:greeter=127.0.0.1:1";
    let first = Program::run(&["--registry", registry]).await;
    let address = first.listeners()[0].to_string();
    let (code, _, complaint) =
        whole(&["run", "--registry", registry, "--listen", &address, "--admin", "off"], &[]);
    assert_eq!(code, 1, "{complaint}");
    assert!(complaint.contains(&address), "{complaint}");
    assert_eq!(get(first.admin(), "/healthz").await.status(), StatusCode::OK);
}
