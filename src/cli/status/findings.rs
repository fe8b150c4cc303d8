//! What is wrong, worst first, told from what the admin server knows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::amounts::span_ms;
use super::super::seen::{Detail, Endpoint, Overview, Readiness, Registry, Service};

/// Endpoints told of for each service.
const DETAILS_MAX: usize = 5;
/// How long a registry may be connected to before that is worth a word: servers that are down are told of sooner.
const CONNECTING_MS: u64 = 10_000;
/// Services with a list that is not fresh, up to which each is told of by itself.
const STALE_MAX: usize = 3;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in super::super) struct Finding {
    /// Of what: `proxy`, `registry` or `service`.
    pub(super) of: &'static str,
    /// Its name.
    pub(super) name: String,
    /// What is wrong with it.
    pub(super) what: String,
    /// What is known of that, such as the endpoints that are out and why.
    pub(super) details: Vec<String>,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(in super::super) struct Findings {
    /// What harms requests, or will when nothing is done.
    pub(super) ill: Vec<Finding>,
    /// What harms none.
    pub(super) noticed: Vec<Finding>,
}

/// Services of which it is worth asking more, worst first.
pub(super) fn worth_a_look(overview: &Overview) -> Vec<&Service> {
    let mut services: Vec<&Service> =
        overview.services.iter().filter(|service| service.available < service.endpoints).collect();
    services.sort_by_key(|service| (service.available > 0, std::cmp::Reverse(service.attempts)));
    services
}

impl Findings {
    /// What is wrong; `details` holds what was asked of services by their name, as far as it was.
    pub(super) fn of(readiness: &Readiness, overview: &Overview, details: &BTreeMap<String, Detail>) -> Self {
        let mut found = Self::default();
        if !readiness.ready {
            found.ill.push(finding(
                "proxy",
                "",
                "this proxy is not ready for requests",
                readiness.why.clone(),
            ));
        }
        overview.registries.iter().for_each(|registry| found.registry(registry));
        let mut ill = Vec::new();
        for service in &overview.services {
            ill.extend(found.list(service).map(|finding| (1, finding)));
            ill.extend(found.endpoints(service, details.get(&service.name)));
            found.skipped(service, details.get(&service.name));
        }
        // Those of which nobody is left come first; the order is otherwise kept.
        ill.sort_by_key(|(rank, _)| *rank);
        found.ill.extend(ill.into_iter().map(|(_, finding)| finding));
        found.stale(overview);
        found
    }

    fn registry(&mut self, registry: &Registry) {
        let since = span_ms(registry.for_ms);
        let cause = registry.cause.iter().cloned();
        let what = match registry.state.as_str() {
            "up" => return,
            "connecting" if registry.for_ms < CONNECTING_MS => return,
            "connecting" => format!("there is no connection after {since}"),
            state => format!("it is {state} for {since}"),
        };
        let is_used = registry.role != "shadow";
        let kept = is_used.then(|| "known providers stay in use".to_owned());
        let found = finding("registry", &registry.title(), what, cause.chain(kept).collect());
        if is_used { self.ill.push(found) } else { self.noticed.push(found) }
    }

    /// What is wrong with the list of a service, if it harms.
    fn list(&mut self, service: &Service) -> Option<Finding> {
        let of =
            |what| finding("service", &service.name, what, service.freshness.cause.iter().cloned().collect());
        match service.freshness.state.as_str() {
            "pending" => Some(of("its first list has not come yet")),
            "absent" if service.declared => Some(of("no registry knows it")),
            "absent" => {
                self.noticed.push(of("no registry knows it"));
                None
            }
            "live" if service.endpoints == 0 => Some(of("nobody provides it")),
            _ => None,
        }
    }

    /// Records that are no providers.
    fn skipped(&mut self, service: &Service, detail: Option<&Detail>) {
        let what = match service.skipped {
            0 => return,
            1 => "1 record in the registry is no provider".to_owned(),
            many => format!("{many} records in the registry are no providers"),
        };
        let skipped = detail.iter().flat_map(|detail| &detail.skipped).take(DETAILS_MAX);
        let records = skipped.map(|skipped| format!("{}: {}", skipped.record, skipped.detail));
        self.noticed.push(finding("service", &service.name, what, records.collect()));
    }

    /// What is wrong with the endpoints of a service: ranked 0 where none is left, else 2.
    fn endpoints(&mut self, service: &Service, detail: Option<&Detail>) -> Option<(u8, Finding)> {
        let Service { name, endpoints, available, .. } = service;
        if available == endpoints {
            return None;
        }
        let all = detail.map(|detail| detail.endpoints.as_slice()).unwrap_or_default();
        let are = |state: &'static str| all.iter().filter(move |endpoint| endpoint.state == state);
        let ghosts: Vec<&Endpoint> = are("ghost").collect();
        let ill: Vec<&Endpoint> = all.iter().filter(|endpoint| is_ill(&endpoint.state)).collect();
        // Where no more was asked of it, its line says how many are in each state.
        let count_of = |of: &[&Endpoint], is: fn(&str) -> bool| match detail {
            Some(_) => of.len(),
            None => service.trouble.iter().filter(|(state, _)| is(state)).map(|(_, number)| *number).sum(),
        };
        let (ghost_count, ill_count) = (count_of(&ghosts, |state| state == "ghost"), count_of(&ill, is_ill));
        let foreign =
            all.iter().filter(|endpoint| endpoint.state == "available" && endpoint.protocol == "tcp").count();
        if *available == 0 {
            let mut details = told(&if ill.is_empty() { ghosts } else { ill });
            if foreign > 0 {
                details.push(format!(
                    "{} no HTTP: route a TCP listener to it",
                    if foreign == 1 { "1 speaks".to_owned() } else { format!("{foreign} speak") }
                ));
            }
            let what = if *endpoints == 1 {
                "its only provider is not used".to_owned()
            } else {
                format!("none of its {endpoints} providers is used")
            };
            return Some((0, finding("service", name, what, details)));
        }
        if ghost_count > 0 {
            let what = match ghost_count {
                1 => "1 record outlived its provider".to_owned(),
                many => format!("{many} records outlived their providers"),
            };
            self.noticed.push(finding("service", name, what, told(&ghosts)));
        }
        let verb = if ill_count == 1 { "is" } else { "are" };
        let what = format!("{ill_count} of {endpoints} providers {verb} not used");
        (ill_count > 0).then(|| (2, finding("service", name, what, told(&ill))))
    }

    /// Lists that are not fresh: few by themselves, many in one.
    fn stale(&mut self, overview: &Overview) {
        let is_old = |service: &&Service| matches!(service.freshness.state.as_str(), "stale" | "from disk");
        let stale: Vec<&Service> = overview.services.iter().filter(is_old).collect();
        let age = |service: &Service| span_ms(service.freshness.for_ms.unwrap_or_default());
        if stale.len() > STALE_MAX {
            let oldest =
                stale.iter().max_by_key(|service| service.freshness.for_ms).map(|service| age(service));
            let names =
                stale.iter().map(|service| service.name.as_str()).take(DETAILS_MAX).collect::<Vec<_>>();
            let more = stale.len() - names.len();
            let names =
                names.join(", ") + &(if more > 0 { format!(" and {more} more") } else { String::new() });
            let what = format!(
                "the lists of {} services are not fresh, for up to {}",
                stale.len(),
                oldest.unwrap_or_default()
            );
            self.ill.push(finding("registry", "", what, vec![names]));
            return;
        }
        for service in stale {
            let what = match service.freshness.state.as_str() {
                "stale" => format!("its list is not fresh for {}", age(service)),
                _ => format!("its list is from disk, {} old", age(service)),
            };
            self.ill.push(finding(
                "service",
                &service.name,
                what,
                service.freshness.cause.iter().cloned().collect(),
            ));
        }
    }
}

/// Whether an endpoint in this state is left alone because of how it is, rather than used, spared or dead for good.
fn is_ill(state: &str) -> bool {
    !matches!(state, "available" | "limbo" | "aside" | "ghost")
}

/// What is known of some endpoints, the first few of them.
fn told(endpoints: &[&Endpoint]) -> Vec<String> {
    let one = |endpoint: &&Endpoint| {
        let why = endpoint.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let article = if endpoint.state == "ghost" { "a " } else { "" };
        format!("{} is {article}{}{why}", endpoint.address, endpoint.state)
    };
    let mut lines: Vec<String> = endpoints.iter().map(one).take(DETAILS_MAX).collect();
    if endpoints.len() > lines.len() {
        lines.push(format!("and {} more", endpoints.len() - lines.len()));
    }
    lines
}

fn finding(of: &'static str, name: &str, what: impl Into<String>, details: Vec<String>) -> Finding {
    Finding { of, name: name.to_owned(), what: what.into(), details }
}
