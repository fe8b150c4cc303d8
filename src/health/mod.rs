//! Health: probes of endpoints that are in doubt, so that no request has to find out.
//!
//! Probed are endpoints in limbo that have not answered lately, ghosts each time their pause is over, and, one at a time
//! and rarely, endpoints whose record has no owner and that no request has tried for long. A probe is a connection that is
//! closed again. So the probes of one proxy are bounded by what is in doubt, and a healthy fleet sees next to none.

mod reaper;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::RngExt as _;
use tokio::time::MissedTickBehavior;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::endpoint::{Endpoint, Memory};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Dialler;
use schedule::Schedule;

/// How often is looked for what is to be probed.
const LOOK: Duration = Duration::from_millis(500);

/// Probes what is in doubt until the drain begins.
pub async fn watch_over(
    catalog: Arc<Catalog>,
    metrics: Arc<Metrics>,
    clock: Clock,
    dialler: Arc<Dialler>,
    drain: Drain,
) {
    let probing = async {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut schedule = Schedule::default();
        let mut probes = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    let known = catalog.known();
                    for endpoint in schedule.due(&known, clock.now(), probes.len(), &mut rand::rng()) {
                        probes.push(probe(endpoint, &dialler));
                    }
                }
                Some((memory, is_well)) = probes.next() => {
                    note(&memory, is_well, clock);
                    metrics.catalog.probes(if is_well { "well" } else { "failed" }).inc();
                    schedule.done(&memory);
                }
            }
        }
    };
    tokio::select! {
        () = drain.begun() => {}
        () = probing => {}
        () = reaper::reap(&catalog, &dialler) => {}
    }
}

/// Whether somebody accepts connections at the address of this endpoint, over TLS where its record says so.
async fn probe(endpoint: Endpoint, dialler: &Dialler) -> (Arc<Memory>, bool) {
    let is_well = dialler.connect(&endpoint.provider).await.is_ok();
    (endpoint.memory, is_well)
}

/// Tells an endpoint how its probe went.
fn note(memory: &Memory, is_well: bool, clock: Clock) {
    if is_well {
        memory.answer(clock.now());
    } else {
        memory.fail_to_connect(clock.now(), rand::rng().random());
    }
}
