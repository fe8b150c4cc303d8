//! Asking DNS servers, and what their answers and their silence mean.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::machine;
use super::settings::Settings;
use crate::registry::RegistryError;

/// What DNS servers are asked with.
#[derive(Debug)]
pub(super) struct Asking {
    resolver: TokioResolver,
    /// The domains that a name which is not a whole one may be below.
    search: Vec<Name>,
    /// The dots from which on a name is asked for as it is first.
    ndots: usize,
    /// The longest that a question may take, all attempts with all servers together.
    limit: Duration,
}

/// Why a question has no records for an answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no such name; for how long, where that is said.
    Absent(Option<Duration>),
    /// There is such a name, without records of this kind.
    Empty(Option<Duration>),
    /// A server answers, and does not know, or does not want to tell.
    Refused(String),
    /// No server answers.
    Silent(NetError),
}

/// Records, and how long they may be believed by what they say themselves.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) records: T,
    pub(super) ttl: Duration,
}

impl Fault {
    /// What this and another one say together, of two names that one may stand for: of what is not known, it may be there.
    fn and(self, other: Self) -> Self {
        let least = |a: Option<Duration>, b: Option<Duration>| Some(a?.min(b?));
        match (self, other) {
            (unknown @ (Self::Refused(_) | Self::Silent(_)), _)
            | (Self::Absent(_) | Self::Empty(_), unknown @ (Self::Refused(_) | Self::Silent(_))) => unknown,
            (Self::Absent(a), Self::Absent(b)) => Self::Absent(least(a, b)),
            (Self::Absent(a) | Self::Empty(a), Self::Empty(b)) | (Self::Empty(a), Self::Absent(b)) => {
                Self::Empty(least(a, b))
            }
        }
    }
}

/// Records of a name, and for how long there are none of the kind that would have been preferred, where that is said.
type Found = (Lookup, Option<Duration>);

/// SRV records, and addresses of their targets that came with them.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) records: Vec<SRV>,
    pub(super) beside: BTreeMap<Name, Vec<IpAddr>>,
}

impl Asking {
    /// Gets ready to ask; nothing is asked yet.
    pub(super) fn new(settings: &Settings) -> Result<Self, RegistryError> {
        let provider = TokioRuntimeProvider::default();
        let unreadable = |source: NetError| RegistryError::Unreachable {
            doing: "cannot read this machine's DNS settings; name servers in the URL, as dns://IP:PORT"
                .to_owned(),
            source: source.into(),
        };
        let (mut search, mut ndots) = (Vec::new(), 1);
        let mut builder = if settings.servers.is_empty() {
            let (config, dots) = machine::read().map_err(|error| unreadable(error.into()))?;
            (search, ndots) = (config.search.clone(), dots);
            TokioResolver::builder_with_config(config, provider)
        } else {
            let servers = settings.servers.iter().map(|server| {
                let mut ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for way in &mut ways {
                    way.port = server.port();
                }
                NameServerConfig::new(server.ip(), true, ways.to_vec())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            let mut builder = TokioResolver::builder_with_config(config, provider);
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder
        };
        let options = builder.options_mut();
        // What is believed how long is decided here.
        options.cache_size = 0;
        options.timeout = settings.timeout;
        options.attempts = 2;
        let (rounds, servers) = (options.attempts, settings.servers.len().max(3));
        let limit = settings.timeout * u32::try_from(rounds * servers).unwrap_or(u32::MAX);
        Ok(Self { resolver: builder.build().map_err(unreadable)?, search, ndots, limit })
    }

    /// Asks whether any server answers anything, by a question that each can answer or refuse.
    pub(super) async fn pulse(&self) -> Result<(), NetError> {
        match self.lookup(&Name::root(), RecordType::NS).await {
            Ok(_) | Err(Fault::Absent(_) | Fault::Empty(_) | Fault::Refused(_)) => Ok(()),
            Err(Fault::Silent(error)) => Err(error),
        }
    }

    /// Asks for SRV records.
    pub(super) async fn services(&self, name: &Name) -> Result<Answer<Services>, Fault> {
        let (lookup, _) = self.find(name, RecordType::SRV, None).await?;
        let srv = |record: &Record| if let RData::SRV(srv) = &record.data { Some(srv.clone()) } else { None };
        let records: Vec<SRV> = lookup.answers().iter().filter_map(srv).collect();
        let mut beside: BTreeMap<Name, Vec<IpAddr>> = BTreeMap::new();
        let mut ttl = ttl(lookup.answers());
        for record in lookup.additionals() {
            if let Some(ip) = address(record) {
                ttl = ttl.min(Duration::from_secs(record.ttl.into()));
                beside.entry(record.name.to_lowercase()).or_default().push(ip);
            }
        }
        for ips in beside.values_mut() {
            prefer_ipv4(ips);
        }
        Ok(Answer { records: Services { records, beside }, ttl })
    }

    /// Asks for the addresses of a host: the IPv4 ones, or if it has none, the IPv6 ones. A host with both is one provider, not two.
    pub(super) async fn addresses(&self, name: &Name) -> Result<Answer<Vec<IpAddr>>, Fault> {
        let (lookup, other) = self.find(name, RecordType::A, Some(RecordType::AAAA)).await?;
        let records = lookup.answers().iter().filter_map(address).collect();
        let ttl = ttl(lookup.answers());
        Ok(Answer { records, ttl: other.map_or(ttl, |other| other.min(ttl)) })
    }

    /// Asks for a name, and with the search list behind it, until one has records. Not by the resolver's own search: that goes on
    /// after a failure as well, and would take the word for the last name, which is nobody's, for that of all.
    async fn find(
        &self,
        name: &Name,
        kind: RecordType,
        otherwise: Option<RecordType>,
    ) -> Result<Found, Fault> {
        let walk = async {
            let mut none: Option<Fault> = None;
            for name in candidates(name, &self.search, self.ndots) {
                let fault = match self.first(&name, kind, otherwise).await {
                    Ok((lookup, _)) if lookup.answers().is_empty() => Fault::Empty(None),
                    Ok(found) => return Ok(found),
                    Err(fault) => fault,
                };
                none = Some(match none {
                    Some(before) => before.and(fault),
                    None => fault,
                });
            }
            Err(none.unwrap_or(Fault::Absent(None)))
        };
        tokio::time::timeout(self.limit, walk).await.unwrap_or(Err(Fault::Silent(NetError::Timeout)))
    }

    /// Asks a whole name for records of a kind, and if it is there without any, for those of the other kind.
    async fn first(
        &self,
        name: &Name,
        kind: RecordType,
        otherwise: Option<RecordType>,
    ) -> Result<Found, Fault> {
        match (self.lookup(name, kind).await, otherwise) {
            (Err(Fault::Empty(ttl)), Some(other)) => Ok((self.lookup(name, other).await?, ttl)),
            (answer, _) => Ok((answer?, None)),
        }
    }

    async fn lookup(&self, name: &Name, kind: RecordType) -> Result<Lookup, Fault> {
        let asked = tokio::time::timeout(self.limit, self.resolver.lookup(name.clone(), kind));
        asked.await.unwrap_or(Err(NetError::Timeout)).map_err(fault)
    }
}

/// The whole names that one may stand for, in the order in which they are asked for.
fn candidates(name: &Name, search: &[Name], ndots: usize) -> Vec<Name> {
    let mut alone = name.clone();
    alone.set_fqdn(true);
    if name.is_fqdn() {
        return vec![alone];
    }
    let below = search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
    let mut all: Vec<Name> = below.filter(|other| *other != alone).collect();
    let is_first = usize::from(name.num_labels()) > ndots || name.is_localhost();
    let place = if is_first { 0 } else { all.len() };
    all.insert(place, alone);
    all
}

/// How long all of these may be believed.
fn ttl(records: &[Record]) -> Duration {
    let least = records.iter().map(|record| record.ttl).min();
    Duration::from_secs(least.unwrap_or_default().into())
}

fn address(record: &Record) -> Option<IpAddr> {
    if let RData::A(a) = &record.data {
        return Some(IpAddr::V4(a.0));
    }
    if let RData::AAAA(aaaa) = &record.data { Some(IpAddr::V6(aaaa.0)) } else { None }
}

fn prefer_ipv4(ips: &mut Vec<IpAddr>) {
    if ips.iter().any(IpAddr::is_ipv4) {
        ips.retain(IpAddr::is_ipv4);
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the client's errors: those not named are of the way to the server"
)]
fn fault(error: NetError) -> Fault {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            let ttl = none.negative_ttl.map(|seconds| Duration::from_secs(seconds.into()));
            match none.response_code {
                ResponseCode::NXDomain => Fault::Absent(ttl),
                ResponseCode::NoError => Fault::Empty(ttl),
                code => Fault::Refused(format!("the server answered {code}")),
            }
        }
        NetError::Dns(error) => Fault::Refused(error.to_string()),
        NetError::Proto(error) => Fault::Refused(error.to_string()),
        error => Fault::Silent(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_in_the_order_of_the_search_list() {
        let search = ["a.test", "b.test"].map(|domain| Name::from_utf8(domain).unwrap());
        let names = |name: &str, ndots| {
            let all = candidates(&Name::from_utf8(name).unwrap(), &search, ndots);
            all.iter().map(Name::to_utf8).collect::<Vec<_>>()
        };
        assert_eq!(names("web", 1), ["web.a.test.", "web.b.test.", "web."]);
        assert_eq!(names("web.x", 1), ["web.x.", "web.x.a.test.", "web.x.b.test."]);
        assert_eq!(names("web.x", 5), ["web.x.a.test.", "web.x.b.test.", "web.x."]);
        assert_eq!(names("web.x.", 5), ["web.x."]);
    }

    #[test]
    fn a_name_is_absent_only_where_that_is_known_of_all_it_may_stand_for() {
        let ttl = |seconds| Some(Duration::from_secs(seconds));
        let absent = Fault::Absent;
        let refused = || Fault::Refused("SERVFAIL".to_owned());
        assert!(matches!(absent(ttl(5)).and(absent(ttl(86_400))), Fault::Absent(least) if least == ttl(5)));
        assert!(matches!(absent(None).and(absent(ttl(9))), Fault::Absent(None)), "it says nothing of that");
        assert!(matches!(refused().and(absent(ttl(9))), Fault::Refused(_)));
        assert!(matches!(absent(ttl(9)).and(refused()), Fault::Refused(_)));
        assert!(matches!(Fault::Empty(ttl(5)).and(Fault::Silent(NetError::Timeout)), Fault::Silent(_)));
        for both in [Fault::Empty(ttl(5)).and(absent(ttl(9))), absent(ttl(9)).and(Fault::Empty(ttl(5)))] {
            assert!(matches!(both, Fault::Empty(least) if least == ttl(5)), "there is such a name");
        }
    }
}
