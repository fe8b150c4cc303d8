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

impl Drain {
    /// Nothing runs yet, and nothing ends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task on this thread's local runtime until it ends or all is stopped; a panic in it is caught, counted and logged.
    pub fn spawn_local(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        drop(self.tasks.spawn_local(self.watched(name, task)));
    }

    /// Runs a task on this runtime until it ends or all is stopped; a panic in it is caught, counted and logged.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.tasks.spawn(self.watched(name, task)));
    }

    fn watched<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        task: F,
    ) -> impl Future<Output = ()> + use<F> {
        let stopped = self.stopped.clone();
        let panics = Arc::clone(&self.panics);
        async move {
            let task = AssertUnwindSafe(stopped.run_until_cancelled(task)).catch_unwind();
            if task.await.is_err() {
                panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, "a task panicked and was dropped; please report this");
            }
        }
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
