//! Notes: what one pick took from elsewhere than its ask, and the course it took, for whoever explains or repeats it.

use std::collections::VecDeque;

use crate::endpoint::Memory;

/// What one pick took from elsewhere, and its course. Only a pick that is to be explained takes notes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// The tickets that an order handed out.
    pub tickets: Vec<u64>,
    /// What was in flight at the endpoints that were compared, by the numbers of their memories.
    pub loads: Vec<(u64, u32)>,
    /// How much room a bound on load gave for each unit of weight, as the bits of an `f64`.
    pub room: Option<u64>,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// The tickets that are taken before an order is asked for one.
    given: VecDeque<u64>,
    given_room: Option<u64>,
}

/// One step of a pick. Endpoints are named by the numbers of their memories.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// It fell to the tier of this number, the nearest being 0.
    Tier(usize),
    /// An order had a turn with this ticket.
    Turn(u64),
    /// Two were drawn, and these are their costs; the lesser one is proposed, the first where they are the same.
    Compared([(u64, f32); 2]),
    /// An endpoint was proposed, and was taken or not for this reason.
    Proposed(u64, &'static str),
    /// The endpoints that the request wishes for came first.
    Wished,
    /// All endpoints were looked at, since no proposal led to one.
    Searched,
}

impl Notes {
    /// Notes of a pick of which only what it took is known.
    pub fn taken(tickets: Vec<u64>, room: Option<u64>) -> Self {
        Self { tickets, room, ..Self::default() }
    }

    /// Notes of a pick that is made again, with what was taken the first time.
    pub fn again(tickets: Vec<u64>, room: Option<u64>) -> Self {
        Self { given: tickets.into(), given_room: room, ..Self::default() }
    }

    /// The next ticket: one that was given, or else a new one.
    pub(super) fn ticket(&mut self, draw: impl FnOnce() -> u64) -> u64 {
        let ticket = self.given.pop_front().unwrap_or_else(draw);
        self.tickets.push(ticket);
        self.steps.push(Step::Turn(ticket));
        ticket
    }

    /// The room that a bound gives: what was given, or else that of now.
    pub(super) fn room(&mut self, now: f64) -> f64 {
        let room = self.given_room.map_or(now, f64::from_bits);
        self.room = Some(room.to_bits());
        room
    }

    /// Notes what was in flight at an endpoint.
    pub(super) fn load(&mut self, memory: &Memory, in_flight: u32) {
        self.loads.push((memory.number, in_flight));
    }

    /// Notes a step.
    pub fn step(&mut self, step: Step) {
        self.steps.push(step);
    }
}
