//! Rules: what is laid down for the requests of a route, or for those that name a service.

use std::sync::Arc;

use super::Limits;
use crate::catalog::Claim;

/// What is laid down for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// How long it may take, and how often it may be tried.
    pub limits: Limits,
    /// Where it goes while nothing is available where it should go: the first of these of which something is.
    pub failover: Arc<[Claim]>,
}
