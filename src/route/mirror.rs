//! A mirror: a second service that gets copies of requests, and whose answers nobody sees.

use super::Share;
use crate::catalog::Claim;

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// To whom.
    pub claim: Claim,
    /// Of how many requests.
    pub share: Share,
}
