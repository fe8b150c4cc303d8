//! The past: what is remembered of some requests, so that an operator can ask why one went where it went.

mod document;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Request};
use parking_lot::Mutex;
use tokio::time::Instant;

pub use document::{AttemptDocument, MemoirDocument};

use super::telling::{Made, Telling};
use crate::catalog::scene::Scene;
use crate::endpoint::Endpoint;
use crate::provider::{Address, ServiceName};
use crate::route::Share;

/// Which requests are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembering {
    /// How many at most, over all workers; 0 for none.
    pub most: usize,
    /// The share of all requests of which every choice is remembered.
    pub sample: Share,
    /// How long a request may take, its answer's body included, until it is remembered for that.
    pub slow: Duration,
}

impl Default for Remembering {
    fn default() -> Self {
        Self { most: 1000, sample: Share::percent(1.0), slow: Duration::from_secs(1) }
    }
}

/// What is remembered of requests that are over, the oldest given up for new ones.
#[derive(Debug)]
pub struct Pasts {
    remembering: Remembering,
    /// Written by its worker, read by admin.
    by_worker: Box<[Mutex<Ring>]>,
}

/// What is remembered of the requests of one worker, the oldest first.
#[derive(Debug, Default)]
struct Ring {
    memoirs: VecDeque<Arc<Memoir>>,
    /// What their scenes take.
    bytes: usize,
}

/// What the scenes of all requests that are remembered may take together: of a service with 100 providers about fifty requests.
const SCENES_BYTES_MAX: usize = 1024 * 1024;

/// Characters of a host and of a path that are remembered, as of what a client may write at any length.
const ASKED_MAX: usize = 1024;

/// The same of a method, which may be any word.
const METHOD_MAX: usize = 64;

/// What is remembered of one request that is over.
#[derive(Debug)]
pub struct Memoir {
    /// Its id.
    pub id: HeaderValue,
    /// Why it is remembered: `sampled`, `failed`, `slow`, or `retried` where an attempt failed and another one went well.
    pub why: &'static str,
    /// When it began.
    pub at: SystemTime,
    /// What it asked for, where that was kept.
    pub asked: Option<Asked>,
    /// What led to its service.
    pub via: Option<&'static str>,
    /// Its route, where that was kept and there is one.
    pub route: Option<Arc<str>>,
    /// The service it went to.
    pub service: Option<ServiceName>,
    /// The part of the split that it fell to.
    pub part: Option<Box<str>>,
    /// The status it was answered with.
    pub status: u16,
    /// What went wrong, if this proxy knows.
    pub reason: Option<&'static str>,
    /// How long it took, its answer's body included.
    pub took: Duration,
    /// Its attempts, in the order in which they began.
    pub attempts: Vec<Attempted>,
    /// Its picks.
    pub picks: Vec<Made>,
}

/// What a request asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The authority of its target, or its `Host`.
    pub host: Option<Box<str>>,
    /// Its path, without the query, which may hold what is nobody's business.
    pub path: Box<str>,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// Its number, from 1.
    pub number: u8,
    /// Where it went.
    pub address: Address,
    /// The service that endpoint is of.
    pub service: ServiceName,
    /// The place of its pick among those told; none where it was not told, or there was none.
    pub pick: Option<usize>,
    /// When it began, from the beginning of the request.
    pub begun: Duration,
    /// How long it took until the head of its answer, or until it failed; none while nobody knows.
    pub took: Option<Duration>,
    /// How it ended.
    pub ending: Ending,
}

impl Attempted {
    /// The last attempt of a request of which nothing else was noted.
    pub fn last(number: u8, address: Address, service: &ServiceName) -> Self {
        let (service, begun, ending) = (service.clone(), Duration::ZERO, Ending::Unknown);
        Self { number, address, service, pick: None, begun, took: None, ending }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an answer of this status.
    Answered(u16),
    /// With a failure of this reason.
    Failed(&'static str),
    /// Its answer was not waited for any longer.
    GivenUp,
    /// Nobody noted.
    Unknown,
}

impl Pasts {
    /// A memory of so many requests, shared out between so many workers.
    pub fn new(remembering: Remembering, workers: usize) -> Self {
        let by_worker = (0..workers.max(1)).map(|_| Mutex::default()).collect();
        Self { remembering, by_worker }
    }

    /// Which requests are remembered.
    pub const fn remembering(&self) -> &Remembering {
        &self.remembering
    }

    /// Whether a request is remembered for how it ended: the word for that.
    pub fn cares_for(&self, status: u16, has_failed: bool, took: Duration) -> Option<&'static str> {
        if self.remembering.most == 0 {
            None
        } else if has_failed || status >= 500 {
            Some("failed")
        } else {
            (took >= self.remembering.slow).then_some("slow")
        }
    }

    /// How many requests come before the next of the sample; `None` where there is none. `luck` is from 0 to 1.
    pub fn gap(&self, luck: f64) -> Option<u32> {
        let percent = self.remembering.sample.to_percent();
        if self.remembering.most == 0 || percent <= 0.0 {
            return None;
        }
        // Evenly from none to twice the mean, so that no rhythm of the requests is missed or met each time.
        let mean = 100.0 / percent - 1.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not below 0, and at most 200 million, since a share is a millionth at least"
        )]
        Some((luck * (2.0 * mean + 1.0)) as u32)
    }

    /// Remembers a request of a worker.
    pub fn keep(&self, worker: usize, memoir: Memoir) {
        let workers = self.by_worker.len();
        let most = self.remembering.most.div_ceil(workers);
        self.by_worker[worker % workers].lock().push(memoir, most, SCENES_BYTES_MAX / workers);
    }

    /// The last request with this id that is remembered.
    pub fn find(&self, id: &str) -> Option<Arc<Memoir>> {
        let in_ring = |ring: &Mutex<Ring>| {
            ring.lock().memoirs.iter().rev().find(|memoir| memoir.id.as_bytes() == id.as_bytes()).cloned()
        };
        self.by_worker.iter().filter_map(in_ring).max_by_key(|memoir| memoir.at)
    }

    /// How many are remembered.
    pub fn count(&self) -> usize {
        self.by_worker.iter().map(|ring| ring.lock().memoirs.len()).sum()
    }
}

impl Ring {
    /// Adds one, and gives others up: the oldest where there are too many, and the oldest of those that have scenes where these take
    /// too much, so that requests which failed, and have none, are not given up for them. The new one stays.
    fn push(&mut self, memoir: Memoir, most: usize, bytes_max: usize) {
        self.bytes += memoir.scenes_bytes();
        while self.memoirs.len() >= most.max(1) {
            self.give_up(0);
        }
        while self.bytes > bytes_max
            && let Some(oldest) = self.memoirs.iter().position(|memoir| memoir.scenes_bytes() > 0)
        {
            self.give_up(oldest);
        }
        self.memoirs.push_back(Arc::new(memoir));
    }

    fn give_up(&mut self, place: usize) {
        self.bytes -= self.memoirs.remove(place).map_or(0, |memoir| memoir.scenes_bytes());
    }
}

impl Memoir {
    /// What the scenes of its picks take: most of what it takes.
    fn scenes_bytes(&self) -> usize {
        self.picks.iter().filter_map(|made| made.scene.as_ref().ok()).map(Scene::bytes).sum()
    }
}

/// What is noted of a request while it runs.
#[derive(Debug)]
pub struct Past {
    /// Whether it was drawn at its beginning.
    pub is_sampled: bool,
    /// When it began.
    pub at: SystemTime,
    /// What it asked for.
    pub asked: Option<Asked>,
    /// Its route. Written by `route`.
    pub route: RefCell<Option<Arc<str>>>,
    /// Its picks. Written by `select`.
    pub telling: Telling,
    /// Picks that attempts were made of.
    used: Cell<usize>,
    attempts: RefCell<Vec<Attempted>>,
}

impl Past {
    /// That of a request of the sample.
    pub fn sampled<B>(request: &Request<B>) -> Self {
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let host = || request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
        let asked = Asked {
            method: short(request.method()),
            host: authority.or_else(host).map(shown),
            path: shown(request.uri().path()),
        };
        Self { is_sampled: true, at: SystemTime::now(), asked: Some(asked), ..Self::late(Duration::ZERO) }
    }

    /// That of a request which turns out to be worth remembering so long after its beginning.
    pub fn late(age: Duration) -> Self {
        let now = SystemTime::now();
        Self {
            is_sampled: false,
            at: now.checked_sub(age).unwrap_or(now),
            asked: None,
            route: RefCell::default(),
            telling: Telling::default(),
            used: Cell::new(0),
            attempts: RefCell::default(),
        }
    }

    /// Notes that an attempt begins, so long after the request.
    pub fn begin(&self, number: u8, endpoint: &Endpoint, service: &ServiceName, begun: Duration) {
        let count = self.telling.count();
        // Without a new pick it goes where the one before went, whose connection was stale.
        let pick = (count > self.used.replace(count)).then(|| count - 1);
        self.push(number, endpoint.memory.address.clone(), service, pick, begun);
    }

    fn push(
        &self,
        number: u8,
        address: Address,
        service: &ServiceName,
        pick: Option<usize>,
        begun: Duration,
    ) {
        let (service, took, ending) = (service.clone(), None, Ending::Unknown);
        self.attempts.borrow_mut().push(Attempted { number, address, service, pick, begun, took, ending });
    }

    /// Notes how an attempt ended; `begun` is told anew for one whose beginning was not noted.
    pub fn end(
        &self,
        number: u8,
        ending: Ending,
        (address, service): (&Address, &ServiceName),
        since: Instant,
        begun: Instant,
    ) {
        if !self.attempts.borrow().iter().any(|attempt| attempt.number == number) {
            self.push(number, address.clone(), service, None, begun.saturating_duration_since(since));
        }
        let mut attempts = self.attempts.borrow_mut();
        if let Some(attempt) = attempts.iter_mut().find(|attempt| attempt.number == number) {
            (attempt.took, attempt.ending) = (Some(begun.elapsed()), ending);
        }
    }

    /// The attempts noted.
    pub fn attempts(&self) -> Vec<Attempted> {
        self.attempts.take()
    }
}

/// As much of a text as is remembered.
fn shown(text: &str) -> Box<str> {
    match text.char_indices().nth(ASKED_MAX) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

/// As much of a method.
fn short(method: &Method) -> Method {
    match method.as_str().as_bytes().get(..METHOD_MAX) {
        None => method.clone(),
        Some(begin) => Method::from_bytes(begin).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
