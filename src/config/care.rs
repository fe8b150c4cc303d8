//! How the endpoints of services are treated: what is usual, and what departs from it for one service.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::reader::Section;
use super::resolve::SOME_TIME;
use super::units::Time;
use super::value::{Flag, Number, Shape};
use crate::catalog::Cares;
use crate::endpoint::{Adaptive, Care, Ejecting, Queue};
use crate::provider::ServiceName;

const PERCENT: Number<u32> = Number(0..=100);
/// Failures in a row; 0 for never.
const IN_A_ROW: Number<u32> = Number(0..=1_000_000);
/// Attempts that bound something.
const ATTEMPTS: RangeInclusive<u32> = 1..=1_000_000;
/// Counted in tenths, each of which is to have some milliseconds at least.
const WINDOW: Time = Time(Duration::from_millis(100)..=Duration::from_hours(1));

/// How endpoints are treated, with what is switched off kept for services that switch it on.
#[derive(Clone, Debug)]
pub(super) struct Treatment {
    ejects: bool,
    ejecting: Ejecting,
    slow_start: bool,
    in_flight_max: u32,
    queue: Queue,
    is_adaptive: bool,
    adaptive: Adaptive,
}

impl Default for Treatment {
    fn default() -> Self {
        let Care { in_flight_max, ejecting, slow_start, queue, adaptive } = Care::default();
        Self {
            ejects: ejecting.is_some(),
            ejecting: ejecting.unwrap_or(Ejecting::USUAL),
            slow_start,
            in_flight_max,
            queue,
            is_adaptive: adaptive.is_some(),
            adaptive: adaptive.unwrap_or(Adaptive::USUAL),
        }
    }
}

impl Treatment {
    /// Reads the sections `health` and `limits` of `[services]`, or, with what is usual, those of a `[[service]]`.
    pub(super) fn read(section: &mut Section<'_>, usual: Option<&Self>) -> Self {
        let mut read = usual.cloned().unwrap_or_default();
        section.section("health", |section| {
            read.health(&mut Keys { section, usual: usual.map(|_| "as in [services.health]") })
        });
        section.section("limits", |section| {
            read.limits(&mut Keys { section, usual: usual.map(|_| "as in [services.limits]") })
        });
        read
    }

    fn health(&mut self, keys: &mut Keys<'_, '_>) {
        keys.read("eject", &Flag, &mut self.ejects);
        let by = &mut self.ejecting;
        keys.read("failures_in_a_row", &IN_A_ROW, &mut by.failures_in_a_row);
        keys.read("success_percent", &PERCENT, &mut by.success_percent);
        keys.read("attempts_min", &Number(ATTEMPTS), &mut by.attempts_min);
        keys.read("window", &WINDOW, &mut by.window);
        keys.read("pause", &SOME_TIME, &mut by.pause);
        keys.read("pause_max", &SOME_TIME, &mut by.pause_max);
        keys.read("ejected_percent", &PERCENT, &mut by.share_percent);
        keys.read("slow_start", &Flag, &mut self.slow_start);
        if by.pause > by.pause_max {
            let (pause, most) = (Time::shown(by.pause), Time::shown(by.pause_max));
            keys.wrong(
                &["pause", "pause_max"],
                &format!("a pause of {pause} is longer than the longest, {most}; write pause_max = \"{pause}\" or more"),
            );
        }
    }

    fn limits(&mut self, keys: &mut Keys<'_, '_>) {
        keys.read("in_flight", &Number(ATTEMPTS), &mut self.in_flight_max);
        keys.read("queue", &Number(0..=*ATTEMPTS.end()), &mut self.queue.max);
        keys.read("queue_timeout", &SOME_TIME, &mut self.queue.timeout);
        keys.read("adaptive", &Flag, &mut self.is_adaptive);
        keys.read("adaptive_min", &Number(ATTEMPTS), &mut self.adaptive.min);
        let (least, most) = (self.adaptive.min, self.in_flight_max);
        if self.is_adaptive && least > most {
            keys.wrong(
                &["adaptive_min", "in_flight", "adaptive"],
                &format!("adaptive_min, {least}, is more than in_flight, {most}; write {most} or less"),
            );
        }
    }

    fn care(&self) -> Care {
        Care {
            in_flight_max: self.in_flight_max,
            ejecting: self.ejects.then(|| self.ejecting.clone()),
            slow_start: self.slow_start,
            queue: self.queue,
            adaptive: self.is_adaptive.then_some(self.adaptive),
        }
    }
}

/// The keys of a section that all have a default, or all are as elsewhere unless they are there.
struct Keys<'s, 'r> {
    section: &'s mut Section<'r>,
    usual: Option<&'static str>,
}

impl Keys<'_, '_> {
    fn read<S: Shape<Out: Clone>>(&mut self, key: &'static str, shape: &S, value: &mut S::Out) {
        match self.usual {
            None => *value = self.section.get(key, shape, value.clone()),
            Some(words) => {
                if let Some(read) = self.section.optional(key, shape, words) {
                    *value = read;
                }
            }
        }
    }

    /// Notes a mistake at the first of these keys that is there.
    fn wrong(&self, keys: &[&str], message: &str) {
        match keys.iter().find(|key| self.section.has(key)) {
            Some(key) => self.section.wrong(key, message),
            None => self.section.wrong_here(message),
        }
    }
}

/// How the endpoints of each service are treated.
pub(super) fn cares(usual: &Treatment, by_service: Vec<(ServiceName, Treatment)>) -> Cares {
    let usual = Arc::new(usual.care());
    let of_service = |(name, treatment): (ServiceName, Treatment)| {
        let care = treatment.care();
        (name, if care == *usual { Arc::clone(&usual) } else { Arc::new(care) })
    };
    Cares { by_service: by_service.into_iter().map(of_service).collect(), usual: Arc::clone(&usual) }
}
