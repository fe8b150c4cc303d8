//! What the requests of one worker share: its pools, its services, its luck, and what all workers have in common.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use http::{HeaderValue, Version};
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use super::Settings;
use super::admission::Admission;
use super::client::{Client, Unwatched};
use super::directory::Directory;
use super::disclosure::Disclosure;
use super::past::Pasts;
use super::raw::Complaints;
use super::timers::Timers;
use crate::balance::rng;
use crate::catalog::Catalog;
use crate::clock::{Clock, Tick};
use crate::drain::Drain;
use crate::route::Table;
use crate::telemetry::access::AccessLog;
use crate::telemetry::metrics::{Metrics, Recorder};
use crate::telemetry::traces::Tracer;
use crate::upstream::{Dialler, Pools};

/// What all workers have in common. Written at start, but for the table, what is told and the access log, which a reload replaces.
#[derive(Debug)]
pub struct Shared {
    /// How requests are taken and bounded.
    pub settings: Settings,
    /// What providers are told beside a request.
    pub disclosure: Disclosure,
    /// How connections to endpoints are made.
    pub dialler: Arc<Dialler>,
    /// Where requests go.
    pub table: ArcSwap<Table>,
    /// What is known of services.
    pub catalog: Arc<Catalog>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who may be in flight.
    pub admission: Arc<Admission>,
    /// Where requests are written down, if they are.
    pub access: ArcSwap<AccessLog>,
    /// Which requests are traced, and where their spans go.
    pub tracer: Arc<Tracer>,
    /// What is remembered of requests that are over.
    pub pasts: Pasts,
    /// What time it is.
    pub clock: Clock,
    /// How it ends.
    pub drain: Drain,
    /// Where all luck comes from.
    pub seed: u64,
    /// This process in `Via`, such as `wayside-1f2e3d4c`: of its own, so that a request that comes back is recognised.
    pub pseudonym: Pseudonym,
}

#[cfg(test)]
impl Shared {
    /// What workers without any listener have in common, and nothing is remembered or written down.
    pub fn alone(settings: Settings, catalog: Arc<Catalog>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let drain = Drain::new();
        let pasts = Pasts::new(super::Remembering { most: 0, ..super::Remembering::default() }, 1);
        Self {
            admission: Admission::new(settings.requests_max, settings.queue_max, Arc::clone(&metrics)),
            disclosure: Disclosure::new(&settings),
            settings,
            dialler: Dialler::new(crate::upstream::Settings::default(), drain.clone(), Arc::clone(&metrics)),
            table: ArcSwap::from_pointee(Table::default()),
            catalog,
            metrics,
            access: ArcSwap::from_pointee(AccessLog::default()),
            tracer: Arc::default(),
            pasts,
            clock,
            drain,
            seed: 1,
            pseudonym: Pseudonym::random(1),
        }
    }
}

/// The name of this process in `Via`.
#[derive(Clone, Debug)]
pub struct Pseudonym {
    /// The name alone.
    pub name: Arc<str>,
    via_1_1: HeaderValue,
    via_1_0: HeaderValue,
    via_2: HeaderValue,
}

impl Pseudonym {
    /// A name that no other process has, by all odds.
    pub fn random(luck: u32) -> Self {
        let name = format!("wayside-{luck:08x}");
        let via = |version: &str| {
            HeaderValue::from_str(&format!("{version} {name}"))
                .expect("hex digits are visible ASCII characters")
        };
        Self { via_1_1: via("1.1"), via_1_0: via("1.0"), via_2: via("2.0"), name: name.as_str().into() }
    }

    /// The field value for a message received over that version of HTTP.
    pub fn via(&self, received: Version) -> HeaderValue {
        match received {
            Version::HTTP_2 => self.via_2.clone(),
            Version::HTTP_10 => self.via_1_0.clone(),
            _ => self.via_1_1.clone(),
        }
    }
}

/// Leads a cache to the table.
#[derive(Debug)]
pub struct LatestTable(Arc<Shared>);

impl std::ops::Deref for LatestTable {
    type Target = ArcSwap<Table>;

    fn deref(&self) -> &Self::Target {
        &self.0.table
    }
}

/// Leads a cache to the access log.
#[derive(Debug)]
pub struct LatestAccess(Arc<Shared>);

impl std::ops::Deref for LatestAccess {
    type Target = ArcSwap<AccessLog>;

    fn deref(&self) -> &Self::Target {
        &self.0.access
    }
}

/// What the requests of one worker share. Everything here belongs to one thread.
#[derive(Debug)]
pub struct Worker {
    /// What it has in common with the others.
    pub shared: Arc<Shared>,
    /// Connections to endpoints.
    pub pools: Rc<Pools>,
    /// The services its requests asked for.
    pub directory: Directory,
    /// Counts requests that never got as far as a service.
    pub unrouted: Recorder,
    /// The coarse time.
    pub tick: Rc<Tick>,
    /// Where requests go: one atomic load when that has not changed.
    pub table: RefCell<Cache<LatestTable, Arc<Table>>>,
    /// Where requests are written down, likewise.
    access: RefCell<Cache<LatestAccess, Arc<AccessLog>>>,
    /// Whether the drain has begun, as of the last clean-up: cheaper to ask than the drain itself.
    pub draining: Cell<bool>,
    /// Says why raw connections fail.
    pub complaints: Complaints,
    /// Its number among its siblings.
    pub number: usize,
    /// Requests that come before the next that is drawn to be remembered.
    unsampled: Cell<u32>,
    /// Measure the deadlines of its requests.
    pub timers: Timers,
    /// Clients whose end nobody would learn of yet.
    pub unwatched: Unwatched,
    luck: RefCell<SmallRng>,
    clients: RefCell<Vec<Rc<Client>>>,
}

impl Worker {
    /// A worker with nothing to do yet; its number makes its luck differ from its siblings'.
    pub fn new(shared: Arc<Shared>, number: u64) -> Rc<Self> {
        let luck = rng::for_worker(shared.seed, number);
        Self::with(shared, usize::try_from(number).unwrap_or_default(), luck, Directory::default())
    }

    /// A worker that serves nobody, and only looks: whatever it finds out changes nothing. All its luck follows from a draw.
    pub fn onlooker(shared: Arc<Shared>, draw: u64) -> Rc<Self> {
        Self::with(shared, 0, SmallRng::seed_from_u64(draw), Directory::onlooking())
    }

    fn with(shared: Arc<Shared>, number: usize, luck: SmallRng, directory: Directory) -> Rc<Self> {
        let tick = Rc::new(Tick::new(shared.clock));
        let pools = Pools::new(Arc::clone(&shared.dialler), Rc::clone(&tick));
        Rc::new(Self {
            pools,
            directory,
            unrouted: shared.metrics.recorder_without_service(),
            tick,
            luck: RefCell::new(luck),
            number,
            unsampled: Cell::new(0),
            draining: Cell::new(false),
            complaints: Complaints::default(),
            timers: Timers::default(),
            unwatched: Unwatched::default(),
            clients: RefCell::default(),
            table: RefCell::new(Cache::new(LatestTable(Arc::clone(&shared)))),
            access: RefCell::new(Cache::new(LatestAccess(Arc::clone(&shared)))),
            shared,
        })
    }

    /// Looks at where requests go at present. What names meant by the table before is forgotten first.
    pub fn look_at_table<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        let mut table = self.table.borrow_mut();
        let table = table.load();
        self.directory.heed(table);
        look(table)
    }

    /// Where requests are written down, if they are.
    pub fn access(&self) -> Option<Arc<AccessLog>> {
        let mut access = self.access.borrow_mut();
        let log = access.load();
        log.is_on().then(|| Arc::clone(log))
    }

    /// Runs something that needs randomness.
    pub fn with_luck<T>(&self, run: impl FnOnce(&mut SmallRng) -> T) -> T {
        run(&mut self.luck.borrow_mut())
    }

    /// A number from 0 up to but not including 1.
    pub fn luck(&self) -> f64 {
        self.with_luck(|rng| rng.random())
    }

    /// A number from which all the luck of one pick follows.
    pub fn draw(&self) -> u64 {
        self.with_luck(|rng| rng.next_u64())
    }

    /// Whether the request that begins now is drawn to be remembered.
    pub fn samples(&self) -> bool {
        let left = self.unsampled.get();
        if left > 0 {
            self.unsampled.set(left - 1);
            return false;
        }
        self.sample_anew()
    }

    #[cold]
    fn sample_anew(&self) -> bool {
        let gap = self.shared.pasts.gap(self.luck());
        self.unsampled.set(gap.unwrap_or(u32::MAX));
        gap.is_some()
    }

    /// A 128-bit number, for a request id.
    pub fn random_id(&self) -> u128 {
        self.with_luck(|rng| (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64()))
    }

    /// Connections for one client alone. They end with the client's connection; its servers never close them.
    pub fn private_pools(&self) -> Rc<Pools> {
        self.pools.lasting()
    }

    /// Follows a client connection, until what is given is dropped: at once, since where each request comes on a connection of its
    /// own, there would be many to remember.
    #[must_use]
    pub fn adopt(&self, client: &Rc<Client>) -> Adopted<'_> {
        let mut clients = self.clients.borrow_mut();
        client.place.set(clients.len());
        clients.push(Rc::clone(client));
        Adopted { worker: self, client: Rc::clone(client) }
    }

    /// The clean-up, about once a second: idle and late connections, closed services, counted requests.
    pub fn sweep(&self) {
        self.tick.advance();
        let draining = self.shared.drain.has_begun();
        self.draining.set(draining);
        for client in &*self.clients.borrow() {
            if let Some(order) = client.due(&self.shared.settings, draining) {
                client.tell(order);
            }
            if let Some(private) = client.private.get() {
                private.sweep();
            }
        }
        // What does so otherwise has ended where a drain has begun.
        self.unwatched.watch_all();
        self.pools.sweep();
        self.directory.sweep(self.tick.now());
        self.unrouted.flush();
        // Not held longer than need be once there is another.
        drop(self.access());
    }
}

/// A client connection that its worker follows.
pub struct Adopted<'worker> {
    worker: &'worker Worker,
    client: Rc<Client>,
}

impl Drop for Adopted<'_> {
    fn drop(&mut self) {
        let mut clients = self.worker.clients.borrow_mut();
        let place = self.client.place.get();
        clients.swap_remove(place);
        if let Some(moved) = clients.get(place) {
            moved.place.set(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::client::Origin;
    use crate::telemetry::peer::Peer;

    #[tokio::test]
    async fn what_names_meant_is_forgotten_by_whoever_lets_go_of_their_table() {
        let bed = crate::proxy::layer::bed::Bed::new();
        let Worker { shared, directory, .. } = &*bed.worker;
        bed.worker.look_at_table(|_| ());
        let claim = crate::catalog::Claim::on("svc".parse().unwrap(), crate::balance::Policy::Random);
        directory.subscribe(&claim, &shared.catalog, &shared.metrics).unwrap();
        bed.worker.look_at_table(|_| ());
        assert!(directory.named("svc").is_some());
        shared.table.store(Arc::default());
        bed.worker.look_at_table(|_| ());
        assert!(directory.named("svc").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_end_are_followed_no_more_and_the_others_still() {
        let bed = crate::proxy::layer::bed::Bed::new();
        let worker = &bed.worker;
        let peer = Peer::At(([127, 0, 0, 1], 1).into());
        let begin = || {
            let origin =
                Origin { peer, is_secure: false, bound: None, trusted: true, refuse_cross_site: false };
            Client::new(origin, Rc::clone(&worker.tick))
        };
        let clients = [begin(), begin(), begin()];
        let [first, second, third] = clients.each_ref().map(|client| worker.adopt(client));
        drop(first);
        tokio::time::advance(worker.shared.settings.client_idle_timeout).await;
        worker.sweep();
        let waits = std::task::Context::from_waker(std::task::Waker::noop());
        let told = clients.each_ref().map(|client| client.take_order(&waits).is_some());
        assert_eq!(told, [false, true, true]);
        drop(third);
        drop(second);
        assert!(worker.clients.borrow().is_empty());
        assert!(clients.iter().all(|client| Rc::strong_count(client) == 1));
    }
}
