//! Raw listeners: what they need, and what is of use to the services behind them alone.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use super::reader::Section;
use super::value::Word;
use crate::provider::ServiceName;
use crate::route::{Declared, Naming, ProxyProtocol};

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http,
    Tcp,
}

const SPOKEN: Word<Spoken> = Word(&[Spoken::Http, Spoken::Tcp], |spoken| match spoken {
    Spoken::Http => "http",
    Spoken::Tcp => "tcp",
});

const PROXY_PROTOCOL: Word<ProxyProtocol> = Word(&ProxyProtocol::ALL, |version| version.as_str());

/// Where a listener leads that is bound to one service.
pub(super) struct Bound {
    /// The service of all requests.
    pub(super) service: Option<ServiceName>,
    /// The service of all raw connections.
    pub(super) raw: Option<ServiceName>,
}

/// Reads what is spoken on a listener, and so what its service is for.
pub(super) fn spoken(section: &mut Section<'_>, service: Option<ServiceName>) -> Bound {
    if section.get("protocol", &SPOKEN, Spoken::Http) == Spoken::Http {
        return Bound { service, raw: None };
    }
    if !section.has("service") {
        let message =
            "bytes that are passed on raw name no service; write the one that all go to, such as \"redis\"";
        section.wrong("service", message);
    }
    if section.has("trusted") {
        let message = "where bytes are passed on raw no request can choose its provider; leave this out";
        section.wrong("trusted", message);
    }
    Bound { service: None, raw: service }
}

/// Reads how the providers of a service are told who the client of a raw connection is.
pub(super) fn proxy_protocol(section: &mut Section<'_>) -> Option<ProxyProtocol> {
    section.optional("send_proxy_protocol", &PROXY_PROTOCOL, "none")
}

/// How checks and probes begin at the providers that wait for it.
pub(super) fn openings(naming: &Naming) -> BTreeMap<ServiceName, ProxyProtocol> {
    let opening = |(service, declared): (&ServiceName, &Declared)| {
        Some((service.clone(), declared.rules.proxy_protocol?))
    };
    naming.declared.iter().filter_map(opening).collect()
}

/// Notes a mistake where this is said of a service that no raw connection goes to.
pub(super) fn proxy_protocol_is_used(top: &Section<'_>, config: &Config) {
    let of_use: BTreeSet<&ServiceName> =
        config.declared.iter().filter(|claim| claim.subset.raw).map(|claim| &claim.service).collect();
    for (service, declared) in &config.routes.naming().declared {
        if declared.rules.proxy_protocol.is_some() && !of_use.contains(service) {
            let message = format!(
                "send_proxy_protocol of {service} has no use without a listener for raw connections to it; write a \
                 [[listener]] with protocol = \"tcp\" and service = \"{service}\", or leave it out"
            );
            top.wrong("service", message);
        }
    }
}
