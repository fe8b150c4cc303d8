//! What is the caller's and the provider's alone is passed on byte by byte, in its order and number.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Played;
use crate::support::patience::PATIENCE;

/// All that comes until it ends with this, as lines.
async fn hear(stream: &mut TcpStream, end: &[u8]) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    while !heard.ends_with(end) {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut heard)).await;
        assert!(read.expect("more should come").unwrap() > 0, "{}", String::from_utf8_lossy(&heard));
    }
    heard.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect()
}

/// Those of some lines that have one of these names, in their order.
fn named<'l>(lines: &'l [Vec<u8>], names: &[&str]) -> Vec<&'l [u8]> {
    let is_named = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default().to_ascii_lowercase();
        names.iter().any(|known| known.as_bytes() == name)
    };
    lines.iter().map(Vec::as_slice).filter(is_named).collect()
}

#[tokio::test]
async fn fields_of_both_sides_arrive_as_they_were_sent() {
    let played = Played::start().await;
    let mut client = TcpStream::connect(played.proxy.listeners[0]).await.unwrap();
    let sent: [&[u8]; 12] = [
        b"cookie: a=\xff\xfe; b=\"x\"",
        b"cookie: c=1",
        b"x-many: 1, 2",
        b"x-many: ",
        b"x-many: 3",
        b"x-empty: ",
        b"x-obs: caf\xe9 \x80\x9f",
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"tracestate: rojo=00f067aa0ba902b7",
        b"tracestate: congo=t61rcWkgMzE",
        b"baggage: userId=am\xc3\xa9lie;k=v,b=%20",
        b"range: bytes=0-1,-1",
    ];
    client.write_all(b"GET /a%2f..%2F?q=%ff HTTP/1.1\r\nhost: svc\r\n").await.unwrap();
    client.write_all(&[sent.join(&b"\r\n"[..]), b"\r\n\r\n".to_vec()].concat()).await.unwrap();
    let mut provider = played.provider.accept().await;
    let heard = hear(&mut provider, b"\r\n\r\n").await;
    assert_eq!(heard[0], b"GET /a%2f..%2F?q=%ff HTTP/1.1");
    let names = ["cookie", "x-many", "x-empty", "x-obs", "traceparent", "tracestate", "baggage", "range"];
    for name in names {
        let of_name: Vec<&[u8]> =
            sent.iter().copied().filter(|line| line.starts_with(name.as_bytes())).collect();
        assert_eq!(named(&heard, &[name]), of_name, "{name}");
    }

    let answer: [&[u8]; 14] = [
        b"date: Sun, 06 Nov 1994 08:49:37 GMT",
        b"server: odd/\xe9 (x)",
        b"location: http://10.0.0.1:8080/caf\xe9?a=b",
        b"content-location: http://greeter.internal/x",
        b"refresh: 5; url=http://10.0.0.1/",
        b"set-cookie: a=1; Domain=greeter.internal; Path=/svc; Secure",
        b"set-cookie: b=\xff\x80; SameSite=None",
        b"set-cookie: ",
        b"etag: W/\"\xe9\"",
        b"content-encoding: gzip",
        b"content-range: bytes 0-3/9",
        b"vary: a",
        b"vary: b, c",
        b"content-length: 4",
    ];
    provider.write_all(b"HTTP/1.1 206 Partial\r\n").await.unwrap();
    provider
        .write_all(&[answer.join(&b"\r\n"[..]), b"\r\n\r\n\x1f\x8b\x00\xff".to_vec()].concat())
        .await
        .unwrap();
    let heard = hear(&mut client, b"\x1f\x8b\x00\xff").await;
    assert!(heard[0].starts_with(b"HTTP/1.1 206"));
    for line in answer {
        let name =
            line.split(|byte| *byte == b':').next().map(|name| String::from_utf8_lossy(name).into_owned());
        let name = name.unwrap();
        let of_name: Vec<&[u8]> =
            answer.iter().copied().filter(|line| line.starts_with(format!("{name}:").as_bytes())).collect();
        assert_eq!(named(&heard, &[&name]), of_name, "{name}");
    }
}
