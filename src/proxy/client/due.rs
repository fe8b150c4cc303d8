//! What is due on a client connection: when it took too long, idled, or is to be finished.

use std::time::Duration;

use super::Client;
use crate::proxy::Settings;

/// What a connection is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Finish the requests in flight, politely take no more.
    Drain,
    /// Say that the request's head took too long, then close; over HTTP/2, say that it is the end, then close.
    Timeout,
    /// Close at once.
    Close,
}

impl Client {
    /// What the clean-up should tell this connection, if anything.
    pub fn due(&self, settings: &Settings, draining: bool) -> Option<Order> {
        let now = self.tick.now();
        let age = now.since(self.accepted);
        let idle = now.since(self.active.get());
        if self.raw.get() {
            // As long as it is not connected to a provider, other limits hold.
            let is_over = self.awaited.get() == 0 && idle >= settings.raw_idle_timeout;
            return is_over.then_some(Order::Close);
        }
        let kept_by_go_micro = self.go_micro.get() && age < settings.go_micro_keep;
        let http2 = self.http2.get();
        if let Some(http2) = http2 {
            http2.taken_back.set(0);
            http2.written.set(0);
            http2.frames.borrow_mut().forget();
        }
        let late = self.head_since.get().is_some_and(|since| now.since(since) >= settings.header_timeout);
        // As long as the client has not taken the answer before, nobody looks at the next head, nor could it be told anything.
        if late && (http2.is_some() || self.requests.get() == 0 && !self.is_writing()) {
            return Some(Order::Timeout);
        }
        if self.requests.get() > 0 {
            let stalled = match http2 {
                // One that moves must not keep the others alive, nor one that does not take them along.
                Some(http2) => {
                    http2.streams.give_up_stalled(settings.stream_idle_timeout);
                    false
                }
                None => self.awaited.get() == 0 && idle >= settings.stream_idle_timeout,
            };
            let last = draining && !kept_by_go_micro;
            return if stalled { Some(Order::Close) } else { last.then_some(Order::Drain) };
        }
        if self.closing.get() {
            return Some(Order::Close);
        }
        if kept_by_go_micro {
            return None;
        }
        let limit = if self.go_micro.get() { GO_MICRO_IDLE } else { settings.client_idle_timeout };
        if idle >= limit {
            return Some(Order::Close);
        }
        // A request may be on its way to one that was busy a moment ago: that one is told with its answer.
        let quiet = self.head_since.get().is_none() && idle >= QUIET;
        // Seen twice, so that what arrived while this thread stood still has been read in between.
        let seen_before = self.quiet.replace(draining && quiet);
        (draining && quiet && seen_before).then_some(Order::Drain)
    }
}

/// How long a Go Micro connection may idle once it is old enough that its client no longer uses it.
pub(super) const GO_MICRO_IDLE: Duration = Duration::from_secs(5);

/// How long a connection has to be silent before a drain closes it between two requests. More than the second between two
/// looks of the clean-up, which is how coarse the time is before the drain.
const QUIET: Duration = Duration::from_millis(1500);
