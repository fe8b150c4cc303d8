//! Go Micro records: real ones, every spelling, and what is none.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const V1_7: &str = r#"{"name":"greeter","version":"1.2","metadata":null,"endpoints":[{"name":"Say.Hello","request":{"name":"Request","type":"Request","values":[{"name":"name","type":"string","values":null}]},"response":null,"metadata":{}}],"nodes":[{"id":"greeter-8d7e","address":"10.0.0.5","port":43210,"metadata":{"protocol":"mucp","server":"rpc"}}]}"#;
const V1_8: &str = r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":[],"nodes":[{"id":"greeter-8d7e","address":"10.0.0.5:43210","metadata":{"protocol":"mucp"}}]}"#;
const V4_10: &str = r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":null,"nodes":[{"metadata":{"protocol":"grpc"},"id":"greeter-8d7e","address":"10.0.0.5:43210"}]}"#;

fn decode(data: impl AsRef<[u8]>) -> Decoded {
    GoMicro.decode(Entry::of(&"greeter".parse().unwrap(), "entry", data.as_ref()))
}

fn one(data: impl AsRef<[u8]>) -> Provider {
    let mut decoded = decode(data);
    assert_eq!(decoded.unusable, []);
    assert_eq!(decoded.providers.len(), 1);
    decoded.providers.remove(0)
}

fn reason(data: impl AsRef<[u8]>) -> Reason {
    let decoded = decode(data);
    assert_eq!(decoded.providers, []);
    assert_eq!(decoded.unusable.len(), 1);
    decoded.unusable[0].reason
}

fn node(node: &str) -> String {
    format!(r#"{{"nodes":[{node}]}}"#)
}

#[test]
fn reads_all_three_generations() {
    for (record, version, protocol) in
        [(V1_7, "1.2", Protocol::Mucp), (V1_8, "latest", Protocol::Mucp), (V4_10, "latest", Protocol::H2c)]
    {
        let provider = one(record);
        assert_eq!(provider.address.to_string(), "10.0.0.5:43210");
        assert_eq!((&*provider.id, &*provider.version), ("greeter-8d7e", version));
        assert_eq!(provider.protocol, protocol);
        assert_eq!(provider.weight, Weight::ONE);
    }
}

#[test]
fn reads_what_real_programs_wrote() {
    let znodes = |file| {
        let dump: serde_json::Value = serde_json::from_str(file).unwrap();
        let leaves = dump["nodes"].as_array().unwrap().iter().filter(|node| node["children"] == 0);
        leaves.map(|node| node["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let etcd: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/fixtures/znodes/etcd-go-micro.json")).unwrap();
    let etcd = etcd.as_array().unwrap().iter().map(|pair| pair["value"].as_str().unwrap().to_owned());
    let mut records = znodes(include_str!("../../../../tests/fixtures/znodes/go-micro-1.18-and-2.9.json"));
    records.extend(znodes(include_str!("../../../../tests/fixtures/znodes/go-micro-after-kill9.json")));
    records.extend(etcd);
    assert!(records.len() >= 16, "only {} records", records.len());
    for record in records {
        let provider = one(&record);
        assert!(provider.address.to_string().starts_with("127.0.0.1:"));
        assert!(record.contains(&format!(r#""id":"{}""#, provider.id)));
        let protocol = match provider.metadata.get("protocol").map(String::as_str) {
            Some("mucp") => Protocol::Mucp,
            Some("grpc") => Protocol::H2c,
            Some(_) | None => Protocol::Http1,
        };
        assert_eq!(provider.protocol, protocol, "{record}");
    }
}

#[test]
fn keys_come_in_any_case_and_the_last_counts() {
    let provider = one(
        r#"{"Version":"1","NODES":[{"Address":"a:1","ID":"x","MetaData":{"Zone":"keys of metadata keep theirs","zone":"z1"}}],"version":"2"}"#,
    );
    assert_eq!((&*provider.id, &*provider.version), ("x", "2"));
    assert_eq!(provider.zone.as_deref(), Some("z1"));
    assert_eq!(provider.metadata["Zone"], "keys of metadata keep theirs");
}

#[test]
fn null_stands_for_anything_that_is_not_needed() {
    let provider = one(
        r#"{"name":null,"version":null,"metadata":null,"endpoints":null,"nodes":[null,{"id":null,"port":null,"metadata":null,"address":"h:80"}]}"#,
    );
    assert_eq!((&*provider.id, &*provider.version), ("entry", ""));
    assert_eq!(provider.protocol, Protocol::Http1);
    assert_eq!(one(node(r#"{"address":"h:80","metadata":{"a":null,"b":"c"}}"#)).metadata.len(), 1);
}

#[test]
fn weight_zone_and_protocol_come_from_the_metadata() {
    let with = |metadata: &str| one(node(&format!(r#"{{"address":"h:80","metadata":{metadata}}}"#)));
    assert_eq!(with(r#"{"weight":"2.5","zone":"z1"}"#).weight, Weight::from_hundredths(250));
    assert_eq!(with(r#"{"weight":3}"#).weight, Weight::from_hundredths(300));
    assert_eq!(with(r#"{"weight":"0"}"#).weight, Weight::ZERO);
    for mistyped in [r#""much""#, r#""-1""#, "[1]", "{}", r#""""#, "null"] {
        assert_eq!(with(&format!(r#"{{"weight":{mistyped}}}"#)).weight, Weight::ONE, "{mistyped}");
    }
    assert_eq!(with(r#"{"zone":""}"#).zone, None);
    assert_eq!(with(r#"{"protocol":"GRPC"}"#).protocol, Protocol::H2c);
    assert_eq!(with(r#"{"protocol":"http","server":"mucp"}"#).protocol, Protocol::Http1);
    assert_eq!(with(r#"{"server":"rpc"}"#).protocol, Protocol::Mucp);
    assert_eq!(with(r#"{"server":"http"}"#).protocol, Protocol::Http1);
}

#[test]
fn addresses_of_every_spelling() {
    let address = |fields: &str| one(node(&format!("{{{fields}}}"))).address.to_string();
    assert_eq!(address(r#""address":"[2001:db8::1]:80""#), "[2001:db8::1]:80");
    assert_eq!(address(r#""address":"2001:db8::1","port":80"#), "[2001:db8::1]:80");
    assert_eq!(address(r#""address":"[2001:db8::1]","port":80"#), "[2001:db8::1]:80");
    assert_eq!(address(r#""address":"Box-1.lan:80","port":0"#), "box-1.lan:80");
    for fields in [
        r#""address":"10.0.0.1""#,
        r#""address":"""#,
        r#""id":"x""#,
        r#""address":"2001:db8::1:80""#,
        r#""address":"10.0.0.1","port":65536"#,
        r#""address":"10.0.0.1","port":-1"#,
        r#""address":"10.0.0.1:80","port":81"#,
        r#""address":"0.0.0.0:80""#,
        r#""address":"[::]:80""#,
        r#""address":":80""#,
    ] {
        assert_eq!(reason(node(&format!("{{{fields}}}"))), Reason::Address, "{fields}");
    }
}

#[test]
fn what_is_no_record_says_why() {
    assert_eq!(reason(""), Reason::Empty);
    assert_eq!(reason(" \n"), Reason::Empty);
    for data in ["null", "[]", "1", r#""x""#, "{", r#"{"nodes":{}}"#, r#"{"nodes":[1]}"#, "{}x", "\u{feff}{}"]
    {
        assert_eq!(reason(data), Reason::Malformed, "{data}");
    }
    for data in ["{}", r#"{"nodes":null}"#, r#"{"nodes":[]}"#, r#"{"nodes":[null]}"#] {
        assert_eq!(reason(data), Reason::Address, "{data}");
    }
    for node_fields in [r#"{"address":1}"#, r#"{"port":"80"}"#, r#"{"port":8.5}"#, r#"{"metadata":[]}"#, "[]"]
    {
        assert_eq!(reason(node(node_fields)), Reason::Malformed, "{node_fields}");
    }
    assert_eq!(reason(b"{\"nodes\":[{\"id\":\"\xff\"}]}"), Reason::Malformed);
    assert_eq!(reason("[".repeat(100_000)), Reason::Malformed);
    assert_eq!(reason(node(&format!(r#"{{"x":{}"#, "[".repeat(200_000)))), Reason::Malformed);
    assert_eq!(reason(" ".repeat(10) + &"1".repeat(json::ENTRY_BYTES_MAX + 1)), Reason::Malformed);
    for cut in 1..V1_7.len() {
        assert_eq!(reason(&V1_7[..cut]), Reason::Malformed, "{cut}");
    }
}

#[test]
fn a_bad_node_does_not_spoil_its_siblings() {
    let decoded = decode(r#"{"nodes":[{"id":"a","address":"h:1"},{"id":"b"},{"id":"c","address":"h:3"}]}"#);
    assert_eq!(decoded.providers.iter().map(|provider| &*provider.id).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(decoded.unusable.len(), 1);
    assert!(decoded.unusable[0].detail.contains("\"b\""), "{}", decoded.unusable[0].detail);
    let many = node(&vec![r#"{"address":"h:1"}"#; 1000].join(","));
    let decoded = decode(many);
    assert_eq!((decoded.providers.len(), decoded.unusable.len()), (PARTS_MAX, 1));
    assert_eq!(decoded.unusable[0].detail, "the record has 1000 nodes, of which 64 are read");
}

#[test]
fn a_service_is_one_folder() {
    let folder = |name: &str| GoMicro.folder(&name.parse().unwrap());
    assert_eq!(folder("go.micro.srv.greeter"), "go.micro.srv.greeter");
    assert_eq!(folder("web/users/v1"), "web-users-v1");
}

/// The announcement that leads to the provider of a record.
fn announcement(provider: Provider) -> Announcement {
    Announcement {
        service: "greeter".parse().unwrap(),
        provider,
        service_metadata: BTreeMap::new(),
        endpoints: Vec::new(),
        ttl: Duration::from_secs(60),
        since: SystemTime::UNIX_EPOCH,
    }
}

#[test]
fn writes_what_real_programs_wrote() {
    let record = r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":null,"nodes":[{"id":"greeter-8d7e","address":"10.0.0.5:43210","metadata":{"broker":"http","protocol":"mucp","transport":"http"}}]}"#;
    let encoded = GoMicro.encode(&announcement(one(record))).unwrap();
    assert_eq!(std::str::from_utf8(&encoded.data), Ok(record));
    assert_eq!((encoded.name.as_str(), encoded.is_numbered), ("greeter-8d7e", false));
    let dump: Value =
        serde_json::from_str(include_str!("../../../../tests/fixtures/znodes/etcd-go-micro.json")).unwrap();
    for pair in dump.as_array().unwrap() {
        let record: Value = serde_json::from_str(pair["value"].as_str().unwrap()).unwrap();
        let announcement = Announcement {
            service: record["name"].as_str().unwrap().parse().unwrap(),
            endpoints: record["endpoints"].as_array().cloned().unwrap_or_default(),
            ..announcement(one(record.to_string()))
        };
        let encoded = GoMicro.encode(&announcement).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&encoded.data).unwrap(), record);
        assert!(pair["key"].as_str().unwrap().ends_with(&format!("/{}", encoded.name)));
    }
}

#[test]
fn what_is_written_is_read_again() {
    let mut provider = Provider::new("web/1 <&>", "[2001:db8::1]:80".parse().unwrap());
    for protocol in [Protocol::Http1, Protocol::H2c, Protocol::Mucp] {
        provider.protocol = protocol;
        for server in ["mucp", "grpc", "http"] {
            provider.metadata = [("server".to_owned(), server.to_owned())].into();
            let data = GoMicro.encode(&announcement(provider.clone())).unwrap().data;
            assert_eq!(one(data).protocol, protocol, "{server}");
        }
    }
    provider.weight = Weight::from_hundredths(250);
    provider.zone = Some("z1".into());
    provider.version = "v2".into();
    provider.secure = true;
    let mut announcement = announcement(provider.clone());
    announcement.service_metadata.insert("team".to_owned(), "a".to_owned());
    announcement.endpoints = vec![Value::Null, json!({"name": "Say.Hello"})];
    let encoded = GoMicro.encode(&announcement).unwrap();
    assert_eq!(encoded.name, "web-1 <&>");
    let record: Value = serde_json::from_slice(&encoded.data).unwrap();
    assert_eq!(record["metadata"], json!({"team": "a"}));
    assert_eq!(record["endpoints"], json!([{"name": "Say.Hello"}]));
    let read = one(&encoded.data);
    assert_eq!(
        (read.weight, &read.zone, &read.version),
        (provider.weight, &provider.zone, &provider.version)
    );
    assert!(read.secure && read.id == provider.id && read.address == provider.address);
}

#[test]
fn an_id_that_is_no_part_of_a_path_is_refused() {
    for id in ["", ".", ".."] {
        let announcement = announcement(Provider::new(id, "10.0.0.1:80".parse().unwrap()));
        assert!(GoMicro.encode(&announcement).unwrap_err().contains("another id"), "{id}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(data in proptest::collection::vec(any::<u8>(), 0..512)) {
        decode(data);
    }

    #[test]
    fn nothing_in_a_real_record_panics_when_changed(
        record in prop_oneof![Just(V1_7), Just(V1_8), Just(V4_10)],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut data = record.as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(data.len());
            data[place] = byte;
        }
        let decoded = decode(data);
        prop_assert!(!decoded.providers.is_empty() || !decoded.unusable.is_empty());
    }
}

#[test]
fn the_handlers_of_go_micros_own_calls_are_known() {
    assert_eq!(*one(V1_7).handlers, ["Say".into()]);
    let with = |endpoints: &str, protocol: &str| {
        let node = format!(r#"{{"address":"h:1","metadata":{{"protocol":"{protocol}"}}}}"#);
        one(format!(r#"{{"endpoints":{endpoints},"nodes":[{node}]}}"#)).handlers
    };
    let many = r#"[{"name":"Users.Get"},null,{"name":"Say.Bye"},{"name":"Say.Hello"},{"name":"/"},{"name":"a.b.c"},{}]"#;
    assert_eq!(*with(many, "mucp"), ["Say".into(), "Users".into()]);
    assert_eq!(*with(many, "grpc"), []);
    for broken in ["null", "7", r#"{"name":"Say.Hello"}"#, r#"[{"name":7}]"#] {
        assert_eq!(*with(broken, "mucp"), [], "{broken}");
    }
}
