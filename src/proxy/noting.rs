//! The noting of an attempt: its endpoint is told how it went, and what follows from that is done and logged.

use std::rc::Rc;
use std::time::Duration;

use h2::Reason;
use tokio::time::Instant;

use super::directory::Bound;
use super::error::{ProxyError, with_causes};
use super::worker::Worker;
use crate::catalog::Snapshot;
use crate::clock::Moment;
use crate::endpoint::{
    Care, Ending, Endpoint, Grounds, LoadGuard, Memory, Outcome, Said, Sentence, Turn, Verdict,
};
use crate::provider::ServiceName;
use crate::upstream::SendCause;

/// One attempt, for whoever tells its endpoint how it went; holds the endpoint's load.
pub struct Noting {
    guard: Rc<LoadGuard>,
    /// The subscription its endpoint is of, by whose care it is judged.
    bound: Rc<Bound>,
    /// When it began.
    pub begun: Instant,
    /// Whether it tries an endpoint that is out.
    is_trial: bool,
    /// Whose clock and luck.
    pub worker: Rc<Worker>,
}

impl Noting {
    /// An attempt that begins, at an endpoint that was just picked.
    pub fn new(
        worker: &Rc<Worker>,
        endpoint: &Endpoint,
        bound: &Rc<Bound>,
        guard: Rc<LoadGuard>,
        begun: Instant,
    ) -> Self {
        let is_trial = !endpoint.is_available();
        Self { guard, bound: Rc::clone(bound), begun, is_trial, worker: Rc::clone(worker) }
    }

    /// The service its endpoint is of.
    pub fn service(&self) -> &ServiceName {
        self.bound.service()
    }

    /// The memory of its endpoint.
    pub fn memory(&self) -> &Memory {
        self.guard.memory()
    }

    /// Tells of an attempt that came to nothing; failures of the caller's making say nothing about its endpoint.
    pub fn failed(&self, error: &ProxyError) {
        let ProxyError::Send(cause) = error else { return self.leave_untold() };
        let outcome = match cause {
            // That is not the endpoint's fault.
            SendCause::Connect(error) if error.is_ours() => return self.leave_untold(),
            SendCause::Connect(_) => Outcome::Unreachable,
            SendCause::Refused { .. } => Outcome::Busy { pause: None },
            // What is sent again on a new connection shows how the endpoint is.
            SendCause::Stale { repeats: true, .. } => {
                self.worker.shared.metrics.proxy.upstream_resets_total.inc();
                return self.leave_untold();
            }
            SendCause::Reset { reason: Reason::ENHANCE_YOUR_CALM, .. } => Outcome::Busy { pause: None },
            SendCause::Closed { .. } | SendCause::Reset { .. } | SendCause::Stale { .. } => {
                self.worker.shared.metrics.proxy.upstream_resets_total.inc();
                Outcome::Broken
            }
            SendCause::Malformed { .. } | SendCause::Misframed { .. } | SendCause::Flooded { .. } => {
                Outcome::Broken
            }
            // It serves what it offers.
            SendCause::NoWebSocket { .. } => return self.leave_untold(),
            SendCause::Full { .. } | SendCause::RequestBody { .. } => return self.leave_untold(),
        };
        if self.note(outcome, Said::Nothing, self.begun.elapsed()) == Verdict::Unreachable {
            let (endpoint, cause) = (&self.memory().address, with_causes(error));
            tracing::warn!(%endpoint, %cause, "an endpoint cannot be reached; it is left alone for a while");
            self.tell(Turn::Unreachable, cause);
        }
    }

    /// Tells that its answer has begun after so long: it was reached. How it went is told at its end.
    pub fn begun_to_answer(&self, took: Duration) {
        self.guard.heard();
        self.memory().answer(self.worker.shared.clock.at(self.begun + took));
    }

    /// Tells of an attempt that was given up: all that is known is that it took so long at least.
    pub fn abandoned(&self) {
        self.guard.heard();
        let clock = &self.worker.shared.clock;
        let (now, begun) = (clock.now(), clock.at(self.begun));
        self.memory().note_abandoned(Ending { now, begun, took: self.begun.elapsed(), luck: 0.5 });
    }

    /// Whether it is to blame for what was late: it had half of the time at least that is over since this instant.
    pub fn is_to_blame(&self, since: Instant) -> bool {
        self.begun.elapsed() * 2 >= since.elapsed()
    }

    /// Leaves it open how the endpoint is: if that was to be found out, somebody else may try.
    pub fn leave_untold(&self) {
        if self.is_trial {
            self.memory().end_trial();
        }
    }

    /// Notes how the attempt went, which has taken so long until now, and sees to what follows.
    pub fn note(&self, outcome: Outcome, said: Said, took: Duration) -> Verdict {
        let now = self.worker.shared.clock.at(self.begun + took);
        self.follow(outcome, now, took, |ending, care| self.memory().note(outcome, said, ending, care))
    }

    /// Notes how the attempt went at its end, whose answer came after so long, and sees to what follows.
    pub fn note_at_its_end(&self, outcome: Outcome, said: Said, took: Duration) -> Verdict {
        let now = self.worker.shared.clock.now();
        self.follow(outcome, now, took, |ending, care| self.memory().note(outcome, said, ending, care))
    }

    /// Notes that a raw connection, or a tunnel, came about, and after how long: that is what is learnt of how near its endpoint is.
    pub fn connected(&self, took: Duration) {
        self.guard.heard();
        let (memory, ending) = (self.memory(), self.ending(self.worker.shared.clock.now(), took, 0.5));
        let was_out = !memory.is_available();
        self.bound.look(|snapshot| memory.connect(ending, &snapshot.care));
        if was_out && memory.is_available() {
            self.tell_back("a connection to it came about");
        }
    }

    /// Notes how a raw connection went that had come about after so long, and sees to what follows.
    pub fn note_raw(&self, outcome: Outcome, took: Duration) {
        let now = self.worker.shared.clock.now();
        self.follow(outcome, now, took, |ending, care| self.memory().note_raw(outcome, ending, care));
    }

    fn tell_back(&self, cause: &str) {
        let (service, endpoint) = (self.bound.service(), &self.memory().address);
        tracing::info!(%service, %endpoint, "an endpoint is in use again");
        self.tell(Turn::Back, cause);
    }

    /// Tells operators of a turn.
    #[cold]
    fn tell(&self, turn: Turn, cause: impl Into<Box<str>>) {
        self.memory().tell(turn, cause, self.worker.shared.clock.now());
    }

    fn tell_ejected(&self, grounds: Grounds, pause: Duration) {
        let (last, seconds) = (self.memory().last_failure(), pause.as_secs_f64());
        self.tell(Turn::Ejected, format!("{grounds}, the last: {last}; out for {seconds:.1} s"));
    }

    fn ending(&self, now: Moment, took: Duration, luck: f64) -> Ending {
        Ending { now, begun: self.worker.shared.clock.at(self.begun), took, luck }
    }

    fn follow(
        &self,
        outcome: Outcome,
        now: Moment,
        took: Duration,
        note: impl FnOnce(Ending, &Care) -> Verdict,
    ) -> Verdict {
        self.guard.heard();
        // Luck is only for those that need a pause.
        let luck = if outcome == Outcome::Success { 0.5 } else { self.worker.luck() };
        let ending = self.ending(now, took, luck);
        let verdict = self.bound.look(|snapshot| {
            let verdict = note(ending, &snapshot.care);
            if let Verdict::Suspect(grounds) = verdict {
                self.try_suspect(grounds, ending, snapshot);
            }
            verdict
        });
        let endpoint = &self.memory().address;
        match verdict {
            Verdict::Nothing | Verdict::Suspect(_) | Verdict::Unreachable => {}
            Verdict::StillOut(pause) => {
                self.worker.shared.metrics.proxy.ejections(Grounds::Trial.as_str()).inc();
                tracing::info!(%endpoint, ?pause, "the request that tried an ejected endpoint again failed");
                self.tell_ejected(Grounds::Trial, pause);
            }
            Verdict::Back => self.tell_back("it answered a request"),
        }
        verdict
    }

    /// Ejects an endpoint that fails, if enough others are left.
    #[cold]
    fn try_suspect(&self, grounds: Grounds, ending: Ending, snapshot: &Snapshot) {
        let (memory, metrics) = (self.memory(), &self.worker.shared.metrics.proxy);
        match memory.eject(grounds, ending, &snapshot.care, &snapshot.peers(memory)) {
            Sentence::Ejected(pause) => {
                metrics.ejections(grounds.as_str()).inc();
                let (endpoint, last) = (&memory.address, memory.last_failure());
                tracing::warn!(%endpoint, ?pause, "an endpoint fails and is ejected: {grounds}, the last: {last}");
                self.tell_ejected(grounds, pause);
            }
            Sentence::Withheld => metrics.ejections_withheld_total.inc(),
            Sentence::Adjourned => {}
        }
    }
}
