//! What an endpoint remembers of how an attempt went, and what follows from it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::care::Ejecting;
use super::ceiling::Bounds;
use super::share::Share;
use super::{Care, Ending, Ghost, Grounds, Memory, Outcome, Peers, Said, Turn};
use crate::clock::Moment;

/// What follows from how an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Nothing,
    /// The endpoint cannot be reached, and is out from now on.
    Unreachable,
    /// It fails, and is to be ejected if as many others as that takes are left: see [`Memory::eject`].
    Suspect(Grounds),
    /// The request that tried it again failed, and it is out for so much longer.
    StillOut(Duration),
    /// It is in use again.
    Back,
}

/// What became of an endpoint that is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentence {
    /// It is out for so long.
    Ejected(Duration),
    /// It stays, since too many others are out.
    Withheld,
    /// It stays for now, since that was asked a moment ago.
    Adjourned,
}

impl Memory {
    /// Notes how an attempt went, and what its answer said if that was a failure.
    pub fn note(&self, outcome: Outcome, said: Said, ending: Ending, care: &Care) -> Verdict {
        self.latency.note(outcome, &ending);
        self.adapt(outcome, ending, care);
        self.bear(outcome, ending.took, care);
        self.settle(outcome, said, ending, care)
    }

    /// Notes that a raw connection came about, and what that took: its endpoint is so near, and bears one more. How the
    /// connection goes is told by [`Memory::note_raw`].
    pub fn connect(&self, ending: Ending, care: &Care) {
        self.reached();
        self.latency.note(Outcome::Success, &ending);
        self.bear(Outcome::Success, ending.took, care);
    }

    /// Notes how a raw connection went that had come about. A connection lasts as long as both ends like, which says nothing
    /// of how fast its endpoint is, nor of how much it bears.
    pub fn note_raw(&self, outcome: Outcome, ending: Ending, care: &Care) -> Verdict {
        if outcome != Outcome::Success {
            self.latency.note(outcome, &ending);
            self.bear(outcome, ending.took, care);
        }
        self.settle(outcome, Said::Nothing, ending, care)
    }

    /// Lets more be in flight while it is new, or less.
    fn bear(&self, outcome: Outcome, took: Duration, care: &Care) {
        match outcome {
            Outcome::Success => self.ramp.succeed(took),
            Outcome::Unreachable => {}
            Outcome::Failure
            | Outcome::Overloaded { .. }
            | Outcome::Busy { .. }
            | Outcome::Late
            | Outcome::Broken => self.ramp.fail(),
        }
        if !care.slow_start {
            self.ramp.end();
        }
    }

    /// Counts how an attempt went, and says what follows.
    fn settle(&self, outcome: Outcome, said: Said, ending: Ending, care: &Care) -> Verdict {
        let Ending { now, luck, .. } = ending;
        if outcome.failed() == Some(true) {
            self.history.failures.fetch_add(1, Ordering::Relaxed);
            self.history.last.set(match outcome {
                Outcome::Late => Said::Late,
                Outcome::Broken => Said::Broken,
                Outcome::Unreachable => Said::Unreachable,
                Outcome::Success | Outcome::Failure | Outcome::Overloaded { .. } | Outcome::Busy { .. } => {
                    said
                }
            });
        }
        if let Some(pause) = outcome.asked() {
            let longest = care.ejecting.as_ref().map_or(Ejecting::USUAL.pause_max, |by| by.pause_max);
            if self.aside.ask(pause, longest, now) && self.history.asks_anew(now) {
                self.tell_aside(outcome, now);
            }
        }
        let was_out = !self.is_available();
        match outcome {
            Outcome::Success | Outcome::Failure | Outcome::Overloaded { .. } | Outcome::Busy { .. } => {
                self.answer(now);
            }
            Outcome::Late | Outcome::Broken => {
                self.history.unanswered.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Unreachable => {
                self.history.unanswered.fetch_add(1, Ordering::Relaxed);
                if self.fail_to_connect(now, luck) {
                    return Verdict::Unreachable;
                }
            }
        }
        let verdict = match &care.ejecting {
            Some(by) => self.judge(outcome, ending, by),
            None if self.ejection.end(&self.history.past, now) => self.come_back(),
            None => Verdict::Nothing,
        };
        if verdict == Verdict::Nothing && was_out && self.is_available() { Verdict::Back } else { verdict }
    }

    #[cold]
    fn tell_aside(&self, outcome: Outcome, now: Moment) {
        let is_overloaded = matches!(outcome, Outcome::Overloaded { .. });
        let what = if is_overloaded { "it has too much to do" } else { "this proxy asks too much of it" };
        let seconds = self.aside.left(now).as_secs_f64();
        self.tell(
            Turn::Aside,
            format!(
                "it said that {what}: others come first for {seconds:.1} s, and each time it says so again"
            ),
            now,
        );
    }

    /// Notes that the caller of an attempt went away before there was an answer: it says nothing but how long it took so far.
    pub fn note_abandoned(&self, ending: Ending) {
        self.latency.note_at_least(ending.took, ending.now);
        if self.may_try(ending.begun) {
            self.history.trial.break_off(ending.now);
        }
    }

    /// Notes that the request that tried it again ended without a word about it: another one may try.
    pub fn end_trial(&self) {
        self.history.trial.end();
    }

    /// Counts an attempt and says what follows.
    fn judge(&self, outcome: Outcome, ending: Ending, by: &Ejecting) -> Verdict {
        let Ending { now, begun, luck, .. } = ending;
        let (ejection, past) = (&self.ejection, &self.history.past);
        if ejection.is_out() {
            // What began before it was tried again, or in spite of all, tells nothing.
            if outcome == Outcome::Unreachable || !ejection.is_tried_by(begun) {
                return Verdict::Nothing;
            }
            let least = self.aside.left(now);
            return match outcome.failed() {
                Some(false) if ejection.end(past, now) => self.come_back(),
                Some(false) => Verdict::Nothing,
                Some(true) => match ejection.begin_again(past, now, luck, by, least) {
                    Some(pause) => {
                        self.history.trial.end();
                        Verdict::StillOut(pause)
                    }
                    None => Verdict::Nothing,
                },
                // First the pause: whoever claims a trial in between would claim it at once.
                None => {
                    ejection.put_off(past, now, least);
                    self.history.trial.end();
                    Verdict::Nothing
                }
            };
        }
        let Some(failed) = outcome.failed() else { return Verdict::Nothing };
        self.history.tally.count(failed, now, by.window);
        // Whoever cannot be reached is out already, by our judgement of connections.
        if !failed || outcome == Outcome::Unreachable || !self.reach.is_available() {
            return Verdict::Nothing;
        }
        self.history.tally.judge(now, by).map_or(Verdict::Nothing, Verdict::Suspect)
    }

    fn come_back(&self) -> Verdict {
        self.history.tally.clear();
        self.ramp.begin();
        self.history.trial.end();
        self.group.change();
        Verdict::Back
    }

    /// Takes it back into use if it was ejected: nobody is any more.
    pub fn pardon(&self, now: Moment) {
        if self.ejection.end(&self.history.past, now) {
            self.come_back();
        }
    }

    /// Ejects it, if as many of its peers are left as that takes.
    pub fn eject(&self, grounds: Grounds, ending: Ending, care: &Care, peers: &Peers<'_>) -> Sentence {
        let Some(by) = &care.ejecting else { return Sentence::Adjourned };
        let Ending { now, luck, .. } = ending;
        let mut ejected = None;
        let may = self.group.decide(peers.refusal, now, || {
            let may = Share::without(self, peers).has_room(by.share_percent);
            if may {
                let least = self.aside.left(now);
                ejected = self.ejection.begin(&self.history.past, grounds, now, luck, by, least);
            }
            may
        });
        match (may, ejected) {
            (Some(true), Some(pause)) => {
                self.history.trial.end();
                self.history.tally.clear();
                self.group.change();
                Sentence::Ejected(pause)
            }
            (Some(false), _) => Sentence::Withheld,
            (Some(true) | None, _) => Sentence::Adjourned,
        }
    }

    fn adapt(&self, outcome: Outcome, Ending { now, took, .. }: Ending, care: &Care) {
        let Some(adaptive) = &care.adaptive else { return };
        let took = match outcome {
            Outcome::Success => Some(took),
            Outcome::Overloaded { .. } | Outcome::Busy { .. } | Outcome::Late => None,
            // How fast it fails says nothing of how much it bears.
            Outcome::Failure | Outcome::Broken | Outcome::Unreachable => return,
        };
        let bounds = Bounds { min: adaptive.min.min(care.in_flight_max), max: care.in_flight_max };
        self.history.ceiling.note(took, self.in_flight(), now, bounds);
    }

    /// Notes that the provider answered a request. Whoever answers at a stranger's address proves nothing.
    pub fn answer(&self, now: Moment) {
        self.history.answered.store(now.to_bits(), Ordering::Relaxed);
        if !self.reach.is_available() && self.ghost() != Some(Ghost::Stranger) {
            self.find_well();
        }
    }

    /// Notes that no connection came about; `luck`, from 0 to 1, varies the pause. True when this put the endpoint out.
    pub fn fail_to_connect(&self, now: Moment, luck: f64) -> bool {
        let was_due = self.reach.is_due(now);
        let is_news = self.reach.fail(now, luck);
        if is_news || was_due {
            self.history.trial.end();
        }
        if is_news {
            self.group.change();
        }
        is_news
    }

    /// Notes that a connection came about: nobody's record has somebody behind it after all. Whoever listens at a stranger's
    /// address proves nothing by that.
    pub fn reached(&self) {
        match self.ghost() {
            Some(Ghost::Stranger) => return,
            Some(Ghost::Silent) => self.haunting.end(),
            None => {}
        }
        if !self.reach.is_available() {
            self.reach.succeed();
            self.ramp.begin();
            self.history.trial.end();
            self.group.change();
        }
    }

    /// Notes that the provider was found to be well and to be itself: by a probe, or because it was announced anew.
    pub fn find_well(&self) {
        self.haunting.end();
        self.reached();
    }

    /// Notes that another process has taken its place: nothing that was held against it is, nor expected of it, and it
    /// begins slowly.
    pub fn begin_anew(&self) {
        self.find_well();
        self.latency.forget();
        self.aside.end();
        self.history.tally.clear();
        self.history.ceiling.forget();
        self.ramp.begin();
        if self.ejection.clear(&self.history.past) {
            self.history.trial.end();
            self.group.change();
        }
    }

    /// Notes that it is new in a service whose other endpoints are known: it begins slowly.
    pub fn begin_slowly(&self) {
        self.ramp.begin();
    }
}

#[cfg(test)]
mod tests;
