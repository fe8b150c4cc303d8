//! A line: requests that wait, first come first served, until an endpoint of their service has room.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::task::Poll;

use crossbeam_utils::CachePadded;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::Group;

/// Requests that wait for room, of all workers.
///
/// Those of one claim wait in one lane, since what has room for one of them has room for the next. Only the first of a lane
/// is called; when it has found room it leaves, and so calls the next. A request that comes while others wait stands behind them.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// How many wait. Written under the lock, read whenever an attempt has ended.
    waiting: CachePadded<AtomicU32>,
    /// Who waits, by lane.
    lanes: Mutex<BTreeMap<usize, VecDeque<Arc<Waiter>>>>,
}

/// One request that waits.
#[derive(Debug, Default)]
struct Waiter {
    /// Whether it is to look for room. Written by whoever made room, taken by itself.
    is_called: AtomicBool,
    waker: AtomicWaker,
}

impl Waiter {
    fn call(&self) {
        self.is_called.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Line {
    /// Calls whoever is first: there may be room. One load when nobody waits.
    ///
    /// What made room happened before, as an operation that is sequentially consistent; whoever lines up counts itself before it looks
    /// for room the last time. So one of both sees the other.
    pub(super) fn call(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let first: Vec<_> = self.lanes.lock().values().filter_map(|lane| lane.front().cloned()).collect();
        first.iter().for_each(|waiter| waiter.call());
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the line; left when it is dropped.
#[derive(Debug)]
pub struct Place {
    group: Arc<Group>,
    lane: usize,
    waiter: Arc<Waiter>,
}

impl Place {
    /// Waits until it is worth to look for room; at once for the first time of whoever is first.
    ///
    /// Who finds none waits again, and stays where it stands.
    pub async fn called(&self) {
        poll_fn(|cx| {
            self.waiter.waker.register(cx.waker());
            if self.waiter.is_called.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        // What is looked at next is what whoever called made.
        fence(Ordering::SeqCst);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let line = &self.group.line;
        let mut lanes = line.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.lane) else { return };
        let Some(at) = lane.iter().position(|waiter| Arc::ptr_eq(waiter, &self.waiter)) else { return };
        lane.remove(at);
        line.waiting.fetch_sub(1, Ordering::SeqCst);
        let next = lane.front().filter(|_| at == 0).cloned();
        if lane.is_empty() {
            lanes.remove(&self.lane);
        }
        drop(lanes);
        if let Some(next) = next {
            next.call();
        }
    }
}

impl Group {
    /// How many requests wait for room.
    pub fn waiting(&self) -> u32 {
        self.line.waiting()
    }

    /// Whether a request of this lane has others before it.
    pub fn is_lined_up(&self, lane: usize) -> bool {
        self.waiting() > 0 && self.line.lanes.lock().contains_key(&lane)
    }

    /// Takes a place at the end of a lane, unless as many as `max` wait already, in all lanes together.
    pub fn line_up(self: &Arc<Self>, lane: usize, max: u32) -> Option<Place> {
        let waiter = Arc::<Waiter>::default();
        let mut lanes = self.line.lanes.lock();
        if self.line.waiting.load(Ordering::Relaxed) >= max {
            return None;
        }
        self.line.waiting.fetch_add(1, Ordering::SeqCst);
        let before = lanes.entry(lane).or_default();
        // Room may have been made before anybody was there to be called.
        waiter.is_called.store(before.is_empty(), Ordering::Relaxed);
        before.push_back(Arc::clone(&waiter));
        drop(lanes);
        Some(Place { group: Arc::clone(self), lane, waiter })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_called(place: &Place) -> bool {
        place.called().now_or_never().is_some()
    }

    #[test]
    fn the_first_is_called_and_the_next_when_it_leaves() {
        let group = Arc::<Group>::default();
        group.line.call();
        let [first, second, third] = [(); 3].map(|()| group.line_up(1, 3).unwrap());
        assert!(group.line_up(1, 3).is_none() && group.is_lined_up(1) && !group.is_lined_up(2));
        assert!(is_called(&first), "room may have been made meanwhile");
        assert!(!is_called(&first) && !is_called(&second));
        group.change();
        assert!(!is_called(&second) && is_called(&first) && !is_called(&first));
        drop(second);
        assert!(!is_called(&first) && !is_called(&third), "nothing changed for them");
        drop(first);
        assert!(is_called(&third));
        drop(third);
        assert!(group.waiting() == 0 && !group.is_lined_up(1));
    }

    #[test]
    fn lanes_do_not_stand_in_each_others_way() {
        let group = Arc::<Group>::default();
        let (one, other) = (group.line_up(1, 9).unwrap(), group.line_up(2, 9).unwrap());
        assert!(is_called(&one) && is_called(&other));
        group.line.call();
        assert!(is_called(&one) && is_called(&other));
        assert!(group.line_up(3, 2).is_none(), "they share a bound");
    }

    /// Workers take and give back the one room there is, for ever in doubt whether somebody waits: nobody is forgotten.
    #[test]
    fn whoever_waits_is_called_whatever_races() {
        let group = Arc::<Group>::default();
        let room = AtomicU32::new(1);
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let take = || room.compare_exchange(1, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let runtime = runtime();
                    for _ in 0..5_000 {
                        if group.is_lined_up(1) || !take() {
                            let place = group.line_up(1, u32::MAX).unwrap();
                            runtime.block_on(async {
                                loop {
                                    place.called().await;
                                    if take() {
                                        return;
                                    }
                                }
                            });
                        }
                        room.fetch_add(1, Ordering::SeqCst);
                        group.line.call();
                    }
                });
            }
        });
        assert_eq!((room.into_inner(), group.waiting()), (1, 0));
    }
}
