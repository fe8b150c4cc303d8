//! The requests of an HTTP/2 connection: which of them lies still for too long, and how it is given up without the others.

use std::cell::{Cell, OnceCell, RefCell};
use std::iter;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Response, StatusCode};
use pin_project_lite::pin_project;

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
    /// Interim answers that are to go ahead of its answer. Written by the request, taken by what answers it.
    interim: RefCell<Interim>,
    tick: Rc<Tick>,
}

#[derive(Debug, Default)]
struct Interim {
    waiting: Vec<Response<()>>,
    /// Bytes of all there were.
    bytes: usize,
    /// Who is told of another one.
    waker: Option<Waker>,
}

/// Bytes of interim answers to one request: a client that does not read holds all of them.
const INTERIM_MAX: usize = 16 * 1024;

impl Stream {
    /// What is to beat with each piece of its body.
    pub fn upload(&self) -> Rc<Pulse> {
        Rc::clone(self.upload.get_or_init(|| Rc::new(Pulse::new(Rc::clone(&self.tick)))))
    }

    /// Has an interim answer of so many bytes go ahead of its answer; beyond a bound it is dropped, since nobody depends on any.
    pub fn tell_interim(&self, interim: Response<()>, bytes: usize) {
        let mut told = self.interim.borrow_mut();
        if told.bytes + bytes <= INTERIM_MAX {
            told.bytes += bytes;
            told.tell(interim);
        }
    }

    /// Asks its client for the body that it holds back (RFC 9110, 10.1.1).
    pub fn ask_for_body(&self) {
        let mut interim = Response::new(());
        *interim.status_mut() = StatusCode::CONTINUE;
        self.interim.borrow_mut().tell(interim);
    }

    /// The interim answers told since they were last taken; registers the one task that is woken by another one.
    pub fn take_interim(&self, cx: &Context<'_>) -> Vec<Response<()>> {
        let mut told = self.interim.borrow_mut();
        match &mut told.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => told.waker = Some(cx.waker().clone()),
        }
        std::mem::take(&mut told.waiting)
    }

    pub(super) fn await_answer(&self, awaited: bool) {
        self.awaited.set(awaited);
        self.pulse.beat();
    }

    fn is_stalled(&self, limit: Duration) -> bool {
        let mut pulses = iter::once(&self.pulse).chain(self.upload.get());
        !self.awaited.get() && pulses.all(|pulse| pulse.still() >= limit)
    }

    /// Runs a task that ends when the stream is given up.
    pub fn run(self: Rc<Self>, drain: &Drain, task: impl Future<Output = ()> + 'static) {
        drain.spawn_local("http2 stream", Until { task, stream: self });
    }

    fn give_up(&self) {
        self.pulse.stop();
        if let Some(upload) = self.upload.get() {
            upload.stop();
        }
    }
}

impl Interim {
    fn tell(&mut self, interim: Response<()>) {
        self.waiting.push(interim);
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams(RefCell<Vec<Weak<Stream>>>);

impl Streams {
    /// Begins one beside so many that are in flight.
    pub(super) fn open(&self, tick: Rc<Tick>, in_flight: u32) -> Rc<Stream> {
        let pulse = Rc::new(Pulse::new(Rc::clone(&tick)));
        let (upload, awaited, interim) = (OnceCell::new(), Cell::new(false), RefCell::default());
        let stream = Rc::new(Stream { pulse, upload, awaited, interim, tick });
        let mut all = self.0.borrow_mut();
        if all.len() >= 2 * in_flight as usize + SPARE {
            all.retain(|stream| stream.strong_count() > 0);
        }
        all.push(Rc::downgrade(&stream));
        stream
    }

    /// Gives up those that lie still for so long.
    pub(super) fn give_up_stalled(&self, limit: Duration) {
        for stream in self.0.borrow().iter().filter_map(Weak::upgrade) {
            if stream.is_stalled(limit) {
                stream.give_up();
            }
        }
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
