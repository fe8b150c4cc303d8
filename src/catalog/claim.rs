//! A claim: which service, which of its providers, chosen how.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::balance::Policy;
use crate::provider::ServiceName;

/// What a subscription is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The service.
    pub service: ServiceName,
    /// Which of its providers.
    pub subset: Subset,
    /// How one of them is chosen.
    pub policy: Policy,
}

/// Which providers of a service are wanted: those that meet every condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subset {
    /// The announced version, exactly; any when `None`.
    pub version: Option<Arc<str>>,
    /// Metadata that must be there with exactly these values.
    pub metadata: BTreeMap<String, String>,
}
