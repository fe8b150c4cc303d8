//! A worker: one thread, one runtime, its own listeners; a request never leaves it.

use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::pulse::Pulse;
use crate::http1::write_together;
use crate::proxy::{Listening, Shared, Worker, listen};

/// How often a worker cleans up: as exact as its idle times are.
const SWEEP: Duration = Duration::from_secs(1);

/// How often it does while it drains, since the end waits for it.
const SWEEP_DRAINING: Duration = Duration::from_millis(50);

/// Bytes of a block that is taken and given back with each clean-up. The allocator looks for what it can give back to the system only
/// when something of that size is freed, which may be never once a burst is over: it kept a third of the memory that 5,000
/// connections had taken. Nobody writes to the block, so it takes no memory itself.
const STIRRING: usize = 1024 * 1024;

/// Tasks run before the sockets are looked at again. More than tokio's 61, since what is read together is written together,
/// and wakes the other side less often: 2 % less time per request with 64 connections, 7 % with 1,000, on a
/// machine that was busy otherwise.
const TASKS_BEFORE_EVENTS: u32 = 255;

/// Sockets that are seen to at once. Of 1,000 clients that ask at once no more than so many have a provider's connection then: with
/// as many as tokio takes by itself, 1,024, their memory drives each other's out of the processor's, and a request takes a quarter more.
const SOCKETS_AT_ONCE: usize = 128;

/// When a worker begins to take connections, and where it shows that it goes on.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// Connections wait in the listeners until this is cancelled.
    pub(super) open: CancellationToken,
    pub(super) pulse: Arc<Pulse>,
}

/// Starts a worker on these listeners.
///
/// # Errors
/// When its thread or runtime cannot be made.
pub(super) fn start(
    number: usize,
    shared: Arc<Shared>,
    listeners: Vec<Listening>,
    start: Start,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_BEFORE_EVENTS)
            .max_io_events_per_tick(SOCKETS_AT_ONCE)
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                runtime.block_on(run(number, shared, listeners, start));
                // A name that is still looked up, or a disk that hangs, does not hold up the end.
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(%error, "a worker has no runtime"),
        }
    })
}

async fn run(number: usize, shared: Arc<Shared>, listeners: Vec<Listening>, start: Start) {
    let drain = shared.drain.clone();
    let worker = Worker::new(shared, number as u64);
    let begun = drain.clone();
    // Behind whatever is to be done when something is to be written, not before.
    drain.spawn_local("writer", async move {
        tokio::select! {
            () = begun.begun() => {}
            () = write_together() => {}
        }
    });
    let (begun, watching) = (drain.clone(), Rc::clone(&worker));
    drain.spawn_local("watcher", async move {
        tokio::select! {
            () = begun.begun() => {}
            () = watching.unwatched.run() => {}
        }
    });
    for listening in listeners {
        let (worker, open, begun) = (Rc::clone(&worker), start.open.clone(), drain.clone());
        drain.spawn_local("listener", async move {
            tokio::select! {
                () = begun.begun() => {}
                () = open.cancelled() => listen(worker, listening).await,
            }
        });
    }
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                worker.sweep();
                start.pulse.beat(number);
                drop(black_box(Vec::<u8>::with_capacity(STIRRING)));
            }
            () = drain.begun(), if ticks.period() == SWEEP => {
                ticks = tokio::time::interval(SWEEP_DRAINING);
            }
            () = worker.pools.hear_news() => {}
            () = drain.stopped() => break,
        }
    }
    worker.sweep();
}
