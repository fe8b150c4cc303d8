//! The origin of a client connection: who is at its other end, and what its listener is for.

use crate::provider::ServiceName;
use crate::telemetry::peer::Peer;

/// Whom a connection is from, by what, and what its listener is for.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who the client is.
    pub peer: Peer,
    /// Whether it speaks TLS with this proxy.
    pub is_secure: bool,
    /// The service that the listener is bound to.
    pub bound: Option<ServiceName>,
    /// Whether requests may say which provider they want, where their route lets them, and are believed whom they come from.
    pub trusted: bool,
    /// Whether requests are refused that a page of another site had a browser send.
    pub refuse_cross_site: bool,
}
