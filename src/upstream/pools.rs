//! The pools of one worker: one per endpoint, gone with it; how a request gets a connection, and another where one is stale.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use futures_util::future::Either;
use http::header::CONNECTION;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::sync::{Notify, OwnedMutexGuard, oneshot};
use tokio::time::Instant;

use super::connection::Sender;
use super::pool::Pool;
use super::seat::{Alive, Seat};
use super::{Arrival, ConnectError, Dialler, Hear, SendCause, SendError};
use crate::body::{Body, Incoming};
use crate::clock::{Clock, Moment, Tick};
use crate::endpoint::Endpoint;
use crate::provider::{Protocol, Provider};

/// Whether an idle connection will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// An idle connection if there is one.
    Idle,
    /// A new connection, since an idle one has just proved stale.
    Fresh,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// Whether an idle connection will do.
    pub reuse: Reuse,
    /// Whether it is sent a second time should it perhaps have arrived, and so need not be kept from a stale connection.
    pub repeats: bool,
    /// When this attempt began; once a connection had to be made, when that was there.
    pub begun: Instant,
    /// Who is told of interim answers.
    pub hear: Hear<'a>,
}

/// How long an HTTP/2 connection may idle at least: the provider can end it without losing a request, and a new one is dear.
const HTTP2_IDLE: Duration = Duration::from_mins(1);

/// The connections of one worker, or of one client where they must not be shared.
#[derive(Debug)]
pub struct Pools {
    dialler: Arc<Dialler>,
    /// How long a connection may idle here, where nothing else was learnt.
    idle_timeout: Duration,
    /// Whether what is learnt of a provider takes the place of that.
    learns: bool,
    tick: Rc<Tick>,
    by_endpoint: RefCell<HashMap<u64, Rc<Pool>>>,
    /// Told when an idle connection has ended.
    news: Arc<Notify>,
}

impl Pools {
    /// No connections yet; they will idle as long as the settings say, or as is learnt of their endpoint.
    pub fn new(dialler: Arc<Dialler>, tick: Rc<Tick>) -> Rc<Self> {
        let (idle_timeout, learns) = (dialler.settings.idle_timeout, dialler.settings.idle_learnt);
        let (by_endpoint, news) = Default::default();
        Rc::new(Self { dialler, idle_timeout, learns, tick, by_endpoint, news })
    }

    /// No connections yet; they will idle until all of this ends.
    pub fn lasting(&self) -> Rc<Self> {
        let (dialler, tick, news) =
            (Arc::clone(&self.dialler), Rc::clone(&self.tick), Arc::clone(&self.news));
        let by_endpoint = RefCell::default();
        Rc::new(Self { dialler, idle_timeout: Duration::MAX, learns: false, tick, by_endpoint, news })
    }

    /// Sends a request to an endpoint and waits for the head of the response. Dropping the future takes the request back.
    ///
    /// A connection that was kept and proves to be closed costs nothing but a new one, once, where nothing of the request
    /// was used up.
    ///
    /// # Errors
    /// When no connection comes about, or the connection ends before a response. The error says whether the request can
    /// have arrived, and brings it back where nothing of it was used up.
    pub fn send<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        request: Box<Request<Body>>,
        sending: Sending<'a>,
    ) -> impl Future<Output = Result<Response<Body>, SendError>> + 'a {
        let pool = self.pool(endpoint);
        let now = self.tick.clock().at(sending.begun);
        let ready = match sending.reuse {
            Reuse::Idle => pool.take(now, self.limit(&pool, now)),
            Reuse::Fresh => None,
        };
        // Apart, so that the many requests that find a connection need no room for making one.
        match ready {
            None => Either::Left(Box::pin(self.send_anew(pool, endpoint, request, sending))),
            Some((sender, idled)) => {
                Either::Right(self.send_on(pool, sender, idled, endpoint, request, sending))
            }
        }
    }

    /// Sends a request on a connection that has idled for so long.
    fn send_on<'a>(
        &'a self,
        pool: Rc<Pool>,
        mut sender: Sender,
        idled: Duration,
        endpoint: &'a Endpoint,
        request: Box<Request<Body>>,
        sending: Sending<'a>,
    ) -> impl Future<Output = Result<Response<Body>, SendError>> + 'a {
        let last = is_last(&request, endpoint);
        async move {
            match sender.send(request, &self.dialler, &pool.memory.address, sending, true).await {
                Ok(response) => {
                    pool.memory.idling().outlived(idled);
                    Ok(self.lend(pool, sender, response, last))
                }
                Err(error) => {
                    let request = self.mend(&pool, error, &sender)?;
                    Box::pin(self.send_anew(pool, endpoint, request, sending)).await
                }
            }
        }
    }

    /// Sends a request on a new connection, or on one that others have just made.
    async fn send_anew(
        &self,
        pool: Rc<Pool>,
        endpoint: &Endpoint,
        mut request: Box<Request<Body>>,
        sending: Sending<'_>,
    ) -> Result<Response<Body>, SendError> {
        let last = is_last(&request, endpoint);
        let mut mended = false;
        loop {
            let (mut sender, is_kept) = match self.dial(&pool, &endpoint.provider).await {
                Ok(dialled) => dialled,
                Err(cause) => {
                    let request = Some(request);
                    return Err(SendError { cause, arrival: Arrival::Never, request });
                }
            };
            // Making a connection is no silence of the provider's on it.
            let sending = Sending { begun: Instant::now(), ..sending };
            match sender.send(request, &self.dialler, &pool.memory.address, sending, is_kept).await {
                Ok(response) => {
                    if let Some(timeout) = told(&response).filter(|_| !is_kept) {
                        pool.memory.idling().told(timeout);
                    }
                    return Ok(self.lend(pool, sender, response, last));
                }
                Err(error) if mended => return Err(error),
                Err(error) => request = self.mend(&pool, error, &sender)?,
            }
            mended = true;
        }
    }

    /// The request that a stale connection gave back, to be sent on another without further ado.
    fn mend(&self, pool: &Pool, error: SendError, sender: &Sender) -> Result<Box<Request<Body>>, SendError> {
        if !matches!(error.cause, SendCause::Stale { .. }) {
            return Err(error);
        }
        self.dialler.metrics.proxy.upstream_stale_total.inc();
        pool.give_up(sender);
        let SendError { cause, arrival, request } = error;
        request.ok_or(SendError { cause, arrival, request: None })
    }

    /// Lends the connection to the body of its response, which gives it back to the pool at its end.
    fn lend(
        &self,
        pool: Rc<Pool>,
        sender: Sender,
        response: Response<Incoming>,
        last: bool,
    ) -> Response<Body> {
        let clock = self.tick.clock();
        let idle_max = self.dialler.settings.idle_max;
        let mut response = response.map(Body::received);
        response.body_mut().on_end(move |end| {
            if end.complete && !last {
                Sender::once_sent(sender, move |sender| pool.give_back(sender, clock, idle_max));
            }
        });
        response
    }

    /// How long connections of a pool may idle at present.
    fn limit(&self, pool: &Pool, now: Moment) -> Duration {
        if self.learns { pool.memory.idling().limit(self.idle_timeout, now) } else { self.idle_timeout }
    }

    /// Waits until an idle connection has ended, and lets go of it: at once, since when that was tells how long they may idle.
    pub async fn hear_news(&self) {
        self.news.notified().await;
        self.by_endpoint.borrow().values().for_each(|pool| pool.hear_news());
    }

    /// Closes what idles too long, or at all while draining, and lets go of withdrawn endpoints; called about once a second.
    pub fn sweep(&self) {
        let now = self.tick.now();
        let over = self.dialler.drain.has_begun();
        self.by_endpoint.borrow_mut().retain(|_, pool| {
            if over || pool.memory.is_retired() {
                pool.clear();
            } else if !pool.keeps_terms(&self.dialler.tls) {
                pool.end();
                return false;
            } else {
                pool.sweep(now, self.limit(pool, now), self.idle_timeout.max(HTTP2_IDLE));
            }
            pool.open.get() > 0
        });
    }

    /// Endpoints to which a connection exists.
    pub fn endpoints(&self) -> usize {
        self.by_endpoint.borrow().len()
    }

    fn pool(&self, endpoint: &Endpoint) -> Rc<Pool> {
        let mut pools = self.by_endpoint.borrow_mut();
        let begin = || Pool::new(endpoint, &self.dialler.tls, &self.news);
        let pool = pools.entry(endpoint.memory.number).or_insert_with(begin);
        if !pool.suits(endpoint, &self.dialler.tls) {
            // Its connections end with their requests.
            pool.end();
            *pool = begin();
        }
        Rc::clone(pool)
    }

    /// A connection, and whether others have sent on it.
    async fn dial(&self, pool: &Rc<Pool>, provider: &Arc<Provider>) -> Result<(Sender, bool), SendCause> {
        match provider.protocol {
            Protocol::Http1 | Protocol::Mucp | Protocol::Tcp => {
                Ok((open(&self.dialler, self.tick.clock(), pool, provider).await?, false))
            }
            Protocol::H2c => {
                let failures = pool.failures();
                let turn = Arc::clone(&pool.dialling).lock_owned().await;
                if let Some((sender, _)) = pool.take(self.tick.now(), Duration::MAX) {
                    return Ok((sender, true));
                }
                if let Some(error) = pool.failed_since(failures) {
                    // Whoever waited for the one that failed need not fail anew, one after another.
                    return Err(error.into());
                }
                Ok((self.open_for_all(pool, provider, turn).await?, false))
            }
        }
    }

    /// Makes a connection that others share, by a task of its own, which does not end with whoever asks: where requests have less time
    /// than it takes, none would ever come about.
    async fn open_for_all(
        &self,
        pool: &Rc<Pool>,
        provider: &Arc<Provider>,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Sender, SendCause> {
        let (dialler, clock) = (Arc::clone(&self.dialler), self.tick.clock());
        let (pool, provider) = (Rc::clone(pool), Arc::clone(provider));
        let address = provider.address.clone();
        let (tell, opened) = oneshot::channel();
        self.dialler.drain.spawn_local("upstream dial", async move {
            let opened = open(&dialler, clock, &pool, &provider).await;
            if let Ok(sender) = &opened {
                pool.share(sender, clock.now());
            }
            if let Err(SendCause::Connect(error)) = &opened {
                pool.fail(error.clone());
            }
            drop(turn);
            // Whoever asked may have gone.
            let _ = tell.send(opened);
        });
        opened.await.unwrap_or_else(|_| {
            // That is our own doing.
            let source = Arc::new(io::Error::other("the task that made it ended"));
            Err(ConnectError::Lacking { address, source }.into())
        })
    }
}

async fn open(
    dialler: &Dialler,
    clock: Clock,
    pool: &Pool,
    provider: &Provider,
) -> Result<Sender, SendCause> {
    let address = &provider.address;
    let limit = dialler.settings.connections_max;
    if pool.open.get() >= limit && !pool.make_room() {
        return Err(SendCause::Full { address: address.clone(), limit });
    }
    let seat = Seat::take(&pool.open);
    let made = async {
        let alive = Alive::new(seat, &pool.memory, clock, &dialler.metrics);
        let stream = match pool.manner() {
            Some(manner) => dialler.connect_in(manner, provider).await?,
            None => dialler.connect(None, provider).await?,
        };
        Sender::begin(stream, provider.protocol, address, dialler, alive).await
    };
    Ok(dialler.counted(made).await?)
}

/// Whether a connection cannot be used any more once this request was answered on it: a Go Micro server sends a body after its answer
/// to HEAD too, so that nothing behind that can be understood.
fn is_last(request: &Request<Body>, endpoint: &Endpoint) -> bool {
    request.method() == Method::HEAD && endpoint.provider.protocol == Protocol::Mucp
}

/// How long a provider keeps idle connections, as its first answer on one tells: nothing by the end of the connection, and
/// zero where it says that it keeps it and not how long.
fn told<B>(response: &Response<B>) -> Option<Duration> {
    let headers = response.headers();
    let ends = response.version() != Version::HTTP_11
        || response.status() == StatusCode::SWITCHING_PROTOCOLS
        || headers.get_all(CONNECTION).iter().any(|said| says_close(said.as_bytes()));
    told_timeout(headers).or_else(|| (!ends).then_some(Duration::ZERO))
}

/// Whether `close` is among the options of a connection.
fn says_close(options: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// How long a provider says it keeps an idle connection, as in `Keep-Alive: timeout=5, max=100`.
fn told_timeout(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = said.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().trim_matches('"'))
    })?;
    timeout.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn reads_how_long_a_provider_keeps_connections() {
        let told = |said: &str| {
            told_timeout(&HeaderMap::from_iter([(
                http::HeaderName::from_static("keep-alive"),
                HeaderValue::from_str(said).unwrap(),
            )]))
        };
        for said in ["timeout=5", "timeout=5, max=100", "max=100,Timeout = 5", "timeout=\"5\""] {
            assert_eq!(told(said), Some(Duration::from_secs(5)), "{said}");
        }
        for said in ["", "timeout", "timeout=", "timeout=-1", "timeout=soon", "max=5", "timeout=5s"] {
            assert_eq!(told(said), None, "{said}");
        }
        assert_eq!(told_timeout(&HeaderMap::new()), None);
    }

    #[test]
    fn a_provider_that_says_no_timeout_any_more_takes_back_what_it_said() {
        let after = |status: u16, version: Version, headers: &[(&str, &str)]| {
            let mut response = Response::builder().status(status).version(version);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            told(&response.body(()).unwrap())
        };
        let none = Some(Duration::ZERO);
        assert_eq!(after(200, Version::HTTP_11, &[]), none);
        assert_eq!(after(200, Version::HTTP_11, &[("connection", "keep-alive")]), none);
        let five = [("connection", "keep-alive"), ("keep-alive", "timeout=5")];
        assert_eq!(after(200, Version::HTTP_11, &five), Some(Duration::from_secs(5)));
        assert_eq!(after(400, Version::HTTP_11, &[("connection", "x, Close")]), None, "it is not kept");
        assert_eq!(after(101, Version::HTTP_11, &[("connection", "upgrade")]), None);
        assert_eq!(after(200, Version::HTTP_2, &[]), None);
    }
}
