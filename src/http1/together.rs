//! Writing together: what the connections of one thread have to say leaves at once, when all that came at once has been seen to.
//!
//! Each write may wake whoever is at the other end. Writes that follow each other closely find it awake, and the same instructions in
//! the processor's memory: with 64 connections this takes less time than writing each message as soon as it is made.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// What has something to write.
pub(super) trait Write {
    /// Writes it, as far as it is taken. Whoever drives it is woken where that is not all.
    fn write_now(&self);
}

#[derive(Default)]
struct Waiting {
    writers: Vec<Rc<dyn Write>>,
    /// Who writes, where somebody does.
    waker: Option<Waker>,
}

thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
}

/// Has something written soon; false where nobody writes together on this thread.
pub(super) fn write_soon(writer: impl FnOnce() -> Rc<dyn Write>) -> bool {
    WAITING.with_borrow_mut(|waiting| {
        let Some(waker) = &waiting.waker else { return false };
        if waiting.writers.is_empty() {
            waker.wake_by_ref();
        }
        waiting.writers.push(writer());
        true
    })
}

/// Writes what the connections of this thread have to say, as long as it is polled.
pub async fn write_together() {
    let _end = End;
    poll_fn::<(), _>(|cx| {
        let mut writers = WAITING.with_borrow_mut(|waiting| {
            match &mut waiting.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => waiting.waker = Some(cx.waker().clone()),
            }
            std::mem::take(&mut waiting.writers)
        });
        for writer in writers.drain(..) {
            writer.write_now();
        }
        // Its room is used again.
        WAITING.with_borrow_mut(|waiting| {
            if waiting.writers.is_empty() {
                waiting.writers = writers;
            }
        });
        Poll::Pending
    })
    .await;
}

/// From here on each writes by itself.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        let last = WAITING.with_borrow_mut(std::mem::take);
        last.writers.iter().for_each(|writer| writer.write_now());
    }
}
