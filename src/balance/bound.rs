//! The bound on load: how much one endpoint may have in flight beside what all have on average.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::{LoadBound, Notes, weights};
use crate::clock::Moment;
use crate::endpoint::{Endpoint, Memory};

/// Endpoints counted by one pick, so that none takes long: about a microsecond.
const COUNTED_MAX: usize = 128;
/// The time between two counts; with ten thousand endpoints the average is then 80 ms old at most.
const PAUSE: Duration = Duration::from_millis(1);

/// How much one endpoint may have in flight: so many times the average of those that are available, by weight, and always
/// one (Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", 2018).
///
/// The average is counted anew all the time, a part of the endpoints at a pick, at most once a millisecond; between counts
/// it is as old as that.
#[derive(Debug)]
pub(super) struct Bound {
    factor: f64,
    counted: Box<[Counted]>,
    /// What all may have in flight for each unit of weight, as the bits of an `f64`. Written by whoever ends a count, read at each pick.
    room: CachePadded<AtomicU64>,
    /// The bits of the moment from which the next part may be counted; all ones while one is being counted.
    due: AtomicU64,
    /// The count so far: the place, what is in flight, and the weight. Written and read by whoever counts.
    place: AtomicUsize,
    in_flight: AtomicU64,
    weight: AtomicU64,
}

#[derive(Debug)]
struct Counted {
    memory: Arc<Memory>,
    weight: u32,
}

impl Bound {
    /// The bound for these endpoints.
    pub(super) fn new(bound: LoadBound, endpoints: &[Endpoint]) -> Self {
        let counted =
            |(endpoint, weight): (&Endpoint, u32)| Counted { memory: Arc::clone(&endpoint.memory), weight };
        let new = Self {
            factor: bound.factor(),
            counted: endpoints.iter().zip(weights(endpoints)).map(counted).collect(),
            room: CachePadded::default(),
            due: AtomicU64::new(0),
            place: AtomicUsize::new(0),
            in_flight: AtomicU64::new(0),
            weight: AtomicU64::new(0),
        };
        let (in_flight, weight) = count(&new.counted);
        new.publish(in_flight, weight);
        new
    }

    /// What all may have in flight for each unit of weight, as counted last.
    pub(super) fn room(&self) -> f64 {
        f64::from_bits(self.room.load(Ordering::Relaxed))
    }

    /// How much of its room an endpoint has in use, where there is so much for each unit of weight; one more fits while
    /// this is under 1.
    pub(super) fn used(&self, index: usize, room: f64, notes: Option<&mut Notes>) -> f64 {
        let Counted { memory, weight } = &self.counted[index];
        let in_flight = memory.in_flight();
        if let Some(notes) = notes {
            notes.load(memory, in_flight);
        }
        f64::from(in_flight) / (room * f64::from(*weight))
    }

    /// Counts on, when it is time and nobody else does.
    pub(super) fn refresh(&self, now: Moment) {
        let due = self.due.load(Ordering::Relaxed);
        if due <= now.to_bits()
            && self.due.compare_exchange(due, u64::MAX, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            self.count_on();
            self.due.store(now.after(PAUSE).to_bits(), Ordering::Release);
        }
    }

    fn count_on(&self) {
        let from = self.place.load(Ordering::Relaxed);
        let upto = (from + COUNTED_MAX).min(self.counted.len());
        let part = count(&self.counted[from..upto]);
        let in_flight = self.in_flight.load(Ordering::Relaxed) + part.0;
        let weight = self.weight.load(Ordering::Relaxed) + part.1;
        let (place, in_flight, weight) = if upto == self.counted.len() {
            self.publish(in_flight, weight);
            (0, 0, 0)
        } else {
            (upto, in_flight, weight)
        };
        self.place.store(place, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.weight.store(weight, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "nothing here comes near 2^52")]
    fn publish(&self, in_flight: u64, weight: u64) {
        // The one that is about to be sent counts too; and where nobody is available, the bound does not matter.
        let room = self.factor * (in_flight + 1) as f64 / weight.max(1) as f64;
        self.room.store(room.to_bits(), Ordering::Relaxed);
    }
}

/// What is in flight at those that are available, and their weight.
fn count(endpoints: &[Counted]) -> (u64, u64) {
    let available = endpoints.iter().filter(|counted| counted.weight > 0 && counted.memory.is_available());
    available.fold((0, 0), |(in_flight, weight), counted| {
        (in_flight + u64::from(counted.memory.in_flight()), weight + u64::from(counted.weight))
    })
}
