//! Health: asking endpoints how they are, so that no request has to find out.
//!
//! Two things are done. *Checks*, where the configuration says so, ask every endpoint that this proxy uses whether it is well,
//! again and again; so many failures in a row and it is out, until so many passes in a row. *Probes* look at what is in doubt:
//! endpoints in limbo that have not answered lately, ghosts each time their pause is over, and, one at a time
//! and rarely, endpoints whose record has no owner and that no request has tried for long. A probe is a connection that is
//! closed again. So the probes of one proxy are bounded by what is in doubt, and a healthy fleet sees next to none.

mod checks;
mod reaper;
mod rounds;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::RngExt as _;
use tokio::time::MissedTickBehavior;

pub use checks::{Checks, ServiceCheck};

use crate::catalog::Catalog;
use crate::check::{Reason, Unwell};
use crate::clock::{Clock, Moment};
use crate::drain::Drain;
use crate::endpoint::{Endpoint, Memory, Turn};
use crate::telemetry::metrics::Metrics;
use crate::upstream::{ConnectError, Dialler, Stream};
use rounds::{Job, Rounds};
use schedule::Schedule;

/// How often is looked for what is to be asked.
const LOOK: Duration = Duration::from_millis(500);
/// How often is looked whose turn to be checked has come.
const TURN: Duration = Duration::from_millis(50);

/// What asks endpoints how they are.
#[derive(Debug)]
pub struct Health {
    catalog: Arc<Catalog>,
    metrics: Arc<Metrics>,
    clock: Clock,
    dialler: Arc<Dialler>,
    /// Replaced when the configuration is read again.
    checks: ArcSwap<Checks>,
}

impl Health {
    /// Asks nobody yet.
    pub fn new(catalog: Arc<Catalog>, metrics: Arc<Metrics>, clock: Clock, dialler: Arc<Dialler>) -> Self {
        Self { catalog, metrics, clock, dialler, checks: ArcSwap::default() }
    }

    /// Checks endpoints like this from now on. What is not checked any more counts as well.
    pub fn configure(&self, checks: Checks) {
        if **self.checks.load() != checks {
            self.checks.store(Arc::new(checks));
        }
    }

    /// Asks until the drain begins.
    pub async fn watch_over(self: Arc<Self>, drain: Drain) {
        tokio::select! {
            () = drain.begun() => {}
            () = self.probe() => {}
            () = self.check() => {}
            () = reaper::reap(&self.catalog, &self.dialler, &self.checks) => {}
        }
    }

    /// Checks what is used, for ever.
    async fn check(&self) {
        let mut looks = ticks(LOOK);
        let mut turns = ticks(TURN);
        let mut rounds = Rounds::new(rand::rng().random());
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    rounds.adopt(&self.catalog.uses(), &self.checks.load_full(), self.clock.now());
                }
                _ = turns.tick(), if !rounds.is_empty() => {
                    for job in rounds.due(self.clock.now(), running.len()) {
                        running.push(async {
                            let opening = self.checks.load().opening_of(Some(&job.service));
                            let found = job.check.ask(&job.service, &job.endpoint, &self.dialler, opening).await;
                            (job, found)
                        });
                    }
                }
                Some((job, found)) = running.next() => {
                    if rounds.done(&job, self.clock.now()) {
                        self.note(&job, &found);
                    }
                }
            }
        }
    }

    /// Tells an endpoint what a check of it found.
    fn note(&self, job: &Job, found: &Result<(), Unwell>) {
        let now = self.clock.now();
        let Job { service, endpoint: Endpoint { memory, .. }, check } = job;
        let word = found.as_ref().map_or_else(|unwell| unwell.reason.as_str(), |()| "well");
        self.metrics.catalog.checks(word).inc();
        if found.as_ref().is_err_and(|unwell| unwell.reason == Reason::Unasked) {
            return;
        }
        let result = found.as_ref().copied().map_err(|unwell| &*unwell.detail);
        if memory.check(result, check.counts(), now) {
            let endpoint = &memory.address;
            match found {
                Ok(()) => {
                    tracing::info!(%service, %endpoint, "its checks pass again");
                    memory.tell(Turn::Well, "its checks pass again", now);
                }
                Err(Unwell { detail: cause, .. }) => {
                    tracing::warn!(%service, %endpoint, cause, "its checks fail, and it is left out");
                    memory.tell(Turn::Unwell, format!("its checks fail, the last: {cause}"), now);
                }
            }
        }
        // Whoever answers where and as requests are sent is there.
        if found.is_ok() && check.tells_of_reach(&job.endpoint.provider) {
            answer(memory, "a check of it was answered", now);
        }
    }

    /// Probes what is in doubt, for ever.
    async fn probe(&self) {
        let mut looks = ticks(LOOK);
        let mut schedule = Schedule::default();
        let mut probes = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    let known = self.catalog.known();
                    for endpoint in schedule.due(&known, self.clock.now(), probes.len(), &mut rand::rng()) {
                        let opening = self.checks.load().opening_of(endpoint.service());
                        probes.push(probe(endpoint, &self.dialler, opening));
                    }
                }
                Some((memory, seen)) = probes.next() => {
                    note(&memory, seen, self.clock);
                    self.metrics.catalog.probes(seen.as_str()).inc();
                    schedule.done(&memory);
                }
            }
        }
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What a probe saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Somebody accepts connections.
    Well,
    /// Nobody does.
    Failed,
    /// Nothing: this machine could not make a connection.
    Unknown,
}

impl Seen {
    fn of(connected: &Result<Stream, ConnectError>) -> Self {
        match connected {
            Ok(_) => Self::Well,
            Err(error) if error.is_ours() => Self::Unknown,
            Err(_) => Self::Failed,
        }
    }

    /// One word for metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether somebody accepts connections at the address of this endpoint, over TLS where its record says so.
async fn probe(endpoint: Endpoint, dialler: &Dialler, opening: &[u8]) -> (Arc<Memory>, Seen) {
    let seen = Seen::of(&dialler.connect_opening(endpoint.service(), &endpoint.provider, opening).await);
    (endpoint.memory, seen)
}

/// Tells an endpoint how its probe went.
fn note(memory: &Memory, seen: Seen, clock: Clock) {
    match seen {
        Seen::Well => answer(memory, "a probe reached it", clock.now()),
        Seen::Failed => {
            let now = clock.now();
            if memory.fail_to_connect(now, rand::rng().random()) {
                memory.tell(Turn::Unreachable, "a probe did not reach it", now);
            }
        }
        Seen::Unknown => {}
    }
}

/// Tells an endpoint that somebody answered there, and operators when that brought it back.
fn answer(memory: &Memory, cause: &str, now: Moment) {
    let was_out = !memory.is_available();
    memory.answer(now);
    if was_out && memory.is_available() {
        memory.tell(Turn::Back, cause, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Address;
    use crate::upstream::tls::TlsError;

    #[tokio::test]
    async fn a_probe_begins_as_connections_do() {
        use tokio::io::AsyncReadExt as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: Address = listener.local_addr().unwrap().into();
        let provider = crate::provider::Provider::new("p", address.clone());
        let endpoint = Endpoint::new(Arc::new(provider), Arc::new(Memory::new(1, address)));
        let dialler = Dialler::new(crate::upstream::Settings::default(), Drain::new(), Metrics::new());
        let checks = Checks {
            openings: [("svc".parse().unwrap(), crate::route::ProxyProtocol::V1)].into(),
            ..Checks::default()
        };
        for (service, header) in [("svc", "PROXY UNKNOWN\r\n"), ("other", "")] {
            let opening = checks.opening_of(Some(&service.parse().unwrap()));
            assert_eq!(probe(endpoint.clone(), &dialler, opening).await.1, Seen::Well);
            let mut heard = String::new();
            listener.accept().await.unwrap().0.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, header);
        }
    }

    #[test]
    fn what_this_machine_lacks_is_held_against_nobody() {
        let address: Address = "10.0.0.1:80".parse().unwrap();
        let lacking = std::io::Error::from_raw_os_error(24);
        let tls =
            |source| ConnectError::Tls { address: address.clone(), id: "p".into(), source: Arc::new(source) };
        for (error, seen) in [
            (ConnectError::Lacking { address: address.clone(), source: Arc::new(lacking) }, Seen::Unknown),
            (tls(TlsError::NoRoots { cause: None }), Seen::Unknown),
            (tls(TlsError::Timeout { limit: LOOK }), Seen::Failed),
            (ConnectError::Refused { address: address.clone() }, Seen::Failed),
        ] {
            assert_eq!(Seen::of(&Err(error)), seen);
        }
    }
}
