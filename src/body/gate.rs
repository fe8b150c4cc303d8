//! The gate before a body whose sender holds it back until it is asked for (RFC 9110, 10.1.1).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Sleep, sleep};

use super::{BodyError, Incoming};

/// How long a body is held back for a provider that says nothing: one that knows no expectation waits for the body itself.
const WAIT: Duration = Duration::from_secs(1);

/// Whether a body may be asked for. Shared by all attempts to have its request answered: what was asked for once keeps coming.
#[derive(Default)]
pub struct Gate {
    state: Cell<State>,
    /// Whether the body was asked for: not with the opening of the gate, where reading it does that.
    is_asked: Cell<bool>,
    /// Asks for the body, where reading it does not.
    ask: RefCell<Option<Box<dyn FnOnce()>>>,
    /// Whoever waits for the body.
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Shut,
    Open,
    /// Nobody wants the body any more.
    Refused,
}

impl Gate {
    /// A gate whose body is asked for by `ask`, rather than by being read.
    pub fn asking(ask: impl FnOnce() + 'static) -> Self {
        Self { ask: RefCell::new(Some(Box::new(ask))), ..Self::default() }
    }

    /// Lets the body in: its sender is told to go on.
    pub fn open(&self) {
        if self.is_shut() {
            self.turn(State::Open);
        }
    }

    /// Has whoever waits for the body wait no longer, be it that it was let in meanwhile without being asked for.
    pub fn refuse(&self) {
        self.turn(State::Refused);
    }

    /// Whether the body has not been asked for.
    pub fn is_shut(&self) -> bool {
        self.state.get() == State::Shut
    }

    /// Whether its sender has been told to go on.
    pub fn is_asked(&self) -> bool {
        self.is_asked.get()
    }

    fn turn(&self, state: State) {
        self.state.set(state);
        if let Some(ask) = self.ask.take().filter(|_| state == State::Open) {
            self.is_asked.set(true);
            ask();
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.get().fmt(f)
    }
}

/// A body behind a gate.
pub(super) struct Gated {
    pub(super) incoming: Incoming,
    gate: Rc<Gate>,
    /// Runs from the moment the body is first wanted.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Gated {
    pub(super) const fn new(incoming: Incoming, gate: Rc<Gate>) -> Self {
        Self { incoming, gate, timer: None }
    }

    /// The next frame, once the gate is open; a failure once nobody wants it any more.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.gate.is_shut() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(WAIT)));
            if timer.as_mut().poll(cx).is_pending() {
                self.gate.waker.replace(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            self.gate.open();
        }
        if self.gate.state.get() == State::Refused {
            return Poll::Ready(Some(Err(BodyError::Unwanted)));
        }
        self.gate.is_asked.set(true);
        // It may be refused later.
        let polled = self.incoming.poll_frame(cx);
        if polled.is_pending() {
            self.gate.waker.replace(Some(cx.waker().clone()));
        }
        polled
    }
}
