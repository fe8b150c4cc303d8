//! Retry: sends again, elsewhere, what provably never arrived or may harmlessly be repeated, as far as the budget goes.

mod course;
mod hedge;
mod spare;
#[cfg(test)]
mod tests;
mod verdict;

use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::course::Course;
use super::middleware::{Answer, Middleware, Serve};
use crate::body::Body;
use crate::proxy::error::ProxyError;
use crate::proxy::record::Target;
use crate::proxy::request::{Failure, Returned, Routed};
use crate::proxy::worker::Worker;
use crate::telemetry::metrics::RetryCause;

/// How long before a deadline an attempt is given up in favour of an answer that is there already.
const LAST_MOMENT: Duration = Duration::from_millis(2);

/// Sends again what may be sent again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Whose luck and clock, and where retries are counted.
    pub worker: Rc<Worker>,
}

/// What became of an attempt.
type Outcome = Result<Response<Body>, Failure<Returned>>;

/// Another attempt that can be made.
struct Again {
    cause: RetryCause,
    message: Box<Request<Body>>,
    /// Whether nobody is to have it rather than one who had it already.
    elsewhere: bool,
    /// Whether there is a pause before it. What never arrived goes on at once: another provider is not burdened by it.
    waits: bool,
    /// Whether it counts as no retry: an idle connection proved stale, and the next one is new.
    is_free: bool,
}

/// What there is to tell the caller when nothing else can be done.
#[derive(Default)]
struct Told {
    /// The last answer of a provider, and where it came from.
    answer: Option<(Response<Body>, Option<Target>)>,
    /// The first failure: that nobody is left to try is no answer to why.
    failure: Option<ProxyError>,
}

impl Told {
    fn note(&mut self, course: &Course, outcome: Outcome) {
        match outcome {
            Ok(answer) => self.answer = Some((answer, course.target())),
            Err(failure) => {
                self.failure.get_or_insert(failure.error);
            }
        }
    }
}

impl Middleware for Retry {
    type Request = Routed;
    type Error = ProxyError;
    type InnerRequest = Routed;
    type InnerError = Failure<Returned>;

    fn call(
        &self,
        mut routed: Routed,
        inner: &mut impl Serve<Routed, Failure<Returned>>,
    ) -> Answer<ProxyError> {
        let mut inner = inner.clone();
        routed.bound.count();
        let retries = &routed.rules.limits.retries;
        let hedge = retries.hedge;
        if retries.max == 0 && hedge.is_none() {
            let answer = inner.call(routed);
            return Box::pin(async move { answer.await.map_err(|failure| failure.error) });
        }
        let mut course = Course::of(&self.worker, &mut routed);
        let answer = inner.call(routed);
        let hedge = hedge.filter(|_| course.is_hedgeable()).map(|hedge| (hedge, Instant::now()));
        Box::pin(async move {
            // Apart, so that the many requests that succeed need no room for it, nor for an outcome while it goes on.
            let next = {
                let outcome = match hedge {
                    None => answer.await,
                    Some((hedge, begun)) => {
                        Box::pin(hedge::hedged(&mut course, &mut inner, answer, hedge, begun)).await
                    }
                };
                match outcome {
                    Ok(response) if !course.is_bad(&response) => return Ok(response),
                    outcome => {
                        course.went();
                        Box::pin(go_on(course, inner, outcome))
                    }
                }
            };
            next.await
        })
    }
}

/// What is done when the first attempt came to nothing, or was answered by what may be better elsewhere.
async fn go_on(
    mut course: Course,
    mut inner: impl Serve<Routed, Failure<Returned>>,
    mut outcome: Outcome,
) -> Result<Response<Body>, ProxyError> {
    let metrics = &Rc::clone(&course.worker).shared.metrics.proxy;
    let mut told = Told::default();
    let (mut left, mut pauses) = (course.retries().max, 0);
    let mut again = judged(&mut course, &mut outcome).await;
    loop {
        let is_over = again.is_none();
        match outcome {
            Ok(response) if is_over => return Ok(response),
            outcome => told.note(&course, outcome),
        }
        let Some(Again { cause, message, elsewhere, waits, is_free }) = again.take() else { break };
        if left == 0 && !is_free || course.left().is_zero() {
            break;
        }
        if waits && !(course.could_afford() && rest(&course, &mut pauses).await) {
            break;
        }
        if !is_free && !course.afford() {
            break;
        }
        let attempt = inner.call(course.routed(message, elsewhere));
        let mut is_made = course.went();
        let ended = answered(&course, told.answer.is_some(), attempt).await;
        is_made |= course.went();
        if is_made {
            tracing::debug!(service = %course.bound.service(), cause = cause.as_str(), "sent again");
        }
        match (is_free, is_made) {
            (true, _) => {}
            (false, true) => {
                metrics.retries_total.inc(cause);
                left -= 1;
            }
            // Nobody was left to have it.
            (false, false) => course.give_back(),
        }
        let Some(ended) = ended else { break };
        outcome = ended;
        again = if is_made {
            judged(&mut course, &mut outcome).await
        } else {
            anew(&mut course, &mut told, pauses).await
        };
    }
    match told {
        Told { answer: Some((answer, target)), .. } => {
            course.record.target.replace(target);
            Ok(answer)
        }
        Told { failure, .. } => Err(failure.expect("what did not end in an answer ended in a failure")),
    }
}

/// What can be done after an attempt, as [`Course::judge`] has it. To send its request again ends the sending of this one where
/// that still goes on, and so the connection that its answer comes on: what has come of that is taken in before, since it may be
/// what is told in the end.
async fn judged(course: &mut Course, outcome: &mut Outcome) -> Option<Again> {
    if let Ok(answer) = outcome
        && course.is_bad(answer)
        && course.spare.as_ref().is_some_and(|spare| !spare.is_whole())
    {
        answer.body_mut().read_ahead(course.retries().kept_max, std::future::ready(())).await;
    }
    course.judge(outcome)
}

/// Pauses before the next attempt; false when there is no time for that.
async fn rest(course: &Course, pauses: &mut u8) -> bool {
    let pause = course.retries().pause(*pauses, course.worker.luck());
    *pauses = pauses.saturating_add(1);
    let has_time = pause < course.left();
    if has_time && !pause.is_zero() {
        sleep(pause).await;
    }
    has_time
}

/// When all were asked, waits until one of those who answered may be asked again: a while after it did, and not before the
/// time that it named itself. `None` where nobody answered, or when that is too late.
async fn anew(course: &mut Course, told: &mut Told, pauses: u8) -> Option<Again> {
    let (until, message) = course.anew()?;
    let at = until.max(Instant::now() + course.retries().pause(pauses, course.worker.luck()));
    if course.deadline.is_some_and(|deadline| at >= deadline) || !course.could_afford() {
        return None;
    }
    if let Some((answer, _)) = &mut told.answer {
        // Until it is read, it takes the room of another attempt where it came from.
        answer.body_mut().read_ahead(course.retries().kept_max, sleep_until(at)).await;
    }
    sleep_until(at).await;
    Some(Again { cause: RetryCause::Answer, message, elsewhere: true, waits: false, is_free: false })
}

/// Waits for an attempt; in the last moment before the deadline it is given up where there is an answer to tell instead.
async fn answered(
    course: &Course,
    is_answered: bool,
    mut attempt: Answer<Failure<Returned>>,
) -> Option<Outcome> {
    if !is_answered {
        return Some(attempt.await);
    }
    let ended = timeout(course.left().saturating_sub(LAST_MOMENT), &mut attempt).await;
    if ended.is_err() {
        course.record.overdue.set(true);
    }
    ended.ok()
}
