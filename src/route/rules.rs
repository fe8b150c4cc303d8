//! Rules: what is laid down for the requests of a route, or for those that name a service.

use super::Limits;

/// What is laid down for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// How long it may take, and how often it may be tried.
    pub limits: Limits,
}
