//! Route: finds which subscription a request goes to, and puts the request into the form in which it will be sent.

mod aim;
mod http2;

use std::rc::Rc;
use std::sync::Arc;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::deadline;
use super::middleware::{Answer, Middleware, Serve, refused};
use crate::body::Body;
use crate::proxy::answering::Answering;
use crate::proxy::client::Client;
use crate::proxy::directory::Bound;
use crate::proxy::error::ProxyError;
use crate::proxy::headers::{self, X_REQUEST_ID};
use crate::proxy::hops;
use crate::proxy::record::Record;
use crate::proxy::request::{Exchange, Request, Routed};
use crate::proxy::target;
use crate::proxy::traits::Traits;
use crate::proxy::worker::Worker;
use crate::proxy::{cross_site, forwarded, request_id, upgrade};
use crate::route::template::Facts;
use crate::route::{Asked, Edit, Found, Keyed, RewriteError, Rules, Target, leads_up, overrides};
use crate::upstream::Reuse;
pub use aim::Aim;

/// Finds where requests go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Whose table and services.
    pub worker: Rc<Worker>,
}

/// Where a request goes, and what is changed before.
pub struct Destination {
    /// Its subscription, and what it wishes for there.
    pub aim: Aim,
    /// What is laid down for it.
    pub rules: Arc<Rules>,
    /// The hash of what it is told apart by.
    pub key: Option<u64>,
    path: Option<PathAndQuery>,
    host: Option<HeaderValue>,
    /// The route it takes, if it takes one.
    pub route: Option<Arc<str>>,
}

/// Where a request would go, and by what; nothing is done with it.
///
/// # Errors
/// As the request would be told.
pub fn look(
    message: &http::Request<Body>,
    client: &Client,
    record: &Record,
    worker: &Worker,
) -> Result<(Destination, &'static str), ProxyError> {
    check(message, Traits::of(message.headers()), client, worker)?;
    find(message, client, record, worker)
}

impl Middleware for Route {
    type Request = Request;
    type Error = ProxyError;
    type InnerRequest = Routed;
    type InnerError = ProxyError;

    fn call(&self, mut request: Request, inner: &mut impl Serve<Routed, ProxyError>) -> Answer<ProxyError> {
        let Request { message, traits, client, record } = &mut request;
        if message.version() == Version::HTTP_2 {
            match http2::adapt(message, *traits, record, &self.worker) {
                Ok(adapted) => *traits = adapted,
                Err(error) => return refused(error),
            }
        }
        match check(message, *traits, client, &self.worker).and_then(|()| hops::count(message)) {
            Ok(None) => {}
            Ok(Some(answer)) => return Box::pin(std::future::ready(Ok(answer))),
            Err(error) => return refused(error),
        }
        let routed = match prepare(request, &self.worker) {
            Ok(routed) => routed,
            Err(error) => return refused(error),
        };
        if routed.bound.look(|snapshot| snapshot.listed) {
            return inner.call(routed);
        }
        // The first requests for a service wait for its first list, while they have time, unless the registry is known to be away.
        let mut inner = inner.clone();
        let left = deadline::limit(&routed).map(|all| all.saturating_sub(routed.record.begun().elapsed()));
        let limit = self.worker.shared.catalog.settings().first_list_timeout;
        let limit = left.map_or(limit, |left| left.min(limit));
        Box::pin(async move {
            routed.bound.subscription.listed(limit).await;
            inner.call(routed).await
        })
    }
}

fn prepare(request: Request, worker: &Worker) -> Result<Routed, ProxyError> {
    let Request { mut message, traits, client, record } = request;
    let shared = &worker.shared;
    let go_micro = traits.has(Traits::GO_MICRO);
    if go_micro {
        client.set_go_micro();
    }
    let (Destination { aim, rules, key, path, host, route }, via) = find(&message, &client, &record, worker)?;
    let Aim { bound, wish, part } = aim;
    bound.subscription.touch(record.moment());
    record.via.set(Some(via));
    record.bound.replace(Some(Rc::clone(&bound)));
    record.part.replace(part);
    if let Some(past) = record.past() {
        past.route.replace(route.clone());
    }
    take_out(&rules, message.headers_mut());

    let received = message.version();
    let exchange = exchange(&message, traits, &record);
    let is_gated = record.gate.borrow().is_some();
    headers::clean_request(message.headers_mut(), traits, exchange, is_gated);
    let unnamed = || HeaderValue::from_str(bound.service().as_str()).ok();
    let asked = asked_host(&message);
    let host = match &asked {
        None => host.or_else(unnamed),
        // What stands there already.
        Some(_) if message.uri().authority().is_none() => host,
        Some(asked) => Some(host.unwrap_or_else(|| asked.clone())),
    };
    set_target(&mut message, path, host)?;
    if client.seen.get().asterisk && received != Version::HTTP_2 {
        *message.uri_mut() = Uri::from_static("*");
    }
    let fields = message.headers_mut();
    forwarded::tell(
        fields,
        traits,
        shared.disclosure.forwarding(),
        &client,
        asked.as_ref(),
        &shared.pseudonym,
    );
    if shared.disclosure.request_id() {
        record.request_id.replace(Some(request_id::keep_or_make(fields, || worker.random_id())));
    }
    fields.append(http::header::VIA, shared.pseudonym.via(received));
    if let Some(edit) = &rules.request_headers {
        // The last that is done to them, but for what differs from attempt to attempt.
        apply(edit, fields, &client, &bound, route.as_deref(), asked.as_ref());
    }
    let (tried, reuse) = (Vec::new(), Reuse::Idle);
    Ok(Routed {
        message,
        traits,
        client,
        record,
        bound,
        rules,
        key,
        wish,
        exchange,
        tried,
        elsewhere: false,
        reuse,
        deadline: None,
    })
}

/// What kind of exchange a request begins.
fn exchange(message: &http::Request<Body>, traits: Traits, record: &Record) -> Exchange {
    let version = message.version();
    if *message.method() == Method::CONNECT {
        Exchange::Tunnel
    } else if traits.has(Traits::GO_MICRO | Traits::MICRO_STREAM) && version == Version::HTTP_11 {
        Exchange::MicroStream
    } else if record.tunnel.borrow().is_some()
        || upgrade::is_wanted(message, traits) && message.body().is_empty()
    {
        Exchange::Upgrade
    } else {
        Exchange::Plain
    }
}

/// Refuses what must not be forwarded, whatever its destination.
fn check(
    message: &http::Request<Body>,
    traits: Traits,
    client: &Client,
    worker: &Worker,
) -> Result<(), ProxyError> {
    if let Some(doubt) = client.seen.get().doubt {
        return Err(ProxyError::BadRequest(doubt.sentence()));
    }
    let limit = worker.shared.settings.uri_bytes_max;
    if message.uri().path_and_query().is_some_and(|target| target.as_str().len() > limit) {
        return Err(ProxyError::UriTooLong { limit });
    }
    target::check(message, traits)?;
    if client.refuse_cross_site {
        cross_site::refuse(message.headers(), asked_host(message).as_ref())?;
    }
    headers::refuse_codings(message.headers(), traits)?;
    headers::refuse_loop(message.headers(), traits, &worker.shared.pseudonym)
}

/// What the table has to know of a request.
pub fn asked<'a>(message: &'a http::Request<Body>, client: &'a Client) -> Asked<'a> {
    let (uri, headers, bound) = (message.uri(), message.headers(), client.bound.as_ref());
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let host = authority.or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()));
    Asked { method: message.method(), host, path: uri.path(), headers, bound }
}

/// What the key of a request is taken from.
pub fn keyed<'a>(message: &'a http::Request<Body>, client: &Client) -> Keyed<'a> {
    let uri = message.uri();
    Keyed { headers: message.headers(), path: uri.path(), query: uri.query(), client: client.peer.ip() }
}

fn find(
    message: &http::Request<Body>,
    client: &Client,
    record: &Record,
    worker: &Worker,
) -> Result<(Destination, &'static str), ProxyError> {
    let mut table = worker.table.borrow_mut();
    let table = table.load();
    worker.directory.heed(table);
    let (uri, headers) = (message.uri(), message.headers());
    let found = table.find(&asked(message, client));
    let is_tunnel = message.method() == Method::CONNECT;
    let found = if is_tunnel {
        // Whoever may have none need not know what there is.
        let found = found.ok().filter(|found| found.rules.tunnel).ok_or(ProxyError::ConnectRefused)?;
        if !message.body().is_empty() {
            return Err(ProxyError::BadRequest(
                "CONNECT has no body; send what the provider is to have behind the answer",
            ));
        }
        found
    } else {
        found?
    };
    if found.rules.response_headers.is_some() {
        // Now, for an answer that says why it goes nowhere.
        record.answering.replace(answering(&found, message));
    }
    let key = found.rules.key.as_ref().and_then(|key| key.hash(&keyed(message, client)));
    let aim = Aim::take(&found, table, headers, client, key, is_tunnel, worker)?;
    let (host, route) = match &found.target {
        Target::Route(route) => (route.rewrite.host.clone(), Some(Arc::clone(&route.name))),
        Target::Named(_) => (None, None),
    };
    let path = path_of(&found, uri)?;
    Ok((Destination { aim, rules: Arc::clone(found.rules), key, path, host, route }, found.via.as_str()))
}

/// What is to be changed in the headers of the answer.
fn answering(found: &Found<'_>, message: &http::Request<Body>) -> Option<Box<Answering>> {
    let route = match &found.target {
        Target::Route(route) => Some(&route.name),
        Target::Named(_) => None,
    };
    Answering::of(found.rules, route, asked_host(message).as_ref())
}

/// Changes the headers of a request as is laid down for it.
fn apply(
    edit: &Edit,
    fields: &mut HeaderMap,
    client: &Client,
    bound: &Bound,
    route: Option<&str>,
    host: Option<&HeaderValue>,
) {
    let request_id = fields.get(X_REQUEST_ID).cloned();
    let facts = Facts {
        client: client.peer.ip(),
        service: bound.service().as_str(),
        route,
        request_id: request_id.as_ref(),
        host,
        provider: None,
        address: None,
    };
    edit.apply(fields, &facts);
}

/// The target to send, where it is not the one that was asked with.
fn path_of(found: &Found<'_>, uri: &Uri) -> Result<Option<PathAndQuery>, ProxyError> {
    let (prefix, rewriting) = match &found.target {
        Target::Route(route) => (route.rewrite.prefix.as_deref(), route.rewrite.path.as_ref()),
        Target::Named(_) => (None, None),
    };
    if let Some(rewriting) = rewriting {
        let Some(path) = rewriting.apply(uri.path())? else { return Ok(None) };
        let target = with_query(&path, uri.query());
        return target.map(Some).ok_or_else(|| RewriteError::Malformed(path).into());
    }
    if prefix.is_some_and(|prefix| !prefix.is_empty()) && leads_up(uri.path()) {
        // It would lead out of what stands before it then.
        return Err(RewriteError::DotSegments.into());
    }
    let path = found.path(uri.path());
    if path == uri.path() {
        return Ok(None);
    }
    with_query(&path, uri.query()).map(Some).ok_or_else(|| RewriteError::Malformed(path.into_owned()).into())
}

/// The host that a request asks for: the authority of its target, or else its `Host` (RFC 9112, 3.2.2).
fn asked_host(message: &http::Request<Body>) -> Option<HeaderValue> {
    let authority = message.uri().authority();
    let authority = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    authority.or_else(|| message.headers().get(HOST).cloned())
}

/// Takes out what is between the client and this proxy.
fn take_out(rules: &Rules, headers: &mut HeaderMap) {
    if rules.overrides {
        overrides::take_out(headers);
    }
    if let Some(sticky) = &rules.sticky {
        sticky.take_out(headers);
    }
}

fn with_query(path: &str, query: Option<&str>) -> Option<PathAndQuery> {
    match query {
        Some(query) => format!("{path}?{query}").try_into().ok(),
        None => path.try_into().ok(),
    }
}

/// Sets path and `Host`: an absolute-form target gives way to its path, its authority to `Host` (RFC 9112, 3.2.2). What
/// HTTP/1.0 may leave unnamed gets a `Host`, since it goes on as HTTP/1.1.
fn set_target(
    message: &mut http::Request<Body>,
    path: Option<PathAndQuery>,
    host: Option<HeaderValue>,
) -> Result<(), ProxyError> {
    if let Some(host) = host {
        message.headers_mut().insert(HOST, host);
    }
    if path.is_some() || message.uri().authority().is_some() {
        let old = std::mem::take(message.uri_mut()).into_parts();
        let target = path.or(old.path_and_query).unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut new = http::uri::Parts::default();
        new.path_and_query = Some(target);
        *message.uri_mut() =
            Uri::from_parts(new).map_err(|_| ProxyError::BadRequest("the request target is malformed"))?;
    }
    Ok(())
}
