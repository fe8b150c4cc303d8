//! The bytes that wait to be written: a few long lines take as much memory as many short ones, and clients write targets as long as
//! they like.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of lines that may wait, however few lines they are.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How many bytes wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<AtomicU64>);

impl Waiting {
    /// Counts a line that is about to wait; false when it may not.
    pub(super) fn enter(&self, line: &[u8]) -> bool {
        let is_room = self.0.load(Ordering::Relaxed) < BYTES_MAX;
        if is_room {
            self.0.fetch_add(line.len() as u64, Ordering::Relaxed);
        }
        is_room
    }

    fn leave(&self, bytes: usize) {
        let less = |waiting: u64| Some(waiting.saturating_sub(bytes as u64));
        // It always says a number.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// Passes lines on, which wait no longer then.
pub(super) struct Counted<W> {
    pub(super) to: W,
    pub(super) waiting: Waiting,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let count = self.to.write(line)?;
        self.waiting.leave(count);
        Ok(count)
    }

    /// Is called whenever no more lines wait: lines that found no place after they were counted are forgotten here.
    fn flush(&mut self) -> io::Result<()> {
        self.waiting.0.store(0, Ordering::Relaxed);
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_long_lines_are_as_many_as_may_wait() {
        let waiting = Waiting::default();
        let mut counted = Counted { to: io::sink(), waiting: waiting.clone() };
        let half = vec![b'x'; BYTES_MAX as usize / 2];
        assert!(waiting.enter(&half) && waiting.enter(&half));
        assert!(!waiting.enter(b"x"), "there is no room for more");
        counted.write_all(&half).unwrap();
        assert!(waiting.enter(&half), "what is written makes room");
        assert!(!waiting.enter(b"x"));
        counted.flush().unwrap();
        counted.write_all(&half).unwrap();
        assert!(waiting.enter(&half) && waiting.enter(&half), "it is never less than none");
    }
}
