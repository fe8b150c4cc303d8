//! Hedging: asks a second provider while the first is late, and takes the answer that comes first.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::course::Course;
use super::{Answer, Outcome, Serve, answered, verdict};
use crate::proxy::record::Target;
use crate::proxy::request::{Failure, Returned, Routed};
use crate::route::Hedge;
use crate::telemetry::metrics::HedgeResult;

/// The shortest time that the first provider has for itself.
const SHORTEST: Duration = Duration::from_millis(1);

/// What both attempts have for an answer to come.
type Coming = Answer<Failure<Returned>>;

/// Waits for the first attempt, and for a second one once the first is late. The one that loses is dropped: its connection is
/// closed, or its stream reset, and nothing is held against its provider.
pub(super) async fn hedged(
    course: &mut Course,
    inner: &mut impl Serve<Routed, Failure<Returned>>,
    mut first: Coming,
    hedge: Hedge,
    begun: Instant,
) -> Outcome {
    let measures = matches!(hedge, Hedge::Percentile(_));
    let delay = match hedge {
        Hedge::After(delay) => Some(delay),
        Hedge::Percentile(percent) => course.bound.percentile(percent),
    };
    let delay = delay.map(|delay| delay.max(SHORTEST)).filter(|delay| *delay < course.left());
    let outcome = match delay {
        None => first.await,
        Some(delay) => {
            tokio::select! {
                biased;
                outcome = &mut first => outcome,
                () = sleep(delay) => match second(course, inner) {
                    None => first.await,
                    Some(second) => race(course, first, second).await,
                }
            }
        }
    };
    // Where the second one won, the first took at least as long.
    if measures && !fails(course, &outcome) {
        course.bound.took(begun.elapsed());
    }
    outcome
}

/// A second attempt, and where the first one went.
struct Second {
    answer: Coming,
    before: Option<Target>,
}

/// Begins a second attempt, where the whole request is there to be sent, somebody else is there to have it, and the budget
/// allows it.
fn second(course: &mut Course, inner: &mut impl Serve<Routed, Failure<Returned>>) -> Option<Second> {
    course.went();
    if course.record.attempts.get() == 0 {
        // The first one still waits for its turn.
        return None;
    }
    let message = course.spare.as_ref().filter(|spare| spare.is_whole())?.again()?;
    let hedges = &course.worker.shared.metrics.proxy.hedges_total;
    if !course.withdraw() {
        hedges.of(HedgeResult::Unaffordable).inc();
        return None;
    }
    let before = course.target();
    let answer = inner.call(course.routed(message, true));
    if !course.went() {
        course.give_back();
        return None;
    }
    Some(Second { answer, before })
}

/// The first answer that is one; while the other still runs, a failure is none.
async fn race(course: &Course, mut first: Coming, second: Second) -> Outcome {
    let Second { mut answer, before } = second;
    let (outcome, is_first) = tokio::select! {
        biased;
        outcome = &mut first => (outcome, true),
        outcome = &mut answer => (outcome, false),
    };
    let (outcome, is_first, result) = if fails(course, &outcome) {
        let other = if is_first { answer } else { first };
        match answered(course, outcome.is_ok(), other).await {
            Some(other) if !fails(course, &other) => {
                (other, !is_first, if is_first { HedgeResult::Won } else { HedgeResult::Lost })
            }
            Some(other) if outcome.is_err() => (other, !is_first, HedgeResult::Failed),
            // What a provider says is worth more than what we have to say, and that the time was over.
            Some(_) | None => (outcome, is_first, HedgeResult::Failed),
        }
    } else {
        (outcome, is_first, if is_first { HedgeResult::Lost } else { HedgeResult::Won })
    };
    course.worker.shared.metrics.proxy.hedges_total.of(result).inc();
    if is_first {
        course.record.target.replace(before);
    }
    outcome
}

fn fails(course: &Course, outcome: &Outcome) -> bool {
    outcome.as_ref().map_or(true, |answer| verdict::fails(answer) || course.is_bad(answer))
}
