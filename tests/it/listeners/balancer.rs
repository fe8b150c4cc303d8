//! Behind a balancer: the header that names the client, whole or in pieces, and everything else refused.

use std::net::SocketAddr;
use std::time::Instant;

use proxy_header::{ProxiedAddress, ProxyHeader};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Front, ask, ask_http2, connect_unix, shake};
use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, at_last};
use crate::support::program::Program;
use crate::support::provider::{Echo, told, told_header};

const KEYS: &str = "proxy_protocol = true\n";
const LINE: &str = "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// A header of version 2 with some padding, for a client of IPv6.
fn binary() -> Vec<u8> {
    let (client, here): (SocketAddr, SocketAddr) =
        ("[2001:db8::7]:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap());
    let mut header = ProxyHeader::with_address(ProxiedAddress::stream(client, here));
    header.append_tlv(proxy_header::Tlv::Noop(300));
    let mut buffer = [0; 512];
    let length = header.encode_to_slice_v2(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// Whom a provider is told that a request is from, over a connection with this header.
async fn from(front: &Front, header: &[u8]) -> String {
    let mut stream = front.connect().await;
    stream.write_all(header).await.unwrap();
    told_header(&told(&ask(stream).await), "x-forwarded-for").join(" and ")
}

#[tokio::test]
async fn the_client_is_the_one_that_the_header_names() {
    let front = Front::on_port(KEYS, "").await;
    assert_eq!(from(&front, LINE.as_bytes()).await, "192.0.2.7");
    assert_eq!(from(&front, &binary()).await, "2001:db8::7");
    // The balancer's own connections, and clients that it cannot name, are those that connect.
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        assert_eq!(from(&front, header).await, "127.0.0.1");
    }
    let mut stream = front.connect().await;
    stream.write_all(&binary()).await.unwrap();
    let response = ask_http2(stream).await;
    assert_eq!(told_header(&told(&response), "x-forwarded-for"), ["2001:db8::7"]);
}

#[tokio::test]
async fn headers_in_pieces_and_with_what_follows_are_read_to_the_byte() {
    let front = Front::on_port(KEYS, "").await;
    let request = "GET / HTTP/1.1\r\nhost: svc\r\nconnection: close\r\n\r\n";
    for header in [LINE.as_bytes(), &binary(), LOCAL] {
        let mut whole = Raw::over(front.connect().await);
        whole.say([header, request.as_bytes()].concat()).await;
        assert!(whole.hear_all().await.starts_with("HTTP/1.1 200"));
        let mut split = Raw::over(front.connect().await);
        split.stream.set_nodelay(true).unwrap();
        for byte in [header, request.as_bytes()].concat() {
            split.say([byte]).await;
            tokio::task::yield_now().await;
        }
        assert!(split.hear_all().await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(front.echo.requests(), 6);
}

#[tokio::test]
async fn what_does_not_begin_with_a_header_is_closed_and_counted() {
    let front = Front::on_port(KEYS, "").await;
    let long = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 4096]].concat();
    let line = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    let malformed = "PROXY TCP4 192.0.2.777 192.0.2.1 56324 443\r\n";
    for (bytes, cause) in [
        (&b"GET / HTTP/1.1\r\nhost: svc\r\n\r\n"[..], "missing"),
        (b"\x16\x03\x01\x02\x00", "missing"),
        (malformed.as_bytes(), "malformed"),
        (&long, "too_long"),
        (&line, "too_long"),
    ] {
        let before = front.header_failures(cause);
        let mut client = Raw::over(front.connect().await);
        // It may be closed before all was taken.
        let _ = client.stream.write_all(bytes).await;
        assert_eq!(client.hear_all().await, "");
        at_last("it is counted", async || front.header_failures(cause) == before + 1).await;
    }
    // One that only looks whether somebody is there.
    drop(front.connect().await);
    at_last("it is counted", async || front.header_failures("closed") == 1).await;
    assert_eq!(front.echo.requests(), 0);
    at_last("all are gone", async || front.open() == 0).await;
}

#[tokio::test]
async fn a_header_has_its_time() {
    let front = Front::on_port(KEYS, "[timeouts]\nheader = \"300ms\"\n").await;
    let (mut silent, mut slow) = (Raw::over(front.connect().await), Raw::over(front.connect().await));
    slow.say(&LINE[..20]).await;
    let begun = Instant::now();
    assert_eq!((silent.hear_all().await, slow.hear_all().await), (String::new(), String::new()));
    assert!(begun.elapsed() < PATIENCE);
    at_last("both are counted", async || front.header_failures("timeout") == 2).await;
    at_last("both are gone", async || front.open() == 0).await;
}

#[tokio::test]
async fn tls_follows_the_header() {
    let text = |certificate: &str, _: &str| format!("{KEYS}{certificate}");
    let front = Front::start(text, "127.0.0.1:0").await;
    let connector = front.authority.client(&["h2"], None);
    let mut stream = front.connect().await;
    stream.write_all(LINE.as_bytes()).await.unwrap();
    let response = ask_http2(shake(&connector, stream).await.unwrap()).await;
    let told = told(&response);
    assert_eq!(told_header(&told, "x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(told_header(&told, "x-forwarded-proto"), ["https"]);
    // Not the other way round.
    assert!(shake(&connector, front.connect().await).await.is_err());
    at_last("it is counted", async || front.header_failures("missing") == 1).await;
}

#[tokio::test]
async fn a_balancer_of_this_machine_may_come_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("svc.sock");
    let _front = Front::on_socket(&format!("unix:{}", path.display()), KEYS).await;
    for (header, client) in [(LINE.as_bytes(), &["192.0.2.7"][..]), (LOCAL, &[])] {
        let mut stream = connect_unix(&path).await;
        stream.write_all(header).await.unwrap();
        assert_eq!(told_header(&told(&ask(stream).await), "x-forwarded-for"), client);
    }
}

#[tokio::test]
async fn the_log_and_keys_are_of_the_client_that_is_named() {
    let echoes = Echo::several(2).await;
    let files = crate::support::certificates::Files::new();
    let text = format!(
        "[registry]\nurl = \"fixed:svc={},{}\"\n[access_log]\nenabled = true\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         proxy_protocol = true\n[[service]]\nname = \"svc\"\npolicy = \"maglev\"\nkey = \"client\"\n",
        echoes[0].address(),
        echoes[1].address()
    );
    let file = files.write("wayside.toml", &text);
    let arguments =
        ["run", "--config", file.to_str().unwrap(), "--admin", "127.0.0.1:0", "--log-level", "debug"];
    let program = Program::launch(&arguments, &[]);
    program.logs("operators are answered").await;
    let address = program.listeners()[0];
    let port = async |client: u8| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let line = format!("PROXY TCP4 192.0.2.{client} 192.0.2.1 5632{} 443\r\n", client % 10);
        stream.write_all(line.as_bytes()).await.unwrap();
        told(&ask(stream).await)["port"].as_u64().unwrap()
    };
    let mut ports = Vec::new();
    for client in 1..=16 {
        let first = port(client).await;
        assert_eq!(port(client).await, first, "each client keeps its provider");
        ports.push(first);
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 2, "and they do not all have the same");
    program.says(" 192.0.2.7:56327 GET / svc ").await;
    let mut junk = Raw::connect(address).await;
    junk.say("GET / HTTP/1.1\r\n\r\n").await;
    junk.hear_all().await;
    program.logs("does not begin with a PROXY header").await;
    assert_eq!(program.metric("wayside_proxy_header_failures_total", "missing").await, 1.0);
}
