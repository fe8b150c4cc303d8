//! What the requests of one worker share: its pools, its services, its luck, and what all workers have in common.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use http::{HeaderValue, Version};
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _};

use super::Settings;
use super::admission::Admission;
use super::client::{Client, Unwatched};
use super::directory::Directory;
use super::raw::Complaints;
use super::timers::Timers;
use crate::balance::rng;
use crate::catalog::Catalog;
use crate::clock::{Clock, Tick};
use crate::drain::Drain;
use crate::route::Table;
use crate::telemetry::access::AccessLog;
use crate::telemetry::metrics::{Metrics, Recorder};
use crate::upstream::{Dialler, Pools};

/// What all workers have in common. Written at start, but for the table, which a reload replaces.
#[derive(Debug)]
pub struct Shared {
    /// How requests are taken and bounded.
    pub settings: Settings,
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
    pub access: AccessLog,
    /// What time it is.
    pub clock: Clock,
    /// How it ends.
    pub drain: Drain,
    /// Where all luck comes from.
    pub seed: u64,
    /// This process in `Via`, such as `wayside-1f2e3d4c`: of its own, so that a request that comes back is recognised.
    pub pseudonym: Pseudonym,
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
    /// Whether the drain has begun, as of the last clean-up: cheaper to ask than the drain itself.
    pub draining: Cell<bool>,
    /// Says why raw connections fail.
    pub complaints: Complaints,
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
        let tick = Rc::new(Tick::new(shared.clock));
        let pools = Pools::new(Arc::clone(&shared.dialler), Rc::clone(&tick));
        Rc::new(Self {
            pools,
            directory: Directory::default(),
            unrouted: shared.metrics.recorder_without_service(),
            tick,
            luck: RefCell::new(rng::for_worker(shared.seed, number)),
            draining: Cell::new(false),
            complaints: Complaints::default(),
            timers: Timers::default(),
            unwatched: Unwatched::default(),
            clients: RefCell::default(),
            table: RefCell::new(Cache::new(LatestTable(Arc::clone(&shared)))),
            shared,
        })
    }

    /// Runs something that needs randomness.
    pub fn with_luck<T>(&self, run: impl FnOnce(&mut SmallRng) -> T) -> T {
        run(&mut self.luck.borrow_mut())
    }

    /// A number from 0 up to but not including 1.
    pub fn luck(&self) -> f64 {
        self.with_luck(|rng| rng.random())
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
