//! What is no HTTP: refused with nothing passed on, and the connection not listened to any longer.

use super::{Played, body, get, line, status};
use crate::support::client::Raw;

/// What a client hears when it sends this and then a proper request, which must not be answered; nothing reaches the provider.
async fn refused(played: &Played, request: impl AsRef<[u8]>) -> String {
    let mut client = played.client().await;
    client.say(request).await;
    // It may be closed already.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, get("").as_bytes()).await;
    client.hear_all().await
}

#[tokio::test]
async fn malformed_requests_are_refused_and_their_connection_closed() {
    let played = Played::start().await;
    let post = "POST / HTTP/1.1\r\nhost: svc\r\n";
    for (case, request) in [
        ("two lengths", format!("{post}content-length: 1\r\ncontent-length: 2\r\n\r\nab")),
        ("a list of lengths", format!("{post}content-length: 1, 2\r\n\r\nab")),
        ("a signed length", format!("{post}content-length: +1\r\n\r\na")),
        ("an endless length", format!("{post}content-length: 99999999999999999999\r\n\r\na")),
        ("an unknown coding", format!("{post}transfer-encoding: gzip\r\n\r\n")),
        ("a coding below chunked", format!("{post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        (
            "chunked twice",
            format!("{post}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("a space before the colon", "GET / HTTP/1.1\r\nhost : svc\r\n\r\n".to_owned()),
        ("a NUL in a value", "GET / HTTP/1.1\r\nhost: svc\r\nx: a\0b\r\n\r\n".to_owned()),
        ("a NUL in the target", "GET /\0 HTTP/1.1\r\nhost: svc\r\n\r\n".to_owned()),
        ("a bare CR", "GET / HTTP/1.1\r\nhost: svc\r\nx: a\rb\r\n\r\n".to_owned()),
        ("a folded line", "GET / HTTP/1.1\r\nhost: svc\r\nx: a\r\n b\r\n\r\n".to_owned()),
        ("a folded first line", "GET / HTTP/1.1\r\n host: svc\r\n\r\n".to_owned()),
        (
            "a coding in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: svc\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("two Hosts", "GET / HTTP/1.1\r\nhost: svc\r\nhost: svc\r\n\r\n".to_owned()),
        ("no path", "GET svc:80 HTTP/1.1\r\nhost: svc\r\n\r\n".to_owned()),
        ("no version", "GET /\r\n\r\n".to_owned()),
        ("another version", "GET / HTTP/3.0\r\nhost: svc\r\n\r\n".to_owned()),
        ("no HTTP", "\u{16}\u{3}\u{1}\r\n\r\n".to_owned()),
    ] {
        let heard = refused(&played, request).await;
        assert_eq!(status(&heard), 400, "{case}: {heard}");
        let told = line(&heard, "proxy-status").unwrap_or_default();
        assert!(told.contains("error=http_request_error; details=\"bad_request\""), "{case}: {heard}");
        assert!(!body(&heard).trim().is_empty() && line(&heard, "connection") == Some("close"), "{heard}");
        assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{case}: the connection was listened to: {heard}");
    }
    // Had anything reached the provider, its connection would have come before this one.
    let (_, _, heard) = played.asked(&get("x-first: 1\r\n")).await;
    assert_eq!(line(&heard, "x-first"), Some("1"));
    played.settled().await;
}

#[tokio::test]
async fn what_two_readers_could_see_differently_is_refused_and_named() {
    let played = Played::start().await;
    let both = "0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: svc\r\n\r\n";
    for (request, named) in [
        (
            format!(
                "POST / HTTP/1.1\r\nhost: svc\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n{both}"
            ),
            "Content-Length and Transfer-Encoding",
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nhost: svc\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n{both}"
            ),
            "Content-Length and Transfer-Encoding",
        ),
        ("GET /x HTTP/1.1\nhost: svc\nx: 1\n\n".to_owned(), "ends without CR"),
        ("GET /x#y HTTP/1.1\r\nhost: svc\r\n\r\n".to_owned(), "a fragment"),
    ] {
        let heard = refused(&played, &request).await;
        assert_eq!(status(&heard), 400, "{request:?}: {heard}");
        assert!(body(&heard).contains(named) && line(&heard, "connection") == Some("close"), "{heard}");
        assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "the connection was listened to: {heard}");
    }
    let (_, _, heard) = played.asked(&get("x-first: 1\r\n")).await;
    assert_eq!(line(&heard, "x-first"), Some("1"));
}

#[tokio::test]
async fn a_bad_chunk_breaks_the_request_off() {
    let played = Played::start().await;
    let head = "POST /x HTTP/1.1\r\nhost: svc\r\ntransfer-encoding: chunked\r\n\r\n";
    for chunk in ["x\r\nabc\r\n", "3\r\nabcd\r\n", "-1\r\n", "3\nabc\n", "fffffffffffffffff\r\n"] {
        let (mut client, mut provider, _) = played.asked(head).await;
        client.say(chunk).await;
        let heard = client.hear_all().await;
        assert!(status(&heard) == 400 && heard.matches("HTTP/1.1 ").count() == 1, "{chunk:?}: {heard}");
        assert!(
            !provider.hear_all().await.contains("0\r\n\r\n"),
            "{chunk:?}: what broke off must not look whole"
        );
    }
    played.settled().await;
}

#[tokio::test]
async fn malformed_answers_are_not_passed_on() {
    let played = Played::start().await;
    for (case, answer) in [
        ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
        ("another version", "HTTP/3.0 200 OK\r\n\r\n".to_owned()),
        ("no status", "HTTP/1.1 OK\r\n\r\n".to_owned()),
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned()),
        ("a NUL", "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n".to_owned()),
        ("too many headers", format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: 1\r\n".repeat(5000))),
        ("too large a head", format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(600_000))),
        (
            "an unasked switch",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_owned(),
        ),
    ] {
        let (mut client, mut provider, _) = played.asked(&get("")).await;
        // It may be closed before it has all been taken.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut provider.stream, answer.as_bytes()).await;
        let heard = client.hear_head().await;
        assert_eq!(status(&heard), 502, "{case}: {heard}");
        let (error, reason) = match case {
            "an unasked switch" => ("http_upgrade_failed", "upgrade_failed"),
            _ => ("http_protocol_error", "bad_response"),
        };
        let told = line(&heard, "proxy-status").unwrap();
        assert!(told.contains(&format!("error={error}; details=\"{reason}\"")), "{case}: {told}");
        assert!(!body(&heard).contains("SSH"), "{heard}");
        // The client's connection is none the worse; the provider's is gone.
        client.say(get("")).await;
        let mut provider = Raw::from(played.provider.accept().await);
        provider.hear_head().await;
        provider.say("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        client.hear_until("\r\n\r\n").await;
    }
    played.settled().await;
}
