//! One connection to a provider: its name resolved, its addresses tried in turn, within one time limit.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;

use crate::provider::{Address, Host};

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

/// Connects to a provider's address within the limit, which includes resolving its name.
///
/// # Errors
/// When the name does not resolve, every address fails (the last cause is given), or the limit passes.
pub async fn connect(address: &Address, limit: Duration) -> Result<TcpStream, ConnectError> {
    match tokio::time::timeout(limit, reach(address)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Timeout { address: address.clone(), limit }),
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
