//! What is asked on the wire, and what is made of each answer.

use std::net::SocketAddr;

use http::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

async fn connect(address: &Address) -> Result<TcpStream, Unwell> {
    let connected = TcpStream::connect(address.to_string()).await;
    connected.map_err(|error| Unwell::new(Reason::Unreachable, error.to_string()))
}

/// What an app answers to one check, and what it was asked.
async fn asked(kind: CheckKind, answer: &str) -> (Result<(), Unwell>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = listener.local_addr().unwrap().into();
    let check = Check { kind, ..Check::default() };
    let service = "greeter".parse().unwrap();
    let asked = Asked::new(&service, &address, "greeter.test");
    let app = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(heard).unwrap()
    };
    tokio::join!(check.ask(&asked, connect(&address)), app)
}

fn http_check(status: Statuses, host: Option<&str>) -> CheckKind {
    CheckKind::Http { path: "/health?deep=1".to_owned(), status, host: host.map(str::to_owned) }
}

#[tokio::test]
async fn a_path_is_asked_for_and_its_status_counts() {
    let usual = || http_check(Statuses::default(), None);
    let (well, heard) = asked(usual(), "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(well, Ok(()));
    assert!(
        heard.starts_with("GET /health?deep=1 HTTP/1.1\r\n") && heard.contains("host: greeter.test\r\n"),
        "{heard}"
    );
    let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let (unwell, _) = asked(usual(), answer).await;
    let unwell = unwell.unwrap_err();
    assert_eq!(unwell.reason, Reason::Status);
    assert!(unwell.detail.contains("answered 503 Service Unavailable to GET /health"), "{unwell:?}");
    let (well, heard) = asked(http_check(Statuses::new([200..=299, 503..=503]), Some("a.b")), answer).await;
    assert_eq!(well, Ok(()));
    assert!(heard.contains("host: a.b\r\n"), "{heard}");
    let (well, _) = asked(usual(), "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhel").await;
    assert_eq!(well, Ok(()), "the head tells it all, however long the body");
    let (broken, _) = asked(usual(), "SSH-2.0-OpenSSH\r\n\r\n").await;
    assert_eq!(broken.unwrap_err().reason, Reason::Broken);
}

#[tokio::test]
async fn go_micro_is_asked_in_its_own_words() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";
    let (well, heard) = asked(CheckKind::GoMicro, ok).await;
    assert_eq!(well, Ok(()));
    for line in ["POST / HTTP/1.1", "micro-service: greeter", "micro-endpoint: Debug.Health", "micro-id: 1"] {
        assert!(heard.contains(line), "{heard}");
    }
    for (answer, part) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "not that its status is ok"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{", "no whole answer"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 15\r\nmicro-error: can't find\r\n\r\n{\"status\":\"ok\"}",
            "can't find",
        ),
    ] {
        let (unwell, _) = asked(CheckKind::GoMicro, answer).await;
        assert!(unwell.as_ref().unwrap_err().detail.contains(part), "{unwell:?}");
    }
}

/// What comes of a check of HTTP/2 that is answered so: the head, the body, and the trailers.
async fn asked_in_http2(
    kind: CheckKind,
    head: Response<()>,
    body: &'static [u8],
    trailers: &[(&'static str, &'static str)],
) -> (Result<(), Unwell>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let address: Address = address.into();
    let check = Check { kind, ..Check::default() };
    let service = "greeter".parse().unwrap();
    let asked = Asked { http2: true, ..Asked::new(&service, &address, "no host") };
    let app = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (request, mut answer) = connection.accept().await.unwrap().unwrap();
        let headers = request.headers();
        let heard = vec![
            request.method().to_string(),
            request.uri().to_string(),
            headers.get("te").map(|te| te.to_str().unwrap().to_owned()).unwrap_or_default(),
        ];
        let mut sending = answer.send_response(head, false).unwrap();
        sending.send_data(Bytes::from_static(body), false).unwrap();
        let named = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        sending.send_trailers(trailers.iter().map(named).collect()).unwrap();
        // Until the one who asked has gone.
        while connection.accept().await.is_some_and(|next| next.is_ok()) {}
        heard
    };
    let (result, mut heard) = tokio::join!(check.ask(&asked, connect(&address)), app);
    heard[1] = heard[1].replace(&address.to_string(), "ADDRESS");
    (result, heard)
}

fn grpc(service: &str) -> CheckKind {
    CheckKind::Grpc { service: service.to_owned() }
}

#[tokio::test]
async fn grpc_is_asked_for_its_health() {
    let head = || Response::new(());
    let ok = [("grpc-status", "0")];
    let (well, heard) = asked_in_http2(grpc("a.B"), head(), b"\0\0\0\0\x02\x08\x01", &ok).await;
    assert_eq!(well, Ok(()));
    assert_eq!(heard, ["POST", "http://ADDRESS/grpc.health.v1.Health/Check", "trailers"]);
    let (well, _) = asked_in_http2(grpc(""), head(), b"", &[("grpc-status", "12")]).await;
    assert_eq!(well, Ok(()), "it answers gRPC, and knows no health");
    for (body, status, reason, part) in [
        (
            &b"\0\0\0\0\x02\x08\x02"[..],
            "0",
            Reason::NotServing,
            "answered NOT_SERVING to the health check of \"a.B\"",
        ),
        (b"\0\0\0\0\0", "0", Reason::NotServing, "UNKNOWN"),
        (b"", "5", Reason::NotServing, "does not know the health of \"a.B\""),
        (b"", "14", Reason::Error, "answered gRPC status 14"),
        (b"\0\0", "0", Reason::Broken, "no whole answer"),
        (b"", "what", Reason::Broken, "not as gRPC"),
    ] {
        let (unwell, _) = asked_in_http2(grpc("a.B"), head(), body, &[("grpc-status", status)]).await;
        let unwell = unwell.unwrap_err();
        assert!(unwell.reason == reason && unwell.detail.contains(part), "{unwell:?}");
    }
    let head = Response::builder().status(404).body(()).unwrap();
    let (unwell, _) = asked_in_http2(grpc(""), head, b"", &[]).await;
    assert_eq!(unwell.unwrap_err().reason, Reason::Status);
}

#[tokio::test]
async fn a_path_is_asked_for_in_http2_as_well() {
    let head = Response::builder().status(500).body(()).unwrap();
    let (unwell, heard) =
        asked_in_http2(http_check(Statuses::default(), Some("a.b")), head, b"no", &[]).await;
    assert!(unwell.unwrap_err().detail.ends_with("answered 500 Internal Server Error to GET /health?deep=1"));
    assert_eq!(heard[..2], ["GET", "http://a.b/health?deep=1"]);
}

#[tokio::test]
async fn a_path_that_answers_without_end_is_judged_by_its_head() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = listener.local_addr().unwrap().into();
    let check = Check { kind: http_check(Statuses::default(), None), ..Check::default() };
    let service = "greeter".parse().unwrap();
    for http2 in [false, true] {
        let asked = Asked { http2, ..Asked::new(&service, &address, "greeter.test") };
        let app = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            if http2 {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let (_, mut answer) = connection.accept().await.unwrap().unwrap();
                let mut sending = answer.send_response(Response::new(()), false).unwrap();
                sending.send_data(Bytes::from_static(b"more"), false).unwrap();
                while connection.accept().await.is_some_and(|next| next.is_ok()) {}
            } else {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
                // Until the one who asked has gone.
                while stream.read_buf(&mut Vec::new()).await.is_ok_and(|read| read > 0) {}
            }
        };
        let (well, ()) = tokio::join!(check.ask(&asked, connect(&address)), app);
        assert_eq!(well, Ok(()), "HTTP/2: {http2}");
    }
}
