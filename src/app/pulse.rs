//! The pulse of the workers: whether each of them goes on, so that a supervisor is told of life only while all do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::drain::Drain;

/// How often in the time that the supervisor waits it is looked whether all go on.
const LOOKS: u32 = 4;

/// Counts the beats of each worker.
#[derive(Debug)]
pub(super) struct Pulse {
    /// One for each worker, which writes it about once a second; read by the control thread.
    beats: Box<[AtomicU64]>,
}

impl Pulse {
    pub(super) fn of(workers: usize) -> Arc<Self> {
        Arc::new(Self { beats: (0..workers).map(|_| AtomicU64::new(0)).collect() })
    }

    /// Notes that a worker goes on.
    pub(super) fn beat(&self, worker: usize) {
        if let Some(beats) = self.beats.get(worker) {
            beats.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn beats(&self) -> Vec<u64> {
        self.beats.iter().map(|beats| beats.load(Ordering::Relaxed)).collect()
    }
}

/// Tells the supervisor of life for ever, each time that all workers have gone on since it was told last. Once the traffic has ended
/// there are no workers, and the end is near.
pub(super) async fn tell(pulse: &Pulse, every: Duration, traffic: &Drain, mut alive: impl FnMut()) {
    let mut looks = tokio::time::interval(every / LOOKS);
    let mut told = vec![0; pulse.beats.len()];
    let mut silent = 0;
    loop {
        looks.tick().await;
        let now = pulse.beats();
        let still: Vec<usize> = (0..now.len()).filter(|worker| now[*worker] == told[*worker]).collect();
        if still.is_empty() || traffic.is_over() {
            alive();
            (told, silent) = (now, 0);
            continue;
        }
        silent += 1;
        if silent == LOOKS {
            tracing::error!(workers = ?still, "workers do not go on, and the supervisor is not told of life; please report this");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(8);

    /// How often life is told of in eight seconds in which these workers beat once a second.
    async fn told(pulse: &Pulse, beating: &[usize], traffic: &Drain) -> usize {
        let mut told = 0;
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        let beats = async {
            loop {
                seconds.tick().await;
                beating.iter().for_each(|worker| pulse.beat(*worker));
            }
        };
        let _ = tokio::time::timeout(EVERY, async {
            tokio::select! {
                () = tell(pulse, EVERY, traffic, || told += 1) => {}
                () = beats => {}
            }
        })
        .await;
        told
    }

    #[tokio::test(start_paused = true)]
    async fn life_is_told_of_while_every_worker_goes_on() {
        let (pulse, traffic) = (Pulse::of(2), Drain::new());
        assert!(told(&pulse, &[0, 1], &traffic).await >= 3);
        // The first look may still find what beat before.
        assert!(told(&pulse, &[0], &traffic).await <= 1, "one stands still");
        assert!(told(&Pulse::of(2), &[], &traffic).await == 0);
        traffic.stop();
        assert!(told(&pulse, &[], &traffic).await >= 3, "there are no workers any more");
    }
}
