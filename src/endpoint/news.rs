//! News: that an endpoint went out or came back, told at that moment by whoever found it, and kept until the catalog asks.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::Memory;
use crate::clock::Moment;

/// News of one service that nobody asked for yet. The catalog asks each second; of what is more, the oldest is forgotten.
const UNTOLD_MAX: usize = 256;

/// How an endpoint came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Connections to it fail.
    Unreachable,
    /// It fails, and is left alone for a while.
    Ejected,
    /// It asked for less, and comes after all others for a while.
    Aside,
    /// Its checks fail.
    Unwell,
    /// Its checks pass again.
    Well,
    /// It is in use again.
    Back,
}

/// What happened to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The number of its memory.
    pub number: u64,
    /// When.
    pub at: Moment,
    /// What.
    pub turn: Turn,
    /// Why, in a sentence.
    pub cause: Box<str>,
}

/// The news of the endpoints of one service, the oldest first. Written when one of them goes out or comes back, which is
/// rare; emptied by the catalog.
#[derive(Debug, Default)]
pub(super) struct Untold(Mutex<VecDeque<News>>);

impl Untold {
    fn add(&self, news: News) {
        let mut untold = self.0.lock();
        if untold.len() == UNTOLD_MAX {
            untold.pop_front();
        }
        untold.push_back(news);
    }

    pub(super) fn take(&self) -> Vec<News> {
        std::mem::take(&mut *self.0.lock()).into()
    }
}

impl Memory {
    /// Tells operators what happened to it, and why. Not for every request: only where something turned.
    pub fn tell(&self, turn: Turn, cause: impl Into<Box<str>>, now: Moment) {
        self.history.turned.store(now.to_bits(), Ordering::Relaxed);
        self.group.untold.add(News { number: self.number, at: now, turn, cause: cause.into() });
    }

    /// When it last went out or came back, as was told.
    pub fn turned(&self) -> Option<Moment> {
        Moment::from_bits(self.history.turned.load(Ordering::Relaxed))
    }

    /// Notes that it is listed, or another process at its address, from now on.
    pub fn list(&self, now: Moment) {
        self.history.listed.store(now.to_bits(), Ordering::Relaxed);
    }

    /// Since when it has been listed, as far as this process saw.
    pub fn listed(&self) -> Option<Moment> {
        Moment::from_bits(self.history.listed.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::{Care, Ending, Group, Outcome, Said};

    #[test]
    fn the_latest_are_kept_until_somebody_asks() {
        let group = Arc::new(Group::default());
        let memory = Memory::among(Arc::clone(&group), 7, "10.0.0.1:80".parse().unwrap());
        assert_eq!(memory.turned(), None);
        for millis in 0..300 {
            memory.tell(Turn::Back, "a request to it succeeded", Moment::from_millis(millis));
        }
        let news = group.news();
        assert_eq!((news.len(), news[0].number, news[0].at), (UNTOLD_MAX, 7, Moment::from_millis(44)));
        assert_eq!(memory.turned(), Some(Moment::from_millis(299)));
        assert!(group.news().is_empty(), "it is told once");
    }

    #[test]
    fn who_asks_for_less_is_told_of_once_as_long_as_it_goes_on() {
        let memory = Memory::new(1, "10.0.0.1:80".parse().unwrap());
        for seconds in [0, 2, 30, 95] {
            let ending = Ending::at(Moment::from_millis(seconds * 1000));
            memory.note(Outcome::Busy { pause: None }, Said::Nothing, ending, &Care::default());
        }
        let news = memory.group().news();
        assert_eq!(news.iter().map(|it| it.turn).collect::<Vec<_>>(), [Turn::Aside; 2]);
        assert!(news[0].cause.contains("asks too much of it: others come first for 1.0 s"), "{news:?}");
    }
}
