//! What is laid down for requests, of a route or of a service: how they are told apart, shared out, held together, copied,
//! held back, and disturbed.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::announced::Known;
use super::choices::Said;
use super::decimal::Decimal;
use super::declared::Services;
use super::edits;
use super::patterns::patterns;
use super::reader::Section;
use super::resolve::{DAY, SERVICE, SOME_TIME};
use super::subset::Wanted;
use super::units::Time;
use super::value::{Flag, List, Number, Parsed, parsed};
use crate::balance::{Choice, Policy};
use crate::catalog::Claim;
use crate::route::template::Way;
use crate::route::{
    Fault, Key, Mirror, Part, PathPrefix, Rate, RateLimit, Rules, Share, Source, Split, Sticky, is_token,
};

/// Requests of a limit, or of a burst.
const REQUESTS: Number<u32> = Number(1..=1_000_000);
/// Shares in percent.
const PERCENT: Decimal = Decimal(0.0..=100.0);
/// Weights of parts.
const WEIGHT: Decimal = Decimal(0.0..=1_000_000.0);
/// How long a cookie may be kept; what is counted are seconds.
const COOKIE_TIME: Time = Time(Duration::from_secs(1)..=Duration::from_hours(24 * 366));
/// The times that limits may be for.
const PER: Time = Time(Duration::from_millis(1)..=DAY);
/// What a fault may answer with.
const ERRORS: RangeInclusive<u16> = 400..=599;

const SOURCE: Parsed<Source> = parsed("a source of keys", "header:x-user");
const COOKIE: Parsed<String> = Parsed::new("the name of a cookie", "wayside", cookie, String::clone);
const COOKIE_PATH: Parsed<String> = Parsed::new("a path", "/", cookie_path, String::clone);

fn cookie(text: &str) -> Result<String, String> {
    if is_token(text) {
        Ok(text.to_owned())
    } else {
        Err("it has characters that no cookie's name has".to_owned())
    }
}

fn cookie_path(text: &str) -> Result<String, String> {
    let path: PathPrefix = text.parse().map_err(|error: crate::route::PatternError| error.to_string())?;
    let is_fine = path.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    if is_fine {
        Ok(path.as_str().to_owned())
    } else {
        Err("it has characters that no cookie's path has".to_owned())
    }
}

/// Reads what requests are told apart by, where only some policies care; these are written where there is none.
pub(super) fn key(section: &mut Section<'_>, absent: &'static str) -> Option<Arc<Key>> {
    let sources = section.optional("key", &List(SOURCE), absent)?;
    if sources.is_empty() {
        section.wrong("key", "the list is empty; write one such as \"header:x-user\", or leave it out");
    }
    (!sources.is_empty()).then(|| Arc::new(Key { sources }))
}

/// Notes a mistake where nothing cares for the key that a section says.
pub(super) fn key_is_used(section: &Section<'_>, choice: Choice) {
    let policy = choice.policy;
    if section.has("key") && !policy.uses_key() && !choice.shadow.is_some_and(Policy::uses_key) {
        let message = format!(
            "the policy {policy} takes no account of a key; write policy = \"maglev\", or leave the key out"
        );
        section.wrong("key", message);
    }
}

/// Reads the keys of a section that stand in no table of their own, for a route with what its service has.
pub(super) fn plain(section: &mut Section<'_>, inherited: Option<&Rules>) -> Rules {
    let absent = |of_service: &'static str, none| if inherited.is_some() { of_service } else { none };
    let base = inherited.cloned().unwrap_or_default();
    let key = key(section, absent("as declared of the service", "as in [services]"));
    let overrides = section.optional("overrides", &Flag, absent("as declared of the service", "false"));
    let tunnel = section.optional("tunnel", &Flag, absent("as declared of the service", "false"));
    Rules {
        key: key.or(base.key),
        tunnel: tunnel.unwrap_or(base.tunnel),
        overrides: overrides.unwrap_or(base.overrides),
        sticky: base.sticky,
        request_headers: base.request_headers,
        response_headers: base.response_headers,
        mirror: base.mirror,
        failover: base.failover,
        ..Rules::default()
    }
}

/// Reads the tables of a section; gives what it says of the providers that get copies.
pub(super) fn tables(
    section: &mut Section<'_>,
    rules: &mut Rules,
    services: &Services,
    known: &Known,
) -> Option<Wanted> {
    if let Some(sticky) = section.table("sticky", sticky) {
        rules.sticky = sticky.map(Arc::new);
    }
    for (key, way, edit) in [
        ("request_headers", Way::Request, &mut rules.request_headers),
        ("response_headers", Way::Response, &mut rules.response_headers),
    ] {
        if let Some(said) = section.table(key, |section| edits::edit(section, way)) {
            *edit = said.map(Arc::new);
        }
    }
    let mut mirrored = None;
    if let Some(mirror) = section.table("mirror", |section| mirror(section, services, known)) {
        let (mirror, wanted) = mirror.unzip();
        (rules.mirror, mirrored) = (mirror.map(Arc::new), wanted);
    }
    rules.rate = section.table("rate_limit", rate_limit).flatten().map(Arc::new);
    rules.fault = section.table("fault", fault).map(Arc::new);
    mirrored
}

fn sticky(section: &mut Section<'_>) -> Option<Sticky> {
    let cookie = section.required("cookie", &COOKIE, "write the name of the cookie, such as \"wayside\"");
    let ttl = section.optional("ttl", &COOKIE_TIME, "as long as the browser runs");
    let path = section.get("path", &COOKIE_PATH, "/".to_owned());
    Some(Sticky { cookie: cookie?.into(), ttl, path: path.into() })
}

fn mirror(section: &mut Section<'_>, services: &Services, known: &Known) -> Option<(Mirror, Wanted)> {
    let service = section.required("service", &SERVICE, "write the service that gets the copies");
    let percent = section.get("percent", &PERCENT, 100.0);
    let wanted = Wanted::read(section, "as declared of the service");
    known.check(section, "service", service.as_ref());
    let mut claim = services.claim(&service?);
    claim.subset = wanted.over(claim.subset);
    Some((Mirror { claim, share: Share::percent(percent) }, wanted))
}

fn rate_limit(section: &mut Section<'_>) -> Option<Rate> {
    let requests = section.required("requests", &REQUESTS, "write how many may pass");
    let per = section.get("per", &PER, Duration::from_secs(1));
    let burst = section.optional("burst", &REQUESTS, "as many as requests");
    let requests = requests?;
    Some(Rate::new(RateLimit { requests, per, burst: burst.unwrap_or(requests) }))
}

fn fault(section: &mut Section<'_>) -> Fault {
    let delay = section.optional("delay", &SOME_TIME, "none");
    let delay_percent = section.get("delay_percent", &PERCENT, 100.0);
    let abort = section.optional("abort", &Number(ERRORS), "none");
    let abort_percent = section.get("abort_percent", &PERCENT, 100.0);
    let headers = patterns(section);
    for (key, percent, of) in
        [("delay_percent", delay_percent, "delay"), ("abort_percent", abort_percent, "abort")]
    {
        // What is usual is shown of what is in force, which reads back, and says nothing.
        if percent < 100.0 && section.has(key) && !section.has(of) {
            section.wrong(key, format!("there is no {of} that it could be of; write {of} too"));
        }
    }
    if !section.has("delay") && !section.has("abort") {
        section.wrong_here("it does nothing; write delay or abort, or leave it out");
    }
    let abort = abort.and_then(|status| StatusCode::from_u16(status).ok());
    Fault {
        delay: delay.map(|delay| (delay, Share::percent(delay_percent))),
        abort: abort.map(|status| (status, Share::percent(abort_percent))),
        headers,
    }
}

/// What a route says of its parts.
#[derive(Clone, Copy)]
pub(super) struct Base<'r> {
    /// Where the requests of a part go that says nothing else.
    pub(super) claim: Option<&'r Claim>,
    /// How one of its providers is chosen.
    pub(super) said: Said,
    /// Who takes the place of each, if the route says so.
    pub(super) failover: Option<&'r [Claim]>,
}

/// Reads how the requests of a route are shared out.
pub(super) fn split(
    section: &mut Section<'_>,
    base: Base<'_>,
    services: &Services,
    known: &Known,
) -> Option<Split> {
    let mut parts: Vec<Part> = Vec::new();
    let read = section.sections("split", |section| {
        let part = part(section, base, services, known)?;
        if parts.iter().any(|other| other.claim == part.claim) {
            let message = format!("{} is another part already; write one weight for both", part.name);
            section.wrong_here(message);
        }
        parts.push(part);
        Some(())
    });
    let is_whole = read.iter().all(Option::is_some);
    let split = Split::new(parts);
    if split.is_none() && is_whole && section.has("split") {
        section.wrong("split", "no part has a weight; write a weight above 0 for one of them");
    }
    split
}

fn part(section: &mut Section<'_>, base: Base<'_>, services: &Services, known: &Known) -> Option<Part> {
    let Base { claim: base, said, failover } = base;
    let service = section.optional("service", &SERVICE, "that of the route");
    let weight = section.required("weight", &WEIGHT, "write its share, compared with the others");
    let wanted = Wanted::read(section, "that of the route, or as declared of another service");
    known.check(section, "service", service.as_ref());
    if service.is_none() && !section.has("service") && base.is_none() {
        section
            .wrong_here("neither it nor the route has a service; write the service that its requests go to");
    }
    let mut claim = match (&service, base) {
        (Some(service), Some(base)) if *service == base.service => base.clone(),
        (Some(service), _) => services.claim(service),
        (None, base) => base?.clone(),
    };
    claim.subset = wanted.over(claim.subset);
    claim.choice = said.and_otherwise(claim.choice);
    let mut behind = failover
        .map_or_else(|| services.claims(&services.failovers.behind(&claim.service)), <[Claim]>::to_vec);
    // None takes its own place.
    behind.retain(|other| *other != claim);
    Some(Part::new(claim, weight?).with_failover(behind))
}
