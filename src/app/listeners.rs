//! The listeners of all workers: bound at the start; what becomes of their connections may change while they run.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::SystemTime;

use super::sockets::{Duty, Given, Sockets, spread};
use super::succession::Estate;
use super::{Purpose, StartError, failed};
use crate::admin;
use crate::config::Config;
use crate::proxy::{
    self, Front, ListenAddress, Listener, ListenerSettings, Listening, SocketFile, UnixName, UnixShare,
};

/// What is listened on.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// For each worker its own, in the order of the configuration.
    pub(super) by_worker: Vec<Vec<Listening>>,
    /// The addresses among them, ports chosen.
    pub(super) addresses: Vec<SocketAddr>,
    /// The Unix sockets among them.
    pub(super) sockets: Vec<UnixName>,
    /// What becomes of their connections.
    pub(super) fronts: Fronts,
}

/// What becomes of the connections of the listeners, in the order of the configuration that was in force at the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Fronts(Vec<(ListenAddress, Arc<Front>)>);

impl Listeners {
    /// Binds all of them, but for those that this process was given. What is listened on is added to the estate, where there is one.
    pub(super) fn bind(
        config: &Config,
        given: &mut Sockets,
        mut estate: Option<&mut Estate>,
    ) -> Result<Self, StartError> {
        let mut bound = Self::default();
        bound.by_worker.resize_with(config.workers, Vec::new);
        for settings in &config.listeners {
            let address = &settings.address;
            let listeners = match (given.take(Duty::Requests, address), address) {
                (Some(given), _) => adopted(address, given, config.workers)?,
                (None, ListenAddress::Ip(address)) => bound_to(*address, config.workers)?,
                (None, ListenAddress::Unix(name)) => bound_at(name, settings.mode, config.workers)?,
            };
            if let Some(estate) = &mut estate {
                let file = listeners.iter().flatten().find_map(Listener::file);
                let added = estate.add(Duty::Requests, address, listeners.iter().flatten(), file);
                added.map_err(|source| StartError::Adopt { address: address.clone(), source })?;
            }
            bound.add(settings, listeners)?;
        }
        bound.fronts.warn_of_expiry();
        Ok(bound)
    }

    /// Adds a listener: of each worker its own.
    fn add(&mut self, settings: &ListenerSettings, listeners: Vec<Vec<Listener>>) -> Result<(), StartError> {
        match &settings.address {
            ListenAddress::Ip(address) => {
                let first = listeners.iter().flatten().find_map(|listener| match listener {
                    Listener::Tcp(socket) => Some(socket.local_addr()),
                    Listener::Unix(_) => None,
                });
                // The port is chosen by now.
                let chosen = first.unwrap_or(Ok(*address));
                self.addresses.push(chosen.map_err(failed(*address, Purpose::Requests))?);
            }
            ListenAddress::Unix(name) => self.sockets.push(name.clone()),
        }
        let front = Arc::new(Front::new(settings));
        for (own, listeners) in self.by_worker.iter_mut().zip(listeners) {
            own.extend(
                listeners.into_iter().map(|listener| Listening { listener, front: Arc::clone(&front) }),
            );
        }
        self.fronts.0.push((settings.address.clone(), front));
        Ok(())
    }
}

/// A listener on sockets that were given.
fn adopted(address: &ListenAddress, given: Given, workers: usize) -> Result<Vec<Vec<Listener>>, StartError> {
    let Given { owns_file, descriptors, .. } = given;
    let adopt = || -> io::Result<Vec<Vec<Listener>>> {
        let path = match address {
            ListenAddress::Ip(_) => None,
            ListenAddress::Unix(name) => name.path().filter(|_| owns_file),
        };
        let file = path.map(SocketFile::of_another).transpose()?.map(Arc::new);
        let adopt = |descriptor| proxy::adopt(address, descriptor, file.clone());
        let spread = spread(descriptors, workers)?.into_iter();
        spread.map(|descriptors| descriptors.into_iter().map(&adopt).collect()).collect()
    };
    adopt().map_err(|source| StartError::Adopt { address: address.clone(), source })
}

fn bound_to(address: SocketAddr, workers: usize) -> Result<Vec<Vec<Listener>>, StartError> {
    // Sharing a port with another process would take a part of its connections: that must be an error.
    proxy::is_free(address).map_err(failed(address, Purpose::Requests))?;
    // A free port is chosen by the first worker; the others take the same.
    let mut address = address;
    let mut listeners = Vec::new();
    for _ in 0..workers {
        let listener = proxy::bind(address).map_err(failed(address, Purpose::Requests))?;
        address = listener.local_addr().map_err(failed(address, Purpose::Requests))?;
        listeners.push(vec![Listener::Tcp(listener)]);
    }
    Ok(listeners)
}

fn bound_at(name: &UnixName, mode: u32, workers: usize) -> Result<Vec<Vec<Listener>>, StartError> {
    let shares = proxy::bind_unix(name, mode, workers);
    let shares = shares.map_err(|source| {
        let (name, purpose) = (name.clone(), Purpose::Requests);
        StartError::Unix { name, purpose, source }
    })?;
    Ok(shares.into_iter().map(|share| vec![Listener::Unix(share)]).collect())
}

/// Binds the address for operators, unless its socket was given.
pub(super) fn bind_admin(
    settings: &admin::Settings,
    given: &mut Sockets,
    estate: Option<&mut Estate>,
) -> Result<(TcpListener, SocketAddr, admin::Settings), StartError> {
    let failed = failed(settings.address, Purpose::Admin);
    let address = ListenAddress::Ip(settings.address);
    let unusable = |source| StartError::Adopt { address: address.clone(), source };
    let passed = given.take(Duty::Admin, &address).and_then(|given| given.descriptors.into_iter().next());
    let adopted =
        passed.map(|descriptor| proxy::adopt(&address, descriptor, None)).transpose().map_err(unusable)?;
    let listener = match adopted {
        Some(Listener::Tcp(listener)) => listener,
        Some(Listener::Unix(_)) | None => TcpListener::bind(settings.address).map_err(&failed)?,
    };
    listener.set_nonblocking(true).map_err(&failed)?;
    if let Some(estate) = estate {
        estate.add(Duty::Admin, &address, std::iter::once(&listener), None).map_err(unusable)?;
    }
    let bound = listener.local_addr().map_err(&failed)?;
    Ok((listener, bound, settings.clone()))
}

/// Listens for a successor, with what it is to get.
pub(super) fn bind_succession(
    config: &Config,
    given: &mut Sockets,
    mut estate: Estate,
) -> Result<(UnixShare, Estate), StartError> {
    let name = UnixName::Path(config.succession.clone().unwrap_or_default());
    let address = ListenAddress::Unix(name.clone());
    let unusable = |source| StartError::Adopt { address: address.clone(), source };
    let passed =
        given.take(Duty::Succession, &address).and_then(|given| given.descriptors.into_iter().next());
    let listener = match passed {
        Some(descriptor) => {
            let file = name.path().map(SocketFile::of_another).transpose().map_err(unusable)?;
            proxy::adopt(&address, descriptor, file.map(Arc::new)).map_err(unusable)?
        }
        None => {
            let shares = proxy::bind_unix(&name, proxy::MODE, 1).map_err(|source| {
                let (name, purpose) = (name.clone(), Purpose::Succession);
                StartError::Unix { name, purpose, source }
            })?;
            let first = shares.into_iter().next();
            Listener::Unix(first.expect("one share was asked for"))
        }
    };
    estate.add(Duty::Succession, &address, std::iter::once(&listener), listener.file()).map_err(unusable)?;
    match listener {
        Listener::Unix(share) => Ok((share, estate)),
        Listener::Tcp(_) => Err(unusable(io::ErrorKind::InvalidInput.into())),
    }
}

impl Fronts {
    /// Takes what the configuration that was read now has for the same listeners. True when TLS is spoken otherwise on some.
    pub(super) fn renew(&self, listeners: &[ListenerSettings]) -> bool {
        let mut is_otherwise = false;
        for (place, (address, front)) in self.0.iter().enumerate() {
            // The one in the same place, since port 0 may be there several times.
            let same = |listener: &&ListenerSettings| listener.address == *address;
            let new = listeners.get(place).filter(same).or_else(|| listeners.iter().find(same));
            is_otherwise |= new.is_some_and(|new| front.renew(new));
        }
        self.warn_of_expiry();
        is_otherwise
    }

    /// When the certificates end that clients are shown.
    pub(super) fn certificate_ends(&self) -> impl Iterator<Item = (&ListenAddress, SystemTime)> {
        self.0.iter().filter_map(|(address, front)| Some((address, front.certificate_end()?)))
    }

    /// Says which certificates clients will not accept for much longer, or do not accept now.
    pub(super) fn warn_of_expiry(&self) {
        for (address, front) in &self.0 {
            if let Some(warning) = front.warning() {
                tracing::warn!(%address, "the certificate of a listener {warning}");
            }
        }
    }
}
