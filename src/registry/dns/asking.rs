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
        let mut builder = if settings.servers.is_empty() {
            let (config, ndots) = machine::read().map_err(|error| unreadable(error.into()))?;
            let mut builder = TokioResolver::builder_with_config(config, provider);
            builder.options_mut().ndots = ndots;
            builder
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
        Ok(Self { resolver: builder.build().map_err(unreadable)?, limit })
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
        let lookup = self.lookup(name, RecordType::SRV).await?;
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
        let (lookup, other) = match self.lookup(name, RecordType::A).await {
            Err(Fault::Empty(ttl)) => (self.lookup(name, RecordType::AAAA).await?, ttl),
            answer => (answer?, None),
        };
        let records = lookup.answers().iter().filter_map(address).collect();
        let ttl = ttl(lookup.answers());
        Ok(Answer { records, ttl: other.map_or(ttl, |other| other.min(ttl)) })
    }

    async fn lookup(&self, name: &Name, kind: RecordType) -> Result<Lookup, Fault> {
        let asked = tokio::time::timeout(self.limit, self.resolver.lookup(name.clone(), kind));
        asked.await.unwrap_or(Err(NetError::Timeout)).map_err(fault)
    }
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
