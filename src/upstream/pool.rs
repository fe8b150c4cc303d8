//! The connections of one worker to one endpoint: the newest is used first, the oldest goes first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::ConnectError;
use super::connection::Sender;
use crate::clock::{Clock, Moment};
use crate::endpoint::{Endpoint, Memory};
use crate::provider::{Protocol, Provider};

/// The connections to one endpoint.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) memory: Arc<Memory>,
    /// What is spoken on all of them.
    speech: Speech,
    /// Seats taken by connections, in use or idle.
    pub(super) open: Rc<Cell<usize>>,
    /// Connections on which a request can be sent; the newest last. HTTP/2 ones stay here while in use.
    ready: RefCell<Vec<Idle>>,
    /// Held while an HTTP/2 connection is made, so that requests that come together share it, or its failure.
    pub(super) dialling: Mutex<()>,
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
    /// No connections yet.
    pub(super) fn new(endpoint: &Endpoint) -> Rc<Self> {
        Rc::new(Self {
            memory: Arc::clone(&endpoint.memory),
            speech: speech(&endpoint.provider),
            open: Rc::default(),
            ready: RefCell::default(),
            dialling: Mutex::new(()),
            failed: RefCell::default(),
        })
    }

    /// Whether what is spoken on its connections is what an endpoint asks for now.
    pub(super) fn suits(&self, endpoint: &Endpoint) -> bool {
        self.speech == speech(&endpoint.provider)
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
        if let Some(shared) = sender.share() {
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
            let idle = &ready[at];
            let idled = now.since(idle.since);
            if idle.sender.is_closed() {
                ready.remove(at);
            } else if idle.sender.is_shared() {
                if idle.sender.is_ready() {
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

    pub(super) fn give_back(&self, sender: Sender, clock: Clock, idle_max: usize) {
        if sender.is_shared() || idle_max == 0 || sender.is_closed() || self.memory.is_retired() {
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
            idle.sender.is_closed()
                || now.since(idle.since) >= if idle.sender.is_shared() { http2_limit } else { limit }
        }) {
            idle.close();
        }
    }

    /// Gives up the connection that has idled longest, for a new one. False when none idles.
    pub(super) fn make_room(&self) -> bool {
        let mut ready = self.ready.borrow_mut();
        let oldest = ready.iter().position(|idle| idle.sender.streams() == 0);
        oldest.map(|at| ready.remove(at).close()).is_some()
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
