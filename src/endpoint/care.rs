//! Care: how the endpoints of a service are treated, as its operator says.

/// How the endpoints of a service are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Care {
    /// Attempts in flight at one endpoint, over all workers.
    pub in_flight_max: u32,
}

impl Default for Care {
    fn default() -> Self {
        Self { in_flight_max: 1024 }
    }
}
