//! One connection to a provider: its name resolved, its addresses tried in turn, secured where its record says so, within
//! one time limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::tls::{self, Tls, TlsError};
use super::{Settings, Stream};
use crate::drain::Drain;
use crate::provider::{Address, Host, Provider};
use crate::telemetry::metrics::Metrics;

/// Why no connection came about; the provider has seen nothing of the request.
#[derive(Clone, Debug, Error)]
pub enum ConnectError {
    /// The host name could not be resolved.
    #[error("cannot resolve the host of {address}")]
    Resolve {
        /// The provider's address.
        address: Address,
        /// The resolver's words.
        #[source]
        source: Arc<io::Error>,
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
    /// This machine has not what a connection takes; the provider has nothing to do with it.
    #[error("this machine cannot make another connection to {address}: {}", lacking(.source))]
    Lacking {
        /// The provider's address.
        address: Address,
        /// The system's words.
        #[source]
        source: Arc<io::Error>,
    },
    /// Any other failure to connect.
    #[error("cannot connect to {address}")]
    Failed {
        /// The provider's address.
        address: Address,
        /// The system's words.
        #[source]
        source: Arc<io::Error>,
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
        source: Arc<TlsError>,
    },
    /// The connection came about, but HTTP could not begin on it.
    #[error("cannot begin to speak HTTP with {address}")]
    Handshake {
        /// The provider's address.
        address: Address,
        /// hyper's words.
        #[source]
        source: Arc<hyper::Error>,
    },
}

impl ConnectError {
    /// Whether the cause lies with this machine alone, so that nothing is known of the provider.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Lacking { .. } => true,
            Self::Tls { source, .. } => matches!(**source, TlsError::NoRoots { .. }),
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Timeout { .. }
            | Self::NotHttp { .. }
            | Self::Handshake { .. } => false,
        }
    }
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
    /// When it was last said that this machine lacks something, and how often it did since then.
    lacked: Mutex<(Option<Instant>, u64)>,
}

/// The least time between two lines of the log that say what this machine lacks: it lacks it for every request.
const LACK_PAUSE: Duration = Duration::from_secs(10);

impl Dialler {
    /// No connection yet.
    pub fn new(settings: Settings, drain: Drain, metrics: Arc<Metrics>) -> Arc<Self> {
        let tls = Tls::new(settings.tls.clone());
        Arc::new(Self { settings, drain, metrics, tls, lacked: Mutex::default() })
    }

    /// Speaks TLS in another way from the next connection on.
    pub fn renew_tls(&self, settings: tls::Settings) {
        self.tls.renew(settings);
    }

    /// Makes a connection for requests, and counts it.
    ///
    /// # Errors
    /// As [`Dialler::connect`].
    pub async fn connect_counted(&self, provider: &Provider) -> Result<Stream, ConnectError> {
        self.counted(self.connect(provider)).await
    }

    /// Makes a connection on which these bytes go first, before TLS; and counts it.
    ///
    /// # Errors
    /// As [`Dialler::connect`].
    pub async fn connect_raw(&self, provider: &Provider, opening: &[u8]) -> Result<Stream, ConnectError> {
        self.counted(self.connect_opening(provider, opening)).await
    }

    /// Counts what becomes of a connection.
    pub(super) async fn counted<T>(
        &self,
        made: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        self.metrics.proxy.upstream_dials_total.inc();
        let made = made.await;
        if let Err(error) = &made {
            self.metrics.proxy.upstream_dial_failures_total.inc();
            if let ConnectError::Lacking { source, .. } = error {
                self.warn(error, source);
            }
        }
        made
    }

    /// Says what this machine lacks, at a bounded rate.
    fn warn(&self, error: &ConnectError, cause: &io::Error) {
        let now = Instant::now();
        let mut lacked = self.lacked.lock();
        lacked.1 += 1;
        if lacked.0.is_none_or(|last| now - last >= LACK_PAUSE) {
            let times = lacked.1;
            *lacked = (Some(now), 0);
            tracing::warn!(%cause, times, "{error}");
        }
    }

    /// Connects to a provider within the time limit, which includes resolving its name and the handshake of TLS. Where its
    /// record asks for TLS, nothing is sent in clear text.
    ///
    /// # Errors
    /// When the name does not resolve, every address fails (the last cause is given), TLS fails, or the limit passes.
    pub async fn connect(&self, provider: &Provider) -> Result<Stream, ConnectError> {
        self.connect_opening(provider, &[]).await
    }

    async fn connect_opening(&self, provider: &Provider, opening: &[u8]) -> Result<Stream, ConnectError> {
        if provider.secure {
            // Apart, so that those who do without need no room for it.
            return Box::pin(self.connect_securely(provider, opening)).await;
        }
        let deadline = Instant::now() + self.settings.connect_timeout;
        self.socket(&provider.address, opening, deadline).await.map(Stream::Clear)
    }

    async fn connect_securely(&self, provider: &Provider, opening: &[u8]) -> Result<Stream, ConnectError> {
        let (address, limit) = (&provider.address, self.settings.connect_timeout);
        let failed = |cause| ConnectError::Tls { address: address.clone(), source: Arc::new(cause) };
        // What is read only once is not on the provider's time.
        let handshake = self.tls.prepare(provider, &self.drain).await.map_err(failed)?;
        let deadline = Instant::now() + limit;
        let socket = self.socket(address, opening, deadline).await?;
        match timeout_at(deadline, handshake.make(socket)).await {
            Ok(Ok(stream)) => Ok(stream.into()),
            Ok(Err(cause)) => Err(failed(cause)),
            Err(_) => Err(failed(TlsError::Timeout { limit })),
        }
    }

    async fn socket(
        &self,
        address: &Address,
        opening: &[u8],
        deadline: Instant,
    ) -> Result<TcpStream, ConnectError> {
        let limit = self.settings.connect_timeout;
        let late = |_| Err(ConnectError::Timeout { address: address.clone(), limit });
        let mut socket = timeout_at(deadline, reach(address)).await.unwrap_or_else(late)?;
        if !opening.is_empty() {
            // A new connection takes so little at once.
            socket.write_all(opening).await.map_err(|source| failed(address, source))?;
        }
        Ok(socket)
    }
}

/// How long an address of a name is tried alone before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

async fn reach(address: &Address) -> Result<TcpStream, ConnectError> {
    match address.host() {
        Host::Ip(ip) => dial(address, SocketAddr::new(*ip, address.port())).await,
        Host::Name(name) => {
            let found = tokio::net::lookup_host((&**name, address.port()));
            let found = found.await.map_err(|source| ConnectError::Resolve {
                address: address.clone(),
                source: Arc::new(source),
            })?;
            race(found.map(|socket| dial(address, socket)))
                .await
                .unwrap_or_else(|| Err(ConnectError::NoAddress { address: address.clone() }))
        }
    }
}

/// The first success among several tries, each begun when the one before has failed or has had its head start; else the
/// last failure, or nothing of no try.
async fn race<T, E>(tries: impl Iterator<Item = impl Future<Output = Result<T, E>>>) -> Option<Result<T, E>> {
    let mut left = tries.fuse();
    let mut running = FuturesUnordered::new();
    let mut last = None;
    loop {
        let next = left.next();
        let is_last = next.is_none();
        running.extend(next);
        let ended = if is_last {
            // With none running, all have failed.
            running.next().await
        } else {
            match timeout(HEAD_START, running.next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(made)) => return Some(Ok(made)),
            Some(Err(error)) => last = Some(Err(error)),
            None => return last,
        }
    }
}

fn failed(address: &Address, source: io::Error) -> ConnectError {
    let (address, source) = (address.clone(), Arc::new(source));
    if is_ours(&source) {
        ConnectError::Lacking { address, source }
    } else if source.kind() == io::ErrorKind::ConnectionRefused {
        ConnectError::Refused { address }
    } else {
        ConnectError::Failed { address, source }
    }
}

async fn dial(address: &Address, socket: SocketAddr) -> Result<TcpStream, ConnectError> {
    let failed = |source| failed(address, source);
    let stream = TcpStream::connect(socket).await.map_err(failed)?;
    // Small requests must not wait for the acknowledgement of earlier ones.
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// What Linux calls them: no memory, no file descriptor in the system or the process, no local port, no buffer.
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EADDRNOTAVAIL: i32 = 99;
const ENOBUFS: i32 = 105;

/// Whether a failure to connect is this machine's own.
fn is_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | EADDRNOTAVAIL | ENOBUFS))
}

/// What is lacking, and where to look.
fn lacking(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(EMFILE) => "it has as many files open as a process may (ulimit -n)",
        Some(ENFILE) => "the system has as many files open as it may (fs.file-max)",
        Some(EADDRNOTAVAIL) => "no local port is free for that address (net.ipv4.ip_local_port_range)",
        Some(_) | None => "the system has no memory for it",
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::Pin;

    use tokio::time::sleep_until;

    use super::*;

    type Try = Pin<Box<dyn Future<Output = Result<u32, u32>>>>;

    fn after(millis: u64, result: Result<u32, u32>) -> Try {
        Box::pin(async move {
            sleep_until(Instant::now() + Duration::from_millis(millis)).await;
            result
        })
    }

    async fn timed(tries: Vec<Try>) -> (Option<Result<u32, u32>>, u128) {
        let begun = Instant::now();
        (race(tries.into_iter()).await, begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_its_head_start_alone() {
        let silent = || -> Try { Box::pin(pending()) };
        let fails = |why| -> Try { Box::pin(ready(Err(why))) };
        assert_eq!(timed(vec![silent(), after(10, Ok(2)), after(0, Ok(3))]).await, (Some(Ok(2)), 260));
        assert_eq!(timed(vec![silent(), silent(), after(5, Ok(3))]).await, (Some(Ok(3)), 505));
        assert_eq!(
            timed(vec![fails(1), after(10, Ok(2))]).await,
            (Some(Ok(2)), 10),
            "a failure costs nothing"
        );
        assert_eq!(
            timed(vec![after(300, Ok(1)), after(300, Ok(2))]).await,
            (Some(Ok(1)), 300),
            "the first goes on"
        );
        assert_eq!(timed(vec![fails(1), after(10, Err(2)), fails(3)]).await, (Some(Err(3)), 10));
        assert_eq!(timed(Vec::new()).await, (None, 0));
    }

    #[test]
    fn what_this_machine_lacks_is_told_apart() {
        for (code, ours) in
            [(EMFILE, true), (EADDRNOTAVAIL, true), (ENOBUFS, true), (111, false), (110, false)]
        {
            assert_eq!(is_ours(&io::Error::from_raw_os_error(code)), ours, "{code}");
        }
        assert!(!is_ours(&io::Error::other("no number")));
    }
}
