//! One connection to a provider: its name resolved, its addresses tried in turn, secured where its record says so, within
//! one time limit.

mod error;
mod reserved;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

pub use error::ConnectError;

use super::tls::{self, Manner, Tls, TlsError};
use super::{Settings, Stream};
use crate::drain::Drain;
use crate::provider::{Address, Allowed, Host, Provider, ServiceName};
use crate::telemetry::metrics::Metrics;

/// How connections are made, the same for all workers.
#[derive(Debug)]
pub struct Dialler {
    /// How endpoints are reached.
    pub(super) settings: Settings,
    /// What runs the connections.
    pub(super) drain: Drain,
    /// What counts them.
    pub(super) metrics: Arc<Metrics>,
    pub(super) tls: Tls,
    /// When it was last said that this machine lacks something, and how often it did since then.
    lacked: Mutex<(Option<Instant>, u64)>,
}

/// The least time between two lines of the log that say what this machine lacks: it lacks it for every request.
const LACK_PAUSE: Duration = Duration::from_secs(10);

impl Dialler {
    /// No connection yet.
    pub fn new(settings: Settings, drain: Drain, metrics: Arc<Metrics>) -> Arc<Self> {
        let tls = Tls::new(&settings.tls);
        Arc::new(Self { settings, drain, metrics, tls, lacked: Mutex::default() })
    }

    /// Speaks TLS in another way from the next connection on, with what the system trusts now. Connections whose terms are
    /// others take no further requests; true when there are such terms.
    pub async fn renew_tls(&self, settings: &tls::Settings) -> bool {
        self.tls.renew(settings, &self.drain).await
    }

    /// Says which of the certificates that are shown to providers end soon, or have ended.
    pub fn warn_of_expiry(&self) {
        self.tls.warn_of_expiry();
    }

    /// When the certificates end that are shown to providers: that of all services, and those of single ones.
    pub fn certificate_ends(&self) -> Vec<(Option<ServiceName>, SystemTime)> {
        self.tls.ends()
    }

    /// Makes a connection for requests, and counts it.
    ///
    /// # Errors
    /// As [`Dialler::connect`].
    pub async fn connect_counted(
        &self,
        service: Option<&ServiceName>,
        provider: &Provider,
    ) -> Result<Stream, ConnectError> {
        self.counted(self.connect(service, provider)).await
    }

    /// Makes a connection on which these bytes go first, before TLS; and counts it.
    ///
    /// # Errors
    /// As [`Dialler::connect`].
    pub async fn connect_raw(
        &self,
        service: &ServiceName,
        provider: &Provider,
        opening: &[u8],
    ) -> Result<Stream, ConnectError> {
        self.counted(self.connect_opening(Some(service), provider, opening)).await
    }

    /// Makes a connection for bytes that are not ours, in clear text whatever the provider's record says; and counts it.
    ///
    /// # Errors
    /// As [`Dialler::connect`], but for TLS.
    pub async fn connect_through(&self, provider: &Provider) -> Result<Stream, ConnectError> {
        let deadline = Instant::now() + self.settings.connect_timeout;
        self.counted(async { self.socket(&provider.address, &[], deadline).await.map(Stream::Clear) }).await
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
            if error.is_ours() {
                self.warn(error);
            }
        }
        made
    }

    /// Says what this machine lacks, at a bounded rate.
    fn warn(&self, error: &ConnectError) {
        let now = Instant::now();
        let mut lacked = self.lacked.lock();
        lacked.1 += 1;
        if lacked.0.is_none_or(|last| now - last >= LACK_PAUSE) {
            let times = lacked.1;
            *lacked = (Some(now), 0);
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(cause, times, "{error}");
        }
    }

    /// Connects to a provider of a service within the time limit, which includes resolving its name and the handshake of TLS.
    /// Where its record asks for TLS, nothing is sent in clear text, and the terms of the service hold.
    ///
    /// # Errors
    /// When the name does not resolve, every address fails (the last cause is given), TLS fails, or the limit passes.
    pub async fn connect(
        &self,
        service: Option<&ServiceName>,
        provider: &Provider,
    ) -> Result<Stream, ConnectError> {
        self.connect_opening(service, provider, &[]).await
    }

    /// The same, on a connection on which these bytes go first, before TLS.
    ///
    /// # Errors
    /// As [`Dialler::connect`].
    pub async fn connect_opening(
        &self,
        service: Option<&ServiceName>,
        provider: &Provider,
        opening: &[u8],
    ) -> Result<Stream, ConnectError> {
        if provider.secure {
            let manner = self.tls.manner(service);
            // Apart, so that those who do without need no room for it.
            return Box::pin(self.connect_securely(&manner, provider, opening)).await;
        }
        let deadline = Instant::now() + self.settings.connect_timeout;
        self.socket(&provider.address, opening, deadline).await.map(Stream::Clear)
    }

    /// Connects to a provider over TLS in a certain manner, as above.
    ///
    /// # Errors
    /// As above.
    pub(super) async fn connect_in(
        &self,
        manner: &Manner,
        provider: &Provider,
    ) -> Result<Stream, ConnectError> {
        // Apart, so that those who do without need no room for it.
        Box::pin(self.connect_securely(manner, provider, &[])).await
    }

    async fn connect_securely(
        &self,
        manner: &Manner,
        provider: &Provider,
        opening: &[u8],
    ) -> Result<Stream, ConnectError> {
        let (address, limit) = (&provider.address, self.settings.connect_timeout);
        let failed = |cause: TlsError| {
            self.metrics.proxy.upstream_tls_failures(cause.reason()).inc();
            ConnectError::tls(address, &provider.id, cause)
        };
        // What is read only once is not on the provider's time.
        let handshake = manner.prepare(provider, &self.drain).await.map_err(failed)?;
        let deadline = Instant::now() + limit;
        let mut is_second = false;
        loop {
            let socket = self.socket(address, opening, deadline).await?;
            let made = timeout_at(deadline, handshake.make(socket)).await;
            let stream = made.unwrap_or(Err(TlsError::Timeout { limit })).map_err(failed)?;
            match handshake.verify_again(&stream) {
                Ok(()) => return Ok(Stream::secure(stream, provider, manner.has_identity(), &self.metrics)),
                Err(cause) if is_second => return Err(failed(cause)),
                // It may have another certificate by now, which it shows in a handshake that resumes nothing.
                Err(_) => is_second = true,
            }
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
        let mut socket =
            timeout_at(deadline, reach(address, &self.settings.allowed)).await.unwrap_or_else(late)?;
        if !opening.is_empty() {
            // A new connection takes so little at once.
            socket.write_all(opening).await.map_err(|source| failed(address, source))?;
        }
        Ok(socket)
    }
}

/// How long an address of a name is tried alone before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to an address, or to one of those that a name has.
async fn reach(address: &Address, allowed: &Allowed) -> Result<TcpStream, ConnectError> {
    match address.host() {
        Host::Ip(ip) => {
            reserved::refuse(address, *ip, allowed)?;
            dial(address, SocketAddr::new(*ip, address.port())).await
        }
        Host::Name(name) => {
            let found = tokio::net::lookup_host((&**name, address.port()));
            let found = found.await.map_err(|source| ConnectError::Resolve {
                address: address.clone(),
                source: Arc::new(source),
            })?;
            let found = reserved::sift(address, found, allowed)?;
            race(found.into_iter().map(|socket| dial(address, socket)), ConnectError::is_ours)
                .await
                .unwrap_or_else(|| Err(ConnectError::NoAddress { address: address.clone() }))
        }
    }
}

/// The first success among several tries, each begun when the one before has failed or has had its head start; else the
/// last failure, and rather one that tells something than one that tells `nothing`; or nothing of no try.
async fn race<T, E>(
    tries: impl Iterator<Item = impl Future<Output = Result<T, E>>>,
    nothing: impl Fn(&E) -> bool,
) -> Option<Result<T, E>> {
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
            // A machine without IPv6 has no port there, which is not why a provider is not reached.
            Some(Err(error)) if last.is_some() && nothing(&error) => {}
            Some(Err(error)) => last = Some(error),
            None => return last.map(Err),
        }
    }
}

fn failed(address: &Address, source: io::Error) -> ConnectError {
    let (address, source) = (address.clone(), Arc::new(source));
    if error::is_ours(&source) {
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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::Pin;

    use tokio::time::sleep_until;

    use super::*;

    /// A failure that says nothing of whoever was tried.
    const OURS: u32 = 99;

    type Try = Pin<Box<dyn Future<Output = Result<u32, u32>>>>;

    fn after(millis: u64, result: Result<u32, u32>) -> Try {
        Box::pin(async move {
            sleep_until(Instant::now() + Duration::from_millis(millis)).await;
            result
        })
    }

    async fn timed(tries: Vec<Try>) -> (Option<Result<u32, u32>>, u128) {
        let begun = Instant::now();
        (race(tries.into_iter(), |why| *why == OURS).await, begun.elapsed().as_millis())
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
        assert_eq!(timed(vec![fails(1), fails(OURS)]).await, (Some(Err(1)), 0));
        assert_eq!(timed(vec![fails(OURS), fails(1)]).await, (Some(Err(1)), 0));
        assert_eq!(timed(vec![fails(OURS)]).await, (Some(Err(OURS)), 0));
        assert_eq!(timed(Vec::new()).await, (None, 0));
    }
}
