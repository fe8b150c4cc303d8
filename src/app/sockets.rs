//! Sockets that this process was given to listen on: by systemd, or by the process whose place it takes.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::proxy::{ListenAddress, UnixName};

/// The name of the socket that operators ask on, where systemd passes it (`FileDescriptorName=` of systemd.socket(5)).
const ADMIN: &str = "admin";
/// Where systemd tells the names of what it passes, joined by colons (sd_listen_fds(3)).
const NAMES: &str = "LISTEN_FDNAMES";

/// What a socket is listened on for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Duty {
    /// Requests.
    Requests,
    /// Operators.
    Admin,
    /// Whoever takes the place of this process.
    Succession,
}

/// The sockets of one listener.
#[derive(Debug)]
pub(super) struct Given {
    /// What they are for; `None` where nobody said it.
    pub(super) duty: Option<Duty>,
    /// The address of the configuration, or of the socket; `None` where the duty says all.
    pub(super) address: Option<ListenAddress>,
    /// Whether the file of a Unix socket is removed by whoever listens last.
    pub(super) owns_file: bool,
    /// One for each worker that had one; of a Unix socket they are the same.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Sockets that were given and are not listened on yet.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Given>);

/// Why a socket that was given cannot be used.
#[derive(Debug, Error)]
pub enum SocketError {
    /// It is nothing that can be listened on.
    #[error("the socket that systemd passes as number {number} (descriptor {}) is of no use", .number + 3)]
    Unusable {
        /// Its place among those that were passed, from 0.
        number: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No listener is at its address.
    #[error("systemd passes a socket on {0}, and no listener of the configuration is there")]
    Unclaimed(ListenAddress),
}

impl Sockets {
    /// Those that systemd passes to this process (sd_listen_fds(3)); none where it does not. To be called before any thread runs,
    /// since the variables that tell of them are taken out of the environment.
    ///
    /// # Errors
    /// When one of them is no listening stream socket with an address.
    pub fn of_process() -> Result<Self, SocketError> {
        let names = std::env::var(NAMES).unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut names = names.split(':');
        let mut sockets = Vec::new();
        for number in 0..passed.len() {
            let unusable = |source| SocketError::Unusable { number, source };
            let name = names.next().unwrap_or_default();
            let (address, descriptor) = taken(&mut passed, number).map_err(unusable)?;
            // What this process starts has no use for it.
            fcntl_setfd(&descriptor, FdFlags::CLOEXEC).map_err(|error| unusable(error.into()))?;
            let is_admin = name == ADMIN && matches!(address, ListenAddress::Ip(_));
            sockets.push(Given {
                duty: is_admin.then_some(Duty::Admin),
                address: (!is_admin).then_some(address),
                owns_file: false,
                descriptors: vec![descriptor],
            });
        }
        Ok(Self(sockets))
    }

    pub(super) fn of(given: Vec<Given>) -> Self {
        Self(given)
    }

    /// Takes the sockets of a listener out, if they are here.
    pub(super) fn take(&mut self, duty: Duty, address: &ListenAddress) -> Option<Given> {
        let fits = |given: &Given| {
            given.duty.is_none_or(|of| of == duty) && given.address.as_ref().is_none_or(|at| at == address)
        };
        self.0.iter().position(fits).map(|place| self.0.remove(place))
    }

    /// Puts others before these.
    pub(super) fn preceded_by(&mut self, mut others: Self) {
        others.0.append(&mut self.0);
        *self = others;
    }

    /// Closes what no listener took, if nobody waits there.
    ///
    /// # Errors
    /// With one that systemd listens on for us: who connects there would never be answered.
    pub(super) fn close_rest(self, is_succession: bool) -> Result<(), SocketError> {
        let unclaimed = self.0.into_iter().find_map(|given| given.address.filter(|_| given.duty.is_none()));
        match unclaimed {
            Some(address) if !is_succession => Err(SocketError::Unclaimed(address)),
            Some(_) | None => Ok(()),
        }
    }
}

fn taken(passed: &mut ListenFd, number: usize) -> io::Result<(ListenAddress, OwnedFd)> {
    let no_address = || io::Error::new(io::ErrorKind::InvalidInput, "it has no address that can be said");
    let tcp: io::Result<Option<TcpListener>> = passed.take_tcp_listener(number);
    if let Ok(Some(listener)) = tcp {
        return Ok((listener.local_addr()?.into(), listener.into()));
    }
    let listener: UnixListener = passed.take_unix_listener(number)?.ok_or_else(no_address)?;
    let address = listener.local_addr()?;
    let name = match address.as_pathname() {
        Some(path) => UnixName::Path(path.to_owned()),
        None => UnixName::Abstract(abstract_name(&address).ok_or_else(no_address)?),
    };
    Ok((ListenAddress::Unix(name), listener.into()))
}

#[cfg(target_os = "linux")]
fn abstract_name(address: &std::os::unix::net::SocketAddr) -> Option<String> {
    use std::os::linux::net::SocketAddrExt as _;
    String::from_utf8(address.as_abstract_name()?.to_vec()).ok()
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &std::os::unix::net::SocketAddr) -> Option<String> {
    None
}

/// One descriptor at least for each worker, and none left over: who waits in the queue of one that is closed is turned away.
///
/// # Errors
/// When there is no descriptor to spare.
pub(super) fn spread(mut descriptors: Vec<OwnedFd>, workers: usize) -> io::Result<Vec<Vec<OwnedFd>>> {
    let count = descriptors.len();
    for number in count..workers {
        let Some(shared) = descriptors.get(number % count.max(1)) else { break };
        descriptors.push(shared.as_fd().try_clone_to_owned()?);
    }
    let mut spread: Vec<Vec<OwnedFd>> = (0..workers).map(|_| Vec::new()).collect();
    for (number, descriptor) in descriptors.into_iter().enumerate() {
        spread[number % workers].push(descriptor);
    }
    Ok(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(duty: Option<Duty>, address: &str) -> Given {
        let address = Some(address.parse().unwrap());
        Given { duty, address, owns_file: false, descriptors: Vec::new() }
    }

    #[test]
    fn sockets_are_taken_by_address_and_role() {
        let (one, other) = ("127.0.0.1:1".parse().unwrap(), "unix:/b".parse().unwrap());
        let all =
            vec![given(Some(Duty::Admin), "127.0.0.1:1"), given(None, "unix:/b"), given(None, "127.0.0.1:1")];
        let mut sockets = Sockets::of(all);
        assert!(sockets.take(Duty::Requests, &one).unwrap().duty.is_none());
        assert!(sockets.take(Duty::Requests, &one).is_none(), "what is for admin is for nothing else");
        assert!(sockets.take(Duty::Admin, &one).is_some());
        let rest = Sockets(std::mem::take(&mut sockets.0));
        assert!(matches!(rest.close_rest(false), Err(SocketError::Unclaimed(address)) if address == other));
        assert!(Sockets::of(vec![given(Some(Duty::Requests), "127.0.0.1:1")]).close_rest(false).is_ok());
    }

    #[test]
    fn a_socket_named_admin_is_for_operators_wherever_it_is() {
        let named =
            Given { duty: Some(Duty::Admin), address: None, owns_file: false, descriptors: Vec::new() };
        let mut sockets = Sockets::of(vec![named]);
        assert!(sockets.take(Duty::Requests, &"127.0.0.1:1".parse().unwrap()).is_none());
        assert!(sockets.take(Duty::Admin, &"127.0.0.1:2".parse().unwrap()).is_some());
    }

    #[test]
    fn every_worker_gets_one_and_none_is_left_over() {
        let sockets = |count: usize| {
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap().into()).collect::<Vec<OwnedFd>>()
        };
        for (count, workers, expected) in [(2, 2, [1, 1].as_slice()), (1, 3, &[1, 1, 1]), (5, 2, &[3, 2])] {
            let spread = spread(sockets(count), workers).unwrap();
            assert_eq!(spread.iter().map(Vec::len).collect::<Vec<_>>(), expected);
        }
        assert!(spread(Vec::new(), 2).unwrap().iter().all(Vec::is_empty));
    }
}
