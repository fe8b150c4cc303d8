//! What passes: every byte, each side's end by itself, at the pace of whoever reads.

use crc32fast::Hasher;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wayside::provider::Protocol;

use super::{config, connect, hear, hear_end, pair, proxy};
use crate::support::patience::{PATIENCE, either};
use crate::support::provider::Script;
use crate::support::proxy::start;
use crate::support::registry::Told;

const MIB: usize = 1024 * 1024;

/// Says so many bytes in pieces of any size and hears whatever comes, at once; the checksums of what was said and heard, and how
/// much was heard.
async fn exchange(stream: TcpStream, seed: u64, mut left: usize) -> (u32, u32, usize) {
    let (mut from, mut to) = stream.into_split();
    let saying = tokio::spawn(async move {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut bytes = vec![0; MIB];
        rng.fill_bytes(&mut bytes);
        let mut said = Hasher::new();
        while left > 0 {
            let most = if rng.random() { 100_000 } else { 100 };
            let size = rng.random_range(1..=most).min(left);
            let at = rng.random_range(0..=MIB - size);
            to.write_all(&bytes[at..at + size]).await.unwrap();
            said.update(&bytes[at..at + size]);
            left -= size;
        }
        to.shutdown().await.unwrap();
        said.finalize()
    });
    let (mut heard, mut count, mut bytes) = (Hasher::new(), 0, vec![0; 100_000]);
    loop {
        let read = from.read(&mut bytes).await.unwrap();
        if read == 0 {
            break;
        }
        heard.update(&bytes[..read]);
        count += read;
    }
    (saying.await.unwrap(), heard.finalize(), count)
}

#[tokio::test]
async fn no_byte_is_lost_or_changed_when_much_goes_both_ways_at_once() {
    let size = 64 * MIB;
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("", &[provider.address()]);
    let client = tokio::spawn(exchange(connect(&proxy).await, 1, size));
    let server = tokio::spawn(exchange(provider.accept().await, 2, size));
    let (client, server) = (client.await.unwrap(), server.await.unwrap());
    assert_eq!((client.2, server.2), (size, size));
    assert_eq!((client.0, client.1), (server.1, server.0));
    for direction in ["sent", "received"] {
        let series = format!("wayside_raw_bytes_total{{direction=\"{direction}\",service=\"svc\"}}");
        super::assert_metric(&proxy, &series, size as f64).await;
    }
}

#[tokio::test]
async fn the_provider_may_speak_first_and_the_client_may_have_nothing_to_say() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("", &[provider.address()]);
    let mut client = connect(&proxy).await;
    let mut server = provider.accept().await;
    server.write_all(b"220 ready").await.unwrap();
    assert_eq!(hear(&mut client, 9).await, "220 ready");
}

#[tokio::test]
async fn the_end_of_one_side_is_not_the_end_of_the_other() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("", &[provider.address()]);
    let (mut client, mut server) = pair(&proxy, &provider).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let (heard, end) = hear_end(&mut server).await;
    assert_eq!((heard.as_str(), end.is_ok()), ("question", true));
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let (heard, end) = hear_end(&mut client).await;
    assert_eq!((heard.as_str(), end.is_ok()), ("answer", true));

    let (mut client, mut server) = pair(&proxy, &provider).await;
    server.write_all(b"that is all").await.unwrap();
    server.shutdown().await.unwrap();
    let (heard, end) = hear_end(&mut client).await;
    assert_eq!((heard.as_str(), end.is_ok()), ("that is all", true));
    client.write_all(b"thank you").await.unwrap();
    drop(client);
    let (heard, end) = hear_end(&mut server).await;
    assert_eq!((heard.as_str(), end.is_ok()), ("thank you", true));
    super::at_rest(&proxy).await;
    super::assert_ended(&proxy, "", 2.0).await;
}

#[tokio::test]
async fn whoever_reads_slowly_slows_down_who_writes() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("", &[provider.address()]);
    let (mut client, mut server) = pair(&proxy, &provider).await;
    let piece = vec![b'x'; MIB];
    let mut written = 0;
    // Until nothing more is taken for a while, which is for as long as nobody reads.
    while let Ok(count) = timeout(PATIENCE / 10, client.write(&piece)).await {
        written += count.unwrap();
        assert!(written < either(64, 256) * MIB, "what is not read is kept somewhere");
    }
    client.shutdown().await.unwrap();
    let (heard, end) = hear_end(&mut server).await;
    assert_eq!((heard.len(), end.is_ok()), (written, true));
}

#[tokio::test]
async fn a_raw_listener_reaches_providers_whatever_they_speak() {
    for protocol in Protocol::ALL {
        let provider = Script::start().await;
        let registry = Told::new();
        registry.tell("svc", protocol, &[provider.address()]);
        let proxy = start(config(""), registry);
        let (mut client, mut server) = pair(&proxy, &provider).await;
        client.write_all(b"\0 no HTTP").await.unwrap();
        assert_eq!(hear(&mut server, 9).await, "\0 no HTTP", "{protocol:?}");
    }
}
