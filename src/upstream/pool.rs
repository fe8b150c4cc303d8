//! The connections of one worker: a bounded pool per endpoint, newest first, gone with its endpoint.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use tokio::sync::Mutex;

use super::connection::{SendCause, Sender};
use super::{Arrival, ConnectError, Dialler, SendError};
use crate::body::Body;
use crate::clock::{Moment, Tick};
use crate::endpoint::{Endpoint, Memory};
use crate::provider::{Protocol, Provider};
use crate::telemetry::metrics::Metrics;

/// Whether an idle connection will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// An idle connection if there is one.
    Idle,
    /// A new connection, since an idle one has just proved stale.
    Fresh,
}

/// The connections of one worker, or of one client where they must not be shared.
#[derive(Debug)]
pub struct Pools {
    dialler: Arc<Dialler>,
    /// How long a connection may idle here.
    idle_timeout: Duration,
    /// A connection that has idled is judged by the time of the last look at the clock, which makes it seem older than
    /// it is by a second at most, and never younger.
    tick: Rc<Tick>,
    by_endpoint: RefCell<HashMap<u64, Rc<Pool>>>,
}

/// The connections to one endpoint.
#[derive(Debug)]
struct Pool {
    memory: Arc<Memory>,
    /// What is spoken on all of them.
    speech: Speech,
    /// Connections that exist, in use or idle.
    open: Rc<Cell<usize>>,
    /// Connections on which a request can be sent; the newest last. HTTP/2 ones stay here while in use.
    ready: RefCell<Vec<Idle>>,
    /// Held while an HTTP/2 connection is made, so that requests that come together share it.
    dialling: Mutex<()>,
}

/// What is spoken with a provider, and whether under TLS.
type Speech = (Protocol, bool);

const fn speech(provider: &Provider) -> Speech {
    (provider.protocol, provider.secure)
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Moment,
}

impl Pools {
    /// No connections yet; they will idle as long as the settings say.
    pub fn new(dialler: Arc<Dialler>, tick: Rc<Tick>) -> Rc<Self> {
        let idle_timeout = dialler.settings.idle_timeout;
        Rc::new(Self { dialler, idle_timeout, tick, by_endpoint: RefCell::default() })
    }

    /// No connections yet; they will idle until all of this ends.
    pub fn lasting(dialler: Arc<Dialler>, tick: Rc<Tick>) -> Rc<Self> {
        Rc::new(Self { dialler, idle_timeout: Duration::MAX, tick, by_endpoint: RefCell::default() })
    }

    /// Sends a request to an endpoint at a moment and waits for the head of the response. Dropping the future takes the request back.
    ///
    /// # Errors
    /// When no connection comes about, or the connection ends before a response. The error says whether the request can
    /// have arrived, and brings it back where nothing of it was used up.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: Box<Request<Body>>,
        reuse: Reuse,
        now: Moment,
    ) -> Result<Response<Body>, SendError> {
        let pool = self.pool(endpoint);
        let ready = match reuse {
            Reuse::Idle => pool.take(now, self.idle_timeout),
            Reuse::Fresh => None,
        };
        let sender = match ready {
            Some(sender) => Ok(sender),
            // Apart, so that the many requests that find a connection need no room for making one.
            None => Box::pin(self.dial(&pool, &endpoint.provider)).await,
        };
        let mut sender = match sender {
            Ok(sender) => sender,
            Err(cause) => {
                let request = Some(request);
                return Err(SendError { cause, arrival: Arrival::Never, request });
            }
        };
        // A Go Micro server sends a body after its answer to HEAD too: on that connection nothing can be understood any more.
        let last = request.method() == Method::HEAD && endpoint.provider.protocol == Protocol::Mucp;
        let response = sender.send(*request, &pool.memory.address).await?;
        let tick = Rc::clone(&self.tick);
        let idle_max = self.dialler.settings.idle_max;
        let mut response = response.map(Body::from);
        response.body_mut().on_end(move |end| {
            if end.complete && !last {
                pool.give_back(sender, tick.now(), idle_max);
            }
        });
        Ok(response)
    }

    /// Closes what idles too long, or at all while draining, and lets go of withdrawn endpoints; called about once a second.
    pub fn sweep(&self) {
        let now = self.tick.now();
        let over = self.dialler.drain.has_begun();
        self.by_endpoint.borrow_mut().retain(|_, pool| {
            let mut ready = pool.ready.borrow_mut();
            if over || pool.memory.is_retired() {
                ready.clear();
                return pool.open.get() > 0;
            }
            ready.retain(|idle| {
                let busy = matches!(idle.sender, Sender::Http2 { .. });
                !idle.sender.is_closed() && (busy || now.since(idle.since) < self.idle_timeout)
            });
            pool.open.get() > 0
        });
    }

    /// Endpoints to which a connection exists.
    pub fn endpoints(&self) -> usize {
        self.by_endpoint.borrow().len()
    }

    fn pool(&self, endpoint: &Endpoint) -> Rc<Pool> {
        let mut pools = self.by_endpoint.borrow_mut();
        let speech = speech(&endpoint.provider);
        let begin = || {
            Rc::new(Pool {
                memory: Arc::clone(&endpoint.memory),
                speech,
                open: Rc::default(),
                ready: RefCell::default(),
                dialling: Mutex::new(()),
            })
        };
        let pool = pools.entry(endpoint.memory.number).or_insert_with(begin);
        if pool.speech != speech {
            // What is spoken on the old connections is not what the record asks for now; they end with their requests.
            *pool = begin();
        }
        Rc::clone(pool)
    }

    async fn dial(&self, pool: &Pool, provider: &Provider) -> Result<Sender, SendCause> {
        match provider.protocol {
            Protocol::Http1 | Protocol::Mucp | Protocol::Tcp => self.open(pool, provider).await,
            Protocol::H2c => {
                let _turn = pool.dialling.lock().await;
                if let Some(sender) = pool.take(self.tick.now(), self.idle_timeout) {
                    return Ok(sender);
                }
                let sender = self.open(pool, provider).await?;
                if let Some(shared) = sender.share() {
                    pool.ready.borrow_mut().push(Idle { sender: shared, since: self.tick.now() });
                }
                Ok(sender)
            }
        }
    }

    async fn open(&self, pool: &Pool, provider: &Provider) -> Result<Sender, SendCause> {
        let dialler = &*self.dialler;
        let address = &provider.address;
        let limit = dialler.settings.connections_max;
        if pool.open.get() >= limit {
            return Err(SendCause::Full { address: address.clone(), limit });
        }
        let alive = Alive::new(Rc::clone(&pool.open), &dialler.metrics);
        dialler.metrics.proxy.upstream_dials_total.inc();
        let made = async {
            let stream = dialler.connect(provider).await?;
            Sender::begin(stream, provider.protocol, address, dialler, alive).await
        };
        made.await.map_err(|error: ConnectError| {
            dialler.metrics.proxy.upstream_dial_failures_total.inc();
            error.into()
        })
    }
}

impl Pool {
    fn take(&self, now: Moment, idle_timeout: Duration) -> Option<Sender> {
        let mut ready = self.ready.borrow_mut();
        let mut at = ready.len();
        while at > 0 {
            at -= 1;
            let idle = &ready[at];
            if idle.sender.is_closed() {
                ready.remove(at);
            } else if let Some(shared) = idle.sender.share() {
                if idle.sender.is_ready() {
                    return Some(shared);
                }
            } else if now.since(idle.since) >= idle_timeout {
                // The newest come last, so all before this one are too old as well.
                ready.drain(..=at);
                return None;
            } else if idle.sender.is_ready() {
                return Some(ready.remove(at).sender);
            }
        }
        None
    }

    fn give_back(&self, sender: Sender, now: Moment, idle_max: usize) {
        let shared = matches!(sender, Sender::Http2 { .. });
        if shared || idle_max == 0 || sender.is_closed() || self.memory.is_retired() {
            return;
        }
        let mut ready = self.ready.borrow_mut();
        if ready.len() >= idle_max {
            ready.remove(0);
        }
        ready.push(Idle { sender, since: now });
    }
}

/// Counts a connection for as long as it exists.
struct Alive {
    open: Rc<Cell<usize>>,
    metrics: Arc<Metrics>,
}

impl Alive {
    fn new(open: Rc<Cell<usize>>, metrics: &Arc<Metrics>) -> Self {
        open.set(open.get() + 1);
        metrics.proxy.upstream_connections_open.inc();
        Self { open, metrics: Arc::clone(metrics) }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.metrics.proxy.upstream_connections_open.dec();
    }
}
