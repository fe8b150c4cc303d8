//! The requests of an HTTP/2 connection: which of them lies still for too long, and how it is given up without the others.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::iter;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::Client;
use crate::clock::{Pulse, Tick};
use crate::drain::Drain;

/// Streams that have ended and are still listed, beyond as many as there are in flight.
const SPARE: usize = 32;

/// One request on an HTTP/2 connection, as the clean-up sees it.
#[derive(Debug)]
pub struct Stream {
    /// Beats with each piece of its answer, and stops what answers it.
    pub pulse: Rc<Pulse>,
    /// Beats with each piece of its body, and stops that: whoever sends it on may be another task.
    upload: OnceCell<Rc<Pulse>>,
    /// Whether its answer is awaited under a deadline, which alone says how long is too long.
    awaited: Cell<bool>,
    tick: Rc<Tick>,
}

impl Stream {
    /// What is to beat with each piece of its body.
    pub fn upload(&self) -> Rc<Pulse> {
        Rc::clone(self.upload.get_or_init(|| Rc::new(Pulse::new(Rc::clone(&self.tick)))))
    }

    pub(super) fn await_answer(&self, awaited: bool) {
        self.awaited.set(awaited);
        self.pulse.beat();
    }

    fn is_stalled(&self, limit: Duration) -> bool {
        let mut pulses = iter::once(&self.pulse).chain(self.upload.get());
        !self.awaited.get() && pulses.all(|pulse| pulse.still() >= limit)
    }

    fn give_up(&self) {
        self.pulse.stop();
        if let Some(upload) = self.upload.get() {
            upload.stop();
        }
    }
}

/// The requests of one connection.
#[derive(Default)]
pub(super) struct Streams {
    all: RefCell<Vec<Weak<Stream>>>,
    /// One whose task is about to be started.
    newest: Cell<Option<Rc<Stream>>>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

impl Streams {
    /// Begins one beside so many that are in flight.
    pub(super) fn open(&self, tick: Rc<Tick>, in_flight: u32) -> Rc<Stream> {
        let pulse = Rc::new(Pulse::new(Rc::clone(&tick)));
        let (upload, awaited) = (OnceCell::new(), Cell::new(false));
        let stream = Rc::new(Stream { pulse, upload, awaited, tick });
        let mut all = self.all.borrow_mut();
        if all.len() >= 2 * in_flight as usize + SPARE {
            all.retain(|stream| stream.strong_count() > 0);
        }
        all.push(Rc::downgrade(&stream));
        self.newest.set(Some(Rc::clone(&stream)));
        stream
    }

    pub(super) fn newest(&self) -> Option<Rc<Stream>> {
        self.newest.take()
    }

    /// Gives up those that lie still for so long.
    pub(super) fn give_up_stalled(&self, limit: Duration) {
        for stream in self.all.borrow().iter().filter_map(Weak::upgrade) {
            if stream.is_stalled(limit) {
                stream.give_up();
            }
        }
    }
}

/// Runs the parts of a client's HTTP/2 connection as tasks of this thread; those that answer a request end when it is given up.
#[derive(Clone, Debug)]
pub struct StreamTasks {
    /// Where tasks are counted.
    pub drain: Drain,
    /// Whose requests.
    pub client: Rc<Client>,
}

impl StreamTasks {
    /// Runs a task that ends with a request.
    pub fn run_with(&self, stream: Option<Rc<Stream>>, task: impl Future<Output = ()> + 'static) {
        match stream {
            Some(stream) => self.drain.spawn_local("http2 stream", Until { task, stream }),
            None => self.drain.spawn_local("http2 stream", task),
        }
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for StreamTasks {
    /// The library starts the task of a request right after it handed the request over.
    fn execute(&self, task: F) {
        self.run_with(self.client.newest_stream(), task);
    }
}

pin_project! {
    /// A task until its stream is given up: dropped, it resets the stream.
    struct Until<F> {
        #[pin]
        task: F,
        stream: Rc<Stream>,
    }
}

impl<F: Future<Output = ()>> Future for Until<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.pulse.is_stopped(cx) { Poll::Ready(()) } else { this.task.poll(cx) }
    }
}
