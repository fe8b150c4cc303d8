//! Sockets that others listened on before: checked, since what was passed may be anything, and listened on here.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use socket2::SockRef;

use super::address::ListenAddress;
use super::unix::SocketFile;
use super::{Listener, UnixShare};

/// A listener of one worker out of a descriptor that this process was given; its file, where it has one, is to be removed with it.
///
/// # Errors
/// When it is no socket, or not one that listens for connections at an address of that kind.
pub fn adopt(
    address: &ListenAddress,
    descriptor: OwnedFd,
    file: Option<Arc<SocketFile>>,
) -> io::Result<Listener> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    if socket_type(&descriptor)? != SocketType::STREAM || !listens(&descriptor)? {
        return Err(wrong("it is no socket that listens for connections"));
    }
    match address {
        ListenAddress::Ip(_) => {
            let socket = std::net::TcpListener::from(descriptor);
            socket.local_addr().map_err(|_| wrong("it has no IP address"))?;
            socket.set_nonblocking(true)?;
            // Whatever is accepted has it from here.
            SockRef::from(&socket).set_tcp_nodelay(true)?;
            Ok(Listener::Tcp(socket))
        }
        ListenAddress::Unix(_) => {
            let socket = std::os::unix::net::UnixListener::from(descriptor);
            socket.local_addr().map_err(|_| wrong("it is no Unix socket"))?;
            socket.set_nonblocking(true)?;
            Ok(Listener::Unix(UnixShare { file, socket }))
        }
    }
}

#[cfg(target_os = "linux")]
fn listens(descriptor: &OwnedFd) -> io::Result<bool> {
    Ok(rustix::net::sockopt::socket_acceptconn(descriptor)?)
}

/// Where the system does not tell, the first accept does.
#[cfg(not(target_os = "linux"))]
fn listens(_: &OwnedFd) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_what_listens_at_such_an_address_is_adopted() {
        let (ip, unix) = ("127.0.0.1:0".parse().unwrap(), "unix:/a".parse().unwrap());
        let tcp = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        assert!(matches!(adopt(&ip, tcp(), None), Ok(Listener::Tcp(_))));
        assert!(adopt(&unix, tcp(), None).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let socket = OwnedFd::from(UnixListener::bind(&path).unwrap());
        assert!(matches!(adopt(&unix, socket.try_clone().unwrap(), None), Ok(Listener::Unix(_))));
        assert!(adopt(&ip, socket, None).is_err());
        let datagrams = OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        for other in [datagrams, connected.into(), file] {
            assert!(adopt(&ip, other, None).is_err());
        }
    }
}
