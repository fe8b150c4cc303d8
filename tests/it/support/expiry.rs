//! Ending a session of somebody else, as if it had expired.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// ZooKeeper's number of the request that closes a session.
const CLOSE: i32 = -11;

/// Takes over a session by its number and password, and closes it: its owner is told that it has expired.
pub(crate) async fn end_session(server: &str, number: i64, password: &[u8]) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let (version, last_zxid, timeout, read_only) = (0_i32, 0_i64, 10_000_i32, 0_u8);
    let opening = [
        &version.to_be_bytes()[..],
        &last_zxid.to_be_bytes(),
        &timeout.to_be_bytes(),
        &number.to_be_bytes(),
        &i32::try_from(password.len()).unwrap().to_be_bytes(),
        password,
        &[read_only],
    ];
    send(&mut stream, &opening.concat()).await;
    let opened = receive(&mut stream).await;
    assert_eq!(opened[8..16], number.to_be_bytes(), "the session is none of this server's");
    send(&mut stream, &[1_i32.to_be_bytes(), CLOSE.to_be_bytes()].concat()).await;
    // It answers or not, and closes the connection once the session is closed.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn send(stream: &mut TcpStream, message: &[u8]) {
    let length = u32::try_from(message.len()).unwrap();
    stream.write_all(&[&length.to_be_bytes()[..], message].concat()).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u32().await.unwrap();
    let mut message = vec![0; length as usize];
    stream.read_exact(&mut message).await.unwrap();
    message
}
