//! The course of one raw connection until it has a provider: the same limits, picks and retries that requests have.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::account::Account;
use super::opening::opening;
use crate::catalog::Claim;
use crate::endpoint::{Endpoint, Outcome};
use crate::proxy::admission::Entry;
use crate::proxy::client::{Client, ClientStream};
use crate::proxy::directory::Bound;
use crate::proxy::error::ProxyError;
use crate::proxy::layer::admit;
use crate::proxy::layer::line::Line;
use crate::proxy::noting::Noting;
use crate::proxy::pick::{Picked, Sought};
use crate::proxy::request::ATTEMPTS_MAX;
use crate::proxy::worker::Worker;
use crate::route::{Keyed, ProxyProtocol, Rules};
use crate::telemetry::metrics::RetryCause;
use crate::upstream::{SendCause, Stream};

/// A connection to a provider that came about.
pub(super) struct Connected {
    /// The connection.
    pub(super) stream: Stream,
    /// The attempt it is of.
    pub(super) noting: Noting,
    /// How long it took to be made.
    pub(super) took: Duration,
}

/// What stays of a raw connection from one attempt to the next.
pub(super) struct Course<'a> {
    worker: &'a Rc<Worker>,
    client: &'a Client,
    stream: &'a ClientStream,
    account: &'a Account,
    bound: Rc<Bound>,
    rules: Arc<Rules>,
    failover: Vec<Claim>,
    key: Option<u64>,
    tried: Vec<u64>,
    deadline: Instant,
}

/// An attempt that is counted, and not made yet.
struct Attempt {
    endpoint: Endpoint,
    bound: Rc<Bound>,
    noting: Noting,
}

impl<'a> Course<'a> {
    /// Finds a provider and connects to it.
    ///
    /// # Errors
    /// As a request would be told: no room, no provider, none that can be reached, no time left.
    pub(super) async fn run(
        worker: &'a Rc<Worker>,
        client: &'a Client,
        stream: &'a ClientStream,
        account: &'a Account,
    ) -> Result<Connected, ProxyError> {
        let mut course = Self::of(worker, client, stream, account)?;
        let (bound, rules, shared) = (&course.bound, &course.rules, &worker.shared);
        if !bound.look(|snapshot| snapshot.listed) {
            let left = course.deadline.saturating_duration_since(Instant::now());
            bound.subscription.listed(left.min(shared.catalog.settings().first_list_timeout)).await;
        }
        if let Some(rate) = &rules.rate
            && let Err(pause) = rate.take(shared.clock.run_at(account.begun()))
        {
            let (requests, per) = (rate.limit.requests, rate.limit.per);
            return Err(ProxyError::RateLimited { requests, per, pause });
        }
        course.admit().await?;
        course.attempts().await
    }

    fn of(
        worker: &'a Rc<Worker>,
        client: &'a Client,
        stream: &'a ClientStream,
        account: &'a Account,
    ) -> Result<Self, ProxyError> {
        let (claim, rules) = worker.look_at_table(|table| {
            let (claim, rules) = table.raw(account.service());
            (claim, Arc::clone(rules))
        });
        let shared = &worker.shared;
        let bound = worker.directory.claimed(&claim, &shared.catalog, &shared.metrics)?;
        bound.subscription.touch(shared.clock.at(account.begun()));
        account.goes_to(&bound);
        let nothing = HeaderMap::new();
        let keyed = Keyed { headers: &nothing, path: "", query: None, client: client.peer.ip() };
        Ok(Self {
            worker,
            client,
            stream,
            account,
            bound,
            failover: rules.failover.iter().cloned().map(Claim::raw).collect(),
            key: rules.key.as_ref().and_then(|key| key.hash(&keyed)),
            tried: Vec::new(),
            deadline: account.begun() + rules.limits.request_timeout,
            rules,
        })
    }

    /// Waits until it may be in flight.
    async fn admit(&self) -> Result<(), ProxyError> {
        match self.worker.shared.admission.enter() {
            Entry::Free => Ok(()),
            Entry::Full => Err(ProxyError::Overloaded { limit: self.worker.shared.settings.requests_max }),
            Entry::Wait(ticket) => self.in_time(admit::wait(ticket, self.worker)).await,
        }
    }

    /// Attempts until one succeeds, as long as another one may and can be made. That nobody is left to try is no answer to
    /// why: what is told is how the first failed.
    async fn attempts(&mut self) -> Result<Connected, ProxyError> {
        self.bound.count();
        let mut attempt = self.first().await?;
        let mut failure = None;
        loop {
            match self.make(attempt).await {
                Ok(connected) => return Ok(connected),
                Err(late @ ProxyError::Deadline { .. }) => return Err(late),
                Err(error) => _ = failure.get_or_insert(error),
            }
            match self.again() {
                Some(next) => attempt = next,
                None => break,
            }
        }
        Err(failure.expect("an attempt that was made and did not succeed has failed"))
    }

    /// The first attempt, once an endpoint has room.
    async fn first(&self) -> Result<Attempt, ProxyError> {
        let (sought, now) = (self.sought(), Instant::now());
        let pick = |now| sought.pick(self.worker, self.worker.shared.clock.at(now));
        let full = || ProxyError::EndpointsFull { service: self.bound.service().clone() };
        let error = match if Line::is_before(&sought) { Err(full()) } else { pick(now) } {
            Ok(picked) => return Ok(self.begin(picked, now)),
            Err(error) => error,
        };
        let is_full = matches!(error, ProxyError::EndpointsFull { .. });
        let Some(line) = is_full.then(|| Line::join(&sought)).flatten() else { return Err(error) };
        let metrics = &self.worker.shared.metrics.proxy;
        let (picked, now) = self.in_time(line.wait(metrics, &self.bound, pick)).await?;
        let attempt = self.begin(picked, now);
        // Who is next looks for room after what this one took is counted.
        drop(line);
        Ok(attempt)
    }

    /// One attempt more, if it may be made and there is somebody who was not tried.
    fn again(&self) -> Option<Attempt> {
        let retries = &self.rules.limits.retries;
        let most = usize::from(retries.max).min(ATTEMPTS_MAX - 1);
        let (now, metrics) = (Instant::now(), &self.worker.shared.metrics.proxy);
        if self.tried.len() > most || now >= self.deadline {
            return None;
        }
        let moment = self.worker.shared.clock.at(now);
        if !self.bound.withdraw(moment, retries.allowance) {
            metrics.retry_budget_exhausted_total.inc();
            return None;
        }
        match self.sought().pick(self.worker, moment) {
            Ok(picked) => {
                metrics.retries_total.inc(RetryCause::Unreachable);
                Some(self.begin(picked, now))
            }
            Err(_) => {
                // Nobody was left to have it.
                self.bound.give_back(moment);
                None
            }
        }
    }

    fn sought(&self) -> Sought<'_> {
        Sought {
            telling: None,
            bound: &self.bound,
            failover: &self.failover,
            tried: &self.tried,
            elsewhere: false,
            key: self.key,
            wish: None,
        }
    }

    fn begin(&self, (endpoint, bound): Picked, now: Instant) -> Attempt {
        let guard = Rc::new(endpoint.memory.begin());
        let noting = Noting::new(self.worker, &endpoint, &bound, guard, now);
        let number = self.account.attempt(&endpoint, &bound);
        tracing::debug!(
            client = %self.client.peer,
            service = %bound.service(),
            endpoint = %endpoint.memory.address,
            policy = bound.subscription.claim().choice.policy.as_str(),
            in_flight = endpoint.memory.in_flight(),
            state = endpoint.state(),
            number,
            "a raw connection goes to a provider"
        );
        Attempt { endpoint, bound, noting }
    }

    async fn make(&mut self, attempt: Attempt) -> Result<Connected, ProxyError> {
        let Attempt { endpoint, bound, noting } = attempt;
        let opening = match self.proxy_protocol(&bound) {
            Some(version) => opening(version, self.client.peer.address(), self.stream.local_address()),
            None => Vec::new(),
        };
        let connecting =
            self.worker.shared.dialler.connect_raw(bound.service(), &endpoint.provider, &opening);
        let Ok(made) = timeout_at(self.deadline, connecting).await else {
            if noting.is_to_blame(self.account.begun()) {
                noting.note_raw(Outcome::Late, noting.begun.elapsed());
            } else {
                noting.abandoned();
            }
            return Err(self.late());
        };
        match made {
            Ok(stream) => {
                let took = noting.begun.elapsed();
                noting.connected(took);
                Ok(Connected { stream, noting, took })
            }
            Err(cause) => {
                let error = ProxyError::from(SendCause::from(cause));
                noting.failed(&error);
                self.tried.push(endpoint.memory.number);
                Err(error)
            }
        }
    }

    /// How the providers of a service are told of the client. One that stands in may want it otherwise.
    fn proxy_protocol(&self, bound: &Rc<Bound>) -> Option<ProxyProtocol> {
        if Rc::ptr_eq(bound, &self.bound) {
            return self.rules.proxy_protocol;
        }
        self.worker.look_at_table(|table| table.raw(bound.service()).1.proxy_protocol)
    }

    async fn in_time<T>(&self, what: impl Future<Output = Result<T, ProxyError>>) -> Result<T, ProxyError> {
        timeout_at(self.deadline, what).await.unwrap_or_else(|_| Err(self.late()))
    }

    fn late(&self) -> ProxyError {
        ProxyError::Deadline { limit: self.rules.limits.request_timeout }
    }
}
