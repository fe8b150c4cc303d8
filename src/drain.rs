//! Tasks and their end: every task is spawned here by name and counted, told to drain, then to stop.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long what was stopped may take to be gone. Work on a thread of its own cannot be stopped: a disk that hangs under it must not
/// hold up the end.
const GOING: Duration = Duration::from_secs(1);

/// How soon a task begins anew that panicked: one that does so again and again is not to have the processor for itself.
const ANEW: Duration = Duration::from_secs(1);

/// The end of the process in two steps, and the tasks that have to come to theirs first. Cheap to clone.
///
/// First *draining*: what runs is finished, nothing new is accepted. Then *stopped*: what still runs is dropped.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    draining: CancellationToken,
    stopped: CancellationToken,
    tasks: TaskTracker,
    panics: Panics,
}

/// Panics of tasks: how many there were, and who is told of each.
#[derive(Clone, Default)]
struct Panics {
    count: Arc<AtomicU64>,
    tell: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Panics {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(tell) = &self.tell {
            tell();
        }
    }
}

impl fmt::Debug for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count.fmt(f)
    }
}

/// Built of combinators: an async function would have room for the task twice, as its argument and as what it awaits.
fn caught(name: &'static str, panics: Panics, task: impl Future<Output = ()>) -> impl Future<Output = ()> {
    AssertUnwindSafe(task).catch_unwind().map(move |ended| {
        if ended.is_err() {
            panics.add();
            tracing::error!(task = name, "a task panicked and was dropped; please report this");
        }
    })
}

impl Drain {
    /// Nothing runs yet, and nothing ends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing runs yet; `tell` will be called at each panic of a task.
    pub fn telling_of_panics(tell: impl Fn() + Send + Sync + 'static) -> Self {
        let panics = Panics { tell: Some(Arc::new(tell)), ..Panics::default() };
        Self { panics, ..Self::default() }
    }

    /// Runs a task on this thread's local runtime until it ends or the runtime does; a panic in it is caught, counted and logged.
    pub fn spawn_local(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        // Local tasks end with their runtime, so they need not be told that everything is stopped.
        let panics = self.panics.clone();
        drop(self.tasks.spawn_local(caught(name, panics, task)));
    }

    /// Runs a task on this runtime until it ends or all is stopped; a panic in it is caught, counted and logged.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        let panics = self.panics.clone();
        let task = async move {
            stopped.run_until_cancelled(task).await;
        };
        drop(self.tasks.spawn(caught(name, panics, task)));
    }

    /// Runs a task as [`Drain::spawn`] does, and begins it anew after a panic in it, which is counted and logged: for what lasts as long
    /// as the process, which would go on without it and look well.
    pub fn spawn_anew<F>(&self, name: &'static str, mut begin: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let panics = self.panics.clone();
        self.spawn(name, async move {
            while AssertUnwindSafe(begin()).catch_unwind().await.is_err() {
                panics.add();
                tracing::error!(task = name, "a task panicked and begins anew; please report this");
                tokio::time::sleep(ANEW).await;
            }
        });
    }

    /// Does work that keeps its thread busy on a thread of its own. `None` when it panicked, which is counted and logged.
    pub async fn run_aside<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let done = self.tasks.spawn_blocking(work).await;
        if done.is_err() {
            self.panics.add();
            tracing::error!(task = name, "a task panicked and was dropped; please report this");
        }
        done.ok()
    }

    /// Begins to drain; calling it again changes nothing.
    pub fn begin(&self) {
        self.draining.cancel();
    }

    /// Whether draining has begun.
    pub fn has_begun(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until draining begins.
    pub async fn begun(&self) {
        self.draining.cancelled().await;
    }

    /// Whether everything is stopped.
    pub fn is_over(&self) -> bool {
        self.stopped.is_cancelled()
    }

    /// Waits until everything is stopped.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Drains: waits for all tasks at most so long, then stops the rest, but for work on threads of its own, which is left behind.
    /// Gives the number of tasks that had to be stopped.
    pub async fn finish(&self, timeout: Duration) -> usize {
        self.begin();
        self.tasks.close();
        let late = tokio::time::timeout(timeout, self.tasks.wait()).await.is_err();
        let left = if late { self.tasks.len() } else { 0 };
        self.stopped.cancel();
        // Whatever is left behind then ends with the process.
        let _ = tokio::time::timeout(GOING, self.tasks.wait()).await;
        left
    }

    /// Drops what runs at once.
    pub fn stop(&self) {
        self.begin();
        self.stopped.cancel();
    }

    /// Tasks running now.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Tasks that panicked since the start.
    pub fn panics(&self) -> u64 {
        self.panics.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_task_alone_and_is_told() {
        let told = Arc::new(AtomicU64::new(0));
        let tell = Arc::clone(&told);
        let drain = Drain::telling_of_panics(move || {
            tell.fetch_add(1, Ordering::Relaxed);
        });
        let went_on = Arc::new(AtomicU64::new(0));
        let goes_on = Arc::clone(&went_on);
        drain.spawn("one that panics", async { panic!("on purpose") });
        drain.spawn("another", async move { goes_on.store(1, Ordering::Relaxed) });
        assert_eq!(drain.finish(Duration::from_secs(10)).await, 0);
        let counted = told.load(Ordering::Relaxed);
        assert_eq!((counted, drain.panics(), went_on.load(Ordering::Relaxed)), (1, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_to_last_begins_anew_after_a_panic() {
        let (drain, mut begun) = (Drain::new(), 0);
        drain.spawn_anew("one that panics twice", move || {
            begun += 1;
            async move { assert!(begun > 2, "on purpose") }
        });
        assert_eq!(drain.finish(Duration::from_secs(10)).await, 0);
        assert_eq!(drain.panics(), 2);
    }

    #[tokio::test]
    async fn work_on_a_thread_of_its_own_is_counted_and_may_panic() {
        let drain = Drain::new();
        let counts = drain.clone();
        assert_eq!(drain.run_aside("work", move || counts.tasks()).await, Some(1));
        assert_eq!(drain.run_aside("one that panics", || panic!("on purpose")).await, None::<()>);
        assert_eq!((drain.panics(), drain.tasks()), (1, 0));
    }

    #[tokio::test]
    async fn work_that_hangs_does_not_hold_up_the_end() {
        let drain = Drain::new();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let works = drain.clone();
        drain.spawn("one that hangs", async move {
            let _ = works.run_aside("work", move || held.recv().is_err()).await;
        });
        while drain.tasks() < 2 {
            tokio::task::yield_now().await;
        }
        let finished = drain.finish(Duration::from_millis(1));
        let left = tokio::time::timeout(Duration::from_secs(60), finished).await;
        assert_eq!(left.ok(), Some(2));
        // The runtime of the test waits for it.
        drop(let_go);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_finish_in_time_is_stopped_and_counted() {
        let drain = Drain::new();
        let begun = drain.clone();
        drain.spawn("polite", async move { begun.begun().await });
        drain.spawn("deaf", std::future::pending());
        assert_eq!((drain.tasks(), drain.has_begun()), (2, false));
        assert_eq!(drain.finish(Duration::from_secs(1)).await, 1);
        assert_eq!((drain.tasks(), drain.has_begun()), (0, true));
    }
}
