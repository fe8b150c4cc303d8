//! Aim: which subscription a request goes to, and which endpoints of it are wished for.

use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;

use crate::balance::Wish;
use crate::catalog::Claim;
use crate::provider::ServiceName;
use crate::proxy::client::Client;
use crate::proxy::directory::Bound;
use crate::proxy::error::ProxyError;
use crate::proxy::worker::Worker;
use crate::route::{Found, Part, Table, Target, overrides};

/// Which subscription a request goes to, and which endpoints of it are wished for.
pub struct Aim {
    /// The subscription.
    pub bound: Rc<Bound>,
    /// What is wished for.
    pub wish: Option<Box<Wish>>,
    /// The part of the split that it fell to.
    pub part: Option<Arc<Part>>,
}

impl Aim {
    /// The aim of a request with these headers, and this key if it has one.
    ///
    /// What the request asks for goes before what its cookie holds, and that before the split. Of tunnels the claims are raw ones.
    pub(super) fn take(
        found: &Found<'_>,
        table: &Table,
        headers: &HeaderMap,
        client: &Client,
        key: Option<u64>,
        is_tunnel: bool,
        worker: &Worker,
    ) -> Result<Self, ProxyError> {
        let rules = found.rules;
        if rules.overrides
            && let Some(wish) = overrides::asked(headers)?
        {
            if !client.trusted {
                return Err(ProxyError::OverrideRefused);
            }
            return overridden(found, table, wish, is_tunnel, worker);
        }
        let held = rules.sticky.as_ref().and_then(|sticky| sticky.held(headers));
        let part = rules.split.as_ref().map(|split| {
            let kept = held.and_then(|held| split.marked(held.mark?));
            let fallen = || key.map_or_else(|| split.by_luck(worker.luck()), |key| split.by_key(key));
            Arc::clone(kept.unwrap_or_else(fallen))
        });
        let mark = part.as_ref().map(|part| part.mark());
        let held = held.filter(|held| held.mark == mark);
        let wish = held.map(|held| Box::new(Wish::Prefer(held.token)));
        let bound = match (&part, &found.target) {
            (Some(part), _) => claimed(&part.claim, is_tunnel, worker)?,
            (None, Target::Route(route)) => claimed(&route.claim, is_tunnel, worker)?,
            (None, Target::Named(name)) => named(name, table, is_tunnel, worker)?,
        };
        if let (Some(part), Target::Route(route)) = (&part, &found.target) {
            worker.shared.metrics.traffic.split(&route.name, &part.name).inc();
        }
        Ok(Self { bound, wish, part })
    }
}

/// The first of the services that it may go to which has what it asks for; whole, since that may lie outside the subset.
fn overridden(
    found: &Found<'_>,
    table: &Table,
    wish: Wish,
    is_tunnel: bool,
    worker: &Worker,
) -> Result<Aim, ProxyError> {
    let claims = match (&found.rules.split, &found.target) {
        (Some(split), _) => split.parts().iter().map(|part| part.claim.whole()).collect(),
        (None, Target::Route(route)) => vec![route.claim.whole()],
        (None, Target::Named(name)) => vec![table.naming().claim(service(name)?).whole()],
    };
    let mut first = None;
    for claim in claims {
        let bound = claimed(&claim, is_tunnel, worker)?;
        if bound.look(|snapshot| snapshot.all().any(|endpoint| wish.wants(endpoint))) {
            first = Some(bound);
            break;
        }
        first.get_or_insert(bound);
    }
    let bound = first.expect("a split has a part, and all else one place to go to");
    Ok(Aim { bound, wish: Some(Box::new(wish)), part: None })
}

fn named(name: &str, table: &Table, is_tunnel: bool, worker: &Worker) -> Result<Rc<Bound>, ProxyError> {
    if is_tunnel {
        // Names stand for what requests claim.
        return claimed(&table.naming().claim(service(name)?), is_tunnel, worker);
    }
    if let Some(bound) = worker.directory.named(name) {
        return Ok(bound);
    }
    let claim = table.naming().claim(service(name)?);
    Ok(worker.directory.subscribe(&claim, &worker.shared.catalog, &worker.shared.metrics)?)
}

fn service(name: &str) -> Result<ServiceName, ProxyError> {
    name.parse().map_err(|cause| ProxyError::BadService { name: name.to_owned(), cause })
}

/// What is bound to a claim. Through a tunnel bytes are passed on as they are, whatever the provider's record says it speaks.
fn claimed(claim: &Claim, is_tunnel: bool, worker: &Worker) -> Result<Rc<Bound>, ProxyError> {
    let (directory, shared) = (&worker.directory, &worker.shared);
    let bound = if is_tunnel {
        directory.claimed(&claim.clone().raw(), &shared.catalog, &shared.metrics)
    } else {
        directory.claimed(claim, &shared.catalog, &shared.metrics)
    };
    Ok(bound?)
}
