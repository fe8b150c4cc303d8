//! What an idle raw connection takes of memory.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::telling::telling;
use crate::support::files;
use crate::support::patience::either;

/// What a connection may take, in bytes: two buffers of 8 KiB, if every page of them was used, and the rest.
const MOST: u64 = 32 * 1024;

#[tokio::test]
async fn an_idle_connection_takes_its_buffers_and_little_else() {
    files::as_many_as_may_be();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = listener.local_addr().unwrap();
    let mut echoes = JoinSet::new();
    echoes.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            open.spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (program, listener) = telling(folder.path(), &provider.to_string(), "info").await;
    program.may_open(None);
    let mut open = Vec::new();
    // The first ones make what all share.
    let few = 20;
    let count: u64 = either(500, 1000);
    let mut before = 0;
    for number in 0..few + count {
        if number == few {
            before = program.resident();
        }
        let mut stream = TcpStream::connect(listener).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        open.push(stream);
    }
    let each = program.resident().saturating_sub(before) / count;
    println!("{each} bytes for each of {count} idle raw connections");
    assert!(each < MOST, "{each} bytes each");
}
