//! What changes, told as it does: server-sent events for the page, and for whoever else wants to watch.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as From};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::State;
use super::answer::Refusal;
use super::services::{Load, Overview, Row};
use crate::catalog::RegistryStatus;

/// How often is looked for what changed.
const LOOK: Duration = Duration::from_secs(1);
/// Who reads along at once. For more there is `/services`.
const READERS_MAX: usize = 16;
/// After how long without a change a reader is told that nothing has broken.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// How soon a reader that lost its connection is to come back.
const COME_BACK: Duration = Duration::from_secs(1);
/// A list that is stale or from disk grows older all the time, and a registry is down for longer; a reader is told each time that
/// this has passed.
const AGE_STEP_MS: u64 = 10_000;

/// The places of those who read along.
#[derive(Clone, Debug)]
pub(super) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS_MAX)))
    }
}

/// Tells answers without an end of their own that their connection is to end. Put into each request by the server.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(pub(super) CancellationToken);

/// What a reader is told: first all, then what is another than it was.
#[derive(Debug, Serialize)]
struct Change {
    registries: Vec<RegistryStatus>,
    proxy: Load,
    /// The number of the newest event.
    event: u64,
    /// The services that are new or changed.
    services: Vec<Row>,
    /// The services that are not followed any more.
    gone: BTreeSet<String>,
    /// Whether `services` are all there are.
    whole: bool,
}

/// One who reads along. What it was told is kept as one number for each service; nothing is made for it before it has taken
/// what was made last, so that one who is slow is told less often and holds nothing.
struct Reader {
    state: State,
    ticks: Interval,
    told: HashMap<String, u64>,
    is_first: bool,
    ending: Ending,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn live(
    From(state): From<State>,
    readers: Readers,
    mut request: Request,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let place = readers.0.try_acquire_owned().map_err(|_| {
        let error = format!("{READERS_MAX} read along already");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, "close one, or ask /services every few seconds")
    })?;
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ending = request.extensions_mut().remove::<Ending>().unwrap_or_default();
    let reader = Reader { state, ticks, told: HashMap::new(), is_first: true, ending, _place: place };
    let events = futures_util::stream::unfold(reader, |mut reader| async move {
        let change = reader.next().await?;
        Some((Ok(event(&change)), reader))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)))
}

fn event(change: &Change) -> Event {
    let event = Event::default().event("change").retry(COME_BACK);
    event.json_data(change).unwrap_or_default()
}

impl Reader {
    /// The next change; `None` once the connection is to end.
    async fn next(&mut self) -> Option<Change> {
        loop {
            tokio::select! {
                () = self.ending.0.cancelled() => return None,
                _ = self.ticks.tick() => {}
            }
            if let Some(change) = self.change(Overview::of(&self.state)) {
                return Some(change);
            }
        }
    }

    /// What it was not told yet of this; `None` if that is nothing.
    fn change(&mut self, overview: Overview) -> Option<Change> {
        let Overview { registries, proxy, event, services } = overview;
        let mut before = std::mem::take(&mut self.told);
        // The names of services begin with no such sign.
        let standing = self.differs(&mut before, "\0registries", &(coarse(&registries), event, &proxy));
        let mut changed = Vec::new();
        for mut row in services {
            if let Some(age) = &mut row.summary.freshness.for_ms {
                *age -= *age % AGE_STEP_MS;
            }
            if self.differs(&mut before, &row.summary.name, &row) {
                changed.push(row);
            }
        }
        let gone: BTreeSet<String> = before.into_keys().collect();
        let whole = std::mem::take(&mut self.is_first);
        let is_news = whole || standing || !changed.is_empty() || !gone.is_empty();
        is_news.then_some(Change { registries, proxy, event, services: changed, gone, whole })
    }

    /// Whether it was told something else under this name, `before`; notes what it is told now.
    fn differs(&mut self, before: &mut HashMap<String, u64>, name: &str, now: &impl Serialize) -> bool {
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(now).unwrap_or_default().hash(&mut hasher);
        let hash = hasher.finish();
        self.told.insert(name.to_owned(), hash);
        before.remove(name) != Some(hash)
    }
}

/// How registries stand, without what changes all the time: nobody asks to the second for how long one has been up, but all do for
/// how long one has not.
fn coarse(registries: &[RegistryStatus]) -> Vec<RegistryStatus> {
    let coarse = |registry: &RegistryStatus| {
        let for_ms = if registry.state == "up" { 0 } else { registry.for_ms - registry.for_ms % AGE_STEP_MS };
        RegistryStatus { for_ms, ..registry.clone() }
    };
    registries.iter().map(coarse).collect()
}
