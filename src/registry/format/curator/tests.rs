//! Instances of Curator: what a real one wrote in both generations, Spring Cloud's, and what is none.

use super::*;
use crate::registry::format::sample;

const DUMP: &str = include_str!("../../../../tests/fixtures/znodes/curator-5.4.0.json");
const CURATOR: Curator = Curator::new(Payload::Spring);

fn real(folder: &str) -> Vec<Decoded> {
    let records = sample::znodes_in(DUMP, folder);
    assert!(!records.is_empty(), "{folder}");
    records.iter().map(|(name, data)| sample::decode(&CURATOR, name, data)).collect()
}

fn real_one(folder: &str) -> Provider {
    let mut decoded = real(folder);
    assert_eq!((decoded.len(), &decoded[0].unusable), (1, &vec![]), "{folder}");
    decoded.remove(0).providers.remove(0)
}

fn one(record: &str) -> Provider {
    sample::one(&CURATOR, "entry", record.as_bytes())
}

fn reason(record: &str) -> Reason {
    sample::unusable(&CURATOR, "entry", record.as_bytes()).reason
}

#[test]
fn reads_what_real_programs_wrote() {
    let orders = real("/discovery/void/orders");
    let ids: Vec<String> = orders
        .iter()
        .flat_map(|decoded| &decoded.providers)
        .map(|provider| provider.id.to_string())
        .collect();
    assert_eq!(ids, ["orders-0", "orders-1", "orders-2"]);
    let shown = |folder: &str| {
        let provider = real_one(folder);
        (provider.address.to_string(), provider.secure)
    };
    assert_eq!(shown("/discovery/void/both"), ("127.0.0.1:28444".to_owned(), true));
    assert_eq!(shown("/discovery/void/sslonly"), ("127.0.0.1:28443".to_owned(), true));
    assert_eq!(shown("/discovery/void/static"), ("127.0.0.1:28411".to_owned(), false));
    assert_eq!(shown("/discovery/void/v6"), ("[::1]:28412".to_owned(), false));
    assert_eq!(shown("/discovery/void/host"), ("localhost:28413".to_owned(), false));
    let noport = &real("/discovery/void/noport")[0];
    assert_eq!((noport.providers.len(), noport.unusable[0].reason), (0, Reason::Address));
}

#[test]
fn reads_payloads_of_every_kind() {
    let bean = real_one("/discovery/bean/payments");
    assert_eq!((bean.weight.hundredths(), bean.metadata["tags"].as_str()), (700, "v2,canary"));
    assert!(!bean.metadata.contains_key("@class"));
    let text = real_one("/discovery/string/inventory");
    assert_eq!(text.metadata["payload"], "v=2;zone=a é中\"quoted\"");
    let payload = |payload: &str| one(&format!(r#"{{"address":"h","port":1,"payload":{payload}}}"#)).metadata;
    for nothing in ["null", "[]", "{}", "[[1]]", r#"{"metadata":{}}"#] {
        assert!(payload(nothing).is_empty(), "{nothing}");
    }
    assert_eq!(payload("7")["payload"], "7");
    assert_eq!(payload(r#"{"metadata":"x"}"#)["metadata"], "x");
}

#[test]
fn what_is_disabled_is_out_of_service() {
    let newer = real("/discovery/newfmt/payments");
    assert_eq!((newer[0].providers[0].address.port(), newer[1].providers.len()), (28431, 0));
    assert_eq!(newer[1].unusable[0].reason, Reason::Disabled);
    let spring = real("/services/customer-service");
    let up = &spring[0].providers[0];
    assert_eq!((&*up.version, up.metadata["instance_id"].as_str()), ("1.0", "application-1"));
    let down = &spring[1].unusable[0];
    assert_eq!(
        (down.reason, down.detail.as_str()),
        (Reason::Disabled, "its instance_status is \"OUT_OF_SERVICE\", not UP")
    );
    let status = |status: &str| {
        let record =
            format!(r#"{{"address":"h","port":1,"payload":{{"metadata":{{"instance_status":{status}}}}}}}"#);
        sample::decode(&CURATOR, "e", record.as_bytes()).providers.len()
    };
    assert_eq!([r#""up""#, r#""""#, "null", r#"" UP ""#].map(status), [1; 4]);
    assert_eq!([r#""DOWN""#, "1"].map(status), [0; 2]);
}

#[test]
fn a_constant_scheme_says_what_is_spoken() {
    let spoken = |parts: &str| {
        let provider = one(&format!(r#"{{"address":"h","port":1,"uriSpec":{{"parts":[{parts}]}}}}"#));
        (provider.protocol, provider.secure)
    };
    let http = (Protocol::Http1, false);
    assert_eq!(spoken(r#"{"value":"scheme","variable":true},{"value":"grpc://","variable":false}"#), http);
    assert_eq!(spoken(r#"{"value":"https://","variable":false}"#), (Protocol::Http1, true));
    assert_eq!(
        spoken(r#"{"value":"grpc","variable":false},{"value":"://","variable":false}"#),
        (Protocol::H2c, false)
    );
    assert_eq!(spoken(r#"{"value":"dubbo://","variable":false}"#), (Protocol::Tcp, false));
    for nothing in ["", "7", "{}", r#"{"value":7,"variable":false}"#, r#"{"value":"x","variable":false}"#] {
        assert_eq!(spoken(nothing), http, "{nothing}");
    }
}

#[test]
fn what_is_no_instance_says_why() {
    for (record, expected) in [
        ("", Reason::Empty),
        ("[]", Reason::Malformed),
        ("{", Reason::Malformed),
        ("{}", Reason::Address),
        (r#"{"address":"h"}"#, Reason::Address),
        (r#"{"port":1}"#, Reason::Address),
        (r#"{"address":"h","port":"x"}"#, Reason::Address),
        (r#"{"address":"0.0.0.0","port":1}"#, Reason::Address),
        (r#"{"address":"h","port":1,"enabled":false}"#, Reason::Disabled),
    ] {
        assert_eq!(reason(record), expected, "{record}");
    }
}

#[test]
fn writes_what_spring_cloud_wrote() {
    let (name, real) = &sample::znodes_in(DUMP, "/services/customer-service")[0];
    let provider = sample::one(&CURATOR, name, real);
    let since = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_795_361_541_343);
    let announcement = Announcement { since, ..sample::announcement("customer-service", provider) };
    let encoded = CURATOR.encode(&announcement).unwrap();
    assert_eq!((encoded.name.as_str(), encoded.is_numbered), (name.as_str(), false));
    assert_eq!(std::str::from_utf8(&encoded.data), std::str::from_utf8(real));
}

#[test]
fn writes_what_curator_wrote() {
    let (name, real) = &sample::znodes_in(DUMP, "/discovery/void/orders")[1];
    let curator = Curator::new(Payload::None);
    let since = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_795_361_541_138);
    let provider = sample::one(&curator, name, real);
    let announcement = Announcement { since, ..sample::announcement("orders", provider) };
    let encoded = curator.encode(&announcement).unwrap();
    assert_eq!(std::str::from_utf8(&encoded.data), std::str::from_utf8(real));
}

#[test]
fn what_is_written_is_read_again() {
    for mut provider in sample::providers() {
        let encoded = CURATOR.encode(&sample::announcement("svc", provider.clone())).unwrap();
        let read = sample::one(&CURATOR, &encoded.name, &encoded.data);
        sample::add(&mut provider, &read, &["instance_id", "instance_status", "weight", "zone", "version"]);
        assert_eq!(read, provider);
    }
}
