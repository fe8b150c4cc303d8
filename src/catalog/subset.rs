//! A subset: which endpoints of a service a route wants, of those that requests can be sent to, or a raw listener.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::provider::Provider;

/// Which endpoints of a service a route wants; the default wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subset {
    /// Only those that announce exactly this version.
    pub version: Option<Arc<str>>,
    /// Only those that announce all of these keys with exactly these values.
    pub metadata: BTreeMap<String, String>,
    /// Whether bytes are passed on raw, so that it does not matter what is spoken with them.
    pub raw: bool,
}

impl Subset {
    /// Whether it wants this provider, whatever that speaks.
    pub fn wants(&self, provider: &Provider) -> bool {
        self.version.as_ref().is_none_or(|version| *version == provider.version)
            && self.metadata.iter().all(|(key, value)| provider.metadata.get(key) == Some(value))
    }

    /// Whether what is sent by those who claim it can be understood there.
    fn reaches(&self, provider: &Provider) -> bool {
        self.raw || provider.protocol.is_http()
    }

    /// The endpoints it wants and that speak HTTP, or whatever if bytes are passed on raw; in the same order.
    pub fn select(&self, endpoints: &Arc<[Endpoint]>) -> Arc<[Endpoint]> {
        let fits = |endpoint: &&Endpoint| self.reaches(&endpoint.provider) && self.wants(&endpoint.provider);
        if endpoints.iter().all(|endpoint| fits(&endpoint)) {
            return Arc::clone(endpoints);
        }
        endpoints.iter().filter(fits).cloned().collect()
    }

    /// How many endpoints it wants that HTTP cannot reach.
    pub fn out_of_reach(&self, endpoints: &[Endpoint]) -> usize {
        let fits = |endpoint: &&Endpoint| !self.reaches(&endpoint.provider) && self.wants(&endpoint.provider);
        endpoints.iter().filter(fits).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Memory;
    use crate::provider::Protocol;

    fn endpoint(port: u16, version: &str, metadata: &[(&str, &str)]) -> Endpoint {
        let address: crate::provider::Address = format!("10.0.0.1:{port}").parse().unwrap();
        let mut provider = Provider::new("p", address.clone());
        provider.version = version.into();
        provider.metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(u64::from(port), address)))
    }

    fn ports(subset: &Subset, endpoints: &Arc<[Endpoint]>) -> Vec<u16> {
        subset.select(endpoints).iter().map(|endpoint| endpoint.provider.address.port()).collect()
    }

    #[test]
    fn version_and_metadata_must_all_match() {
        let endpoints: Arc<[Endpoint]> = Arc::new([
            endpoint(1, "v1", &[("stage", "live")]),
            endpoint(2, "v2", &[("stage", "live"), ("gpu", "yes")]),
            endpoint(3, "v2", &[("stage", "test")]),
        ]);
        let mut subset = Subset::default();
        assert_eq!(ports(&subset, &endpoints), [1, 2, 3]);
        subset.version = Some("v2".into());
        assert_eq!(ports(&subset, &endpoints), [2, 3]);
        subset.metadata.insert("stage".into(), "live".into());
        assert_eq!(ports(&subset, &endpoints), [2]);
        subset.metadata.insert("gpu".into(), "no".into());
        assert_eq!(ports(&subset, &endpoints), [0_u16; 0]);
    }

    #[test]
    fn what_speaks_no_http_is_left_out_and_counted() {
        let spoken = |port, version, protocol| {
            let endpoint = endpoint(port, version, &[]);
            let provider = Provider { protocol, ..Provider::clone(&endpoint.provider) };
            Endpoint { provider: Arc::new(provider), ..endpoint }
        };
        let endpoints: Arc<[Endpoint]> = Arc::new([
            spoken(1, "v1", Protocol::Tcp),
            spoken(2, "v1", Protocol::H2c),
            spoken(3, "v2", Protocol::Tcp),
            spoken(4, "v2", Protocol::Mucp),
        ]);
        let mut subset = Subset::default();
        assert_eq!((ports(&subset, &endpoints), subset.out_of_reach(&endpoints)), (vec![2, 4], 2));
        subset.version = Some("v2".into());
        assert_eq!((ports(&subset, &endpoints), subset.out_of_reach(&endpoints)), (vec![4], 1));
        subset.raw = true;
        assert_eq!((ports(&subset, &endpoints), subset.out_of_reach(&endpoints)), (vec![3, 4], 0));
        let all: Arc<[Endpoint]> = Arc::new([spoken(1, "", Protocol::Http1)]);
        assert!(Arc::ptr_eq(&Subset::default().select(&all), &all));
    }
}
