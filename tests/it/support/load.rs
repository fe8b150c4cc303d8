//! Load: clients that ask again and again, each on a connection that it keeps, and what became of their requests.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::Client;
use super::patience::{PATIENCE, eventually};

/// The slowest that requests may follow each other, all clients together, on a machine that has other things to do.
const SLOWEST: Duration = Duration::from_millis(5);
/// Failures that are told in full; the rest is counted.
const TOLD_MAX: usize = 5;

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Tally>,
    begun: Instant,
}

/// What became of the requests.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) clients: usize,
    pub(crate) answered: usize,
    /// Requests that were not answered with 200, and the first few of them.
    pub(crate) failed: usize,
    pub(crate) told: Vec<String>,
    pub(crate) slowest: Duration,
    pub(crate) took: Duration,
}

impl Load {
    /// Lets this many clients ask a service; each at full speed, or once in every `pace`.
    pub(crate) fn start(
        proxy: SocketAddr,
        service: &'static str,
        clients: usize,
        pace: Option<Duration>,
    ) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            tasks.spawn(ask(proxy, service, pace, Arc::clone(&stop), Arc::clone(&answered)));
        }
        Self { stop, answered, clients: tasks, begun: Instant::now() }
    }

    /// Waits until requests go on to be answered.
    pub(crate) async fn goes_on(&self) {
        self.answers(200).await;
    }

    /// Waits until that many further requests are answered.
    pub(crate) async fn answers(&self, count: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        let more = || (self.answered.load(Ordering::Relaxed) >= before + count).then_some(());
        let patience = PATIENCE + SLOWEST * u32::try_from(count).unwrap();
        eventually(patience, "requests go on to be answered", more).await;
    }

    /// Stops the clients, each after the answer it waits for.
    pub(crate) async fn finish(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally { took: self.begun.elapsed(), ..Tally::default() };
        for tally in self.clients.join_all().await {
            sum.clients += 1;
            sum.answered += tally.answered;
            sum.failed += tally.failed;
            sum.slowest = sum.slowest.max(tally.slowest);
            sum.told.extend(tally.told);
        }
        sum
    }
}

impl Tally {
    /// Tells the figures, and holds that no request failed.
    pub(crate) fn none_failed(&self, what: &str) {
        println!("{what}: {self}");
        assert_eq!(self.failed, 0, "{what}: {self}: {:#?}", self.told);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, answered, failed, slowest, took, .. } = self;
        let rate = *answered as f64 / took.as_secs_f64();
        write!(
            f,
            "{answered} requests of {clients} clients answered in {took:.1?} ({rate:.0}/s), {failed} failed, \
             the slowest took {slowest:.1?}"
        )
    }
}

async fn ask(
    proxy: SocketAddr,
    service: &str,
    pace: Option<Duration>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Tally {
    let mut pace = pace.map(tokio::time::interval);
    let mut tally = Tally::default();
    let mut client = Client::connect(proxy).await;
    while !stop.load(Ordering::Relaxed) {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let begin = Instant::now();
        let failure = match client.try_get(service, "/").await {
            Ok(response) if response.status() == http::StatusCode::OK => {
                tally.answered += 1;
                answered.fetch_add(1, Ordering::Relaxed);
                None
            }
            Ok(response) => {
                Some(format!("{}: {}", response.status(), String::from_utf8_lossy(response.body())))
            }
            Err(error) => {
                client = Client::connect(proxy).await;
                Some(format!("{error}: {:?}", std::error::Error::source(&error)))
            }
        };
        let took = begin.elapsed();
        tally.slowest = tally.slowest.max(took);
        if let Some(failure) = failure {
            tally.failed += 1;
            if tally.told.len() < TOLD_MAX {
                tally.told.push(format!("after {took:?}: {failure}"));
            }
        }
    }
    tally
}
