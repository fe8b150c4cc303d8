//! Metrics of what is sent again, and of what is asked of two.

use prometheus::{IntCounter, IntCounterVec};

use super::name::Names;

/// Why an attempt was made after the first one of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryCause {
    /// No connection came about.
    Unreachable,
    /// There was no room for it.
    Full,
    /// It never arrived, for another reason: a connection that proved stale, a stream refused.
    Unsent,
    /// The connection broke before an answer.
    Broken,
    /// The time of the attempt was up.
    Late,
    /// The answer was one of those after which it is tried elsewhere.
    Answer,
}

impl RetryCause {
    const ALL: [Self; 6] =
        [Self::Unreachable, Self::Full, Self::Unsent, Self::Broken, Self::Late, Self::Answer];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Full => "full",
            Self::Unsent => "unsent",
            Self::Broken => "broken",
            Self::Late => "late",
            Self::Answer => "answer",
        }
    }
}

/// What became of asking a second provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeResult {
    /// Its answer was taken.
    Won,
    /// The first one's answer was taken.
    Lost,
    /// Neither had an answer that is one.
    Failed,
    /// It was not asked: the budget was used up.
    Unaffordable,
}

impl HedgeResult {
    const ALL: [Self; 4] = [Self::Won, Self::Lost, Self::Failed, Self::Unaffordable];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::Unaffordable => "unaffordable",
        }
    }
}

/// Attempts after the first one of their request, by cause.
#[derive(Clone, Debug)]
pub struct RetryCounter([IntCounter; RetryCause::ALL.len()]);

impl RetryCounter {
    pub(super) fn new(names: &Names) -> Self {
        let name = "retries_total";
        let counters = names.counters(
            name,
            "Attempts after the first one of their request, hedges left aside.",
            &["cause"],
        );
        Self(RetryCause::ALL.map(|cause| resolved(&counters, cause.as_str())))
    }

    /// Counts one.
    pub fn inc(&self, cause: RetryCause) {
        self.of(cause).inc();
    }

    /// Those of all causes.
    pub fn get(&self) -> u64 {
        self.0.iter().map(IntCounter::get).sum()
    }

    /// Those of one cause.
    pub const fn of(&self, cause: RetryCause) -> &IntCounter {
        &self.0[cause as usize]
    }
}

/// Second providers asked, by what became of it.
#[derive(Clone, Debug)]
pub struct HedgeCounter([IntCounter; HedgeResult::ALL.len()]);

impl HedgeCounter {
    pub(super) fn new(names: &Names) -> Self {
        let help = "Requests that another provider was to be asked as well, by what became of it.";
        let counters = names.counters("hedges_total", help, &["result"]);
        Self(HedgeResult::ALL.map(|result| resolved(&counters, result.as_str())))
    }

    /// Those with one result.
    pub const fn of(&self, result: HedgeResult) -> &IntCounter {
        &self.0[result as usize]
    }
}

fn resolved(counters: &IntCounterVec, label: &str) -> IntCounter {
    counters.with_label_values(&[label])
}
