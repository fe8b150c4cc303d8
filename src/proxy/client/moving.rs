//! What moves on a client connection, and what that tells of it: whether it lives, what has begun, and what is too much.

use super::{Client, Order};
use crate::upstream::Progress;

impl Client {
    pub(super) fn moved(&self) {
        self.active.set(self.tick.now());
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.moved();
        if let Some(http2) = self.http2.get() {
            http2.written.set(http2.written.get() + bytes as u64);
        }
    }

    pub(super) fn heard(&self, bytes: &[u8]) {
        self.moved();
        let begins = match self.http2.get() {
            // An empty line behind a body begins nothing (RFC 9112, 2.2).
            None => self.requests.get() == 0 && bytes != b"\r\n",
            Some(http2) => {
                let mut frames = http2.frames.borrow_mut();
                let Progress { is_within, has_completed } = frames.see(bytes);
                if frames.are_too_many(http2.written.get()) {
                    self.tell(Order::Timeout);
                }
                if has_completed || !is_within {
                    self.head_since.set(None);
                }
                is_within
            }
        };
        if begins {
            self.begin_head();
        }
    }

    /// Notes that a head is coming.
    pub fn begin_head(&self) {
        if self.head_since.get().is_none() {
            self.head_since.set(Some(self.tick.now()));
        }
    }
}
