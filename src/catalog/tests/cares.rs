//! What becomes of endpoints when the configuration treats them otherwise than before.

use super::*;
use crate::catalog::{Cares, Layouts};
use crate::endpoint::{Care, Ending, Outcome, Said, Verdict};

#[tokio::test(start_paused = true)]
async fn who_is_ejected_comes_back_when_nobody_is_to_be() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1, 2, 3]).await;
    let (snapshot, ending) = (greeter.snapshot().load(), Ending::at(bed.catalog.clock.now()));
    let memory = &snapshot.endpoints[0].memory;
    let mut verdicts = (0..5).map(|_| memory.note(Outcome::Failure, Said::Nothing, ending, &snapshot.care));
    let suspect = verdicts.find_map(|verdict| match verdict {
        Verdict::Suspect(grounds) => Some(grounds),
        Verdict::Nothing | Verdict::Unreachable | Verdict::StillOut(_) | Verdict::Back => None,
    });
    memory.eject(suspect.unwrap(), ending, &snapshot.care, &snapshot.peers(memory));
    let treat = |care: Care| bed.catalog.tend(Cares { usual: Arc::new(care), ..Cares::default() });
    treat(Care { in_flight_max: 7, ..Care::default() });
    assert!(memory.is_ejected(), "that has nothing to do with it");
    treat(Care { ejecting: None, ..Care::default() });
    assert!(!memory.is_ejected() && memory.is_available());
}

#[tokio::test(start_paused = true)]
async fn who_was_not_listed_yet_is_still_waited_for() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    let care = Care { in_flight_max: 7, ..Care::default() };
    bed.catalog.tend(Cares { usual: Arc::new(care.clone()), ..Cares::default() });
    let layout = Layout { spill_below: 50, ..Layout::default() };
    bed.catalog.lay_out(Layouts { usual: Arc::new(layout), ..Layouts::default() });
    assert!(!greeter.snapshot().load().listed, "nobody said that it has no providers");
    bed.list("greeter", &[1]).await;
    let snapshot = greeter.snapshot().load();
    assert!(snapshot.listed && *snapshot.care == care && snapshot.endpoints.len() == 1);
}
