//! Routes, as the file says them.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use super::announced::Known;
use super::choices::Said;
use super::declared::Services;
use super::patterns::patterns;
use super::reader::Section;
use super::resolve::{RETRIES, SERVICE, SOME_TIME, shorter_than_request};
use super::retries::Own;
use super::rules;
use super::subset::Wanted;
use super::value::{Flag, List, Parsed, parsed, quoted, text};
use crate::catalog::Claim;
use crate::route::{
    HostPattern, Limits, Matcher, PathPrefix, Rewrite, Rewriting, RewritingError, Route, Rules,
};

/// Reads every `[[route]]`; `None` where one has no value for a mistake that was noted.
pub(super) fn routes(
    top: &mut Section<'_>,
    services: &Services,
    known: &Known,
    limits: &Limits,
) -> Option<Vec<Route>> {
    let mut earlier: Vec<Route> = Vec::new();
    let mut number = 0;
    let read = top.sections("route", |section| {
        number += 1;
        let route = route(section, number, services, known, limits)?;
        if let Some(same) = earlier.iter().find(|other| other.name == route.name) {
            section
                .wrong("name", format!("{} is the name of another route; write a different one", same.name));
        }
        if let Some(wide) = earlier.iter().find(|other| other.matcher.covers(&route.matcher)) {
            let message = format!(
                "{0} never gets a request, since {1} before it takes all of them; put {0} before {1}",
                route.name, wide.name
            );
            section.wrong_here(message);
        }
        earlier.push(route);
        Some(())
    });
    read.into_iter().collect::<Option<Vec<()>>>().map(|_| earlier)
}

fn route(
    section: &mut Section<'_>,
    number: usize,
    services: &Services,
    known: &Known,
    limits: &Limits,
) -> Option<Route> {
    let name = section.optional("name", &NAME, "route-1, route-2 and so on, by its place");
    let is_split = section.has("split");
    let advice = "write the service that its requests go to";
    let service = section.required_unless(is_split, "service", &SERVICE, advice);
    known.check(section, "service", service.as_ref());
    // Where all parts are of one service, what is declared of that holds.
    let service = service.or_else(|| section.common_text("split", "service")?.parse().ok());
    let hosts = section.get("hosts", &List(HOST), Vec::new());
    let path = section.optional("path", &PATH, "any");
    let methods = section.get("methods", &List(METHOD), Vec::new());
    let headers = patterns(section);
    let said = Said::read(section, "as declared of the service");
    let wanted = Wanted::read(section, "as declared of the service");
    let (mut rewrite, host_of_provider) = rewrite(section, path.is_some());
    let limits = route_limits(section, limits);
    let failover = services.failovers.of_route(section, known);
    let own = Own::read(section, &AS_DECLARED);
    let limits = services.limits(service.as_ref(), limits, &own);
    let mut rules = rules::plain(section, Some(&services.rules(service.as_ref())));
    let claim = service.map(|service| {
        let claim = services.claim(&service);
        let choice = said.over(section, claim.choice);
        Claim { subset: wanted.over(claim.subset), choice, ..claim }
    });
    if !is_split && let Some(claim) = &claim {
        rules::key_is_used(section, claim.choice);
    }
    if section.has("tunnel") && rules.tunnel && path.is_some() {
        section.wrong("tunnel", "who asks for a tunnel names a host and no path; leave path out, or this");
    }
    rules.host_of_provider = host_of_provider;
    rewrite.path = section.table("rewrite_path", rewriting).flatten().map(Arc::new);
    if rewrite.path.is_some() && rewrite.prefix.is_some() {
        section.wrong(
            "rewrite_path",
            "the route takes the prefix of its path off already; write the one or the other",
        );
    }
    rules::tables(section, &mut rules, services, known);
    let failover = failover.map(|failover| services.claims(&failover));
    let base = rules::Base { claim: claim.as_ref(), said, failover: failover.as_deref() };
    let split = rules::split(section, base, services, known);
    let first = split.as_ref().and_then(|split| split.parts().first()).map(|part| part.claim.clone());
    if let Some(failover) = failover {
        rules.failover = failover.into();
    }
    if claim.as_ref().is_some_and(|claim| rules.failover.contains(claim)) && section.has("failover") {
        section.wrong("failover", "the route would take its own place in the end; write another service");
    }
    Some(Route {
        name: name.unwrap_or_else(|| format!("route-{number}")).into(),
        matcher: Matcher { hosts, path, methods, headers },
        claim: claim.or(first)?,
        rewrite,
        rules: Arc::new(Rules { limits, split: split.map(Arc::new), ..rules }),
    })
}

/// Gives also whether each provider is asked for its own host.
fn rewrite(section: &mut Section<'_>, has_path: bool) -> (Rewrite, bool) {
    let strip = section.get("strip_prefix", &Flag, false);
    let replace = section.optional("replace_prefix", &REPLACEMENT, "the path stays as it is");
    let host = section.optional("rewrite_host", &REWRITE_HOST, "the host stays as it is");
    if strip && replace.is_some() {
        section.wrong("strip_prefix", "replace_prefix takes the prefix off too; leave strip_prefix out");
    }
    for (key, is_on) in [("strip_prefix", strip), ("replace_prefix", replace.is_some())] {
        if is_on && !has_path {
            section.wrong(key, "the route has no path whose prefix it could be; write path too");
        }
    }
    let stripped = strip.then(String::new);
    let (host, of_provider) = match host {
        Some(Shown::As(host)) => (Some(host), false),
        Some(Shown::Providers) => (None, true),
        None => (None, false),
    };
    (Rewrite { prefix: replace.or(stripped).map(Arc::from), path: None, host }, of_provider)
}

fn rewriting(section: &mut Section<'_>) -> Option<Rewriting> {
    let pattern =
        section.required("pattern", &REGEX, "write what of the path is replaced, such as \"^/v1/(.*)$\"");
    let with = section.required("with", &REGEX, "write what takes its place, such as \"/$1\"");
    let (pattern, with) = (pattern?, with?);
    match Rewriting::new(&pattern, &with) {
        Ok(rewriting) => Some(rewriting),
        Err(error) => {
            let (key, written) = match error {
                RewritingError::Pattern(_) => ("pattern", &pattern),
                RewritingError::Group(_) | RewritingError::NoSlash | RewritingError::DotSegments => {
                    ("with", &with)
                }
            };
            let error = error.to_string();
            let cure = if error.contains("; ") { "" } else { "; write one such as \"^/v1/(.*)$\"" };
            section.wrong(key, format!("{} does not do: {error}{cure}", quoted(written)));
            None
        }
    }
}

/// The host that a provider is shown.
enum Shown {
    /// This one.
    As(HeaderValue),
    /// Its own.
    Providers,
}

/// The word for that.
const PROVIDERS: &str = "provider";

fn route_limits(section: &mut Section<'_>, default: &Limits) -> Limits {
    let request = section.optional("request_timeout", &SOME_TIME, "as in [timeouts]");
    let attempt = section.optional("attempt_timeout", &SOME_TIME, "as in [timeouts]");
    let max = section.optional("retries", &RETRIES, "as in [retries]");
    let idempotent = section.optional("retry_idempotent", &Flag, "as in [retries]");
    let mut retries = default.retries.clone();
    retries.max = max.unwrap_or(retries.max);
    retries.idempotent = idempotent.unwrap_or(retries.idempotent);
    let limits = Limits {
        request_timeout: request.unwrap_or(default.request_timeout),
        attempt_timeout: attempt.or(default.attempt_timeout),
        retries,
    };
    shorter_than_request(section, "attempt_timeout", attempt, limits.request_timeout);
    limits
}

/// What holds of a route's retries where it says nothing.
const AS_DECLARED: [&str; 3] = ["as declared of the service"; 3];

const HOST: Parsed<HostPattern> = parsed("a host", "api.example.org");
const PATH: Parsed<PathPrefix> = parsed("a path prefix", "/api");
const METHOD: Parsed<Method> = Parsed::new("a method", "GET", method, Method::to_string);
pub(super) const NAME: Parsed<String> = Parsed::new("a name", "api", name, String::clone);
const REPLACEMENT: Parsed<String> = Parsed::new("a path", "/v2", replacement, String::clone);
const REWRITE_HOST: Parsed<Shown> = Parsed::new("a host", "api.example.org:8080", shown_host, host_shown);
const REGEX: Parsed<String> = text("a text", "^/v1/(.*)$");

fn method(text: &str) -> Result<Method, String> {
    let method =
        Method::from_bytes(text.as_bytes()).map_err(|_| "it has characters that no method has".to_owned())?;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(format!("methods are upper case; write {:?}", text.to_ascii_uppercase()));
    }
    Ok(method)
}

/// Names stand in logs and metrics.
fn name(text: &str) -> Result<String, String> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_fine) {
        return Err("it has 1 to 64 letters, digits, -, _ and .".to_owned());
    }
    Ok(text.to_owned())
}

fn replacement(text: &str) -> Result<String, String> {
    let path: PathPrefix = text.parse().map_err(|error: crate::route::PatternError| error.to_string())?;
    match path.as_str() {
        "/" => Err("it would only take the prefix off; write strip_prefix = true".to_owned()),
        path if path.parse::<PathAndQuery>().is_err() => {
            Err("it has characters that no path has, so percent-encode them".to_owned())
        }
        path => Ok(path.to_owned()),
    }
}

fn shown_host(text: &str) -> Result<Shown, String> {
    if text == PROVIDERS { Ok(Shown::Providers) } else { authority(text).map(Shown::As) }
}

fn host_shown(host: &Shown) -> String {
    match host {
        Shown::As(host) => shown(host),
        Shown::Providers => PROVIDERS.to_owned(),
    }
}

fn authority(text: &str) -> Result<HeaderValue, String> {
    let authority: http::uri::Authority = text.parse().map_err(|_| "it is no host".to_owned())?;
    if authority.as_str().contains('@') {
        return Err("a host has no user".to_owned());
    }
    if authority.port_u16().is_none() && text.len() > authority.host().len() {
        return Err("what is behind its colon is no port".to_owned());
    }
    if authority.host().contains(',') {
        return Err("a comma stands between hosts, and providers are shown one".to_owned());
    }
    HeaderValue::from_str(text).map_err(|_| "it is no host".to_owned())
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
