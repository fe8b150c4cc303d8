//! Steady load: requests that come at a fixed rate, whether or not those before them were answered, as from many callers.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::client::Client;
use super::files;

/// Asks a service at a fixed rate. Connections are taken from a stock that grows as it must.
pub(crate) struct Steady {
    pub(crate) proxy: SocketAddr,
    pub(crate) service: &'static str,
    /// Requests in a second.
    pub(crate) rate: u32,
}

/// What became of the requests.
#[derive(Default)]
pub(crate) struct Figures {
    /// Those answered with 200, and how long each took; sorted.
    pub(crate) times: Vec<Duration>,
    /// Those answered otherwise or not at all.
    pub(crate) failed: usize,
}

impl Steady {
    /// Asks for so long; `at` is called with the time that has passed before each batch of requests.
    ///
    /// # Panics
    /// When the test itself cannot ask, which says nothing of the proxy.
    pub(crate) async fn run(&self, lasting: Duration, mut at: impl FnMut(Duration)) -> Figures {
        files::as_many_as_may_be();
        let stock = Arc::<Mutex<Vec<Client>>>::default();
        let mut asked = 0;
        let mut requests = JoinSet::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let begun = Instant::now();
        while begun.elapsed() < lasting {
            ticks.tick().await;
            at(begun.elapsed());
            let due = (begun.elapsed().as_secs_f64() * f64::from(self.rate)) as u64;
            for _ in asked..due {
                requests.spawn(ask(self.proxy, self.service, Arc::clone(&stock)));
            }
            asked = due;
        }
        let answers: io::Result<Vec<_>> = requests.join_all().await.into_iter().collect();
        let answers = answers
            .unwrap_or_else(|error| panic!("this test has no connection to ask on, see ulimit -n: {error}"));
        let mut times: Vec<Duration> = answers.iter().copied().flatten().collect();
        times.sort_unstable();
        Figures { failed: answers.len() - times.len(), times }
    }
}

impl Figures {
    /// The share of requests that were answered with 200.
    pub(crate) fn success(&self) -> f64 {
        self.times.len() as f64 / (self.times.len() + self.failed) as f64
    }

    /// The time within which this share of those answered was.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = (self.times.len() as f64 * share).ceil() as usize;
        self.times[rank.clamp(1, self.times.len()) - 1]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantiles = [0.5, 0.99, 0.999].map(|share| self.quantile(share));
        let [p50, p99, p999] = quantiles;
        write!(
            f,
            "{} answered, {} failed: {:.3} % success; p50 {p50:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}",
            self.times.len(),
            self.failed,
            self.success() * 100.0
        )
    }
}

/// How long one request took, if it was answered with 200.
///
/// # Errors
/// When there is no connection to ask on.
async fn ask(
    proxy: SocketAddr,
    service: &str,
    stock: Arc<Mutex<Vec<Client>>>,
) -> io::Result<Option<Duration>> {
    let begun = Instant::now();
    let kept = stock.lock().pop();
    let mut client = match kept {
        Some(client) => client,
        None => Client::try_connect(proxy).await?,
    };
    let Ok(response) = client.try_get(service, "/").await else { return Ok(None) };
    stock.lock().push(client);
    Ok((response.status() == http::StatusCode::OK).then(|| begun.elapsed()))
}
