//! What HTTP says beside the framing: lengths of bodies that are not sent, trailers, targets of a whole host, the last of several
//! proxies, and ends that must not be mistaken.

use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt as _;

use super::{Played, body, get, hear_answer, line, status};
use crate::support::client::Raw;

#[tokio::test]
async fn the_length_of_a_body_that_is_not_sent_is_told() {
    let played = Played::start().await;
    let head = "HEAD /x HTTP/1.1\r\nhost: svc\r\n\r\n";
    let (mut client, mut provider, _) = played.asked(head).await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n").await;
    assert_eq!(line(&client.hear_until("\r\n\r\n").await, "content-length"), Some("5000"));
    for (request, answer, length) in [
        (get(""), "304 Not Modified\r\ncontent-length: 5000", Some("5000")),
        (get(""), "304 Not Modified", None),
        (head.to_owned(), "304 Not Modified\r\ncontent-length: 0", Some("0")),
        (get(""), "204 No Content\r\ncontent-length: 5000", None),
        (head.to_owned(), "204 No Content\r\ncontent-length: 5000", None),
    ] {
        client.say(&request).await;
        provider.hear_head().await;
        provider.say(format!("HTTP/1.1 {answer}\r\n\r\n")).await;
        let heard = client.hear_until("\r\n\r\n").await;
        assert_eq!(line(&heard, "content-length"), length, "{request:?}: {heard}");
        assert_eq!(line(&heard, "transfer-encoding"), None, "{heard}");
    }
    // All of it on one connection each way.
    client.say(get("")).await;
    provider.hear_head().await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(body(&hear_answer(&mut client).await), "ok");
    played.settled().await;
}

#[tokio::test]
async fn a_length_without_its_body_breaks_nothing_over_http2() {
    let played = Played::start().await;
    let stream = tokio::net::TcpStream::connect(played.proxy.listeners[0]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for answer in ["304 Not Modified\r\ncontent-length: 5000", "204 No Content\r\ncontent-length: 5000"] {
        let request =
            http::Request::get("http://svc/x").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let answering = async {
            let mut provider = Raw::from(played.provider.accept().await);
            provider.hear_head().await;
            provider.say(format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n")).await;
        };
        let (response, ()) = tokio::join!(sender.send_request(request), answering);
        let response = response.unwrap();
        assert!(answer.starts_with(response.status().as_str()), "{answer}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "", "{answer}");
    }
}

#[tokio::test]
async fn trailers_say_nothing_that_belongs_ahead() {
    let played = Played::start().await;
    let fields = "content-length: 9\r\ntransfer-encoding: gzip\r\nhost: other\r\nauthorization: x\r\nset-cookie: a=b\r\n\
                  connection: close\r\nx-sum: 1\r\n";
    let named =
        "trailer: content-length, transfer-encoding, host, authorization, set-cookie, connection, x-sum\r\n";
    let request = format!(
        "POST /x HTTP/1.1\r\nhost: svc\r\nte: trailers\r\n{named}transfer-encoding: chunked\r\n\r\n\
         1\r\na\r\n0\r\n{fields}\r\n"
    );
    let (mut client, mut provider, heard) = played.asked(&request).await;
    let rest = body(&heard).to_owned();
    let rest = if rest.ends_with("\r\n\r\n") { rest } else { rest + &provider.hear_until("\r\n\r\n").await };
    assert!(rest.ends_with("0\r\nx-sum: 1\r\n\r\n"), "{rest}");
    provider
        .say(format!(
            "HTTP/1.1 200 OK\r\n{named}transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{fields}\r\n"
        ))
        .await;
    let heard = client.hear_until("x-sum: 1\r\n\r\n").await;
    assert!(heard.ends_with("0\r\nx-sum: 1\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn options_of_a_whole_host_arrive_as_such() {
    let played = Played::start().await;
    for target in ["*", "http://svc", "http://svc:80"] {
        let (_, _, heard) = played.asked(&format!("OPTIONS {target} HTTP/1.1\r\nhost: svc\r\n\r\n")).await;
        assert!(heard.starts_with("OPTIONS * HTTP/1.1\r\n"), "{target}: {heard}");
    }
    let (_, _, heard) = played.asked("OPTIONS http://svc/ HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(heard.starts_with("OPTIONS / HTTP/1.1\r\n") && line(&heard, "host") == Some("svc"), "{heard}");
}

#[tokio::test]
async fn the_last_proxy_that_a_request_may_pass_answers_it() {
    let played = Played::start().await;
    let mut client = played.client().await;
    client.say("TRACE /x HTTP/1.1\r\nhost: svc\r\nmax-forwards: 0\r\ncookie: secret\r\nx: 1\r\n\r\n").await;
    let heard = hear_answer(&mut client).await;
    assert_eq!((status(&heard), line(&heard, "content-type")), (200, Some("message/http")));
    assert!(body(&heard).starts_with("TRACE /x HTTP/1.1\r\n") && body(&heard).contains("x: 1"), "{heard}");
    assert!(!heard.contains("secret"), "{heard}");
    client.say("OPTIONS /x HTTP/1.1\r\nhost: svc\r\nmax-forwards: 0\r\n\r\n").await;
    assert_eq!(status(&hear_answer(&mut client).await), 200);
    // Neither reached the provider: the first that does is this one.
    let (_, _, heard) = played.asked("TRACE /y HTTP/1.1\r\nhost: svc\r\nmax-forwards: 2\r\n\r\n").await;
    assert!(heard.starts_with("TRACE /y ") && line(&heard, "max-forwards") == Some("1"), "{heard}");
}

#[tokio::test]
async fn a_refused_tunnel_names_what_is_allowed_and_takes_nothing_for_a_request() {
    let played = Played::start().await;
    let mut client = played.client().await;
    client.say(format!("CONNECT svc:80 HTTP/1.1\r\nhost: svc:80\r\n\r\n{}", get(""))).await;
    let heard = client.hear_all().await;
    assert!(status(&heard) == 405 && heard.matches("HTTP/1.1 ").count() == 1, "{heard}");
    assert!(line(&heard, "allow").unwrap().contains("GET"), "{heard}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_whole_one_to_an_old_client_either() {
    let played = Played::start().await;
    let request = "GET /x HTTP/1.0\r\nhost: svc\r\n\r\n";
    let (mut client, mut provider, _) = played.asked(request).await;
    provider.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    client.hear_until("hello").await;
    drop(provider);
    let end = client.stream.read(&mut [0; 16]).await;
    assert!(end.is_err(), "an end in good order would say that all came: {end:?}");
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_a_request_like_others() {
    let played = Played::start().await;
    let hidden = get("x-hidden: 1\r\n");
    let request = format!(
        "POST /x HTTP/1.1\r\nhost: svc\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let (mut client, mut provider, heard) = played.asked(&request).await;
    assert_eq!((line(&heard, "upgrade"), line(&heard, "connection")), (None, None), "{heard}");
    let rest = if heard.contains("x-hidden") { String::new() } else { provider.hear_some().await };
    let heard = heard + &rest;
    assert!(heard.ends_with(&hidden), "{heard}");
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(body(&hear_answer(&mut client).await), "ok");
    client.say(get("x-next: 1\r\n")).await;
    let heard = provider.hear_head().await;
    assert_eq!(
        line(&heard, "x-next"),
        Some("1"),
        "what comes behind is the next request, and nothing between"
    );
}

#[tokio::test]
async fn who_ends_its_side_before_the_answer_has_gone() {
    let played = Played::start().await;
    let (mut client, mut provider, _) = played.asked(&get("")).await;
    client.finish().await;
    assert_eq!(provider.hear_all().await, "", "nobody waits for the answer any more");
    played.settled().await;
}
