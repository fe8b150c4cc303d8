//! The instances of Dubbo 3 at application level: Curator's, with a list of endpoints.

use serde_json::Value;

use super::curator::instance::Instance;
use super::dubbo::{warm_up, weight};
use super::json::{self, Object, PARTS_MAX};
use super::{Decoded, Entry, Format, Reason, Unusable, convention};
use crate::provider::{Protocol, Provider, ServiceName};

/// The instances of Dubbo 3 at application level, as its applications announce themselves from 3.0 on.
///
/// A service is an application. An instance is one of Curator's, whose payload has the metadata `dubbo.endpoints`: a JSON text
/// `[{"port":20880,"protocol":"dubbo"},{"port":50051,"protocol":"tri"}]`. Each endpoint is a provider, and requests go to those that speak
/// HTTP: `tri`, `grpc`, `rest`. The metadata key `scheme` tells them apart, and the option `scheme=tri` of the registry's URL leaves
/// the others out. Weights are Dubbo's, of which 100 is usual.
#[derive(Clone, Debug, Default)]
pub struct DubboApp {
    /// The only scheme of interest.
    scheme: Option<String>,
}

impl DubboApp {
    /// The instances of Dubbo 3, of endpoints of this scheme only if there is one.
    pub const fn new(scheme: Option<String>) -> Self {
        Self { scheme }
    }
}

impl Format for DubboApp {
    fn name(&self) -> &'static str {
        "dubbo-app"
    }

    fn prefix(&self) -> &'static str {
        "/services"
    }

    fn folder(&self, service: &ServiceName) -> String {
        service.as_str().to_owned()
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        let read = Instance::of(&entry).and_then(|instance| Ok((endpoints(&instance)?, instance)));
        let (endpoints, mut instance) = match read {
            Ok(read) => read,
            Err(unusable) => return Err(unusable).into(),
        };
        instance.metadata.remove("dubbo.endpoints");
        let each = endpoints.iter().take(PARTS_MAX);
        let mut decoded: Decoded = each.map(|endpoint| self.provider(&instance, endpoint)).collect();
        if endpoints.len() > PARTS_MAX {
            decoded.unusable.push(json::too_many("endpoints", endpoints.len()));
        }
        decoded
    }
}

/// The endpoints that an instance lists.
fn endpoints(instance: &Instance) -> Result<Vec<Value>, Unusable> {
    let Some(listed) = instance.metadata.get("dubbo.endpoints") else {
        let detail = "the instance has no dubbo.endpoints; where it is one of Spring Cloud, read it with format=curator";
        return Err(Unusable::new(Reason::Address, detail));
    };
    let listed = serde_json::from_str::<Vec<Value>>(listed);
    let listed = listed.map_err(|error| {
        Unusable::new(Reason::Malformed, format!("dubbo.endpoints is no list of endpoints: {error}"))
    })?;
    if listed.is_empty() {
        return Err(Unusable::new(Reason::Address, "dubbo.endpoints is an empty list"));
    }
    Ok(listed)
}

impl DubboApp {
    fn provider(&self, instance: &Instance, endpoint: &Value) -> Result<Provider, Unusable> {
        let odd = || {
            let detail = format!("an endpoint is {}, without protocol or port", json::shown(endpoint));
            Unusable::new(Reason::Address, detail)
        };
        let endpoint = Object::from(endpoint.as_object().ok_or_else(odd)?);
        let scheme = endpoint.text("protocol").ok_or_else(odd)?;
        let port = endpoint.port("port")?.ok_or_else(odd)?;
        let address = convention::address(instance.address()?, port)?;
        convention::asked_for(self.scheme.as_deref(), &scheme)?;
        let (protocol, secure) = convention::spoken(&scheme);
        let metadata = instance.metadata.clone();
        let word = |key: &str| metadata.get(key).map(String::as_str);
        let (weight, warm_up) = (weight(word("weight")), warm_up(word("timestamp"), word("warmup")));
        let id = format!("{}/{scheme}", instance.id);
        let mut provider = convention::described(Provider::new(id, address), metadata);
        provider.metadata.insert("scheme".to_owned(), scheme);
        provider.metadata.remove("timestamp");
        let protocol = if protocol == Protocol::Mucp { Protocol::Tcp } else { protocol };
        Ok(Provider { weight, warm_up, protocol, secure, ..provider })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::json;

    use super::*;
    use crate::registry::format::sample;

    fn record(metadata: &Value) -> Vec<u8> {
        json!({
            "name": "orders", "id": "10.0.0.5:20880", "address": "10.0.0.5", "port": 20880, "sslPort": null,
            "payload": {
                "@class": "org.apache.dubbo.registry.zookeeper.ZookeeperInstance", "id": "10.0.0.5:20880",
                "name": "orders", "metadata": metadata,
            },
            "registrationTimeUTC": 1_700_000_000_000_u64, "serviceType": "DYNAMIC", "uriSpec": null,
        })
        .to_string()
        .into_bytes()
    }

    fn endpoints(listed: &str) -> Decoded {
        sample::decode(&DubboApp::default(), "10.0.0.5:20880", &record(&json!({"dubbo.endpoints": listed})))
    }

    #[test]
    fn each_endpoint_is_a_provider() {
        let metadata = json!({
            "dubbo.endpoints": r#"[{"port":20880,"protocol":"dubbo"},{"port":50051,"protocol":"tri"},{"port":8080,"protocol":"rest"}]"#,
            "dubbo.metadata.revision": "f0e1", "dubbo.tag": "blue", "weight": "50",
            "timestamp": "1700000000000", "warmup": "60000",
        });
        let decoded = sample::decode(&DubboApp::default(), "10.0.0.5:20880", &record(&metadata));
        let shown: Vec<_> = decoded
            .providers
            .iter()
            .map(|provider| {
                (provider.address.port(), provider.protocol, provider.metadata["scheme"].as_str())
            })
            .collect();
        let expected =
            [(20880, Protocol::Tcp, "dubbo"), (50051, Protocol::H2c, "tri"), (8080, Protocol::Http1, "rest")];
        assert_eq!(shown, expected);
        let provider = &decoded.providers[1];
        assert_eq!((&*provider.id, provider.weight.hundredths()), ("10.0.0.5:20880/tri", 50));
        let warm_up = provider.warm_up.unwrap();
        assert_eq!(warm_up.since, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        assert_eq!((warm_up.over, provider.metadata["dubbo.tag"].as_str()), (Duration::from_mins(1), "blue"));
        assert!(!provider.metadata.contains_key("dubbo.endpoints"));
        let tri = DubboApp::new(Some("tri".to_owned()));
        let decoded = sample::decode(&tri, "10.0.0.5:20880", &record(&metadata));
        assert_eq!((decoded.providers.len(), decoded.unusable.len()), (1, 2));
        assert!(decoded.unusable.iter().all(|unusable| unusable.reason == Reason::Filtered));
    }

    #[test]
    fn what_is_no_endpoint_spoils_no_other() {
        let decoded = endpoints(
            r#"[7,{"port":1},{"protocol":"tri"},{"port":70000,"protocol":"tri"},{"port":1,"protocol":"tri"}]"#,
        );
        assert_eq!((decoded.providers.len(), decoded.unusable.len()), (1, 4));
        assert!(decoded.unusable.iter().all(|unusable| unusable.reason == Reason::Address));
        let many = format!("[{}]", vec![r#"{"port":1,"protocol":"tri"}"#; 100].join(","));
        let decoded = sample::decode(
            &DubboApp::default(),
            "e",
            &record(&json!({"dubbo.endpoints": many.replace(' ', "")})),
        );
        assert_eq!((decoded.providers.len(), decoded.unusable.len()), (64, 1));
    }

    #[test]
    fn what_lists_no_endpoint_says_why() {
        let reason = |decoded: Decoded| decoded.unusable[0].reason;
        assert_eq!(reason(endpoints("[]")), Reason::Address);
        assert_eq!((reason(endpoints("{}")), reason(endpoints("x"))), (Reason::Malformed, Reason::Malformed));
        let spring = sample::decode(&DubboApp::default(), "e", &record(&json!({"instance_status": "UP"})));
        assert!(spring.unusable[0].detail.ends_with("read it with format=curator"));
        assert_eq!(reason(sample::decode(&DubboApp::default(), "e", b"")), Reason::Empty);
    }
}
