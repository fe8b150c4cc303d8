//! The table: where a request goes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Method};

use super::Route;
use super::host::Host;
use super::limits::Limits;
use super::naming::{Naming, Unroutable};
use crate::provider::ServiceName;

/// Where requests go: the first route that is for one, else the service it names.
#[derive(Clone, Debug, Default)]
pub struct Table {
    routes: Vec<Arc<Route>>,
    naming: Naming,
}

/// What a table has to know of a request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The authority of an absolute-form target, else `Host`, as sent.
    pub host: Option<&'a str>,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The service that the listener is bound to, if it is.
    pub bound: Option<&'a ServiceName>,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The route or service.
    pub target: Target<'a>,
    /// What in the request or the configuration led there.
    pub via: Via<'a>,
    /// Bytes to take off the start of the path; see [`Found::path`].
    pub strip: usize,
    /// How long it may take, and how often it may be tried.
    pub limits: &'a Arc<Limits>,
}

/// A route, or a service by its name.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// A route of the table.
    Route(&'a Arc<Route>),
    /// A service that the request or the listener names. The name may be one that no service can have.
    Named(Cow<'a, str>),
}

/// What led a request to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via<'a> {
    /// The route of this name.
    Route(&'a str),
    /// The listener is bound to the service.
    Listener,
    /// The header `Micro-Service`.
    MicroService,
    /// The header `X-Wayside-Service`.
    ServiceHeader,
    /// The host.
    Host,
    /// The path of a gRPC call.
    Grpc,
    /// The first segment of the path.
    Path,
}

impl Table {
    /// A table of these routes, of which the first that is for a request wins, and these ways to name a service.
    pub fn new(routes: Vec<Route>, naming: Naming) -> Self {
        Self { routes: routes.into_iter().map(Arc::new).collect(), naming }
    }

    /// The routes, in their order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// How requests that no route is for name their service.
    pub const fn naming(&self) -> &Naming {
        &self.naming
    }

    /// Where a request goes.
    ///
    /// # Errors
    /// When no route is for it and it names no service, or names one in a malformed way.
    pub fn find<'a>(&'a self, asked: &Asked<'a>) -> Result<Found<'a>, Unroutable> {
        if let Some(service) = asked.bound {
            return Ok(self.named(Cow::Borrowed(service.as_str()), Via::Listener, 0));
        }
        let host = Host::parse(asked.host)
            .ok_or_else(|| Unroutable::Host { host: asked.host.unwrap_or_default().to_owned() })?;
        for route in &self.routes {
            if let Some(matched) = route.matcher.matches(asked.method, host, asked.path, asked.headers) {
                return Ok(Found {
                    target: Target::Route(route),
                    via: Via::Route(&route.name),
                    strip: if route.rewrite.prefix.is_some() { matched } else { 0 },
                    limits: &route.limits,
                });
            }
        }
        let named = self.naming.name(asked, host)?;
        Ok(self.named(named.service, named.via, named.strip))
    }

    fn named<'a>(&'a self, service: Cow<'a, str>, via: Via<'a>, strip: usize) -> Found<'a> {
        Found { target: Target::Named(service), via, strip, limits: &self.naming.limits }
    }
}

impl Found<'_> {
    /// The path to send upstream, for the path that was asked with: without what is stripped, and with what a route puts
    /// in its place. Always begins with `/` when the path did.
    pub fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let rest = path.get(self.strip..).unwrap_or(path);
        let prefix = match &self.target {
            Target::Route(route) => route.rewrite.prefix.as_deref().unwrap_or_default(),
            Target::Named(_) => "",
        };
        match (prefix, rest) {
            ("", "") => Cow::Borrowed("/"),
            ("", rest) => Cow::Borrowed(rest),
            (prefix, rest) => Cow::Owned(format!("{prefix}{rest}")),
        }
    }
}

impl Via<'_> {
    /// One short word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Route(_) => "route",
            Self::Listener => "listener",
            Self::MicroService => "micro-service",
            Self::ServiceHeader => "service-header",
            Self::Host => "host",
            Self::Grpc => "grpc",
            Self::Path => "path",
        }
    }
}

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(name) => write!(f, "route {name}"),
            Self::Listener
            | Self::MicroService
            | Self::ServiceHeader
            | Self::Host
            | Self::Grpc
            | Self::Path => f.write_str(self.as_str()),
        }
    }
}
