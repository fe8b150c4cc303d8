//! The records of SmartStack's Nerve: a JSON object as data, or in the name of the entry.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Serialize;

use super::json::{self, Object};
use super::{Decoded, Encoded, Entry, Format, Reason, Unusable, convention};
use crate::provider::{Protocol, Provider, ServiceName, Weight};
use crate::registry::announcer::Announcement;

/// Base64 as Ruby writes it, and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The records of Nerve: `{"host":"10.0.0.5","port":3000,"name":"i-0abc","weight":2,"labels":{"az":"us-east-1a"}}`.
///
/// They lie in `<prefix>/<service>/services`, where Nerve's own examples have them; the option `suffix` of the registry's URL
/// names another folder below the service, and an empty one none. The object is the data of an entry, or stands in its name
/// as `base64_<length>_<URL-safe Base64>_<number>`. Labels are metadata; of these, `az` is the zone. Weights are HAProxy's:
/// whole numbers, of which 1 is usual. Entries without data are left behind by Nerve now and then, and skipped.
#[derive(Clone, Debug)]
pub struct Nerve {
    /// The folder below the service, or empty.
    suffix: String,
}

impl Nerve {
    /// The records of Nerve in this folder below the service, or in that of the service itself if it is empty.
    pub const fn new(suffix: String) -> Self {
        Self { suffix }
    }
}

impl Default for Nerve {
    fn default() -> Self {
        Self::new("services".to_owned())
    }
}

impl Format for Nerve {
    fn name(&self) -> &'static str {
        "nerve"
    }

    fn prefix(&self) -> &'static str {
        "/nerve/services"
    }

    fn folder(&self, service: &ServiceName) -> String {
        if self.suffix.is_empty() { service.to_string() } else { format!("{service}/{}", self.suffix) }
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        provider(&entry).into()
    }

    fn encode(&self, announcement: &Announcement) -> Result<Encoded, String> {
        /// A record in the order of Nerve's keys.
        #[derive(Serialize)]
        struct Written<'a> {
            host: String,
            port: u16,
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            weight: Option<u32>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            labels: BTreeMap<String, String>,
        }
        let provider = &announcement.provider;
        if provider.protocol == Protocol::Mucp {
            return Err(convention::only_go_micro("Nerve"));
        }
        let mut labels = convention::described_by(provider);
        labels.remove("weight");
        if let Some(zone) = labels.remove("zone") {
            labels.insert("az".to_owned(), zone);
        }
        if provider.protocol != Protocol::Http1 || provider.secure {
            labels.insert("protocol".to_owned(), convention::scheme(provider).to_owned());
        }
        let record = Written {
            host: convention::host(&provider.address),
            port: provider.address.port(),
            name: &provider.id,
            // Synapse and HAProxy know whole weights only; a small one must not become none.
            weight: (provider.weight != Weight::ONE).then(|| provider.weight.hundredths().div_ceil(100)),
            labels,
        };
        let name = format!("{}_", convention::one_part(&provider.id)?);
        Ok(Encoded { name, is_numbered: true, data: json::written(&record)? })
    }
}

fn provider(entry: &Entry<'_>) -> Result<Provider, Unusable> {
    let (record, id) = match in_name(entry.name) {
        Some(found) => {
            let (record, number) = found?;
            let record = Object::read(&record, "a Nerve record")?;
            let named = |name: String| format!("{name}_{number}");
            let id = record.text("name").map_or_else(|| entry.name.to_owned(), named);
            (record, id)
        }
        None if entry.data.trim_ascii().is_empty() => {
            let detail = "the record is empty, as Nerve leaves one behind now and then";
            return Err(Unusable::new(Reason::Empty, detail));
        }
        None => (Object::of(entry, "a Nerve record")?, entry.name.to_owned()),
    };
    let mut metadata = record.object("labels").map(|labels| labels.metadata()).unwrap_or_default();
    for key in ["name", "haproxy_server_options"] {
        if let Some(text) = record.text(key) {
            metadata.entry(key.to_owned()).or_insert(text);
        }
    }
    let zone = metadata.get("az").filter(|zone| !zone.is_empty()).cloned();
    let spoken = metadata.get("protocol").map(|word| convention::spoken(word));
    let (protocol, secure) = spoken.unwrap_or((Protocol::Http1, false));
    let mut provider = convention::described(Provider::new(id, record.host_and_port()?), metadata);
    if let Some(zone) = zone {
        provider.zone = Some(zone.into());
    }
    if let Some(weight) = record.text("weight").and_then(|weight| weight.parse::<Weight>().ok()) {
        provider.weight = weight;
    }
    Ok(Provider { protocol, secure, ..provider })
}

/// The record and the number in an entry's name, if it is of that kind. The length says where the record ends, since Base64
/// for URLs has underscores of its own.
fn in_name(name: &str) -> Option<Result<(Vec<u8>, &str), Unusable>> {
    let (length, rest) = name.strip_prefix("base64_")?.split_once('_')?;
    let length = length.parse::<usize>().ok()?;
    let found =
        rest.split_at_checked(length).and_then(|(text, number)| Some((text, number.strip_prefix('_')?)));
    let record = match found {
        Some((text, number)) => {
            BASE64.decode(text).map(|record| (record, number)).map_err(|error| error.to_string())
        }
        None => Err(format!("does not end behind {length} characters")),
    };
    Some(record.map_err(|why| Unusable::new(Reason::Malformed, format!("the Base64 in the name: {why}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::format::sample;

    const DUMP: &str = include_str!("../../../tests/fixtures/znodes/nerve-0.9.json");
    const IN_NAME: &str = "base64_116_eyJob3N0IjoiMTAuMC4wLjUiLCJwb3J0IjozMDAwLCJuYW1lIjoiaS0wYWJjIiwid2VpZ2h0IjoyLCJsYWJlbHMiOnsiYXoiOiJ1cy1lYXN0LTFhIn19_0000000042";

    fn reason(name: &str, data: &str) -> Reason {
        sample::unusable(&Nerve::default(), name, data.as_bytes()).reason
    }

    #[test]
    fn reads_what_real_programs_wrote() {
        let read = |service| -> Vec<Provider> {
            let records = sample::znodes(DUMP, &Nerve::default(), service);
            records.iter().map(|(name, data)| sample::one(&Nerve::default(), name, data)).collect()
        };
        let web = read("web");
        assert_eq!(web.len(), 2);
        assert_eq!(web[0].address.to_string(), "127.0.0.1:28000");
        assert_eq!(&*web[0].id, "mymachine-1_0000000000");
        assert_eq!((web[0].weight.hundredths(), web[0].zone.as_deref()), (200, Some("us-east-1a")));
        assert_eq!(web[0].metadata["region"], "us-east-1");
        assert_eq!(web[1].weight, Weight::ONE);
        assert_eq!(web[1].metadata["haproxy_server_options"], "backup");
        let encoded = read("enc");
        assert_eq!((encoded[0].address.port(), &*encoded[0].id), (28101, "mymachine-1_0000000000"));
    }

    #[test]
    fn a_record_in_a_name_ends_where_its_length_says() {
        let provider = sample::one(&Nerve::default(), IN_NAME, b"");
        assert_eq!(
            (provider.address.to_string().as_str(), &*provider.id),
            ("10.0.0.5:3000", "i-0abc_0000000042")
        );
        assert_eq!((provider.weight.hundredths(), provider.zone.as_deref()), (200, Some("us-east-1a")));
        // Underscores in the record, and padding, which Ruby writes.
        let record = BASE64.encode(r#"{"host":"h","port":1,"x":"翿翿?>~?"}"#);
        assert!(record.contains('_') && record.ends_with('='), "{record}");
        let name = format!("base64_{}_{record}_0000000001", record.len());
        assert_eq!(sample::one(&Nerve::default(), &name, b"ignored").address.to_string(), "h:1");
        let name = name
            .replace('=', "")
            .replace(&record.len().to_string(), &record.trim_end_matches('=').len().to_string());
        assert_eq!(sample::one(&Nerve::default(), &name, b"").address.to_string(), "h:1");
        for (length, text) in [("200", "e30"), ("2", "e30"), ("3", "e{0"), ("1", "é")] {
            assert_eq!(
                reason(&format!("base64_{length}_{text}_1"), "{}"),
                Reason::Malformed,
                "{length} {text}"
            );
        }
        // Not of that kind: the data counts.
        assert_eq!(reason("base64_x_e30_1", "{}"), Reason::Address);
    }

    #[test]
    fn what_is_no_record_says_why() {
        assert_eq!((reason("i_1", ""), reason("i_1", "[]")), (Reason::Empty, Reason::Malformed));
        for data in [
            r#"{"port":1}"#,
            r#"{"host":"h"}"#,
            r#"{"host":"h","port":"x"}"#,
            r#"{"host":"0.0.0.0","port":1}"#,
        ] {
            assert_eq!(reason("i_1", data), Reason::Address, "{data}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let nerve = Nerve::default();
        for mut provider in sample::providers() {
            let encoded = nerve.encode(&sample::announcement("svc", provider.clone())).unwrap();
            assert_eq!((encoded.name.as_str(), encoded.is_numbered), ("i-1_", true));
            let read = sample::one(&nerve, "i-1_0000000007", &encoded.data);
            sample::add(&mut provider, &read, &["name", "az", "version", "protocol"]);
            let whole = Weight::from_hundredths(provider.weight.hundredths().div_ceil(100) * 100);
            assert_eq!(read, Provider { weight: whole, id: "i-1_0000000007".into(), ..provider });
        }
        let record = r#"{"host":"127.0.0.1","port":28101,"name":"mymachine-1"}"#;
        let plain = Provider::new("mymachine-1", "127.0.0.1:28101".parse().unwrap());
        let encoded = nerve.encode(&sample::announcement("svc", plain)).unwrap();
        assert_eq!(std::str::from_utf8(&encoded.data), Ok(record));
        assert!(DUMP.contains(&record.replace('"', "\\\"")), "as Nerve wrote it");
    }

    #[test]
    fn the_folder_below_a_service_may_be_another() {
        let folder = |nerve: Nerve| nerve.folder(&"web".parse().unwrap());
        assert_eq!(folder(Nerve::default()), "web/services");
        assert_eq!(folder(Nerve::new(String::new())), "web");
        assert_eq!(folder(Nerve::new("x/y".to_owned())), "web/x/y");
    }
}
