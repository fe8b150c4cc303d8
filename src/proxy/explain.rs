//! Explain: where a request would go and why, found out by the code that serves requests, on copies of all that it changes.

mod document;
mod reasons;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, Uri};
use rand::RngExt as _;

pub use document::{
    CandidateDocument, Explanation, LeftOutDocument, RefusedDocument, RouteDocument, RulesDocument,
    TierDocument,
};

use super::admission::Admission;
use super::client::{Client, Origin};
use super::error::{ProxyError, with_causes};
use super::layer::route::{self, Aim, Destination};
use super::past::{MemoirDocument, Pasts, Remembering};
use super::pick::Sought;
use super::record::Record;
use super::telling::{MadeDocument, Telling};
use super::worker::{Shared, Worker};
use crate::body::Body;
use crate::catalog::Claim;
use crate::provider::ServiceName;
use crate::route::{Found, Route, Target, Unmet};
use crate::telemetry::access::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::peer::Peer;

/// What is asked to be explained.
#[derive(Clone, Debug)]
pub struct Question {
    /// The method.
    pub method: Method,
    /// The target as a client of a proxy writes it; where it has no host, the request is for localhost.
    pub url: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The client's address; loopback if `None`.
    pub client: Option<IpAddr>,
    /// The service that its listener is bound to.
    pub bound: Option<ServiceName>,
    /// Whether its listener trusts its clients.
    pub trusted: bool,
    /// What all luck follows from; drawn if `None`.
    pub draw: Option<u64>,
}

/// Explains where requests go, and went.
#[derive(Clone, Debug)]
pub struct Explainer {
    shared: Arc<Shared>,
}

/// Why nothing is known of a request that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Why.
    pub why: String,
    /// What helps.
    pub cure: &'static str,
}

impl Explainer {
    /// One that explains what is done with what these workers share.
    pub const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Where a request would go now, and why. Changes nothing: no order has a turn, nothing is in flight, nobody is tried,
    /// no service is followed, nothing is counted.
    pub fn explain(&self, question: &Question) -> Explanation {
        let draw = question.draw.unwrap_or_else(|| rand::rng().random());
        let worker = Worker::onlooker(Arc::new(apart(&self.shared)), draw);
        let client = client(question, &worker);
        let message = message(question);
        let record = Record::begin_copy(&worker, &client);
        let mut told = Explanation::begin(&message, draw);
        told.routes = {
            let mut table = worker.table.borrow_mut();
            let mut routes = Vec::new();
            let unmet = |route: &Route, unmet: Unmet<'_>| {
                routes.push(RouteDocument { name: route.name.to_string(), why_not: Some(unmet.to_string()) });
            };
            let found = table.load().find_telling(&route::asked(&message, &client), unmet);
            if let Ok(Found { target: Target::Route(route), .. }) = found {
                routes.push(RouteDocument { name: route.name.to_string(), why_not: None });
            }
            routes
        };
        match route::look(&message, &client, &record, &worker) {
            Err(error) => told.refused = Some(refused(&error)),
            Ok((destination, via)) => {
                told.via = Some(via.to_owned());
                let hashed_of = destination.rules.key.as_ref().and_then(|key| {
                    let (source, _) = key.find(&route::keyed(&message, &client))?;
                    Some(source.to_string())
                });
                told.tell_of(&destination, hashed_of, message.method());
                self.choose(&destination, &worker, draw, &mut told);
            }
        }
        told
    }

    /// Makes the choice on copies, and tells of everybody who was in it.
    fn choose(&self, destination: &Destination, worker: &Worker, draw: u64, told: &mut Explanation) {
        let Destination { aim: Aim { bound, wish, part }, rules, key, .. } = destination;
        let telling = Telling::with(draw);
        let failover: &[Claim] = part.as_ref().map_or(&rules.failover, |part| &part.failover);
        let sought = Sought {
            bound,
            failover,
            tried: &[],
            elsewhere: false,
            key: *key,
            wish: wish.as_deref(),
            telling: Some(&telling),
        };
        // Before the pick, which may take what it finds.
        told.tiers = bound.look(reasons::tiers);
        let now = self.shared.clock.now();
        let picked = sought.pick(worker, now);
        let picks = telling.take();
        let members = self.shared.catalog.members(bound.service());
        bound.look(|snapshot| {
            told.candidates = reasons::candidates(snapshot, members.as_ref(), &picks, now);
            told.left_out = reasons::left_out(snapshot, members.as_ref(), bound.subscription.claim());
        });
        let service = self.shared.catalog.service(bound.service().as_str());
        told.left_out.extend(service.iter().flat_map(reasons::skipped));
        told.is_followed = service.is_some();
        told.freshness = service.map(|service| service.freshness.state.to_owned());
        told.choices = picks.iter().map(|made| MadeDocument::of(made, false)).collect();
        match picked {
            Ok((endpoint, of)) => {
                let address = endpoint.memory.address.to_string();
                told.candidates.iter_mut().for_each(|it| it.picked = it.address == address);
                told.picked = Some(address);
                told.stands_in = (!Rc::ptr_eq(&of, bound)).then(|| of.service().to_string());
            }
            Err(error) => told.nothing = Some(refused(&error)),
        }
    }

    /// What is remembered of the request with an id.
    ///
    /// # Errors
    /// Why nothing is.
    pub fn past(&self, id: &str) -> Result<MemoirDocument, Forgotten> {
        let Shared { pasts, disclosure, .. } = &*self.shared;
        let Remembering { most, sample, slow } = pasts.remembering();
        if let Some(memoir) = pasts.find(id) {
            return Ok(MemoirDocument::from(&*memoir));
        }
        let forgotten = |why: String, cure| Err(Forgotten { why, cure });
        if *most == 0 {
            return forgotten(
                "no request is remembered: explain.remember is 0".to_owned(),
                "raise explain.remember",
            );
        }
        if !disclosure.request_id() {
            let why = "no request has an id that could be asked for: headers.request_id is false".to_owned();
            return forgotten(why, "set headers.request_id to true");
        }
        let why = format!(
            "no request with the id {id:?} is remembered: {sample} of all requests are, and those that failed or took {slow:?} or \
             more, at most the last {most} of them; {} are at present",
            pasts.count()
        );
        forgotten(
            why,
            "raise explain.sample_percent to remember more of them, or explain.remember to keep them longer; the id is what \
             X-Request-Id says to the provider, and request_id in the access log",
        )
    }
}

/// All that workers share, where what is changed is a copy that nobody looks at.
fn apart(shared: &Shared) -> Shared {
    let metrics = Metrics::new();
    Shared {
        settings: shared.settings.clone(),
        disclosure: shared.disclosure.clone(),
        dialler: Arc::clone(&shared.dialler),
        table: ArcSwap::new(shared.table.load_full()),
        catalog: Arc::clone(&shared.catalog),
        admission: Admission::new(1, 0, Arc::clone(&metrics)),
        metrics,
        access: ArcSwap::from_pointee(AccessLog::default()),
        tracer: Arc::default(),
        pasts: Pasts::new(Remembering { most: 0, ..Remembering::default() }, 1),
        clock: shared.clock,
        drain: shared.drain.clone(),
        seed: shared.seed,
        pseudonym: shared.pseudonym.clone(),
    }
}

fn client(question: &Question, worker: &Worker) -> Rc<Client> {
    let ip = question.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let origin = Origin {
        peer: Peer::from(SocketAddr::new(ip, 0)),
        is_secure: false,
        bound: question.bound.clone(),
        trusted: question.trusted,
        refuse_cross_site: false,
    };
    Client::new(origin, Rc::clone(&worker.tick))
}

/// The request as it would arrive.
fn message(question: &Question) -> http::Request<Body> {
    let mut message = http::Request::new(Body::empty());
    message.method_mut().clone_from(&question.method);
    message.uri_mut().clone_from(&question.url);
    message.headers_mut().clone_from(&question.headers);
    if !message.headers().contains_key(http::header::HOST) {
        let authority = question.url.authority().map_or("localhost", http::uri::Authority::as_str);
        if let Ok(host) = authority.parse() {
            message.headers_mut().insert(http::header::HOST, host);
        }
    }
    message
}

fn refused(error: &ProxyError) -> RefusedDocument {
    RefusedDocument { reason: error.reason().to_owned(), error: with_causes(error) }
}

#[cfg(test)]
mod tests;
