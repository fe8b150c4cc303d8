//! The listeners of all workers: bound at the start, and their certificates renewed while they run.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::{Purpose, StartError, failed};
use crate::config::Config;
use crate::proxy::tls::Acceptor;
use crate::proxy::{self, ListenAddress, Listener, ListenerSettings, Listening, UnixName};

/// What is listened on.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// For each worker its own, in the order of the configuration.
    pub(super) by_worker: Vec<Vec<Listening>>,
    /// The addresses among them, ports chosen.
    pub(super) addresses: Vec<SocketAddr>,
    /// The Unix sockets among them.
    pub(super) sockets: Vec<UnixName>,
    /// What speaks TLS with their clients.
    pub(super) acceptors: Acceptors,
}

/// What speaks TLS with the clients of the listeners, in the order of the configuration that was in force at the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Acceptors(Vec<(ListenAddress, Option<Arc<Acceptor>>)>);

impl Listeners {
    /// Binds all of them.
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let mut bound = Self::default();
        bound.by_worker.resize_with(config.workers, Vec::new);
        for settings in &config.listeners {
            let acceptor = settings.tls.as_ref().map(|tls| Arc::new(Acceptor::new(tls)));
            match &settings.address {
                ListenAddress::Ip(address) => bound.bind_address(*address, settings, acceptor.as_ref())?,
                ListenAddress::Unix(name) => bound.bind_socket(name, settings, acceptor.as_ref())?,
            }
            bound.acceptors.0.push((settings.address.clone(), acceptor));
        }
        warn_of_expiry(&config.listeners);
        Ok(bound)
    }

    fn bind_address(
        &mut self,
        address: SocketAddr,
        settings: &ListenerSettings,
        acceptor: Option<&Arc<Acceptor>>,
    ) -> Result<(), StartError> {
        // Sharing a port with another process would take a part of its connections: that must be an error.
        drop(TcpListener::bind(address).map_err(failed(address, Purpose::Requests))?);
        // A free port is chosen by the first worker; the others take the same.
        let mut address = address;
        for own in &mut self.by_worker {
            let listener = proxy::bind(address).map_err(failed(address, Purpose::Requests))?;
            address = listener.local_addr().map_err(failed(address, Purpose::Requests))?;
            own.push(listening(Listener::Tcp(listener), settings, acceptor));
        }
        self.addresses.push(address);
        Ok(())
    }

    fn bind_socket(
        &mut self,
        name: &UnixName,
        settings: &ListenerSettings,
        acceptor: Option<&Arc<Acceptor>>,
    ) -> Result<(), StartError> {
        let shares = proxy::bind_unix(name, settings.mode, self.by_worker.len());
        let shares = shares.map_err(|source| StartError::Unix { name: name.clone(), source })?;
        for (own, share) in self.by_worker.iter_mut().zip(shares) {
            own.push(listening(Listener::Unix(share), settings, acceptor));
        }
        self.sockets.push(name.clone());
        Ok(())
    }
}

fn listening(listener: Listener, settings: &ListenerSettings, acceptor: Option<&Arc<Acceptor>>) -> Listening {
    Listening { listener, settings: settings.clone(), acceptor: acceptor.cloned() }
}

impl Acceptors {
    /// Takes what the configuration that was read now has for the same listeners.
    pub(super) fn renew(&self, listeners: &[ListenerSettings]) {
        for (place, (address, acceptor)) in self.0.iter().enumerate() {
            // The one in the same place, since port 0 may be there several times.
            let same = |listener: &&ListenerSettings| listener.address == *address;
            let new = listeners.get(place).filter(same).or_else(|| listeners.iter().find(same));
            if let (Some(acceptor), Some(tls)) = (acceptor, new.and_then(|new| new.tls.as_ref())) {
                acceptor.renew(tls);
            }
        }
        warn_of_expiry(listeners);
    }
}

/// Whether the certificates of some listener are others.
pub(super) fn have_other_certificates(old: &[ListenerSettings], new: &[ListenerSettings]) -> bool {
    let of = |listeners: &[ListenerSettings]| {
        listeners.iter().map(|listener| listener.tls.clone()).collect::<Vec<_>>()
    };
    of(old) != of(new)
}

/// Says which certificates clients will not accept for much longer, or do not accept now.
fn warn_of_expiry(listeners: &[ListenerSettings]) {
    for ListenerSettings { address, tls, .. } in listeners {
        if let Some(warning) = tls.as_ref().and_then(|tls| tls.identity.warning()) {
            tracing::warn!(%address, "the certificate of a listener {warning}");
        }
    }
}
