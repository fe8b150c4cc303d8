//! What becomes of endpoints when the configuration treats them otherwise than before.

use super::*;
use crate::catalog::Cares;
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
