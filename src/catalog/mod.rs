//! The catalog: what we know now, of every service subscribed to.

mod claim;

use std::time::Duration;

pub use claim::{Claim, Subset};

/// How services are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Services subscribed at once, declared ones included.
    pub services_max: usize,
    /// Whether a service is subscribed when a request first names it; otherwise only declared ones are known.
    pub on_demand: bool,
    /// How long an undeclared service is followed after its last request.
    pub idle: Duration,
    /// How long a service that the registry does not know is remembered as absent after its last request.
    pub absent_idle: Duration,
    /// How long a request waits for the first list of a service, while the registry answers or was not tried yet.
    pub first_list_timeout: Duration,
    /// How long the changes after a first one are gathered before they are applied together.
    pub settle: Duration,
    /// The age from which stale data is warned about.
    pub stale_warning: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            services_max: 1024,
            on_demand: true,
            idle: Duration::from_mins(10),
            absent_idle: Duration::from_mins(1),
            first_list_timeout: Duration::from_secs(2),
            settle: Duration::from_millis(50),
            stale_warning: Duration::from_mins(5),
        }
    }
}
