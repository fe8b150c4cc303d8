//! How the endpoints of each service are checked, and one such check.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use crate::check::{Asked, Check, CheckKind, Reason, Unwell};
use crate::endpoint::{Counts, Endpoint};
use crate::provider::{Protocol, Provider, ServiceName};
use crate::route::ProxyProtocol;
use crate::upstream::{ConnectError, Dialler};

/// How the endpoints of each service are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Where nothing else is said; not at all if `None`.
    pub usual: Option<Arc<ServiceCheck>>,
    /// What is said of a service.
    pub by_service: BTreeMap<ServiceName, Option<Arc<ServiceCheck>>>,
    /// The services whose providers wait for a PROXY header before all else.
    pub openings: BTreeMap<ServiceName, ProxyProtocol>,
}

impl Checks {
    /// How the endpoints of a service are checked, if they are.
    pub fn of(&self, service: &ServiceName) -> Option<&Arc<ServiceCheck>> {
        self.by_service.get(service).unwrap_or(&self.usual).as_ref()
    }

    /// What goes first on a connection to a provider of a service that is only looked at: a PROXY header that names nobody,
    /// where one is waited for.
    pub fn opening_of(&self, service: Option<&ServiceName>) -> &'static [u8] {
        let version = service.and_then(|service| self.openings.get(service));
        version.map_or(&[], |version| version.of_nobody())
    }
}

/// How the endpoints of a service are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCheck {
    /// What is asked, and how often.
    pub check: Check,
    /// Whether it is asked over TLS; as its record says if `None`.
    pub tls: Option<bool>,
}

impl ServiceCheck {
    /// Checks in a row that change how an endpoint counts.
    pub(super) const fn counts(&self) -> Counts {
        Counts { rise: self.check.rise, fall: self.check.fall }
    }

    /// Whether it is the announced address itself that answers.
    const fn is_in_place(&self) -> bool {
        self.check.place.is_none()
    }

    /// Whether requests reach an endpoint that passes: it is asked where they are sent, and over TLS where they are.
    pub(super) fn tells_of_reach(&self, provider: &Provider) -> bool {
        self.is_in_place() && self.tls.is_none_or(|tls| tls == provider.secure)
    }

    /// Asks an endpoint once; where it waits for an opening, after that.
    pub(super) async fn ask(
        &self,
        service: &ServiceName,
        endpoint: &Endpoint,
        dialler: &Dialler,
        opening: &[u8],
    ) -> Result<(), Unwell> {
        let asked_of = self.provider(&endpoint.provider);
        let host = host(service, &asked_of);
        let asked = Asked {
            service,
            address: &asked_of.address,
            host: &host,
            http2: asked_of.protocol == Protocol::H2c,
            tls: asked_of.secure,
        };
        // What is asked at another port is another program's.
        let opening = if self.is_in_place() { opening } else { &[] };
        let connecting = dialler.connect_opening(Some(service), &asked_of, opening);
        self.check.ask(&asked, async { connecting.await.map_err(|error| unreachable(&error)) }).await
    }

    /// The provider as the check sees it: at the port that is asked, and spoken to as the question is.
    fn provider(&self, announced: &Provider) -> Provider {
        let protocol = match &self.check.kind {
            CheckKind::None | CheckKind::Tcp => Protocol::Tcp,
            CheckKind::Http { .. } if self.is_in_place() && announced.protocol == Protocol::H2c => {
                Protocol::H2c
            }
            CheckKind::Http { .. } => Protocol::Http1,
            CheckKind::Grpc { .. } => Protocol::H2c,
            CheckKind::GoMicro => Protocol::Mucp,
        };
        let secure = self.tls.unwrap_or(announced.secure);
        let address = self.check.place(&announced.address);
        Provider { protocol, secure, ..Provider::new(Arc::clone(&announced.id), address) }
    }
}

/// The host that is named: that of the service, where it could be one.
fn host(service: &ServiceName, provider: &Provider) -> String {
    let name = service.as_str();
    match name.parse::<http::uri::Authority>() {
        Ok(_) if !name.contains('@') => name.to_owned(),
        Ok(_) | Err(_) => provider.address.to_string(),
    }
}

fn unreachable(error: &ConnectError) -> Unwell {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        told = format!("{told}: {deeper}");
        cause = deeper.source();
    }
    Unwell::new(if error.is_ours() { Reason::Unasked } else { Reason::Unreachable }, told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Place, Statuses};

    fn service_check(kind: CheckKind, place: Option<Place>, tls: Option<bool>) -> ServiceCheck {
        ServiceCheck { check: Check { kind, place, ..Check::default() }, tls }
    }

    fn http() -> CheckKind {
        CheckKind::Http { path: "/".to_owned(), status: Statuses::default(), host: None }
    }

    #[test]
    fn a_provider_is_asked_as_it_speaks_unless_another_port_is() {
        let announced = |protocol| Provider {
            protocol,
            secure: true,
            ..Provider::new("p", "10.0.0.1:80".parse().unwrap())
        };
        let other = Some(Place::Port(9000));
        for (kind, place, protocol, spoken) in [
            (http(), None, Protocol::Http1, Protocol::Http1),
            (http(), None, Protocol::H2c, Protocol::H2c),
            (http(), other.clone(), Protocol::H2c, Protocol::Http1),
            (http(), None, Protocol::Mucp, Protocol::Http1),
            (CheckKind::Grpc { service: String::new() }, other, Protocol::Http1, Protocol::H2c),
            (CheckKind::Tcp, None, Protocol::H2c, Protocol::Tcp),
            (CheckKind::GoMicro, None, Protocol::Mucp, Protocol::Mucp),
        ] {
            let port = if place.is_some() { 9000 } else { 80 };
            let asked = service_check(kind, place, None).provider(&announced(protocol));
            assert_eq!((asked.protocol, asked.address.port(), asked.secure), (spoken, port, true));
        }
        assert!(!service_check(http(), None, Some(false)).provider(&announced(Protocol::Http1)).secure);
    }

    #[test]
    fn an_answer_over_another_transport_says_nothing_of_requests() {
        let secure = Provider { secure: true, ..Provider::new("p", "10.0.0.1:80".parse().unwrap()) };
        for (place, tls, tells) in [
            (None, None, true),
            (None, Some(true), true),
            (None, Some(false), false),
            (Some(Place::Port(9000)), None, false),
        ] {
            assert_eq!(service_check(http(), place, tls).tells_of_reach(&secure), tells, "{tls:?}");
        }
    }

    #[test]
    fn what_this_machine_lacks_is_no_word_of_the_provider() {
        let address: crate::provider::Address = "10.0.0.1:80".parse().unwrap();
        let source = Arc::new(std::io::Error::from_raw_os_error(24));
        let lacking = ConnectError::Lacking { address: address.clone(), source };
        assert_eq!(unreachable(&lacking).reason, Reason::Unasked);
        assert_eq!(unreachable(&ConnectError::Refused { address }).reason, Reason::Unreachable);
    }

    #[test]
    fn the_host_is_the_service_where_it_can_be() {
        let provider = Provider::new("p", "10.0.0.1:80".parse().unwrap());
        for (service, expected) in
            [("go.micro.srv.greeter", "go.micro.srv.greeter"), ("com.acme.Greeter:1.0.0:blue", "10.0.0.1:80")]
        {
            assert_eq!(host(&service.parse().unwrap(), &provider), expected);
        }
    }

    #[test]
    fn what_is_said_of_a_service_counts_and_else_what_is_usual() {
        let (tcp, web) = (service_check(CheckKind::Tcp, None, None), service_check(http(), None, None));
        let (a, b, c) = ("a".parse().unwrap(), "b".parse().unwrap(), "c".parse().unwrap());
        let checks = Checks {
            usual: Some(Arc::new(tcp.clone())),
            by_service: [(a, Some(Arc::new(web.clone()))), (b, None)].into(),
            ..Checks::default()
        };
        let of = |name: &str| checks.of(&name.parse().unwrap()).map(|check| (**check).clone());
        assert_eq!((of("a"), of("b"), of("c")), (Some(web), None, Some(tcp)));
        assert_eq!(Checks::default().of(&c), None);
    }
}
