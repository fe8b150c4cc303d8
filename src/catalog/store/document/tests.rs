//! What is written is what is read, and nothing else is.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::provider::{Protocol, Tenure, WarmUp, Weight};

fn identity() -> Identity {
    Identity { kind: "zookeeper".to_owned(), location: "127.0.0.1:2181/micro-registry".to_owned() }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn full() -> Provider {
    let mut provider = Provider::new("greeter-1", "10.0.0.1:8080".parse().unwrap());
    provider.record = "/micro-registry/greeter/greeter-1".into();
    provider.tenure = Tenure::Leased(u64::MAX);
    provider.weight = Weight::from_hundredths(250);
    provider.warm_up = Some(WarmUp { since: at(1_700_000_000), over: Duration::from_mins(10) });
    provider.zone = Some("a".into());
    provider.version = "1.2.0".into();
    provider.protocol = Protocol::Mucp;
    provider.secure = true;
    provider.metadata.insert("region".to_owned(), "no\nrth".to_owned());
    provider
}

fn services(providers: Vec<Provider>) -> Services {
    let kept = Kept { providers: providers.into_iter().map(Arc::new).collect(), seen: at(1_700_000_100) };
    [("greeter".parse().unwrap(), kept)].into()
}

fn text() -> String {
    let plain = Provider::new("greeter-2", "[::1]:80".parse().unwrap());
    encode(&identity(), &services(vec![full(), plain]), at(1_700_000_200)).0
}

#[test]
fn a_person_can_read_it() {
    insta::assert_snapshot!(text());
}

#[test]
fn what_is_not_as_it_was_written_for_this_registry_is_refused() {
    let good = text();
    assert!(decode(&identity(), good.as_bytes()).is_ok());
    let other = Identity { location: "10.0.0.1:2181".to_owned(), ..identity() };
    assert_eq!(decode(&other, good.as_bytes()), Err(DocumentError::OtherRegistry(identity())));
    let newer = good.replacen("wayside-store 1 ", "wayside-store 2 ", 1);
    assert_eq!(decode(&identity(), newer.as_bytes()), Err(DocumentError::OtherVersion("2".to_owned())));
    for foreign in ["", "\n", "{}", "wayside-store", "wayside-store 1", "wayside-store 1 x\n", "\u{0}\u{0}"] {
        assert_eq!(decode(&identity(), foreign.as_bytes()), Err(DocumentError::Foreign), "{foreign:?}");
    }
    let line = |text: &str| {
        let whole = format!("{MAGIC} {VERSION} {:08x}\n{text}", crc32fast::hash(text.as_bytes()));
        decode(&identity(), whole.as_bytes()).unwrap_err().to_string()
    };
    assert!(line("").starts_with("line 2 is not as it should be"));
    let head = json(&Head { registry: identity(), written: shown(at(1)) });
    assert!(line(&format!("{head}{{}}")).starts_with("line 3 is not as it should be: missing field"));
    let wrong = r#"{"service":"a","seen":"2026-01-01T00:00:00Z","providers":[{"address":"h","id":"x","protocol":"http1"}]}"#;
    assert_eq!(
        line(&format!("{head}{wrong}")),
        "line 3 is not as it should be: \"h\" has no port; write it as host:port"
    );
}

#[test]
fn damage_is_seen_wherever_it_is() {
    let good = text().into_bytes();
    for end in 0..good.len() {
        assert!(decode(&identity(), &good[..end]).is_err(), "cut at {end}");
    }
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0x20;
        // The case of the digits of the checksum says nothing.
        let same = decode(&identity(), &bad).is_ok_and(|read| Ok(read) == decode(&identity(), &good));
        assert!(decode(&identity(), &bad).is_err() || same, "at {place}");
    }
}

#[test]
fn a_file_has_a_bound() {
    let mut large = full();
    large.metadata.insert("large".to_owned(), "x".repeat(1000));
    let mut four = Services::new();
    for name in ["a", "b", "c", "d"] {
        let providers = vec![Arc::new(large.clone())];
        four.insert(name.parse().unwrap(), Kept { providers, seen: at(1) });
    }
    let (text, left_out) = encode_within(3000, &identity(), &four, at(1));
    assert!(text.len() <= 3000 && left_out == 2, "{left_out} of {}", text.len());
    assert_eq!(decode(&identity(), text.as_bytes()).unwrap().len(), 2);
    assert_eq!(decode(&identity(), &vec![b' '; BYTES_MAX + 1]), Err(DocumentError::TooLarge));
}

fn providers() -> impl Strategy<Value = Provider> {
    let texts = (any::<String>(), any::<String>(), proptest::option::of(any::<String>()), any::<String>());
    let numbers =
        (1_u16.., 0_u32..200_000, proptest::option::of((0_u64..1 << 50, 1_u64..1 << 40)), any::<u64>());
    let kinds = (0..3_usize, 0..4_usize, any::<bool>());
    let metadata = prop::collection::btree_map(any::<String>(), any::<String>(), 0..4);
    (texts, numbers, kinds, metadata).prop_map(|(texts, numbers, kinds, metadata)| {
        let (id, record, zone, version) = texts;
        let (port, weight, warm_up, lease) = numbers;
        let warm_up = warm_up.map(|(since, over)| WarmUp {
            since: SystemTime::UNIX_EPOCH + Duration::from_millis(since),
            over: Duration::from_millis(over),
        });
        Provider {
            record: record.into(),
            tenure: [Tenure::Kept, Tenure::Lasting, Tenure::Leased(lease)][kinds.0],
            weight: Weight::from_hundredths(weight),
            warm_up,
            zone: zone.map(Into::into),
            version: version.into(),
            protocol: [Protocol::Http1, Protocol::H2c, Protocol::Mucp, Protocol::Tcp][kinds.1],
            secure: kinds.2,
            metadata,
            ..Provider::new(id, format!("host-{port}.example:{port}").parse().unwrap())
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(all in prop::collection::vec(providers(), 0..5)) {
        let services = services(all);
        let (text, left_out) = encode(&identity(), &services, at(1_700_000_200));
        prop_assert_eq!(left_out, 0);
        prop_assert_eq!(decode(&identity(), text.as_bytes()).unwrap(), services);
    }
}
