//! What the layers are tested on: a worker without a registry, and requests of one client.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep_until};

use super::middleware::Answer;
use crate::balance::{Policy, rng};
use crate::body::Body;
use crate::catalog::{self, Catalog, Claim, Members, Snapshot};
use crate::clock::Clock;
use crate::clock::Moment;
use crate::drain::Drain;
use crate::endpoint::{Care, Endpoint, Group, Memory};
use crate::provider::Provider;
use crate::proxy::client::{Client, Origin};
use crate::proxy::directory::Bound;
use crate::proxy::record::Record;
use crate::proxy::request::{Attempt, Exchange, Failure, Returned, Routed};
use crate::proxy::traits::Traits;
use crate::proxy::worker::{Pseudonym, Shared, Worker};
use crate::proxy::{Admission, Settings};
use crate::route::{Limits, Naming, Rules, Table};
use crate::telemetry::access::{self, AccessLog};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::peer::Peer;
use crate::upstream::{self, Dialler, Reuse};

/// A worker whose catalog follows nothing.
pub(in crate::proxy) struct Bed {
    pub(in crate::proxy) worker: Rc<Worker>,
    pub(super) client: Rc<Client>,
    pub(super) limits: Limits,
    pub(super) rules: Rules,
    pub(super) care: Care,
}

impl Bed {
    pub(in crate::proxy) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let (clock, metrics) = (Clock::start(), Metrics::new());
        let drain = Drain::new();
        let admission = Admission::new(settings.requests_max, settings.queue_max, Arc::clone(&metrics));
        let shared = Shared {
            admission,
            settings,
            dialler: Dialler::new(upstream::Settings::default(), drain.clone(), Arc::clone(&metrics)),
            table: ArcSwap::from_pointee(Table::new(Vec::new(), Naming::default())),
            catalog: Catalog::new(catalog::Settings::default(), Vec::new(), Arc::clone(&metrics), clock, 1),
            metrics,
            access: AccessLog::open(&access::Settings::default()).unwrap(),
            clock,
            drain,
            seed: 1,
            pseudonym: Pseudonym::random(1),
        };
        let worker = Worker::new(Arc::new(shared), 0);
        let peer = Peer::At(([127, 0, 0, 1], 1).into());
        let origin = Origin { peer, is_secure: false, bound: None, trusted: true, refuse_cross_site: false };
        let client = Client::new(origin, Rc::clone(&worker.tick));
        let (limits, rules, care) = Default::default();
        Self { worker, client, limits, rules, care }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.worker.shared.metrics
    }

    /// A request without a body, routed to `svc`.
    pub(super) fn routed(&self, message: http::request::Builder) -> Routed {
        let message = message.body(Body::empty()).unwrap();
        let shared = &self.worker.shared;
        let claim = Claim::on("svc".parse().unwrap(), Policy::RoundRobin);
        let bound = self.worker.directory.claimed(&claim, &shared.catalog, &shared.metrics).unwrap();
        let record = Record::begin(&self.worker, &self.client, &message);
        record.bound.replace(Some(Rc::clone(&bound)));
        Routed {
            traits: Traits::of(message.headers()),
            message: Box::new(message),
            client: Rc::clone(&self.client),
            record,
            bound,
            rules: Arc::new(Rules { limits: self.limits.clone(), ..self.rules.clone() }),
            key: None,
            wish: None,
            exchange: Exchange::Plain,
            tried: Vec::new(),
            elsewhere: false,
            reuse: Reuse::Idle,
            deadline: None,
        }
    }

    /// A plain GET, routed to `svc`.
    pub(super) fn get(&self) -> Routed {
        self.routed(http::Request::get("/"))
    }

    /// The endpoints of `svc`.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.get().bound.look(|snapshot| snapshot.all().cloned().collect())
    }

    /// Lets `svc` have as many endpoints as there are ports.
    pub(super) fn list(&self, ports: &[u16]) -> Vec<Endpoint> {
        self.list_at(&self.get().bound, ports)
    }

    /// Lets a service have as many endpoints as there are ports.
    pub(super) fn list_at(&self, bound: &Bound, ports: &[u16]) -> Vec<Endpoint> {
        let group = Arc::new(Group::default());
        let endpoint = |port: &u16| {
            let address = format!("127.0.0.1:{port}").parse().unwrap();
            let provider = Provider::new(port.to_string(), address);
            let memory =
                Arc::new(Memory::among(Arc::clone(&group), u64::from(*port), provider.address.clone()));
            Endpoint::new(Arc::new(provider), memory)
        };
        let endpoints: Vec<_> = ports.iter().map(endpoint).collect();
        let before = Snapshot::not_listed();
        let luck = &mut rng::for_worker(1, 1);
        let care = Arc::new(self.care.clone());
        let members = Members { care, ..Members::of(endpoints.clone().into()) };
        let snapshot = Snapshot::new(&members, bound.subscription.claim(), &before, Moment::START, luck);
        bound.subscription.snapshot().store(Arc::new(snapshot));
        endpoints
    }
}

/// What an inner service answers, call by call; it keeps what it was called with.
pub(super) struct Played<R, E> {
    answers: Rc<RefCell<VecDeque<Play<R, E>>>>,
}

/// One answer, made of the request.
type Play<R, E> = Box<dyn FnOnce(R) -> Answer<E>>;

impl<R, E> Clone for Played<R, E> {
    fn clone(&self) -> Self {
        Self { answers: Rc::clone(&self.answers) }
    }
}

impl<R: 'static, E: 'static> Played<R, E> {
    pub(in crate::proxy) fn new() -> Self {
        Self { answers: Rc::default() }
    }

    /// The next call is answered at once by what this makes of its request.
    pub(super) fn then(&self, make: impl FnOnce(R) -> Result<http::Response<Body>, E> + 'static) {
        self.answers.borrow_mut().push_back(Box::new(|request| Box::pin(std::future::ready(make(request)))));
    }

    /// The next call is answered after a while by what this makes of its request.
    pub(super) fn then_after(
        &self,
        while_: Duration,
        make: impl FnOnce(R) -> Result<http::Response<Body>, E> + 'static,
    ) {
        self.answers.borrow_mut().push_back(Box::new(move |request| {
            Box::pin(async move {
                sleep_until(Instant::now() + while_).await;
                make(request)
            })
        }));
    }

    /// The next call is never answered.
    pub(super) fn then_never(&self) {
        self.answers.borrow_mut().push_back(Box::new(|request| {
            Box::pin(async move {
                let _held = request;
                std::future::pending().await
            })
        }));
    }

    /// Calls that were expected and did not come.
    pub(super) fn left(&self) -> usize {
        self.answers.borrow().len()
    }
}

impl<R: 'static, E: 'static> tower::Service<R> for Played<R, E> {
    type Response = http::Response<Body>;
    type Error = E;
    type Future = Answer<E>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let answer = self.answers.borrow_mut().pop_front().expect("this call should not come");
        answer(request)
    }
}

impl Played<Attempt, Failure<Returned>> {
    /// The next attempt reads the whole body, and is answered after a while.
    pub(super) fn then_read(&self, look: impl FnOnce(bytes::Bytes) + 'static, after: Duration) {
        self.answers.borrow_mut().push_back(Box::new(move |attempt| {
            Box::pin(async move {
                let Attempt { message, guard, .. } = attempt;
                look(message.into_body().collect().await.unwrap().to_bytes());
                sleep_until(Instant::now() + after).await;
                drop(guard);
                Ok(answer(200))
            })
        }));
    }
}

/// An answer with a status.
pub(super) fn answer(status: u16) -> http::Response<Body> {
    http::Response::builder().status(status).body(Body::empty()).unwrap()
}
