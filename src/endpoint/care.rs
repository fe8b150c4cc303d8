//! Care: how the endpoints of a service are treated, as its operator says.

use std::time::Duration;

/// How the endpoints of a service are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Care {
    /// Attempts in flight at one endpoint, over all workers.
    pub in_flight_max: u32,
    /// When an endpoint that fails is ejected; `None` when none is.
    pub ejecting: Option<Ejecting>,
    /// Whether what is new, or comes back from being out, gets little at a time at first.
    pub slow_start: bool,
    /// How requests wait while all endpoints are full.
    pub queue: Queue,
    /// Whether the bound of what is in flight follows latency, and how.
    pub adaptive: Option<Adaptive>,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            in_flight_max: 1024,
            ejecting: Some(Ejecting::USUAL),
            slow_start: true,
            queue: Queue::NONE,
            adaptive: None,
        }
    }
}

/// When an endpoint that fails is ejected, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejecting {
    /// Failures in a row that are enough; 0 for never.
    pub failures_in_a_row: u32,
    /// The share of attempts within the window that have to go well, in percent; 0 for none.
    pub success_percent: u32,
    /// Attempts within the window that it takes to judge by that share.
    pub attempts_min: u32,
    /// How long an attempt counts.
    pub window: Duration,
    /// How long an endpoint is out the first time; doubles with each further one.
    pub pause: Duration,
    /// The longest it is out, but for what is varied by chance.
    pub pause_max: Duration,
    /// The share of the endpoints that may be ejected at a time, in percent. One of two always may, unless this is 0.
    pub share_percent: u32,
}

impl Ejecting {
    /// What is usual.
    pub const USUAL: Self = Self {
        failures_in_a_row: 5,
        success_percent: 80,
        attempts_min: 5,
        window: Duration::from_secs(10),
        pause: Duration::from_secs(1),
        pause_max: Duration::from_secs(60),
        share_percent: 50,
    };
}

/// How requests wait while all endpoints are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait, over all workers; 0 for none.
    pub max: u32,
    /// How long one may wait.
    pub timeout: Duration,
}

impl Queue {
    /// Nobody waits.
    pub const NONE: Self = Self { max: 0, timeout: Duration::from_secs(1) };
}

/// How the bound of what is in flight follows latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adaptive {
    /// The least that may be in flight at an endpoint.
    pub min: u32,
}

impl Adaptive {
    /// What is usual.
    pub const USUAL: Self = Self { min: 4 };
}
