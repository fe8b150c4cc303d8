//! The records of Kratos: an instance and the URLs of its endpoints.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::json::{self, Object};
use super::{Decoded, Encoded, Entry, Format, Reason, Unusable, convention};
use crate::provider::{Protocol, Provider, ServiceName};
use crate::registry::announcer::Announcement;

/// The records of Kratos, in ZooKeeper and etcd alike: `{"id","name","version","metadata","endpoints":["grpc://10.0.0.5:9000"]}`.
///
/// Each endpoint is a provider: `http` and `grpc` say what is spoken, `?isSecure=true` that it is over TLS. An instance with
/// several has as many providers, told apart by the metadata key `scheme`; the option `scheme=http` of the registry's URL
/// leaves the others out. `weight` and `zone` are read from the metadata.
#[derive(Clone, Debug, Default)]
pub struct Kratos {
    /// The only scheme of interest.
    scheme: Option<String>,
}

impl Kratos {
    /// The records of Kratos, of endpoints of this scheme only if there is one.
    pub const fn new(scheme: Option<String>) -> Self {
        Self { scheme }
    }
}

impl Format for Kratos {
    fn name(&self) -> &'static str {
        "kratos"
    }

    fn prefix(&self) -> &'static str {
        "/microservices"
    }

    fn folder(&self, service: &ServiceName) -> String {
        service.as_str().to_owned()
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        let record = match Object::of(&entry, "a Kratos instance") {
            Ok(record) => record,
            Err(unusable) => return Err(unusable).into(),
        };
        let endpoints: Vec<&Value> = record.list("endpoints").collect();
        if endpoints.is_empty() {
            return Decoded::unusable(Reason::Address, "the instance has no endpoint");
        }
        let instance = Instance {
            id: record.text("id").unwrap_or_else(|| entry.name.to_owned()),
            version: record.text("version").unwrap_or_default(),
            metadata: record.object("metadata").map(|metadata| metadata.metadata()).unwrap_or_default(),
            has_several: endpoints.len() > 1,
        };
        let providers = endpoints.into_iter().map(|endpoint| self.provider(&instance, endpoint));
        let mut decoded: Decoded = providers.collect();
        decoded.unusable.extend(record.rest("endpoints"));
        decoded
    }

    fn encode(&self, announcement: &Announcement) -> Result<Encoded, String> {
        /// An instance in the order of Kratos' keys.
        #[derive(Serialize)]
        struct Written<'a> {
            id: &'a str,
            name: &'a str,
            version: &'a str,
            metadata: Option<BTreeMap<String, String>>,
            endpoints: [String; 1],
        }
        let provider = &announcement.provider;
        let scheme = match provider.protocol {
            Protocol::Http1 => "http",
            Protocol::H2c => "grpc",
            Protocol::Tcp => "tcp",
            Protocol::Mucp => return Err(convention::only_go_micro("Kratos")),
        };
        let query = if provider.secure { "?isSecure=true" } else { "" };
        let mut metadata = convention::described_by(provider);
        metadata.retain(|key, _| key != "version" && key != "scheme");
        let instance = Written {
            id: &provider.id,
            name: announcement.service.as_str(),
            version: &provider.version,
            metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
            endpoints: [format!("{scheme}://{}{query}", provider.address)],
        };
        Ok(Encoded {
            name: convention::one_part(&provider.id)?,
            is_numbered: false,
            data: json::written(&instance)?,
        })
    }
}

/// What all endpoints of an instance have in common.
struct Instance {
    id: String,
    version: String,
    metadata: BTreeMap<String, String>,
    has_several: bool,
}

impl Kratos {
    fn provider(&self, instance: &Instance, endpoint: &Value) -> Result<Provider, Unusable> {
        let odd = || {
            let detail =
                format!("an endpoint is {}, not such as grpc://10.0.0.5:9000", json::shown(endpoint));
            Unusable::new(Reason::Address, detail)
        };
        let url = endpoint.as_str().filter(|url| url.len() <= json::VALUE_BYTES_MAX).ok_or_else(odd)?;
        let (scheme, rest) = url.split_once("://").ok_or_else(odd)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let address = convention::address_of(rest.split('/').next().unwrap_or_default())?;
        convention::asked_for(self.scheme.as_deref(), scheme)?;
        let (protocol, secure) = convention::spoken(scheme);
        let secure = secure || query.split('&').any(|pair| pair.eq_ignore_ascii_case("isSecure=true"));
        let id = &instance.id;
        let id = if instance.has_several { format!("{id}/{scheme}") } else { id.clone() };
        let mut provider = convention::described(Provider::new(id, address), instance.metadata.clone());
        provider.metadata.insert("scheme".to_owned(), scheme.to_owned());
        if !instance.version.is_empty() {
            provider.version = instance.version.as_str().into();
        }
        Ok(Provider { protocol, secure, ..provider })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::format::sample;

    const RECORD: &str = r#"{"id":"i-1","name":"helloworld","version":"v1","metadata":null,"endpoints":["grpc://10.0.0.5:9000","http://10.0.0.5:8000?isSecure=true"]}"#;

    #[test]
    fn each_endpoint_is_a_provider() {
        let decoded = sample::decode(&Kratos::default(), "i-1", RECORD.as_bytes());
        let [grpc, http] = decoded.providers.as_slice() else { panic!("{decoded:?}") };
        assert_eq!((grpc.address.to_string().as_str(), &*grpc.id), ("10.0.0.5:9000", "i-1/grpc"));
        assert_eq!((grpc.protocol, grpc.secure, &*grpc.version), (Protocol::H2c, false, "v1"));
        assert_eq!((http.protocol, http.secure, http.address.port()), (Protocol::Http1, true, 8000));
        assert_eq!(http.metadata["scheme"], "http");
    }

    #[test]
    fn one_scheme_may_be_asked_for() {
        let decoded = sample::decode(&Kratos::new(Some("http".to_owned())), "i-1", RECORD.as_bytes());
        assert_eq!((decoded.providers.len(), decoded.providers[0].address.port()), (1, 8000));
        let unusable = &decoded.unusable[0];
        assert_eq!(unusable.reason, Reason::Filtered);
        assert_eq!(unusable.detail, "speaks \"grpc\"; asked for is \"http\"");
    }

    #[test]
    fn metadata_describes_every_endpoint() {
        let record = r#"{"id":null,"version":null,"metadata":{"weight":"5","zone":"z"},"endpoints":["http://[::1]:80/x"]}"#;
        let provider = sample::one(&Kratos::default(), "entry", record.as_bytes());
        assert_eq!((&*provider.id, provider.weight.hundredths()), ("entry", 500));
        assert_eq!((provider.zone.as_deref(), &*provider.version), (Some("z"), ""));
    }

    #[test]
    fn what_is_no_endpoint_spoils_no_other() {
        let record =
            r#"{"endpoints":["http://h:80","h:80",7,"http://h","http://0.0.0.0:80","thrift://h:1"]}"#;
        let decoded = sample::decode(&Kratos::default(), "e", record.as_bytes());
        assert_eq!(decoded.providers.len(), 2);
        assert_eq!(decoded.providers[1].protocol, Protocol::Tcp);
        assert_eq!(decoded.unusable.len(), 4);
        assert!(decoded.unusable.iter().all(|unusable| unusable.reason == Reason::Address));
        for (record, reason) in [("{}", Reason::Address), ("[]", Reason::Malformed), ("", Reason::Empty)] {
            assert_eq!(
                sample::unusable(&Kratos::default(), "e", record.as_bytes()).reason,
                reason,
                "{record}"
            );
        }
        let many = format!(r#"{{"endpoints":[{}]}}"#, vec![r#""http://h:80""#; 100].join(","));
        let decoded = sample::decode(&Kratos::default(), "e", many.as_bytes());
        assert_eq!((decoded.providers.len(), decoded.unusable.len()), (64, 1));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let kratos = Kratos::default();
        for mut provider in sample::providers() {
            let encoded = kratos.encode(&sample::announcement("svc", provider.clone())).unwrap();
            let read = sample::one(&kratos, &encoded.name, &encoded.data);
            sample::add(&mut provider, &read, &["scheme", "weight", "zone"]);
            assert_eq!(read, provider);
        }
        let record = r#"{"id":"i-1","name":"helloworld","version":"v1","metadata":null,"endpoints":["grpc://10.0.0.5:9000"]}"#;
        let provider = sample::one(&kratos, "i-1", record.as_bytes());
        let encoded = kratos.encode(&sample::announcement("helloworld", provider)).unwrap();
        assert_eq!(std::str::from_utf8(&encoded.data), Ok(record));
    }
}
