//! Route: finds which subscription a request goes to, and puts the request into the form in which it will be sent.

mod aim;
mod http2;

use std::rc::Rc;
use std::sync::Arc;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::middleware::{Answer, Middleware, Serve, refused};
use crate::body::Body;
use crate::proxy::client::Client;
use crate::proxy::error::ProxyError;
use crate::proxy::headers::{self, X_REQUEST_ID};
use crate::proxy::request::{Exchange, Request, Routed};
use crate::proxy::traits::Traits;
use crate::proxy::worker::Worker;
use crate::route::{Asked, Keyed, Rules, Target, overrides};
use crate::upstream::Reuse;
use aim::Aim;

/// Finds where requests go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Whose table and services.
    pub worker: Rc<Worker>,
}

/// Where a request goes, and what is changed before.
struct Destination {
    aim: Aim,
    rules: Arc<Rules>,
    key: Option<u64>,
    path: Option<PathAndQuery>,
    host: Option<HeaderValue>,
}

impl Middleware for Route {
    type Request = Request;
    type Error = ProxyError;
    type InnerRequest = Routed;
    type InnerError = ProxyError;

    fn call(&self, request: Request, inner: &mut impl Serve<Routed, ProxyError>) -> Answer<ProxyError> {
        let routed = match prepare(request, &self.worker) {
            Ok(routed) => routed,
            Err(error) => return refused(error),
        };
        if routed.bound.look(|snapshot| snapshot.listed) {
            return inner.call(routed);
        }
        // The first requests for a service wait for its first list, unless the registry is known to be away.
        let mut inner = inner.clone();
        let limit = self.worker.shared.catalog.settings().first_list_timeout;
        Box::pin(async move {
            routed.bound.subscription.listed(limit).await;
            inner.call(routed).await
        })
    }
}

fn prepare(request: Request, worker: &Worker) -> Result<Routed, ProxyError> {
    let Request { mut message, mut traits, client, record } = request;
    let shared = &worker.shared;
    if message.version() == Version::HTTP_2 {
        traits = http2::adapt(&mut message, traits, &record, worker)?;
    }
    check(&message, traits, worker)?;
    let go_micro = traits.has(Traits::GO_MICRO);
    if go_micro {
        client.set_go_micro();
    }
    let (Destination { aim, rules, key, path, host }, via) = find(&message, &client, worker)?;
    let Aim { bound, wish, part } = aim;
    bound.subscription.touch(record.moment());
    record.via.set(Some(via));
    record.bound.replace(Some(Rc::clone(&bound)));
    record.part.replace(part);
    take_out(&rules, message.headers_mut());

    let received = message.version();
    let exchange = if traits.has(Traits::GO_MICRO | Traits::MICRO_STREAM) && received == Version::HTTP_11 {
        Exchange::MicroStream
    } else if record.tunnel.borrow().is_some()
        || headers::wants_upgrade(&message, traits) && message.body().is_empty()
    {
        Exchange::Upgrade
    } else {
        Exchange::Plain
    };
    headers::clean_request(message.headers_mut(), traits, exchange);
    let unnamed =
        || HeaderValue::from_str(bound.service().as_str()).ok().filter(|_| !traits.has(Traits::HOST));
    set_target(&mut message, path, host, unnamed)?;
    let fields = message.headers_mut();
    if shared.settings.forwarded_headers {
        headers::add_forwarded(fields, traits, &client.forwarded_for);
    }
    if shared.settings.request_id {
        let id = fields.entry(X_REQUEST_ID).or_insert_with(|| new_id(worker));
        record.request_id.replace(Some(id.clone()));
    }
    fields.append(http::header::VIA, shared.pseudonym.via(received));
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

/// Refuses what must not be forwarded, whatever its destination.
fn check(message: &http::Request<Body>, traits: Traits, worker: &Worker) -> Result<(), ProxyError> {
    if message.method() == Method::CONNECT {
        return Err(ProxyError::ConnectRefused);
    }
    let limit = worker.shared.settings.uri_bytes_max;
    if message.uri().path_and_query().is_some_and(|target| target.as_str().len() > limit) {
        return Err(ProxyError::UriTooLong { limit });
    }
    if traits.has(Traits::HOSTS) {
        return Err(ProxyError::BadRequest("more than one Host; send exactly one"));
    }
    if !traits.has(Traits::HOST) && message.version() == Version::HTTP_11 {
        return Err(ProxyError::BadRequest("no Host; send exactly one"));
    }
    if message.uri().scheme().is_none() && message.uri().authority().is_some() {
        return Err(ProxyError::BadRequest(
            "the request target is no path; only CONNECT may name a host alone",
        ));
    }
    headers::refuse_codings(message.headers(), traits)?;
    headers::refuse_loop(message.headers(), traits, &worker.shared.pseudonym)
}

fn find(
    message: &http::Request<Body>,
    client: &Client,
    worker: &Worker,
) -> Result<(Destination, &'static str), ProxyError> {
    let mut table = worker.table.borrow_mut();
    let table = table.load();
    worker.directory.heed(table);
    let (uri, headers, bound) = (message.uri(), message.headers(), client.bound.as_ref());
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let host = authority.or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()));
    let found = table.find(&Asked { method: message.method(), host, path: uri.path(), headers, bound })?;
    let keyed = || Keyed { headers, path: uri.path(), query: uri.query(), client: client.peer.ip() };
    let key = found.rules.key.as_ref().and_then(|key| key.hash(&keyed()));
    let aim = Aim::take(&found, table, headers, client, key, worker)?;
    let host = match &found.target {
        Target::Route(route) => route.rewrite.host.clone(),
        Target::Named(_) => None,
    };
    let path = found.path(uri.path());
    let path = (path != uri.path()).then(|| with_query(&path, uri.query())).flatten();
    Ok((Destination { aim, rules: Arc::clone(found.rules), key, path, host }, found.via.as_str()))
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
    unnamed: impl FnOnce() -> Option<HeaderValue>,
) -> Result<(), ProxyError> {
    let asked =
        message.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = host.or(asked).or_else(unnamed) {
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

fn new_id(worker: &Worker) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let luck = worker.random_id();
    let id: [u8; 32] = std::array::from_fn(|at| DIGITS[usize::from((luck >> (4 * at)) as u8 & 15)]);
    HeaderValue::from_bytes(&id).expect("hex digits are visible ASCII characters")
}
