//! gRPC through the proxy, with a client and a server of tonic's.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tonic::metadata::{BinaryMetadataValue, MetadataValue};
use tonic::{Code, Request};

use super::*;
use crate::support::client::Client as Plain;
use crate::support::grpc::{Client, Note, Server};
use crate::support::provider::{Echo, told, told_header};

/// A proxy with one service, `svc`, of gRPC servers, and a client of it.
async fn served(servers: &[Server]) -> (Running, Client) {
    served_with(servers, "").await
}

async fn served_with(servers: &[Server], config: &str) -> (Running, Client) {
    let registry = Told::new();
    let addresses: Vec<_> = servers.iter().map(Server::address).collect();
    registry.tell("svc", Protocol::H2c, &addresses);
    let proxy = start(config_with(config), registry);
    let client = Client::connect(proxy.listeners[0], "svc").await;
    (proxy, client)
}

#[tokio::test]
async fn calls_of_all_four_kinds_pass() {
    let servers = [Server::start().await];
    let (_proxy, client) = served(&servers).await;
    let answer = client.unary("/svc.Say/Unary", Request::new(Note::of("hello"))).await.unwrap();
    assert_eq!(answer.into_inner().text, "hello");
    let notes = (0..100).map(|number| Note::of(number.to_string())).collect();
    let all: String = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(client.collect("/svc.Say/Collect", notes).await.unwrap().into_inner().text, all);
    let mut notes =
        client.several("/svc.Say/Count", Request::new(Note::of("100"))).await.unwrap().into_inner();
    for number in 0..100 {
        assert_eq!(notes.message().await.unwrap().unwrap().text, number.to_string());
    }
    assert_eq!(notes.message().await.unwrap(), None);
    assert!(notes.trailers().await.unwrap().is_some());
    // Each note is answered before the next is sent, so nothing waits for more of the stream.
    let (out, mut notes) = client.chat("/svc.Say/Chat").await.unwrap();
    for number in 0..20 {
        out.send(Note::of(number.to_string())).await.unwrap();
        assert_eq!(notes.message().await.unwrap().unwrap().text, number.to_string());
    }
    drop(out);
    assert_eq!(notes.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_service_is_named_by_the_path_or_by_the_authority() {
    let servers = [Server::start().await];
    let (proxy, by_authority) = served(&servers).await;
    let answer = by_authority.unary("/other.package.Say/Unary", Request::new(Note::of("x"))).await;
    assert_eq!(answer.unwrap().into_inner().text, "x");
    let by_path = Client::connect(proxy.listeners[0], &proxy.listeners[0].to_string()).await;
    let answer = by_path.unary("/svc.Say/Unary", Request::new(Note::of("x"))).await;
    assert_eq!(answer.unwrap().into_inner().text, "x");
    let none = by_path.unary("/absent.Say/Unary", Request::new(Note::of("x"))).await.unwrap_err();
    assert_eq!(none.code(), Code::Unavailable);
    assert!(none.message().contains("the registry knows no service absent"), "{none:?}");
}

#[tokio::test]
async fn errors_pass_with_all_that_is_told_of_them() {
    let servers = [Server::start().await];
    let (proxy, client) = served(&servers).await;
    let error = client.unary("/svc.Say/Fail", Request::new(Note::of("x"))).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::FailedPrecondition, "not now: ä % b"));
    assert_eq!(error.details(), b"\x08\x09\0details");
    let mut request = Request::new(Note::of("2"));
    request.metadata_mut().insert("x-fails", MetadataValue::from_static("1"));
    let mut notes = client.several("/svc.Say/Count", request).await.unwrap().into_inner();
    for number in 0..2 {
        assert_eq!(notes.message().await.unwrap().unwrap().text, number.to_string());
    }
    let error = notes.message().await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::DataLoss, "the rest is gone"));
    let error = client.unary("/svc.Say/Nothing", Request::new(Note::of("x"))).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    assert_eq!(proxy.metrics.proxy.upstream_resets_total.get(), 0);
}

#[tokio::test]
async fn metadata_pass_both_ways() {
    let servers = [Server::start().await];
    let (_proxy, client) = served(&servers).await;
    let mut request = Request::new(Note::of("x"));
    let every_byte: Vec<u8> = (0..=255).collect();
    request.metadata_mut().insert("x-text", MetadataValue::from_static("a b, c"));
    request.metadata_mut().insert("x-empty", MetadataValue::from_static(""));
    for bytes in [&every_byte[..], b"", b"\0"] {
        request.metadata_mut().append_bin("x-data-bin", BinaryMetadataValue::from_bytes(bytes));
    }
    let answer = client.unary("/svc.Say/Unary", request).await.unwrap();
    assert_eq!(answer.metadata().get("x-text").unwrap(), "a b, c");
    assert_eq!(answer.metadata().get("x-empty").unwrap(), "");
    let data: Vec<Bytes> =
        answer.metadata().get_all_bin("x-data-bin").iter().map(|value| value.to_bytes().unwrap()).collect();
    assert_eq!(data, [Bytes::from(every_byte), Bytes::new(), Bytes::from_static(b"\0")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_pass_both_ways_compressed_or_not() {
    let servers = [Server::start().await];
    let (_proxy, client) = served(&servers).await;
    let data: Bytes = (0..16_u32 << 20).map(|at| (at ^ at >> 9) as u8).collect::<Vec<_>>().into();
    for client in [client.clone(), client.compressing()] {
        let note = Note { text: "large".to_owned(), data: data.clone() };
        let answer = client.unary("/svc.Say/Unary", Request::new(note)).await.unwrap();
        assert!(answer.into_inner().data == data);
    }
}

#[tokio::test]
async fn a_deadline_is_told_to_the_server_and_kept() {
    let servers = [Server::start().await];
    let (proxy, _) = served_with(&servers, "[retries]\nmax = 0").await;
    // tonic's own client would give up itself.
    let mut sender = super::mapping::connect(&proxy).await;
    let request = http::Request::post("http://svc/svc.Say/Hang")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "400m")
        .body(Full::from(&b"\0\0\0\0\0"[..]))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let headers = answer.headers();
    assert_eq!(
        (&headers["content-type"], &headers["grpc-status"]),
        (&"application/grpc".parse().unwrap(), &"4".parse().unwrap())
    );
    assert!(headers["grpc-message"].to_str().unwrap().contains("no answer within"));
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty(), "the head is all there is");
    let seen = &servers[0].seen;
    let told = seen.timeouts.lock()[0].clone();
    let left: u64 = told.trim_end_matches(['m', 'u']).parse().unwrap();
    assert!(told.ends_with('m') && left <= 400 || told.ends_with('u') && left <= 400_000, "{told}");
    let cancelled = || (seen.cancelled.load(Ordering::SeqCst) == 1).then_some(());
    eventually(PATIENCE, "the server learns of it", cancelled).await;
}

#[tokio::test]
async fn a_call_that_its_client_cancels_is_cancelled_at_the_server() {
    let servers = [Server::start().await];
    let (proxy, client) = served(&servers).await;
    let seen = &servers[0].seen;
    let call = client.unary("/svc.Say/Hang", Request::new(Note::of("x")));
    let hanging = || (seen.hanging.load(Ordering::SeqCst) == 1).then_some(());
    tokio::select! {
        _ = call => panic!("it should hang"),
        () = eventually(PATIENCE, "the call hangs", hanging) => {}
    }
    let cancelled = || (seen.cancelled.load(Ordering::SeqCst) == 1).then_some(());
    eventually(PATIENCE, "it is cancelled before its answer", cancelled).await;
    let mut notes = client.several("/svc.Say/Drip", Request::new(Note::of("x"))).await.unwrap().into_inner();
    assert_eq!(notes.message().await.unwrap().unwrap().text, "one");
    drop(notes);
    let cancelled = || (seen.cancelled.load(Ordering::SeqCst) == 2).then_some(());
    eventually(PATIENCE, "it is cancelled in the midst of its answer", cancelled).await;
    let idle = || (proxy.metrics.proxy.requests_in_flight.get() == 0).then_some(());
    eventually(PATIENCE, "nothing is left of them", idle).await;
    assert_eq!(proxy.metrics.proxy.upstream_dials_total.get(), 1, "the connection goes on");
}

#[tokio::test]
async fn a_server_that_dies_in_a_stream_is_told_of() {
    let servers = [Server::start().await];
    let (_proxy, client) = served(&servers).await;
    let mut notes = client.several("/svc.Say/Drip", Request::new(Note::of("x"))).await.unwrap().into_inner();
    assert_eq!(notes.message().await.unwrap().unwrap().text, "one");
    drop(servers);
    let error = notes.message().await.unwrap_err();
    assert!(
        matches!(error.code(), Code::Internal | Code::Unavailable | Code::Unknown | Code::Cancelled),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_call_that_is_refused_for_the_moment_is_sent_again() {
    let servers = [Server::start().await, Server::start().await];
    let (proxy, client) =
        served_with(&servers, "[retries]\nstatuses = [503]\n[[service]]\nname = \"svc\"\nidempotent = true")
            .await;
    // The first call that one of them has is in vain; the other had its own.
    servers[1].seen.busy.store(1, Ordering::SeqCst);
    while servers[0].seen.busy.load(Ordering::SeqCst) == 0 {
        let answer = client.unary("/svc.Say/Busy", Request::new(Note::of("x"))).await;
        assert_eq!(answer.unwrap().into_inner().text, "x");
    }
    assert_eq!(proxy.metrics.proxy.retries_total.get(), 1);
}

#[tokio::test]
async fn a_call_of_the_health_service_passes_as_any_other() {
    let servers = [Server::start().await];
    let (_proxy, client) = served(&servers).await;
    // The same fields as a request and an answer of grpc.health.v1, as far as bytes go.
    let answer = client.unary("/grpc.health.v1.Health/Check", Request::new(Note::of("svc"))).await;
    assert_eq!(answer.unwrap().into_inner().text, "svc");
}

#[tokio::test]
async fn errors_of_ours_are_whole_answers_in_the_form_of_grpc() {
    let registry = Told::new();
    registry.tell("svc", Protocol::H2c, &[]);
    let proxy = start(config_with(""), registry);
    let client = Client::connect(proxy.listeners[0], "svc").await;
    let error = client.unary("/svc.Say/Unary", Request::new(Note::of("x"))).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("service svc has no provider"), "{error:?}");
    assert_eq!(error.metadata().get("content-type").unwrap(), "application/grpc");
    let told = error.metadata().get("proxy-status").unwrap().to_str().unwrap();
    assert!(told.contains("details=\"no_provider\""), "{told}");
    let error = client.several("/svc.Say/Count", Request::new(Note::of("3"))).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test]
async fn grpc_web_passes_as_any_other_request() {
    let echo = Echo::start().await;
    let proxy = start(config_with(""), Told::with("svc", &[echo.address()]));
    let mut client = Plain::connect(proxy.listeners[0]).await;
    let request = http::Request::post("/svc.Say/Unary")
        .header("host", "svc")
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .body(Full::from("\0\0\0\0\0"))
        .unwrap();
    let answer = client.send(request).await;
    let told = told(&answer);
    assert_eq!((&told["version"], &told["target"]), (&"HTTP/1.1".into(), &"/svc.Say/Unary".into()));
    assert_eq!(told_header(&told, "content-type"), ["application/grpc-web+proto"]);
    assert_eq!(told_header(&told, "x-grpc-web"), ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_at_once_keep_their_order() {
    let servers = [Server::start().await, Server::start().await];
    let (proxy, _) = served(&servers).await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let client = Client::connect(proxy.listeners[0], "svc").await;
        for _ in 0..100 {
            let client = client.clone();
            all.spawn(async move {
                let (out, mut notes) = client.chat("/svc.Say/Chat").await.unwrap();
                for number in 0..5 {
                    out.send(Note::of(number.to_string())).await.unwrap();
                    let note = tokio::time::timeout(Duration::from_secs(60), notes.message()).await;
                    assert_eq!(note.unwrap().unwrap().unwrap().text, number.to_string());
                }
            });
        }
    }
    all.join_all().await;
}
