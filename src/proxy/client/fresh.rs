//! A connection just accepted, which the runtime does not know yet.
//!
//! Whoever has it watched for what comes on it has the system told twice, at its beginning and at its end. Where each request
//! comes on a connection of its own, the request is there by the time that one looks and nothing is ever waited for.

use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, recv};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// Bytes that are read at once: more than the head of a usual request.
const PIECE: usize = 4096;

/// How often it may be read or written: what a request and its answer take. Nothing else holds it to its share of the thread, as the
/// runtime does with those that it watches, and whoever sends without end would have all of it.
const ACTS_MAX: u8 = 4;

/// A socket that does not block and that nobody watches. Nothing once it was handed to the runtime.
#[derive(Debug)]
pub struct Fresh {
    socket: Option<std::net::TcpStream>,
    acts: u8,
}

impl From<OwnedFd> for Fresh {
    fn from(socket: OwnedFd) -> Self {
        Self { socket: Some(socket.into()), acts: 0 }
    }
}

impl Fresh {
    /// Counts one act more; whether it is one too many.
    pub(super) const fn is_worn(&mut self) -> bool {
        self.acts += 1;
        self.acts > ACTS_MAX
    }

    fn socket(&self) -> io::Result<&std::net::TcpStream> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Has the runtime watch it from now on.
    pub(super) fn watched(&mut self) -> io::Result<TcpStream> {
        let socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
        TcpStream::from_std(socket)
    }

    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        self.socket().and_then(std::net::TcpStream::local_addr).ok()
    }

    /// Reads what is there at this moment.
    pub(super) fn read(&self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let socket = self.socket()?;
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let room = buffer.remaining().min(PIECE);
        let ((came, _), _) = recv(socket, &mut piece[..room], RecvFlags::empty())?;
        buffer.put_slice(came);
        Ok(())
    }

    /// Writes what there is room for at this moment.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket()?.write(bytes)
    }

    /// The same of several pieces.
    pub(super) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket()?.write_vectored(slices)
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        self.socket()?.shutdown(Shutdown::Write)
    }
}
