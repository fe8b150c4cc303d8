//! The course of one request: what stays of it from one attempt to the next, and what may still be done for it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use tokio::time::Instant;

use super::spare::Spare;
use super::{Again, Outcome, verdict};
use crate::balance::Wish;
use crate::body::Body;
use crate::proxy::client::Client;
use crate::proxy::directory::Bound;
use crate::proxy::error::ProxyError;
use crate::proxy::headers::GRPC_PREVIOUS_ATTEMPTS;
use crate::proxy::record::{Record, Target};
use crate::proxy::reply::Pause;
use crate::proxy::request::{ATTEMPTS_MAX, Exchange, Failure, Returned, Routed};
use crate::proxy::traits::Traits;
use crate::proxy::worker::Worker;
use crate::route::{Retries, Rules};
use crate::telemetry::metrics::RetryCause;
use crate::upstream::{Reuse, SendCause};

/// What is told when the budget does not allow another attempt.
const EXHAUSTED: &str = "the retry budget of this service is used up";

/// What stays of a request from one attempt to the next.
///
/// Every request has one while its first attempt is awaited: what only failures need has room elsewhere.
pub(super) struct Course {
    pub(super) worker: Rc<Worker>,
    pub(super) record: Rc<Record>,
    pub(super) bound: Rc<Bound>,
    pub(super) traits: Traits,
    pub(super) deadline: Option<Instant>,
    client: Rc<Client>,
    rules: Arc<Rules>,
    key: Option<u64>,
    wish: Option<Box<Wish>>,
    exchange: Exchange,
    /// The caller's own count of attempts, where it has one, which few have.
    counted: Option<Box<HeaderValue>>,
    /// What it is sent again from; `None` where only what was not used up can be.
    pub(super) spare: Option<Spare>,
    /// Whether repeating it does no harm, whatever became of it.
    is_harmless: bool,
    /// Attempts that are noted here.
    made: u8,
    /// Endpoints that had it, by their numbers; the first is not among them before there may be a second.
    tried: Vec<u64>,
    /// Those that answered, and before when they must not be asked again.
    answered: Vec<(u64, Instant)>,
    /// Whether the last attempt was made on a new connection because of a stale one.
    reuse: Reuse,
}

impl Course {
    /// The course of a request that is about to be sent for the first time.
    pub(super) fn of(worker: &Rc<Worker>, routed: &mut Routed) -> Self {
        let Routed { message, traits, rules, exchange, bound, .. } = routed;
        let retries = &rules.limits.retries;
        let is_harmless =
            *exchange != Exchange::MicroStream && (retries.harmless || message.method().is_idempotent());
        let repeats = retries.idempotent || !retries.statuses.is_empty() || retries.hedge.is_some();
        // What goes over HTTP/2 may be refused after it was taken up, however it came.
        let is_refusable = bound.look(|snapshot| snapshot.speaks_http2);
        let spare = (is_harmless && repeats || is_refusable && *exchange == Exchange::Plain)
            .then(|| Spare::of(message, retries.kept_max));
        let counted = if traits.has(Traits::GRPC) {
            message.headers().get(GRPC_PREVIOUS_ATTEMPTS).cloned().map(Box::new)
        } else {
            None
        };
        Self {
            worker: Rc::clone(worker),
            record: Rc::clone(&routed.record),
            bound: Rc::clone(&routed.bound),
            traits: routed.traits,
            deadline: routed.deadline,
            client: Rc::clone(&routed.client),
            rules: Arc::clone(&routed.rules),
            key: routed.key,
            wish: routed.wish.clone(),
            exchange: routed.exchange,
            counted,
            spare,
            is_harmless,
            made: routed.record.attempts.get(),
            tried: routed.tried.clone(),
            answered: Vec::new(),
            reuse: routed.reuse,
        }
    }

    pub(super) fn retries(&self) -> &Retries {
        &self.rules.limits.retries
    }

    /// Whether it may be asked of two at once. What should go to one endpoint, as those of a session should, may not: the
    /// second would have it though the first is well.
    pub(super) fn is_hedgeable(&self) -> bool {
        self.is_harmless && self.wish.is_none() && self.exchange == Exchange::Plain
    }

    /// The request for one attempt more; `elsewhere`: only where it was not yet.
    pub(super) fn routed(&self, message: Box<Request<Body>>, elsewhere: bool) -> Routed {
        Routed {
            message,
            traits: self.traits,
            client: Rc::clone(&self.client),
            record: Rc::clone(&self.record),
            bound: Rc::clone(&self.bound),
            rules: Arc::clone(&self.rules),
            key: self.key,
            wish: self.wish.clone(),
            exchange: self.exchange,
            tried: self.tried.clone(),
            elsewhere,
            reuse: self.reuse,
            deadline: self.deadline,
        }
    }

    /// Notes where the latest attempt went; false while it has not gone anywhere: it may have to wait, or there is nobody.
    pub(super) fn went(&mut self) -> bool {
        let made = self.record.attempts.get();
        let is_news = std::mem::replace(&mut self.made, made) != made;
        if is_news && let Some(number) = self.latest() {
            self.tried.push(number);
        }
        is_news
    }

    /// Where the attempt went that was answered or failed last.
    pub(super) fn target(&self) -> Option<Target> {
        self.record.target.borrow().clone()
    }

    /// The endpoint of that attempt, by its number.
    fn latest(&self) -> Option<u64> {
        self.record.target.borrow().as_ref().map(|target| target.memory.number)
    }

    /// How much time is left.
    pub(super) fn left(&self) -> Duration {
        self.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Asks the budget for an attempt more, right before it is made.
    pub(super) fn withdraw(&self) -> bool {
        self.bound.withdraw(self.worker.shared.clock.now(), self.retries().allowance)
    }

    /// The same; a refusal is counted, and told with the answer.
    pub(super) fn afford(&self) -> bool {
        let is_granted = self.withdraw();
        if !is_granted {
            self.worker.shared.metrics.proxy.retry_budget_exhausted_total.inc();
            self.record.not_again.set(Some(EXHAUSTED));
        }
        is_granted
    }

    /// Whether there is any point in waiting for an attempt more. Nothing is taken yet: who waits may go away.
    pub(super) fn could_afford(&self) -> bool {
        let is_granted = self.afford();
        if is_granted {
            self.give_back();
        }
        is_granted
    }

    /// Gives it back, since nobody was left to have it.
    pub(super) fn give_back(&self) {
        self.bound.give_back(self.worker.shared.clock.now());
    }

    /// What can be done after an attempt that was answered or came to nothing: `None` when it has to do.
    pub(super) fn judge(&mut self, outcome: &mut Outcome) -> Option<Again> {
        let is_full = self.tried.len() >= ATTEMPTS_MAX;
        let again = match outcome {
            Ok(response) => self.after_answer(response),
            Err(failure) => self.after_failure(failure),
        };
        again.filter(|_| !is_full)
    }

    /// Whether an answer is one after which the request is to be tried elsewhere.
    pub(super) fn is_bad(&self, response: &Response<Body>) -> bool {
        let statuses = &self.retries().statuses;
        !statuses.is_empty() && self.is_harmless && statuses.contains(&verdict::status(response))
    }

    fn after_answer(&mut self, response: &Response<Body>) -> Option<Again> {
        if !self.is_bad(response) {
            return None;
        }
        let pause = match verdict::pause(response) {
            None => Duration::ZERO,
            Some(Pause::For(pause)) => pause,
            Some(Pause::Never) => return None,
        };
        let message = self.spare.as_ref()?.again()?;
        if let Some(latest) = self.latest() {
            let until = Instant::now().checked_add(pause);
            self.answered.retain(|(number, _)| *number != latest);
            // One that names no time within reach is not asked again at all.
            if let Some(until) = until {
                self.answered.push((latest, until));
            }
        }
        self.reuse = Reuse::Idle;
        Some(Again { cause: RetryCause::Answer, message, elsewhere: true, waits: true, is_free: false })
    }

    fn after_failure(&mut self, failure: &mut Failure<Returned>) -> Option<Again> {
        let Returned { message, elsewhere, never_arrived } = failure.again.take()?;
        let may_repeat = self.is_harmless && self.retries().idempotent;
        if !(never_arrived || may_repeat) {
            return None;
        }
        let message = match message {
            Some(message) => self.restored(message),
            None => self.spare.as_ref()?.again()?,
        };
        // A new connection is never stale.
        let elsewhere = elsewhere || self.reuse == Reuse::Fresh;
        if elsewhere {
            self.reuse = Reuse::Idle;
        } else {
            let latest = self.latest();
            self.tried.retain(|number| Some(*number) != latest);
            self.reuse = Reuse::Fresh;
        }
        let cause = cause(&failure.error, never_arrived);
        Some(Again {
            cause,
            message,
            elsewhere: false,
            waits: !never_arrived && elsewhere,
            is_free: !elsewhere,
        })
    }

    /// Takes back what was added for the attempt that the message comes from.
    fn restored(&self, mut message: Box<Request<Body>>) -> Box<Request<Body>> {
        if self.traits.has(Traits::GRPC) {
            match &self.counted {
                Some(counted) => {
                    message.headers_mut().insert(GRPC_PREVIOUS_ATTEMPTS, HeaderValue::clone(counted))
                }
                None => message.headers_mut().remove(GRPC_PREVIOUS_ATTEMPTS),
            };
        }
        message
    }

    /// Nobody is left who was not asked: when the first of those who answered may be asked again.
    pub(super) fn anew(&mut self) -> Option<(Instant, Box<Request<Body>>)> {
        let at = (0..self.answered.len()).min_by_key(|at| self.answered[*at].1)?;
        let (number, until) = self.answered.remove(at);
        self.tried.retain(|tried| *tried != number);
        Some((until, self.spare.as_ref()?.again()?))
    }
}

fn cause(error: &ProxyError, never_arrived: bool) -> RetryCause {
    let otherwise = if never_arrived { RetryCause::Unsent } else { RetryCause::Broken };
    if let ProxyError::AttemptTimeout { .. } = error {
        return RetryCause::Late;
    }
    let ProxyError::Send(cause) = error else { return otherwise };
    match cause {
        SendCause::Connect(_) => RetryCause::Unreachable,
        SendCause::Full { .. } => RetryCause::Full,
        SendCause::Closed { .. }
        | SendCause::Stale { .. }
        | SendCause::Refused { .. }
        | SendCause::Reset { .. }
        | SendCause::NoWebSocket { .. }
        | SendCause::Malformed { .. }
        | SendCause::Misframed { .. }
        | SendCause::Flooded { .. }
        | SendCause::RequestBody { .. } => otherwise,
    }
}
