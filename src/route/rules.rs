//! Rules: what is laid down for the requests of a route, or for those that name a service.

use std::sync::Arc;

use super::{Edit, Fault, Key, Limits, Mirror, ProxyProtocol, Rate, Split, Sticky};
use crate::catalog::Claim;

/// What is laid down for a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// How long it may take, and how often it may be tried.
    pub limits: Limits,
    /// Where it goes while nothing is available where it should go: the first of these of which something is. Each part of
    /// a split has its own.
    pub failover: Arc<[Claim]>,
    /// What requests are told apart by.
    pub key: Option<Arc<Key>>,
    /// How they are shared out between subsets or services.
    pub split: Option<Arc<Split>>,
    /// How sessions are held together.
    pub sticky: Option<Arc<Sticky>>,
    /// Whether a request may say which provider it wants.
    pub overrides: bool,
    /// Whether a client may have a tunnel to a provider, by CONNECT.
    pub tunnel: bool,
    /// What is changed in the headers of requests.
    pub request_headers: Option<Arc<Edit>>,
    /// What is changed in the headers of answers, those of this proxy itself included.
    pub response_headers: Option<Arc<Edit>>,
    /// Whether a request asks each provider for that provider's own host.
    pub host_of_provider: bool,
    /// Who gets copies.
    pub mirror: Option<Arc<Mirror>>,
    /// How many may pass.
    pub rate: Option<Arc<Rate>>,
    /// What is done to them on purpose.
    pub fault: Option<Arc<Fault>>,
    /// How providers are told who the client of a raw connection is.
    pub proxy_protocol: Option<ProxyProtocol>,
}
