//! Admission: how many requests are in flight over all workers, and who waits in line for one of them to end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::task::{Context, Poll};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::telemetry::metrics::Metrics;

/// Who may be in flight, and who waits.
///
/// A request is in flight from its head on, so whoever waits is counted among them; there is room while those that do
/// not wait are fewer than the limit. Whoever leaves, or joins the line, looks whether there is room for its first.
#[derive(Debug)]
pub struct Admission {
    limit: usize,
    line_max: usize,
    /// How many wait: the length of the line. Written with the line locked, read by whoever comes or goes.
    waiting: CachePadded<AtomicUsize>,
    line: Mutex<Line>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Line {
    /// The first comes first.
    places: VecDeque<Place>,
    /// The number of the next place.
    next: u64,
}

#[derive(Debug)]
struct Place {
    number: u64,
    call: oneshot::Sender<()>,
}

/// What a request is told that asks to be admitted.
#[derive(Debug)]
pub enum Entry {
    /// There is room.
    Free,
    /// There is none, not even in the line.
    Full,
    /// It is called when there is room.
    Wait(Ticket),
}

/// A place in the line; resolves when it is called, and is given up when dropped.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    number: u64,
    called: oneshot::Receiver<()>,
}

impl Admission {
    /// Nobody waits; at most `limit` requests will be in flight, and at most `line_max` wait besides.
    pub fn new(limit: usize, line_max: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limit, line_max, waiting: CachePadded::default(), line: Mutex::default(), metrics })
    }

    /// Asks for a request that is counted in flight already. Those who wait are not overtaken.
    pub fn enter(self: &Arc<Self>) -> Entry {
        if self.waiting.load(Ordering::Relaxed) == 0 && self.in_flight() <= self.limit {
            return Entry::Free;
        }
        if self.line_max == 0 {
            return Entry::Full;
        }
        let (call, called) = oneshot::channel();
        let mut line = self.line.lock();
        if line.places.len() >= self.line_max {
            return Entry::Full;
        }
        let number = line.next;
        line.next += 1;
        line.places.push_back(Place { number, call });
        self.show(&line);
        // Whoever left before this place was there did not see it.
        fence(Ordering::SeqCst);
        self.call(&mut line);
        drop(line);
        Entry::Wait(Ticket { admission: Arc::clone(self), number, called })
    }

    /// Notes that a request has ended and is no longer counted in flight.
    pub fn leave(&self) {
        if self.line_max == 0 {
            return;
        }
        // The count went down before this; whoever joins the line looks at it after they are in it.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.call(&mut self.line.lock());
        }
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.metrics.proxy.requests_in_flight.get()).unwrap_or(0)
    }

    /// Calls the first in the line as long as there is room.
    fn call(&self, line: &mut Line) {
        while self.in_flight() < self.limit + line.places.len() {
            let Some(place) = line.places.pop_front() else { return };
            self.show(line);
            // One that went away meanwhile has dropped its end before it could leave the line: its own end calls the next.
            let _ = place.call.send(());
        }
    }

    fn show(&self, line: &Line) {
        let length = line.places.len();
        self.waiting.store(length, Ordering::Relaxed);
        self.metrics.proxy.admission_waiting.set(i64::try_from(length).unwrap_or(i64::MAX));
    }
}

impl Future for Ticket {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.called).poll(cx).map(|_| ())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut line = self.admission.line.lock();
        if let Some(at) = line.places.iter().position(|place| place.number == self.number) {
            line.places.remove(at);
            self.admission.show(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn admission(limit: usize, line_max: usize) -> (Arc<Admission>, Arc<Metrics>) {
        let metrics = Metrics::new();
        (Admission::new(limit, line_max, Arc::clone(&metrics)), metrics)
    }

    fn come(admission: &Arc<Admission>, metrics: &Metrics) -> Entry {
        metrics.proxy.requests_in_flight.inc();
        admission.enter()
    }

    fn go(admission: &Admission, metrics: &Metrics) {
        metrics.proxy.requests_in_flight.dec();
        admission.leave();
    }

    fn ticket(entry: Entry) -> Ticket {
        let Entry::Wait(ticket) = entry else { panic!("{entry:?}") };
        ticket
    }

    #[test]
    fn the_first_to_come_is_the_first_to_be_called() {
        let (admission, metrics) = admission(2, 2);
        assert!(matches!(come(&admission, &metrics), Entry::Free));
        assert!(matches!(come(&admission, &metrics), Entry::Free));
        let mut first = ticket(come(&admission, &metrics));
        let mut second = ticket(come(&admission, &metrics));
        assert!(matches!(come(&admission, &metrics), Entry::Full));
        go(&admission, &metrics);
        assert_eq!(metrics.proxy.admission_waiting.get(), 2, "the refused one's end makes no room");
        assert!((&mut first).now_or_never().is_none());
        go(&admission, &metrics);
        assert!((&mut first).now_or_never().is_some() && (&mut second).now_or_never().is_none());
        let third = ticket(come(&admission, &metrics));
        go(&admission, &metrics);
        assert!(second.now_or_never().is_some());
        drop(third);
        assert_eq!(metrics.proxy.admission_waiting.get(), 0);
    }

    #[test]
    fn whoever_goes_away_leaves_the_line_and_lets_the_next_one_in() {
        let (admission, metrics) = admission(1, 3);
        assert!(matches!(come(&admission, &metrics), Entry::Free));
        let first = ticket(come(&admission, &metrics));
        let mut second = ticket(come(&admission, &metrics));
        drop(first);
        go(&admission, &metrics);
        assert!((&mut second).now_or_never().is_none(), "there is still one in flight");
        let third = ticket(come(&admission, &metrics));
        go(&admission, &metrics);
        // Called, it goes away without having seen it.
        drop(second);
        go(&admission, &metrics);
        assert!(third.now_or_never().is_some());
    }

    #[test]
    fn no_call_is_lost_between_threads() {
        let (admission, metrics) = admission(2, 1000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Entry::Wait(ticket) = come(&admission, &metrics) {
                            futures_executor(ticket);
                        }
                        go(&admission, &metrics);
                    }
                });
            }
        });
        assert_eq!((metrics.proxy.admission_waiting.get(), metrics.proxy.requests_in_flight.get()), (0, 0));
    }

    /// Waits on this thread alone.
    fn futures_executor(ticket: Ticket) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ticket);
    }
}
