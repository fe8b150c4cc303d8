//! One service, as far as metrics and checks need it.

use std::sync::Arc;

use super::{Freshness, ShadowTally};
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;

/// One service, as far as metrics need it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub service: ServiceName,
    /// How far the rest can be trusted.
    pub freshness: Freshness,
    /// What each registry that is asked for it said last: its name, its version of that list where it has one, and how far
    /// that can be trusted.
    pub words: Vec<(Arc<str>, Option<i64>, Freshness)>,
    /// When what is known last changed.
    pub changed: Option<Moment>,
    /// Its endpoints, in order of address.
    pub endpoints: Arc<[Endpoint]>,
    /// The name of each shadow that spoke of it, and the number of addresses it tells otherwise of.
    pub shadows: Vec<(Arc<str>, usize)>,
    /// How the policies of its claims compare with those that are their shadows.
    pub tallies: Vec<ShadowTally>,
}
