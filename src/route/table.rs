//! The table: where a request goes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Method};

use super::Route;
use super::host::Host;
use super::matcher::Unmet;
use super::naming::{Naming, Unroutable};
use super::rules::Rules;
use crate::catalog::Claim;
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
    /// What is laid down for it.
    pub rules: &'a Arc<Rules>,
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

    /// What raw connections to a service claim, and what is laid down for them.
    pub fn raw(&self, service: &ServiceName) -> (Claim, &Arc<Rules>) {
        (self.naming.claim(service.clone()).raw(), self.naming.rules(service.as_str()))
    }

    /// The rules of each route, and of each declared service, by its name.
    pub fn rules(&self) -> impl Iterator<Item = (&str, &Arc<Rules>)> {
        let routes = self.routes.iter().map(|route| (&*route.name, &route.rules));
        let declared = self.naming.declared.iter().map(|(name, declared)| (name.as_str(), &declared.rules));
        routes.chain(declared)
    }

    /// Lets rates go on where those of the table before stand, so that a reload gives nobody a full bucket.
    pub fn go_on(&self, before: &Self) {
        for route in &self.routes {
            let before = before.routes.iter().find(|before| before.name == route.name);
            if let (Some(rate), Some(before)) =
                (&route.rules.rate, before.and_then(|before| before.rules.rate.as_ref()))
            {
                rate.go_on(before);
            }
        }
        for (name, declared) in &self.naming.declared {
            let before = before.naming.declared.get(name).and_then(|declared| declared.rules.rate.as_ref());
            if let (Some(rate), Some(before)) = (&declared.rules.rate, before) {
                rate.go_on(before);
            }
        }
    }

    /// Where a request goes.
    ///
    /// # Errors
    /// When no route is for it and it names no service, or names one in a malformed way.
    pub fn find<'a>(&'a self, asked: &Asked<'a>) -> Result<Found<'a>, Unroutable> {
        self.find_telling(asked, |_, _| {})
    }

    /// Where a request goes; `tell` is told of each route that is not for it, and why not, as far as they are looked at.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_telling<'a>(
        &'a self,
        asked: &Asked<'a>,
        mut tell: impl FnMut(&'a Route, Unmet<'a>),
    ) -> Result<Found<'a>, Unroutable> {
        if let Some(service) = asked.bound {
            return Ok(self.named(Cow::Borrowed(service.as_str()), Via::Listener, 0));
        }
        let host = Host::parse(asked.host)
            .ok_or_else(|| Unroutable::Host { host: asked.host.unwrap_or_default().to_owned() })?;
        for route in &self.routes {
            match route.matcher.judge(asked.method, host, asked.path, asked.headers) {
                Err(unmet) => tell(route, unmet),
                Ok(matched) => {
                    return Ok(Found {
                        target: Target::Route(route),
                        via: Via::Route(&route.name),
                        strip: if route.rewrite.prefix.is_some() { matched } else { 0 },
                        rules: &route.rules,
                    });
                }
            }
        }
        let named = self.naming.name(asked, host)?;
        Ok(self.named(named.service, named.via, named.strip))
    }

    fn named<'a>(&'a self, service: Cow<'a, str>, via: Via<'a>, strip: usize) -> Found<'a> {
        let rules = self.naming.rules(&service);
        Found { target: Target::Named(service), via, strip, rules }
    }
}

impl Found<'_> {
    /// The path to send upstream, for the path that was asked with: without what is stripped, and with what a route puts
    /// in its place. It begins with `/` if the path did or was empty.
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

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::balance::Choice;
    use crate::catalog::Claim;
    use crate::route::{Matcher, Rewrite};

    fn route(name: &str, matcher: Matcher, prefix: Option<&str>) -> Route {
        let claim = Claim::on(name.parse().unwrap(), Choice::default());
        let rewrite = Rewrite { prefix: prefix.map(Arc::from), ..Rewrite::default() };
        Route { name: name.into(), matcher, claim, rewrite, rules: Arc::default() }
    }

    /// What a request finds, in short: `via service path`.
    fn found(table: &Table, host: &str, path: &str, headers: &[(&'static str, &'static str)]) -> String {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let asked = Asked { method: &Method::GET, host: Some(host), path, headers: &headers, bound: None };
        match table.find(&asked) {
            Ok(found) => {
                let service = match &found.target {
                    Target::Route(route) => route.claim.service.as_str(),
                    Target::Named(name) => name,
                };
                format!("{} {service} {}", found.via.as_str(), found.path(path))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_are_looked_for_in_order() {
        let table = Table::new(
            vec![route("routed", Matcher { hosts: vec!["h".parse().unwrap()], ..Matcher::default() }, None)],
            Naming { host_suffix: Some("svc.local".into()), ..Naming::default() },
        );
        let both = [("micro-service", "m"), ("x-wayside-service", "w")];
        assert_eq!(found(&table, "H:80", "/x", &both), "route routed /x");
        assert_eq!(found(&table, "other", "/x", &both), "micro-service m /x");
        assert_eq!(found(&table, "other", "/x", &both[1..]), "service-header w /x");
        let grpc = [("content-type", "application/grpc")];
        assert_eq!(found(&table, "Other.SVC.local.:80", "/a.B/C", &grpc), "host other /a.B/C");
        assert_eq!(
            found(&table, "localhost:1", "/greeter.grpc.Say/Hello", &grpc),
            "grpc greeter.grpc /greeter.grpc.Say/Hello"
        );
        assert_eq!(
            found(&table, "localhost:1", "/greeter.grpc.Say/Hello", &[]),
            "path greeter.grpc.Say /Hello"
        );
        assert_eq!(
            found(&table, "localhost:1", "/base/greeter.Say/Hello", &grpc),
            "path base /greeter.Say/Hello"
        );
        assert_eq!(found(&table, "[::1]:1", "/user-service", &[]), "path user-service /");
        assert_eq!(found(&table, "", "/user-service/a/?", &[]), "path user-service /a/?");
        assert_eq!(found(&table, "127.0.0.1", "/web%2Fusers/a%2Fb", &[]), "path web/users /a%2Fb");
    }

    #[test]
    fn a_bound_listener_wins_over_everything() {
        let table = Table::new(vec![route("routed", Matcher::default(), None)], Naming::default());
        let bound: ServiceName = "bound".parse().unwrap();
        let headers: HeaderMap =
            [(HeaderName::from_static("micro-service"), HeaderValue::from_static("m"))].into_iter().collect();
        let asked = Asked {
            method: &Method::GET,
            host: Some("not a host"),
            path: "*",
            headers: &headers,
            bound: Some(&bound),
        };
        let found = table.find(&asked).unwrap();
        assert_eq!(found.via, Via::Listener);
        assert!(matches!(&found.target, Target::Named(Cow::Borrowed("bound"))));
        assert_eq!(found.path("*"), "*");
    }

    #[test]
    fn what_names_nothing_says_what_to_send() {
        let table = Table::default();
        assert_eq!(
            found(&table, "127.0.0.1:4140", "/", &[]),
            "GET 127.0.0.1:4140/ names no service; send the header X-Wayside-Service: <service>, or use the service \
             as host, as in http://<service>/, or begin the path with it, as in /<service>/"
        );
        assert_eq!(
            found(&table, "h", "/", &[("micro-service", " ")]),
            "the header Micro-Service is empty; give it the name of a service, or leave it out"
        );
        assert_eq!(
            found(&table, "h", "/", &[("micro-service", "a"), ("micro-service", "a")]),
            "the header Micro-Service was sent more than once; send it once"
        );
        assert_eq!(
            found(&table, "localhost", "/Say/Hello", &[("content-type", "Application/gRPC+proto")]),
            "the gRPC path \"/Say/Hello\" names no service before its last dot, as /greeter.Say/Hello would; send \
             the metadata x-wayside-service with the name of the service"
        );
        assert_eq!(
            found(&table, "localhost", "/100%/x", &[]),
            "the path segment \"100%\" is not percent-encoded UTF-8; write % as %25"
        );
        assert_eq!(
            found(&table, "user@h", "/", &[]),
            "the host \"user@h\" is malformed; send a host name or an IP address, with a port if need be"
        );
        let off = Naming { headers: false, host: false, grpc_path: false, path: false, ..Naming::default() };
        assert_eq!(
            found(&Table::new(Vec::new(), off), "h", "/a", &[("micro-service", "m")]),
            "GET h/a names no service; no route is for it; add a [[route]], or turn on a way of [naming]"
        );
    }

    #[test]
    fn routes_strip_and_replace_what_they_matched() {
        let under = |path: &str| Matcher { path: Some(path.parse().unwrap()), ..Matcher::default() };
        let table = Table::new(
            vec![
                route("stripped", under("/strip/"), Some("")),
                route("replaced", under("/replace/it"), Some("/v2")),
                route("all", under("/"), Some("/all")),
            ],
            Naming::default(),
        );
        assert_eq!(found(&table, "h", "/%73trip/a", &[]), "route stripped /a");
        assert_eq!(found(&table, "h", "/strip", &[]), "route stripped /");
        assert_eq!(found(&table, "h", "/replace/it", &[]), "route replaced /v2");
        assert_eq!(found(&table, "h", "/replace/it/a", &[]), "route replaced /v2/a");
        assert_eq!(found(&table, "h", "/strips", &[]), "route all /all/strips");
        assert_eq!(found(&table, "h", "/", &[]), "route all /all/");
    }

    #[test]
    fn a_plain_request_borrows_its_service() {
        let table = Table::default();
        let headers = HeaderMap::new();
        for (host, path) in [("greeter:80", "/"), ("127.0.0.1:4140", "/greeter/hello")] {
            let asked =
                Asked { method: &Method::GET, host: Some(host), path, headers: &headers, bound: None };
            let found = table.find(&asked).unwrap();
            assert!(matches!(found.target, Target::Named(Cow::Borrowed("greeter"))));
            assert!(matches!(found.path(path), Cow::Borrowed(_)));
        }
    }
}
