//! One connection to a provider: its name resolved, its addresses tried in turn, secured where its record says so, within
//! one time limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::tls::{self, Tls, TlsError};
use super::{Settings, Stream};
use crate::drain::Drain;
use crate::provider::{Address, Host, Provider};
use crate::telemetry::metrics::Metrics;

/// Why no connection came about; the provider has seen nothing of the request.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The host name could not be resolved.
    #[error("cannot resolve the host of {address}")]
    Resolve {
        /// The provider's address.
        address: Address,
        /// The resolver's words.
        #[source]
        source: io::Error,
    },
    /// The host name has no address.
    #[error("the host of {address} has no address")]
    NoAddress {
        /// The provider's address.
        address: Address,
    },
    /// The provider's machine refuses.
    #[error("{address} refuses connections")]
    Refused {
        /// The provider's address.
        address: Address,
    },
    /// Any other failure to connect.
    #[error("cannot connect to {address}")]
    Failed {
        /// The provider's address.
        address: Address,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The time limit passed first.
    #[error("no connection to {address} within {limit:?}")]
    Timeout {
        /// The provider's address.
        address: Address,
        /// The limit.
        limit: Duration,
    },
    /// The provider speaks something else.
    #[error("{address} does not speak HTTP")]
    NotHttp {
        /// The provider's address.
        address: Address,
    },
    /// The connection came about, but TLS could not begin on it.
    #[error("cannot speak TLS with {address}")]
    Tls {
        /// The provider's address.
        address: Address,
        /// The cause.
        #[source]
        source: Box<TlsError>,
    },
    /// The connection came about, but HTTP could not begin on it.
    #[error("cannot begin to speak HTTP with {address}")]
    Handshake {
        /// The provider's address.
        address: Address,
        /// hyper's words.
        #[source]
        source: hyper::Error,
    },
}

/// How connections are made, the same for all workers.
#[derive(Debug)]
pub struct Dialler {
    /// How endpoints are reached.
    pub(super) settings: Settings,
    /// What runs the connections.
    pub(super) drain: Drain,
    /// What counts them.
    pub(super) metrics: Arc<Metrics>,
    tls: Tls,
}

impl Dialler {
    /// No connection yet.
    pub fn new(settings: Settings, drain: Drain, metrics: Arc<Metrics>) -> Arc<Self> {
        let tls = Tls::new(settings.tls.clone());
        Arc::new(Self { settings, drain, metrics, tls })
    }

    /// Speaks TLS in another way from the next connection on.
    pub fn renew_tls(&self, settings: tls::Settings) {
        self.tls.renew(settings);
    }

    /// Connects to a provider within the time limit, which includes resolving its name and the handshake of TLS. Where its
    /// record asks for TLS, nothing is sent in clear text.
    ///
    /// # Errors
    /// When the name does not resolve, every address fails (the last cause is given), TLS fails, or the limit passes.
    pub async fn connect(&self, provider: &Provider) -> Result<Stream, ConnectError> {
        if provider.secure {
            // Apart, so that those who do without need no room for it.
            return Box::pin(self.connect_securely(provider)).await;
        }
        let deadline = Instant::now() + self.settings.connect_timeout;
        self.socket(&provider.address, deadline).await.map(Stream::Clear)
    }

    async fn connect_securely(&self, provider: &Provider) -> Result<Stream, ConnectError> {
        let (address, limit) = (&provider.address, self.settings.connect_timeout);
        let failed = |cause| ConnectError::Tls { address: address.clone(), source: Box::new(cause) };
        // What is read only once is not on the provider's time.
        let handshake = self.tls.prepare(provider, &self.drain).await.map_err(failed)?;
        let deadline = Instant::now() + limit;
        let socket = self.socket(address, deadline).await?;
        match timeout_at(deadline, handshake.make(socket)).await {
            Ok(Ok(stream)) => Ok(stream.into()),
            Ok(Err(cause)) => Err(failed(cause)),
            Err(_) => Err(failed(TlsError::Timeout { limit })),
        }
    }

    async fn socket(&self, address: &Address, deadline: Instant) -> Result<TcpStream, ConnectError> {
        let limit = self.settings.connect_timeout;
        let late = |_| Err(ConnectError::Timeout { address: address.clone(), limit });
        timeout_at(deadline, reach(address)).await.unwrap_or_else(late)
    }
}

async fn reach(address: &Address) -> Result<TcpStream, ConnectError> {
    match address.host() {
        Host::Ip(ip) => dial(address, SocketAddr::new(*ip, address.port())).await,
        Host::Name(name) => {
            let found = tokio::net::lookup_host((&**name, address.port()));
            let found =
                found.await.map_err(|source| ConnectError::Resolve { address: address.clone(), source })?;
            let mut last = ConnectError::NoAddress { address: address.clone() };
            for socket in found {
                match dial(address, socket).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

async fn dial(address: &Address, socket: SocketAddr) -> Result<TcpStream, ConnectError> {
    match TcpStream::connect(socket).await {
        Ok(stream) => {
            // Small requests must not wait for the acknowledgement of earlier ones.
            stream
                .set_nodelay(true)
                .map_err(|source| ConnectError::Failed { address: address.clone(), source })?;
            Ok(stream)
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(ConnectError::Refused { address: address.clone() })
        }
        Err(source) => Err(ConnectError::Failed { address: address.clone(), source }),
    }
}
