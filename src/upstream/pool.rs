//! The connections of one worker to one endpoint: the newest is used first, the oldest goes first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use super::ConnectError;
use super::connection::Sender;
use super::news::News;
use super::tls::{Manner, Tls};
use crate::clock::{Clock, Moment};
use crate::endpoint::{Endpoint, Memory};
use crate::provider::{Protocol, Provider};

/// The connections to one endpoint.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) memory: Arc<Memory>,
    /// What is spoken on all of them.
    speech: Speech,
    /// The terms of TLS on all of them, where it is spoken; and when they were last seen to be those in force.
    manner: Option<Arc<Manner>>,
    epoch: Cell<u64>,
    /// Whether another one took its place: nothing is kept here any more, while what is under way goes on.
    is_over: Cell<bool>,
    /// Seats taken by connections, in use or idle.
    pub(super) open: Rc<Cell<usize>>,
    /// Connections on which a request can be sent; the newest last. HTTP/2 ones stay here while in use.
    ready: RefCell<Vec<Idle>>,
    /// Told when one of those ends.
    news: News,
    /// Held while an HTTP/2 connection is made, so that requests that come together share it, or its failure.
    pub(super) dialling: Arc<Mutex<()>>,
    /// The last failure to make one, and how many there were.
    failed: RefCell<(u64, Option<ConnectError>)>,
}

/// What is spoken with a provider, and whether under TLS.
type Speech = (Protocol, bool);

const fn speech(provider: &Provider) -> Speech {
    (provider.protocol, provider.secure)
}

/// A connection that waits for its next request, or an HTTP/2 one that takes more.
#[derive(Debug)]
struct Idle {
    sender: Sender,
    /// When it was last seen in use.
    since: Moment,
}

impl Pool {
    /// No connections yet; `all` is told when idle ones end.
    pub(super) fn new(endpoint: &Endpoint, tls: &Tls, all: &Arc<Notify>) -> Rc<Self> {
        // In this order: a change between the two is seen to be one later.
        let epoch = Cell::new(tls.epoch());
        let manner = endpoint.provider.secure.then(|| tls.manner(endpoint.service()));
        Rc::new(Self {
            memory: Arc::clone(&endpoint.memory),
            speech: speech(&endpoint.provider),
            manner,
            epoch,
            is_over: Cell::new(false),
            open: Rc::default(),
            ready: RefCell::default(),
            news: News::new(all),
            dialling: Arc::default(),
            failed: RefCell::default(),
        })
    }

    /// Whether what is spoken on its connections is what an endpoint asks for now, and on which terms.
    pub(super) fn suits(&self, endpoint: &Endpoint, tls: &Tls) -> bool {
        self.speech == speech(&endpoint.provider) && self.keeps_terms(tls)
    }

    /// Whether the terms of TLS on its connections are those in force.
    pub(super) fn keeps_terms(&self, tls: &Tls) -> bool {
        let Some(manner) = &self.manner else { return true };
        let epoch = tls.epoch();
        if self.epoch.get() == epoch {
            return true;
        }
        let is_same = Arc::ptr_eq(manner, &tls.manner(self.memory.group().service()));
        if is_same {
            self.epoch.set(epoch);
        }
        is_same
    }

    /// The terms of TLS on its connections, where it is spoken.
    pub(super) fn manner(&self) -> Option<&Manner> {
        self.manner.as_deref()
    }

    /// How many connections could not be made.
    pub(super) fn failures(&self) -> u64 {
        self.failed.borrow().0
    }

    /// Why the last one could not be made, if others were tried in vain since so many failures.
    pub(super) fn failed_since(&self, failures: u64) -> Option<ConnectError> {
        let failed = self.failed.borrow();
        failed.1.clone().filter(|_| failed.0 != failures)
    }

    /// Notes that a connection could not be made.
    pub(super) fn fail(&self, error: ConnectError) {
        self.failed.replace_with(|(failures, _)| (failures.wrapping_add(1), Some(error)));
    }

    /// Offers an HTTP/2 connection to others.
    pub(super) fn share(&self, sender: &Sender, now: Moment) {
        if let Some(shared) = sender.share().filter(|_| !self.is_over.get()) {
            self.failed.borrow_mut().1 = None;
            self.ready.borrow_mut().push(Idle { sender: shared, since: now });
        }
    }

    /// The newest connection on which a request can be sent, and how long it has idled.
    pub(super) fn take(&self, now: Moment, limit: Duration) -> Option<(Sender, Duration)> {
        let mut ready = self.ready.borrow_mut();
        let mut at = ready.len();
        while at > 0 {
            at -= 1;
            let idle = &mut ready[at];
            let idled = now.since(idle.since);
            if idle.sender.is_closed(&mut self.news.context()) {
                ready.remove(at);
            } else if idle.sender.is_shared() {
                if idle.sender.is_ready() {
                    // What is used for less time than there is between two looks would seem to idle.
                    idle.since = now;
                    return idle.sender.share().map(|shared| (shared, Duration::ZERO));
                }
            } else if idled >= limit {
                // The newest come last, so all before this one are too old as well.
                ready.drain(..=at).for_each(Idle::close);
                return None;
            } else if idle.sender.is_ready() {
                let sender = ready.remove(at).sender;
                sender.bond().signs.release();
                return Some((sender, idled));
            }
        }
        None
    }

    /// Gives up the connection of this sender, which takes no more requests. Its seat stays taken while others wait on it.
    pub(super) fn give_up(&self, sender: &Sender) {
        let bond = sender.bond();
        self.ready.borrow_mut().retain(|idle| !Rc::ptr_eq(idle.sender.bond(), bond));
        if Rc::strong_count(bond) == 1 {
            bond.seat.leave();
        }
    }

    pub(super) fn give_back(&self, mut sender: Sender, clock: Clock, idle_max: usize) {
        // Its end is told from here on.
        let is_of_use = !sender.is_shared() && !sender.is_closed(&mut self.news.context());
        if !is_of_use || idle_max == 0 || self.memory.is_retired() || self.is_over.get() {
            return;
        }
        let mut ready = self.ready.borrow_mut();
        if ready.len() >= idle_max {
            ready.remove(0).close();
        }
        let since = clock.now();
        sender.bond().signs.keep(since);
        ready.push(Idle { sender, since });
    }

    /// Closes what idles too long.
    pub(super) fn sweep(&self, now: Moment, limit: Duration, http2_limit: Duration) {
        let mut ready = self.ready.borrow_mut();
        for idle in ready.extract_if(.., |idle| {
            if idle.sender.streams() > 0 {
                idle.since = now;
            }
            idle.sender.is_closed(&mut self.news.context())
                || now.since(idle.since) >= if idle.sender.is_shared() { http2_limit } else { limit }
        }) {
            idle.close();
        }
    }

    /// Lets go of idle connections that have ended, where any is known to have.
    pub(super) fn hear_news(&self) {
        if self.news.take() {
            self.ready.borrow_mut().retain_mut(|idle| !idle.sender.is_closed(&mut self.news.context()));
        }
    }

    /// Gives up the connection that has idled longest, for a new one. False when none idles.
    pub(super) fn make_room(&self) -> bool {
        let mut ready = self.ready.borrow_mut();
        let oldest = ready.iter().position(|idle| idle.sender.streams() == 0);
        oldest.map(|at| ready.remove(at).close()).is_some()
    }

    /// Closes what idles, and what is under way at its end.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        self.clear();
    }

    /// Closes what idles.
    pub(super) fn clear(&self) {
        self.ready.borrow_mut().drain(..).for_each(Idle::close);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Idle {
    /// Closes it, which is no wish of the provider's.
    fn close(self) {
        let bond = self.sender.bond();
        bond.signs.release();
        bond.seat.leave();
    }
}
