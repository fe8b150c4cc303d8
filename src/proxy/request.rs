//! A request at its three stages: as it arrived, routed to a subscription, and on one attempt at one endpoint.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::directory::Bound;
use super::error::ProxyError;
use super::record::Record;
use super::spans::AttemptSpan;
use super::traits::Traits;
use crate::balance::Wish;
use crate::body::Body;
use crate::endpoint::{Endpoint, LoadGuard};
use crate::route::Rules;
use crate::upstream::Reuse;

/// The most attempts one request can have.
pub const ATTEMPTS_MAX: usize = 8;

/// A request as it arrived.
#[derive(Debug)]
pub struct Request {
    /// The message; boxed, since every layer hands it on, and half a kilobyte is dear to move.
    pub message: Box<http::Request<Body>>,
    /// What its headers are like.
    pub traits: Traits,
    /// Who sent it.
    pub client: Rc<Client>,
    /// What becomes of it.
    pub record: Rc<Record>,
}

/// A request whose destination and limits are known, in the form in which it will be sent.
#[derive(Debug)]
pub struct Routed {
    /// The message.
    pub message: Box<http::Request<Body>>,
    /// What its headers were like when it arrived.
    pub traits: Traits,
    /// Who sent it.
    pub client: Rc<Client>,
    /// What becomes of it.
    pub record: Rc<Record>,
    /// The subscription it goes to.
    pub bound: Rc<Bound>,
    /// How long, how often, and what else is laid down for such requests.
    pub rules: Arc<Rules>,
    /// The hash of what it is told apart by, where its rules say by what.
    pub key: Option<u64>,
    /// The endpoints it should go to, or must; boxed, since few have a wish.
    pub wish: Option<Box<Wish>>,
    /// What kind of exchange it begins.
    pub exchange: Exchange,
    /// Endpoints it should not go to any more, by their numbers: at most [`ATTEMPTS_MAX`].
    pub tried: Vec<u64>,
    /// Whether nobody is to have it rather than one of those.
    pub elsewhere: bool,
    /// Whether an idle connection will do.
    pub reuse: Reuse,
    /// When its time is up; `None`: never.
    pub deadline: Option<Instant>,
}

/// One attempt at one endpoint.
#[derive(Debug)]
pub struct Attempt {
    /// The message.
    pub message: Box<http::Request<Body>>,
    /// What its headers were like when it arrived.
    pub traits: Traits,
    /// Who sent it.
    pub client: Rc<Client>,
    /// What becomes of it.
    pub record: Rc<Record>,
    /// Where it goes.
    pub endpoint: Endpoint,
    /// The subscription that endpoint is of.
    pub bound: Rc<Bound>,
    /// Its share of the endpoint's load.
    pub guard: Rc<LoadGuard>,
    /// What kind of exchange it begins.
    pub exchange: Exchange,
    /// Whether an idle connection will do.
    pub reuse: Reuse,
    /// Whether it is sent a second time should its connection prove stale, even if it perhaps arrived.
    pub repeats: bool,
    /// When it began.
    pub begun: Instant,
    /// How long it may take until the head of the answer, if it must not take as long as the request.
    pub limit: Option<Duration>,
    /// When the time of the whole request is up; `None`: never.
    pub deadline: Option<Instant>,
    /// How many attempts its request has had, this one included.
    pub number: u8,
    /// Its span, where it has one. Taken by `report`.
    pub span: Option<Box<AttemptSpan>>,
}

/// What kind of exchange a request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// One request, one response.
    Plain,
    /// A request to speak another protocol on this connection (RFC 9110, 7.8).
    Upgrade,
    /// A request for a tunnel to a provider (RFC 9110, 9.3.6): what follows are raw bytes both ways.
    Tunnel,
    /// The first message of a Go Micro stream: what follows are raw bytes both ways.
    MicroStream,
}

/// Why an attempt came to nothing, and what may be done about it.
#[derive(Debug)]
pub struct Failure<R> {
    /// Why.
    pub error: ProxyError,
    /// What is left to begin again from; `None` where another attempt cannot do better.
    pub again: Option<R>,
}

/// A failed attempt after which another one could be made.
#[derive(Debug)]
pub struct Returned {
    /// The message, if nothing of it was used up.
    pub message: Option<Box<http::Request<Body>>>,
    /// Whether another endpoint should be tried: true unless only an idle connection proved stale.
    pub elsewhere: bool,
    /// Whether it provably never arrived.
    pub never_arrived: bool,
}

impl<R> From<ProxyError> for Failure<R> {
    fn from(error: ProxyError) -> Self {
        Self { error, again: None }
    }
}
