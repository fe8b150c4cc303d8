//! The listeners of all workers: bound at the start; what becomes of their connections may change while they run.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Purpose, StartError, failed};
use crate::config::Config;
use crate::proxy::{self, Front, ListenAddress, Listener, ListenerSettings, Listening, UnixName};

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
    /// Binds all of them.
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let mut bound = Self::default();
        bound.by_worker.resize_with(config.workers, Vec::new);
        for settings in &config.listeners {
            let front = Arc::new(Front::new(settings));
            match &settings.address {
                ListenAddress::Ip(address) => bound.bind_address(*address, &front)?,
                ListenAddress::Unix(name) => bound.bind_socket(name, settings.mode, &front)?,
            }
            bound.fronts.0.push((settings.address.clone(), front));
        }
        bound.fronts.warn_of_expiry();
        Ok(bound)
    }

    fn bind_address(&mut self, address: SocketAddr, front: &Arc<Front>) -> Result<(), StartError> {
        // Sharing a port with another process would take a part of its connections: that must be an error.
        drop(TcpListener::bind(address).map_err(failed(address, Purpose::Requests))?);
        // A free port is chosen by the first worker; the others take the same.
        let mut address = address;
        for own in &mut self.by_worker {
            let listener = proxy::bind(address).map_err(failed(address, Purpose::Requests))?;
            address = listener.local_addr().map_err(failed(address, Purpose::Requests))?;
            own.push(Listening { listener: Listener::Tcp(listener), front: Arc::clone(front) });
        }
        self.addresses.push(address);
        Ok(())
    }

    fn bind_socket(&mut self, name: &UnixName, mode: u32, front: &Arc<Front>) -> Result<(), StartError> {
        let shares = proxy::bind_unix(name, mode, self.by_worker.len());
        let shares = shares.map_err(|source| StartError::Unix { name: name.clone(), source })?;
        for (own, share) in self.by_worker.iter_mut().zip(shares) {
            own.push(Listening { listener: Listener::Unix(share), front: Arc::clone(front) });
        }
        self.sockets.push(name.clone());
        Ok(())
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
