//! The plain form: `host:port`, or a JSON object that says a little more.

use serde_json::{Map, Value};

use super::json::{self, Object};
use super::{Decoded, Encoded, Entry, Format, Reason, Unusable, convention};
use crate::provider::{Protocol, Provider, ServiceName, Weight};
use crate::registry::announcer::Announcement;
use crate::registry::written::{self, Mistake};

/// The plain form, for whoever writes records without a library.
///
/// The data of an entry is `host:port`, or a JSON object: `host` or `address`, `port` (unless the address has it), `weight` (0 to
/// 1000), `zone`, `version`, `protocol` (`http1`, `h2c`, `mucp`, `tcp`, or a scheme such as `https` or `grpc`), `tls` or `secure`,
/// `metadata`, `id`. An entry without data whose name is `host:port` is that provider.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Format for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn prefix(&self) -> &'static str {
        "/services"
    }

    fn folder(&self, service: &ServiceName) -> String {
        service.as_str().to_owned()
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        provider(&entry).into()
    }

    fn encode(&self, announcement: &Announcement) -> Result<Encoded, String> {
        let provider = &announcement.provider;
        let mut record = Map::new();
        let mut say = |key: &str, value: Value| record.insert(key.to_owned(), value);
        say("address", provider.address.to_string().into());
        say("id", (*provider.id).into());
        if provider.weight != Weight::ONE {
            say("weight", (f64::from(provider.weight.hundredths()) / 100.0).into());
        }
        if let Some(zone) = &provider.zone {
            say("zone", (**zone).into());
        }
        if !provider.version.is_empty() {
            say("version", (*provider.version).into());
        }
        if provider.protocol != Protocol::Http1 {
            say("protocol", provider.protocol.as_str().into());
        }
        if provider.secure {
            say("tls", true.into());
        }
        if !provider.metadata.is_empty() {
            let pairs = provider.metadata.iter().map(|(key, value)| (key.clone(), value.clone().into()));
            say("metadata", Value::Object(pairs.collect()));
        }
        let name = convention::one_part(&provider.id)?;
        Ok(Encoded { name, is_numbered: false, data: Value::Object(record).to_string().into_bytes() })
    }
}

fn provider(entry: &Entry<'_>) -> Result<Provider, Unusable> {
    let data = entry.data.trim_ascii();
    if data.first() == Some(&b'{') {
        return from_object(&Object::of(entry, "a plain record")?, entry.name);
    }
    let text = if data.is_empty() && entry.name.contains(':') {
        entry.name
    } else {
        let data = json::content(entry)?;
        let text = std::str::from_utf8(data)
            .map_err(|_| Unusable::new(Reason::Malformed, "the record is neither host:port nor JSON"))?;
        text.trim_matches('"')
    };
    if text.len() > json::VALUE_BYTES_MAX {
        return Err(Unusable::new(Reason::Malformed, "the record is neither host:port nor JSON"));
    }
    Ok(Provider::new(entry.name, convention::address_of(text)?))
}

/// The provider of an object, put into the words in which providers are written elsewhere.
fn from_object(object: &Object, name: &str) -> Result<Provider, Unusable> {
    let mut table = Map::new();
    for key in ["id", "zone", "version"] {
        if let Some(text) = object.text(key) {
            table.insert(key.to_owned(), text.into());
        }
    }
    if let Some(weight) = object.get("weight") {
        table.insert("weight".to_owned(), weight.clone());
    }
    match object.object("metadata") {
        Some(metadata) => {
            let pairs = metadata.metadata().into_iter().map(|(key, value)| (key, value.into()));
            table.insert("metadata".to_owned(), Value::Object(pairs.collect()));
        }
        None => table.extend(object.get("metadata").map(|other| ("metadata".to_owned(), other.clone()))),
    }
    let address = object.text("address").or_else(|| object.text("host"));
    let address = address.ok_or_else(|| Unusable::new(Reason::Address, "there is no host and no address"))?;
    let address = match object.port("port")? {
        Some(port) => convention::address(&address, port)?,
        None => convention::address_of(&address)?,
    };
    table.insert("address".to_owned(), address.to_string().into());
    table.entry("id").or_insert_with(|| name.into());
    let refused = |Mistake { reason, detail }| Unusable::new(reason, detail);
    let mut provider = written::provider(&Value::Object(table)).map_err(refused)?;
    if let Some(word) = object.text("protocol") {
        (provider.protocol, provider.secure) = match written::protocol(&word) {
            Some(protocol) => (protocol, false),
            None => convention::known(&word).ok_or_else(|| {
                let detail =
                    format!("there is no protocol {word:?}; write http1, h2c, mucp, tcp, or a scheme");
                Unusable::new(Reason::Value, detail)
            })?,
        };
    }
    let says = |key| object.text(key).is_some_and(|word| word == "true");
    provider.secure |= says("tls") || says("secure");
    Ok(provider)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::format::sample;

    fn one(data: impl AsRef<[u8]>) -> Provider {
        sample::one(&Plain, "entry", data.as_ref())
    }

    fn reason(data: impl AsRef<[u8]>) -> Reason {
        sample::unusable(&Plain, "entry", data.as_ref()).reason
    }

    #[test]
    fn a_record_may_be_an_address() {
        for text in ["10.0.0.5:80", " 10.0.0.5:80\n", "\"10.0.0.5:80\""] {
            let provider = one(text);
            assert_eq!((provider.address.to_string().as_str(), &*provider.id), ("10.0.0.5:80", "entry"));
        }
        assert_eq!(sample::one(&Plain, "10.0.0.5:80", b"").address.port(), 80);
        assert_eq!((reason(""), reason(" ")), (Reason::Empty, Reason::Empty));
        for text in ["10.0.0.5", "0.0.0.0:80", "[]", "null", "x"] {
            assert_eq!(reason(text), Reason::Address, "{text}");
        }
        assert_eq!((reason(b"\xff:80"), reason("x".repeat(5000))), (Reason::Malformed, Reason::Malformed));
    }

    #[test]
    fn a_record_may_be_an_object() {
        let provider = one(
            r#"{"host":"::1","port":"80","weight":2,"zone":"z","version":3,"protocol":"https","metadata":{"k":1},"id":"i","x":[]}"#,
        );
        assert_eq!((provider.address.to_string().as_str(), &*provider.id), ("[::1]:80", "i"));
        assert_eq!((provider.weight.hundredths(), provider.zone.as_deref()), (200, Some("z")));
        assert_eq!((&*provider.version, provider.metadata["k"].as_str()), ("3", "1"));
        assert_eq!((provider.protocol, provider.secure), (Protocol::Http1, true));
        assert_eq!(one(r#"{"address":"h:80"}"#).address.to_string(), "h:80");
        assert_eq!(one(r#"{"address":"h","port":80,"protocol":"tcp"}"#).protocol, Protocol::Tcp);
        let secure = one(r#"{"address":"h:80","protocol":"h2c","tls":true}"#);
        assert_eq!((secure.protocol, secure.secure), (Protocol::H2c, true));
        assert!(one(r#"{"address":"h:80","secure":true}"#).secure);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (record, reason_of, part) in [
            (json!({"port": 80}), Reason::Address, "no host"),
            (json!({"host": "h"}), Reason::Address, "has no port"),
            (json!({"host": "h", "port": 70000}), Reason::Address, "port is 70000"),
            (json!({"host": "h", "port": 80, "protocol": "htpp"}), Reason::Value, "no protocol \"htpp\""),
            (json!({"host": "h", "port": 80, "weight": -1}), Reason::Value, "from 0 to 1000"),
            (json!({"host": "h", "port": 80, "metadata": []}), Reason::Malformed, "metadata is []"),
        ] {
            let unusable = sample::unusable(&Plain, "entry", record.to_string().as_bytes());
            assert_eq!(unusable.reason, reason_of, "{record}");
            assert!(unusable.detail.contains(part), "{}", unusable.detail);
        }
        assert_eq!(reason("{"), Reason::Malformed);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for provider in sample::providers() {
            let encoded = Plain.encode(&sample::announcement("svc", provider.clone())).unwrap();
            assert_eq!(sample::one(&Plain, &encoded.name, &encoded.data), provider);
        }
        let bare = Provider::new("10.0.0.1:80", "10.0.0.1:80".parse().unwrap());
        let encoded = Plain.encode(&sample::announcement("svc", bare)).unwrap();
        assert_eq!(encoded.data, br#"{"address":"10.0.0.1:80","id":"10.0.0.1:80"}"#);
    }
}
