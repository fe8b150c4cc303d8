//! What a connection goes over, and the socket beneath, where its bytes are on it as they are written.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

use super::piece::PIECE;

/// What a connection of HTTP/1 goes over.
pub trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// The socket, where what is read and written goes over it unchanged and nothing is held back; none under TLS.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }

    /// Notes that bytes moved on its socket, past its own reads and writes.
    fn moved(&self) {}

    /// Bytes read at most at once where a head is waited for. Of a body behind it, what is read with it can no longer be passed
    /// from socket to socket.
    fn ahead(&self) -> usize {
        PIECE
    }
}

impl Transport for DuplexStream {}

impl Transport for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}
