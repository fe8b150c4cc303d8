//! The records of gRPC's own naming in etcd: one JSON update per address.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::json::{self, Object};
use super::{Decoded, Encoded, Entry, Format, Reason, Unusable, convention};
use crate::provider::{Protocol, Provider, ServiceName};
use crate::registry::announcer::Announcement;

/// The records of gRPC's naming in etcd: `<service>/<address>` is `{"Op":0,"Addr":"10.0.0.5:9000","Metadata":…}`.
///
/// Its providers speak gRPC over HTTP/2 in clear text. `Metadata` may be anything: of an object, `weight`, `zone` and `version`
/// are read as in every format. There is no prefix: keys begin with the service.
#[derive(Clone, Copy, Debug)]
pub struct Grpc;

impl Format for Grpc {
    fn name(&self) -> &'static str {
        "grpc"
    }

    fn prefix(&self) -> &'static str {
        "/"
    }

    fn folder(&self, service: &ServiceName) -> String {
        service.as_str().to_owned()
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        provider(&entry).into()
    }

    fn encode(&self, announcement: &Announcement) -> Result<Encoded, String> {
        /// An update in the order of gRPC's keys.
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Written<'a> {
            op: u8,
            addr: &'a str,
            metadata: Option<BTreeMap<String, String>>,
        }
        convention::only_grpc(&announcement.provider, "gRPC naming")?;
        let address = announcement.provider.address.to_string();
        let metadata = convention::described_by(&announcement.provider);
        let metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
        let data = json::written(&Written { op: 0, addr: &address, metadata })?;
        Ok(Encoded { name: address, is_numbered: false, data })
    }
}

fn provider(entry: &Entry<'_>) -> Result<Provider, Unusable> {
    let update = Object::of(entry, "an update of gRPC naming")?;
    // 0 adds an address, 1 takes it away.
    if let Some(op) = update.get("Op").filter(|op| op.as_i64() != Some(0)) {
        let detail = format!("Op is {}: the record takes the address away", json::shown(op));
        return Err(Unusable::new(Reason::Disabled, detail));
    }
    let address = update.text("Addr").ok_or_else(|| Unusable::new(Reason::Address, "there is no Addr"))?;
    let provider =
        Provider { protocol: Protocol::H2c, ..Provider::new(entry.name, convention::address_of(&address)?) };
    let metadata = match update.get("Metadata") {
        Some(Value::Object(pairs)) => Object::from(pairs).metadata(),
        Some(other) => {
            let text = json::text(other).into_iter().map(|text| ("metadata", text));
            json::bounded_pairs(text)
        }
        None => BTreeMap::new(),
    };
    Ok(convention::described(provider, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::format::sample;

    fn one(data: &str) -> Provider {
        sample::one(&Grpc, "10.0.0.5:9000", data.as_bytes())
    }

    #[test]
    fn reads_updates_with_any_metadata() {
        let provider = one(r#"{"Op":0,"Addr":"10.0.0.5:9000","Metadata":{"weight":3,"zone":"z"}}"#);
        assert_eq!(
            (provider.address.to_string().as_str(), provider.protocol),
            ("10.0.0.5:9000", Protocol::H2c)
        );
        assert_eq!((provider.weight.hundredths(), provider.zone.as_deref()), (300, Some("z")));
        assert_eq!(one(r#"{"Addr":"h:1","Metadata":"blue"}"#).metadata["metadata"], "blue");
        for metadata in ["null", "[1]", "{}"] {
            let record = format!(r#"{{"Op":0,"Addr":"h:1","Metadata":{metadata}}}"#);
            assert!(one(&record).metadata.is_empty(), "{metadata}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for mut provider in sample::providers() {
            let written = Grpc.encode(&sample::announcement("svc", provider.clone()));
            if (provider.protocol, provider.secure) == (Protocol::H2c, false) {
                let encoded = written.unwrap();
                let read = sample::one(&Grpc, &encoded.name, &encoded.data);
                sample::add(&mut provider, &read, &["weight", "zone", "version"]);
                assert_eq!(read, Provider { id: "[2001:db8::1]:8080".into(), ..provider });
            } else {
                assert!(written.unwrap_err().ends_with("only h2c; choose another format"));
            }
        }
        let bare =
            Provider { protocol: Protocol::H2c, ..Provider::new("i", "10.0.0.5:9000".parse().unwrap()) };
        let encoded = Grpc.encode(&sample::announcement("svc", bare)).unwrap();
        assert_eq!(encoded.data, br#"{"Op":0,"Addr":"10.0.0.5:9000","Metadata":null}"#);
    }

    #[test]
    fn what_is_no_address_says_why() {
        let reason = |data: &str| sample::unusable(&Grpc, "x", data.as_bytes()).reason;
        assert_eq!(reason(r#"{"Op":1,"Addr":"h:1"}"#), Reason::Disabled);
        assert_eq!(reason(r#"{"Op":0}"#), Reason::Address);
        assert_eq!(reason(r#"{"Op":0,"Addr":"h"}"#), Reason::Address);
        assert_eq!((reason("h:1"), reason("")), (Reason::Malformed, Reason::Empty));
    }
}
