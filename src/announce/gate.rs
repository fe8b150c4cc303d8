//! The gate: whether the app is well enough to be announced, by the checks it passed and failed.

/// Whether the app is well enough to be announced.
///
/// It opens with the first check that is passed. Then it takes several failures in a row to close it, and several passes in
/// a row to open it again, so that one lost packet withdraws nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    /// Passes in a row that open it again.
    rise: u32,
    /// Failures in a row that close it.
    fall: u32,
    is_open: bool,
    was_open: bool,
    /// Checks in a row that spoke against its state.
    against: u32,
    /// What the last check gave; `None` before the first.
    last: Option<Result<(), String>>,
}

impl Gate {
    /// A gate before its first check.
    pub(super) const fn new(rise: u32, fall: u32) -> Self {
        Self { rise, fall, is_open: false, was_open: false, against: 0, last: None }
    }

    /// Counts by other numbers from now on.
    pub(super) const fn adopt(&mut self, rise: u32, fall: u32) {
        self.rise = rise;
        self.fall = fall;
    }

    /// Notes what a check gave; true when that opened or closed it.
    pub(super) fn note(&mut self, passed: Result<(), String>) -> bool {
        let speaks_against = passed.is_ok() != self.is_open;
        self.last = Some(passed);
        self.against = if speaks_against { self.against + 1 } else { 0 };
        let enough = match (self.is_open, self.was_open) {
            (true, _) => self.fall,
            (false, true) => self.rise,
            (false, false) => 1,
        };
        if self.against < enough {
            return false;
        }
        self.against = 0;
        self.is_open = !self.is_open;
        self.was_open = true;
        true
    }

    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether it ever opened.
    pub(super) const fn was_open(&self) -> bool {
        self.was_open
    }

    /// What the last check gave.
    pub(super) const fn last(&self) -> Option<&Result<(), String>> {
        self.last.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is open after each of these checks.
    fn states(gate: &mut Gate, checks: &str) -> String {
        let state = |check| {
            gate.note(if check == '+' { Ok(()) } else { Err("down".to_owned()) });
            if gate.is_open() { 'o' } else { 'c' }
        };
        checks.chars().map(state).collect()
    }

    #[test]
    fn the_first_pass_opens_then_rise_and_fall_count_in_a_row() {
        let mut gate = Gate::new(2, 3);
        assert!(!gate.is_open() && gate.last().is_none());
        assert_eq!(states(&mut gate, "--+"), "cco");
        assert_eq!(states(&mut gate, "--+--+---"), "oooooooo".to_owned() + "c");
        assert_eq!(states(&mut gate, "+-+-++"), "ccccc".to_owned() + "o");
        assert!(gate.was_open());
    }

    #[test]
    fn a_change_is_told_once() {
        let mut gate = Gate::new(1, 1);
        assert!(gate.note(Ok(())) && !gate.note(Ok(())));
        gate.adopt(1, 2);
        assert!(
            !gate.note(Err(String::new())) && gate.note(Err(String::new())) && !gate.note(Err(String::new()))
        );
    }
}
