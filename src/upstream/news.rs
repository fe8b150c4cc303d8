//! News of idle connections: that one of a pool has ended, told to whoever looks after all pools of a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use tokio::sync::Notify;

/// Told of the ends of one pool's idle connections.
#[derive(Debug)]
pub(super) struct News {
    waker: Waker,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    /// Whether there is news. Written by the runtime, taken by whoever looks.
    has_rung: AtomicBool,
    /// Told of it.
    all: Arc<Notify>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.all.notify_one();
    }
}

impl News {
    /// None yet; `all` is told of any.
    pub(super) fn new(all: &Arc<Notify>) -> Self {
        let bell = Arc::new(Bell { has_rung: AtomicBool::new(false), all: Arc::clone(all) });
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }

    /// With which a connection is asked that is to tell of its end.
    pub(super) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    /// Whether there is news since this was asked last.
    pub(super) fn take(&self) -> bool {
        self.bell.has_rung.swap(false, Ordering::Acquire)
    }
}
