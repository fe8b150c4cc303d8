//! Bodies: by length, in chunks, none at all, with trailers, and with an expectation before them.

use super::{Played, body, get, line, status};

#[tokio::test]
async fn a_hundred_kibibytes_arrive_by_length() {
    let played = Played::start().await;
    let sent = "x".repeat(100 * 1024);
    let (mut client, mut provider, mut heard) =
        played.asked("POST /x HTTP/1.1\r\nhost: svc\r\ncontent-length: 102400\r\n\r\n").await;
    assert_eq!((line(&heard, "content-length"), line(&heard, "transfer-encoding")), (Some("102400"), None));
    client.say(&sent).await;
    while body(&heard).len() < sent.len() {
        heard += &provider.hear_some().await;
    }
    assert!(body(&heard) == sent);
    provider.say(format!("HTTP/1.1 200 OK\r\ncontent-length: 102400\r\n\r\n{sent}")).await;
    let mut heard = client.hear_head().await;
    assert_eq!((line(&heard, "content-length"), line(&heard, "transfer-encoding")), (Some("102400"), None));
    while body(&heard).len() < sent.len() {
        heard += &client.hear_some().await;
    }
    assert!(body(&heard) == sent);
    played.settled().await;
}

#[tokio::test]
async fn chunks_pass_both_ways_as_they_come() {
    let played = Played::start().await;
    for method in ["POST", "GET"] {
        let head = format!("{method} /x HTTP/1.1\r\nhost: svc\r\ntransfer-encoding: chunked\r\n\r\n");
        let (mut client, mut provider, heard) = played.asked(&head).await;
        assert_eq!(line(&heard, "transfer-encoding"), Some("chunked"), "{heard}");
        client.say("3\r\nabc\r\n").await;
        assert_eq!(body(&heard).to_owned() + &provider.hear_until("abc\r\n").await, "3\r\nabc\r\n");
        client.say("2;extension=1\r\nde\r\n0\r\n\r\n").await;
        assert_eq!(provider.hear_until("0\r\n\r\n").await, "2\r\nde\r\n0\r\n\r\n");
        provider.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nA\r\n").await;
        let heard = client.hear_until("A\r\n").await;
        assert_eq!(line(&heard, "transfer-encoding"), Some("chunked"), "{heard}");
        provider.say("0\r\n\r\n").await;
        assert_eq!(client.hear_until("0\r\n\r\n").await, "0\r\n\r\n");
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_passed_on_in_chunks() {
    let played = Played::start().await;
    let heard = played.answered(&get("connection: close\r\n"), "HTTP/1.1 200 OK\r\n\r\nhello").await;
    assert_eq!(body(&heard), "5\r\nhello\r\n0\r\n\r\n");
    let heard = played.answered("GET / HTTP/1.0\r\nhost: svc\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nhello").await;
    assert!(heard.starts_with("HTTP/1.0 200") && line(&heard, "transfer-encoding").is_none(), "{heard}");
    assert_eq!(body(&heard), "hello");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let played = Played::start().await;
    let (mut client, mut provider, _) = played.asked("HEAD /x HTTP/1.1\r\nhost: svc\r\n\r\n").await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    let heard = client.hear_until("\r\n\r\n").await;
    assert_eq!((status(&heard), line(&heard, "content-length")), (200, Some("5")));
    for answer in ["204 No Content\r\n", "304 Not Modified\r\netag: \"a\"\r\n"] {
        client.say(get("")).await;
        provider.hear_head().await;
        provider.say(format!("HTTP/1.1 {answer}\r\n")).await;
        let heard = client.hear_until("\r\n\r\n").await;
        assert!(answer.starts_with(&status(&heard).to_string()), "{heard}");
        assert!(line(&heard, "transfer-encoding").is_none(), "{heard}");
    }
    // All of it was on one connection each way: nothing was left unread, nothing misread.
    client.say(get("")).await;
    provider.hear_head().await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert!(client.hear_until("ok").await.starts_with("HTTP/1.1 200"));
    played.settled().await;
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let played = Played::start().await;
    let request = "POST /x HTTP/1.1\r\nhost: svc\r\nte: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                   1\r\na\r\n0\r\nx-sum: 1\r\n\r\n";
    let (mut client, mut provider, heard) = played.asked(request).await;
    assert_eq!((line(&heard, "te"), line(&heard, "trailer")), (Some("trailers"), Some("x-sum")));
    let rest = body(&heard).to_owned();
    let rest = if rest.ends_with("\r\n\r\n") { rest } else { rest + &provider.hear_until("1\r\n\r\n").await };
    assert!(rest.to_ascii_lowercase().ends_with("0\r\nx-sum: 1\r\n\r\n"), "{rest}");
    provider
        .say("HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 2\r\n\r\n")
        .await;
    let heard = client.hear_until("2\r\n\r\n").await.to_ascii_lowercase();
    assert!(heard.ends_with("0\r\nx-sum: 2\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn a_client_that_expects_to_continue_is_told_to() {
    let played = Played::start().await;
    let (mut client, mut provider, heard) = played
        .asked("POST /x HTTP/1.1\r\nhost: svc\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        .await;
    assert_eq!(line(&heard, "expect"), Some("100-continue"));
    provider.say("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.hear_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("hello").await;
    provider.hear_until("hello").await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert!(client.hear_until("ok").await.starts_with("HTTP/1.1 200"), "one 100 only");
    // Where there is no provider, the body is not asked for.
    let mut client = played.client().await;
    client.say("POST /x HTTP/1.1\r\nhost: other\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(status(&client.hear_head().await), 503);
}
