//! One service, followed by a blocking query at a time: the agent answers when the list changed, or when it waited long enough.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, sleep_until, timeout};

use super::agent::{Answer, Fault, Line};
use super::bucket::Bucket;
use super::known::Known;
use super::settings::Consistency;
use super::watch::Shared;
use crate::provider::ServiceName;
use crate::registry::{Listing, RegistryError, Report, varied};

/// Queries of one service at once, and how long it takes until there may be one more: a service whose checks flap, or an
/// index that never rests, must not keep the agent busy.
const QUERIES_AT_ONCE: u32 = 10;
const QUERY_EACH: Duration = Duration::from_millis(200);
/// How often a service is asked for when there is no room for one more blocking query, or when the agent refuses; varied by half.
const RECHECK: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_secs(5);
/// How long a blocking query that should have answered has to be silent until that counts.
const DOUBT: Duration = Duration::from_secs(1);
/// What stands in a path or a query as it is.
pub(super) const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a service is not followed at present.
enum Halt {
    /// The agent is of no more use.
    Failed(RegistryError),
    /// This service cannot be had; others can.
    Alone(String),
}

/// One service, followed.
pub(super) struct Follow<'a> {
    shared: &'a Shared<'a>,
    service: ServiceName,
    known: Known,
    /// The index of the last answer, at least 1; `None` when there is none to go on from.
    index: Option<u64>,
    /// The connection of the blocking query, between two.
    line: Option<Line<'a>>,
    bucket: Bucket,
    /// When what is known is next compared with what is there.
    audit: Instant,
    reported: bool,
    /// Whether what was reported last is still what the agent says.
    vouched: bool,
}

impl<'a> Follow<'a> {
    /// Follows a service of this agent.
    pub(super) fn new(shared: &'a Shared<'a>, service: ServiceName) -> Self {
        let now = Instant::now();
        Self {
            known: Known::new(shared.settings.demands.clone()),
            index: None,
            line: None,
            bucket: Bucket::new(QUERIES_AT_ONCE, QUERY_EACH, now),
            audit: now + varied(shared.settings.pace.audit),
            reported: false,
            vouched: false,
            shared,
            service,
        }
    }

    /// Follows the service until the agent is of no more use.
    pub(super) async fn run(mut self) -> RegistryError {
        loop {
            sleep_until(self.bucket.take(Instant::now())).await;
            match self.round().await {
                Ok(()) => {}
                Err(Halt::Failed(error)) => return error,
                Err(Halt::Alone(cause)) => {
                    tracing::warn!(service = %self.service, cause, "Consul does not tell of this service; what is known of it stands");
                    (self.line, self.index, self.vouched) = (None, None, false);
                    let unheard = Report::Unheard { service: self.service.clone(), cause };
                    if let Err(error) = self.shared.reports.send(unheard).await {
                        return error;
                    }
                    tokio::time::sleep(varied(RECHECK.min(self.shared.settings.pace.audit))).await;
                }
            }
        }
    }

    /// One query, and what it says.
    async fn round(&mut self) -> Result<(), Halt> {
        let shared = self.shared;
        let Ok(_room) = shared.blocking.try_acquire() else {
            self.line = None;
            if self.reported {
                tokio::time::sleep(varied(POLL)).await;
            }
            let answer = self.read().await?;
            return self.take(answer, None, false).await;
        };
        match self.index {
            None => {
                let answer = self.query().await?;
                self.take(answer, None, false).await
            }
            Some(_) => self.block().await,
        }
    }

    /// Waits for the answer of a blocking query, and compares what is known with what is there when that is due.
    async fn block(&mut self) -> Result<(), Halt> {
        let due = self.audit;
        let (shared, service) = (self.shared, self.service.clone());
        let mut query = Box::pin(self.query());
        let answer = tokio::select! {
            biased;
            answer = &mut query => Some(answer?),
            () = sleep_until(due) => None,
        };
        if let Some(answer) = answer {
            drop(query);
            return self.take_heard(answer).await;
        }
        let read = shared.read(&service).await.map_err(halt)?;
        // The blocking query may be about to say the same.
        let late = timeout(DOUBT, &mut query).await;
        drop(query);
        self.audit = Instant::now() + varied(shared.settings.pace.audit);
        match late {
            Ok(answer) => self.take_heard(answer?).await,
            // The query that waits was given up with its connection; the next one goes on from what was read.
            Err(_) => self.take(read, None, true).await,
        }
    }

    /// Takes over the answer of a blocking query.
    async fn take_heard(&mut self, answer: Answer) -> Result<(), Halt> {
        let heard = answer.at;
        self.take(answer, Some(heard), false).await
    }

    /// Asks, blocking when there is an index to go on from. A connection that breaks between two questions is replaced once;
    /// its index is dropped with it, since who answers next may be another agent, or the same with nothing of what it knew.
    async fn query(&mut self) -> Result<Answer, Halt> {
        let settings = self.shared.settings;
        if let Some(mut line) = self.line.take() {
            let limit = self.limit();
            match line.get(&self.shared.path(&self.service, self.index), limit).await {
                Ok(answer) => {
                    self.line = Some(line);
                    return Ok(answer);
                }
                Err(Fault::Broken(_)) => self.index = None,
                Err(fault) => return Err(halt(fault)),
            }
        }
        let mut line = Line::open(settings).await.map_err(Halt::Failed)?;
        let limit = self.limit();
        let answer = line.get(&self.shared.path(&self.service, self.index), limit).await.map_err(halt)?;
        self.line = Some(line);
        Ok(answer)
    }

    /// How long an answer may take: the agent adds up to a sixteenth to what it is to wait.
    fn limit(&self) -> Duration {
        let settings = self.shared.settings;
        let wait = if self.index.is_some() { settings.wait + settings.wait / 16 } else { Duration::ZERO };
        wait + settings.pace.call_timeout
    }

    async fn read(&self) -> Result<Answer, Halt> {
        self.shared.read(&self.service).await.map_err(halt)
    }

    /// Takes over an answer, and reports the list if it is another one, or the first.
    async fn take(
        &mut self,
        answer: Answer,
        heard: Option<std::time::Instant>,
        audited: bool,
    ) -> Result<(), Halt> {
        // What is left of a list may be used; that nothing is left says nothing of the service.
        if answer.filtered && answer.body.trim_ascii() == b"[]" {
            let cause = "the token may not read it; give it service:read and node:read";
            return Err(Halt::Alone(cause.to_owned()));
        }
        let (changed, instances) = self
            .known
            .replace(&answer.body)
            .map_err(|error| Halt::Alone(format!("its answer is no list of instances: {error}")))?;
        let next = answer.index.unwrap_or_default().max(1);
        // An index that goes back is of another agent, or of one that begins anew: what it counts has to be asked for anew.
        self.index = Some(next).filter(|next| self.index.is_none_or(|index| index <= *next));
        if self.vouched && !changed {
            return Ok(());
        }
        let healed = audited && changed;
        if healed {
            tracing::warn!(service = %self.service, "a reading found a change that no blocking query had told of");
        }
        let listing = Listing {
            revision: i64::try_from(next).ok(),
            reads: instances,
            heard,
            healed,
            ..Listing::new(self.service.clone(), self.known.view())
        };
        self.shared.reports.send(Report::Listed(listing)).await.map_err(Halt::Failed)?;
        (self.reported, self.vouched) = (true, true);
        Ok(())
    }
}

impl Shared<'_> {
    /// The path of a service's health, blocking from an index on.
    fn path(&self, service: &ServiceName, index: Option<u64>) -> String {
        let mut path = format!("/v1/health/service/{}?", utf8_percent_encode(service.as_str(), PLAIN));
        if let Some(index) = index {
            path += &format!("index={index}&wait={}ms&", self.settings.wait.as_millis());
        }
        match self.settings.consistency {
            Consistency::Default => {}
            Consistency::Stale => path += "stale&",
            Consistency::Consistent => path += "consistent&",
        }
        if !self.settings.dc.is_empty() {
            path += &format!("dc={}", utf8_percent_encode(&self.settings.dc, PLAIN));
        }
        path.truncate(path.trim_end_matches(['?', '&']).len());
        path
    }

    /// Asks for a service without waiting for a change, on a connection of its own.
    async fn read(&self, service: &ServiceName) -> Result<Answer, Fault> {
        let _turn = self.turns.acquire().await;
        let mut line = Line::open(self.settings).await.map_err(Fault::Failed)?;
        line.get(&self.path(service, None), self.settings.pace.call_timeout).await
    }
}

/// What a fault means for the service.
fn halt(fault: Fault) -> Halt {
    match fault {
        Fault::Broken(error) | Fault::Failed(error) => Halt::Failed(error),
        Fault::Refused { status, said } => Halt::Alone(format!("the agent answered {status}: {said}")),
        Fault::TooLarge => Halt::Alone("its answer is larger than what is read".to_owned()),
    }
}
