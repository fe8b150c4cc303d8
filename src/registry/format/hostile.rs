//! What every format bears: entries of any bytes, any JSON, and real ones that were changed.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::json::{ENTRY_BYTES_MAX, PARTS_MAX, VALUE_BYTES_MAX};
use super::{Decoded, Entry, Folder, kinds};

/// A real or likely entry of each format; names and data of one are tried in all.
const ENTRIES: [(&str, &str); 13] = [
    (
        "greeter-1",
        r#"{"version":"1","nodes":[{"id":"a","address":"10.0.0.5:80","metadata":{"weight":"2"}}]}"#,
    ),
    ("dubbo%3A%2F%2F10.0.0.5%3A20880%2Fx%3Fweight%3D5%26timestamp%3D17%26warmup%3D9%26version%3D1.0", ""),
    ("override%3A%2F%2F10.0.0.5%3A80%2Fx%3Fweight%3D5%26disabled%3Dtrue%26%7Ea%3Db%26version%3D1.0", ""),
    (
        "10.0.0.5:20880",
        r#"{"id":"a","address":"10.0.0.5","payload":{"metadata":{"dubbo.endpoints":"[{\"port\":1,\"protocol\":\"tri\"}]","timestamp":"17"}}}"#,
    ),
    (
        "c",
        r#"{"id":"a","address":"::1","port":80,"sslPort":443,"payload":{"@class":"x","metadata":{"instance_status":"UP"}},"uriSpec":{"parts":[{"value":"grpc://","variable":false}]},"enabled":true}"#,
    ),
    (
        "member_0000000001",
        r#"{"serviceEndpoint":{"host":"10.0.0.5","port":1},"additionalEndpoints":{},"status":"ALIVE","shard":7}"#,
    ),
    (
        "vector_0000000001",
        r#"{"vector":[{"select":"inet=h:1","weight":0.5},{"select":"shard=3","weight":-1}]}"#,
    ),
    ("i_0000000001", r#"{"host":"10.0.0.5","port":1,"name":"i","weight":2,"labels":{"az":"z"}}"#),
    ("base64_28_eyJob3N0IjoiaCIsInBvcnQiOjF9_0000000042", ""),
    ("i", r#"{"id":"i","version":"v1","endpoints":["grpc://10.0.0.5:90?isSecure=true","http://h:1"]}"#),
    ("p", r#"{"host":"h","port":80,"weight":2,"zone":"z","protocol":"https","metadata":{"k":1}}"#),
    ("10.0.0.5:90", r#"{"Op":0,"Addr":"10.0.0.5:90","Metadata":{"weight":3}}"#),
    ("75878", "10.0.0.5:80"),
];

/// Keys that formats know.
const KEYS: [&str; 24] = [
    "nodes",
    "id",
    "address",
    "port",
    "sslPort",
    "metadata",
    "payload",
    "uriSpec",
    "parts",
    "value",
    "variable",
    "dubbo.endpoints",
    "serviceEndpoint",
    "status",
    "vector",
    "select",
    "weight",
    "host",
    "labels",
    "endpoints",
    "Addr",
    "Op",
    "Metadata",
    "zone",
];

/// Reads an entry in every format and checks what holds of any.
fn read(name: &str, data: &[u8]) {
    let service = "svc".parse().unwrap();
    for format in kinds::names().map(|name| kinds::named(name).unwrap()) {
        for folder in [Folder::Providers, Folder::Rules] {
            check(format.name(), &format.decode(Entry { service: &service, folder, name, data }));
        }
    }
}

fn check(format: &str, decoded: &Decoded) {
    assert!(decoded.providers.len() <= PARTS_MAX && decoded.rules.len() <= PARTS_MAX, "{format}");
    for provider in &decoded.providers {
        assert!(provider.address.port() > 0, "{format}: {provider:?}");
        assert!(provider.metadata.len() < 200, "{format}: {} pairs", provider.metadata.len());
        let zone = provider.zone.as_deref().unwrap_or_default();
        let longest = provider.metadata.values().map(String::len).max().unwrap_or_default();
        let longest = longest.max(zone.len()).max(provider.version.len());
        assert!(longest <= VALUE_BYTES_MAX, "{format}: a text of {longest} bytes");
        assert!(provider.id.len() < VALUE_BYTES_MAX * 3, "{format}: an id of {} bytes", provider.id.len());
    }
    for unusable in &decoded.unusable {
        assert!((1..1100).contains(&unusable.detail.len()), "{format}: {}", unusable.detail);
    }
}

/// JSON of the keys and values that formats look at, nested a few times.
fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["\\PC{0,12}", Just("10.0.0.5:80".to_owned()), Just("inet=h:1".to_owned())];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u32..70_000).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let object = prop::collection::vec((prop::sample::select(&KEYS[..]), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|pairs| {
                let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value));
                Value::Object(pairs.collect::<Map<_, _>>())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics(name in "\\PC{0,40}", data in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&name, &data);
    }

    #[test]
    fn no_json_panics(entry in prop::sample::select(&ENTRIES[..]), json in json()) {
        read(entry.0, json.to_string().as_bytes());
    }

    #[test]
    fn nothing_real_panics_when_changed(
        entry in prop::sample::select(&ENTRIES[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut both = [entry.0.as_bytes(), b"\n", entry.1.as_bytes()].concat();
        for (place, byte) in changes {
            let place = place.index(both.len());
            both[place] = byte;
        }
        let end = both.iter().position(|byte| *byte == b'\n').unwrap_or(both.len());
        read(&String::from_utf8_lossy(&both[..end]), both.get(end + 1..).unwrap_or_default());
    }
}

#[test]
fn what_is_large_or_deep_is_refused_or_cut() {
    for (name, _) in ENTRIES {
        read(name, "[".repeat(100_000).as_bytes());
        read(name, format!("{{\"x\":{}", "{\"a\":".repeat(100_000)).as_bytes());
        read(name, &vec![b'1'; ENTRY_BYTES_MAX + 1]);
        for key in KEYS {
            let long = "x".repeat(VALUE_BYTES_MAX * 2);
            read(name, format!(r#"{{"{key}":"{long}"}}"#).as_bytes());
            read(name, format!(r#"{{"{key}":["{long}",{{"{key}":"{long}"}}]}}"#).as_bytes());
        }
    }
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    for record in [
        format!(
            r#"{{"version":"{long}","nodes":[{{"id":"{long}","address":"h:1","metadata":{{"zone":"{long}"}}}}]}}"#
        ),
        format!(r#"{{"id":"{long}","address":"h","port":1,"payload":{{"version":"{long}","id":"{long}"}}}}"#),
        format!(
            r#"{{"id":"{long}","version":"{long}","zone":"{long}","endpoints":["http://h:1"],"address":"h:1"}}"#
        ),
    ] {
        read("entry", record.as_bytes());
    }
    read(&format!("tri%3A%2F%2Fh%3A1%2Fx%3Fversion%3D{long}%26zone%3D{long}%26timestamp%3D{long}"), b"");
    let pairs: Vec<String> = (0..5000).map(|n| format!(r#""k{n}":"v""#)).collect();
    let pairs = pairs.join(",");
    read("i_1", format!(r#"{{"host":"h","port":1,"labels":{{{pairs}}}}}"#).as_bytes());
    let parameters: Vec<String> = (0..5000).map(|n| format!("k{n}%3Dv")).collect();
    read(&format!("tri%3A%2F%2Fh%3A1%2Fx%3F{}", parameters.join("%26")), b"");
}

#[test]
fn every_entry_means_something_to_one_format() {
    for (name, data) in ENTRIES {
        let service = "svc".parse().unwrap();
        let means = |folder| {
            kinds::names().any(|format| {
                let format = kinds::named(format).unwrap();
                let decoded = format.decode(Entry { service: &service, folder, name, data: data.as_bytes() });
                !decoded.providers.is_empty() || !decoded.rules.is_empty()
            })
        };
        assert!(means(Folder::Providers) || means(Folder::Rules), "{name}");
    }
}
