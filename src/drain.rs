//! Tasks and their end: every task is spawned here by name and counted, told to drain, then to stop.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The end of the process in two steps, and the tasks that have to come to theirs first. Cheap to clone.
///
/// First *draining*: what runs is finished, nothing new is accepted. Then *stopped*: what still runs is dropped.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    draining: CancellationToken,
    stopped: CancellationToken,
    tasks: TaskTracker,
    panics: Arc<AtomicU64>,
}

/// Built of combinators: an async function would have room for the task twice, as its argument and as what it awaits.
fn caught(
    name: &'static str,
    panics: Arc<AtomicU64>,
    task: impl Future<Output = ()>,
) -> impl Future<Output = ()> {
    AssertUnwindSafe(task).catch_unwind().map(move |ended| {
        if ended.is_err() {
            panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = name, "a task panicked and was dropped; please report this");
        }
    })
}

/// Runs the parts of an HTTP/2 connection as tasks of this thread.
#[derive(Clone, Debug)]
pub struct LocalTasks(pub Drain);

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalTasks {
    fn execute(&self, task: F) {
        self.0.spawn_local("http2 stream", task);
    }
}

impl Drain {
    /// Nothing runs yet, and nothing ends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task on this thread's local runtime until it ends or the runtime does; a panic in it is caught, counted and logged.
    pub fn spawn_local(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        // Local tasks end with their runtime, so they need not be told that everything is stopped.
        let panics = Arc::clone(&self.panics);
        drop(self.tasks.spawn_local(caught(name, panics, task)));
    }

    /// Runs a task on this runtime until it ends or all is stopped; a panic in it is caught, counted and logged.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        let panics = Arc::clone(&self.panics);
        let task = async move {
            stopped.run_until_cancelled(task).await;
        };
        drop(self.tasks.spawn(caught(name, panics, task)));
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

    /// Waits until everything is stopped.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Drains: waits for all tasks at most so long, then stops the rest. Gives the number of tasks that had to be stopped.
    pub async fn finish(&self, timeout: Duration) -> usize {
        self.begin();
        self.tasks.close();
        let late = tokio::time::timeout(timeout, self.tasks.wait()).await.is_err();
        let left = if late { self.tasks.len() } else { 0 };
        self.stopped.cancel();
        self.tasks.wait().await;
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
        self.panics.load(Ordering::Relaxed)
    }
}
