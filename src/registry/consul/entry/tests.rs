//! Instances as Consul answers them, and the providers they are.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn decode_with(entry: &Value, demands: &Demands) -> Decoded {
    serde_json::from_value::<Entry>(entry.clone()).unwrap().decode(demands)
}

fn provider(entry: &Value) -> Provider {
    let mut decoded = decode_with(entry, &Demands::default());
    assert_eq!(decoded.unusable, []);
    decoded.providers.pop().unwrap()
}

fn cause(entry: &Value) -> (Reason, String) {
    let mut decoded = decode_with(entry, &Demands::default());
    assert_eq!(decoded.providers, []);
    let unusable = decoded.unusable.pop().unwrap();
    (unusable.reason, unusable.detail)
}

/// An instance, its service changed by these fields.
fn entry(fields: Value, checks: Value) -> Value {
    let mut entry = json!({
        "Node": {"Node": "n1", "Address": "10.0.0.9", "Meta": {"zone": "rack-1"}},
        "Service": {"ID": "w-1", "Service": "web", "Port": 80, "CreateIndex": 5, "ModifyIndex": 7},
        "Checks": checks,
    });
    let service = entry["Service"].as_object_mut().unwrap();
    service.extend(fields.as_object().unwrap().clone());
    entry
}

fn check(status: &str) -> Value {
    json!({"CheckID": "service:w-1", "Name": "ping", "Status": status, "Output": "dial\ntcp: refused"})
}

#[test]
fn a_plain_service_says_it_in_meta_weights_and_tags() {
    let meta = json!({"version": "2.0.0", "protocol": "h2c", "tls": "true", "zone": "a", "team": "blue"});
    let weights = json!({"Passing": 5, "Warning": 2});
    let fields = json!({"Address": "10.0.0.1", "Meta": meta, "Weights": weights, "Tags": ["canary", "stage=green", "team=red"]});
    let read = provider(&entry(fields.clone(), json!([check("passing")])));
    assert_eq!((&*read.id, read.address.to_string().as_str()), ("w-1", "10.0.0.1:80"));
    assert_eq!((read.weight.hundredths(), read.zone.as_deref(), &*read.version), (500, Some("a"), "2.0.0"));
    assert_eq!((read.protocol, read.secure), (Protocol::H2c, true));
    let told = ["team", "stage", "tag.canary"].map(|key| read.metadata[key].as_str());
    assert_eq!(told, ["blue", "green", "true"], "Meta wins over a tag");
    assert_eq!(provider(&entry(fields, json!([check("warning")]))).weight.hundredths(), 200);
}

#[test]
fn what_is_left_out_or_null_is_usual() {
    let bare = json!({"Address": null, "Tags": null, "Meta": null, "Weights": null});
    let read = provider(&entry(bare, Value::Null));
    assert_eq!((read.address.to_string().as_str(), read.weight), ("10.0.0.9:80", Weight::ONE));
    assert_eq!((read.zone.as_deref(), &*read.version, read.protocol), (Some("rack-1"), "", Protocol::Http1));
    let locality =
        json!({"Node": {"Address": "h"}, "Service": {"ID": "x", "Port": 1, "Locality": {"Zone": "z"}}});
    assert_eq!(provider(&locality).zone.as_deref(), Some("z"));
}

#[test]
fn a_go_micro_service_says_it_in_packed_tags() {
    let metadata =
        BTreeMap::from([("server", "rpc"), ("weight", "0.5")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let tags = tags::write(&metadata, &[], "latest");
    let read = provider(&entry(json!({"Tags": tags}), json!([])));
    assert_eq!((read.protocol, &*read.version, read.weight.hundredths()), (Protocol::Mucp, "latest", 50));
    assert_eq!(read.metadata, metadata);
    let plain = provider(&entry(json!({"Meta": {"server": "rpc"}}), json!([])));
    assert_eq!(plain.protocol, Protocol::Http1, "only Go Micro means the protocol by it");
}

#[test]
fn what_small_tags_unpack_to_is_not_kept_whole() {
    let large = "x".repeat(100 * 1024);
    let metadata = BTreeMap::from([("k".to_owned(), large.clone()), ("zone".to_owned(), "a".to_owned())]);
    let tags = tags::write(&metadata, &[], &large);
    assert!(tags.iter().map(String::len).sum::<usize>() < 2_000);
    let read = provider(&entry(json!({"Tags": tags}), json!([])));
    assert_eq!(
        (&*read.version, read.metadata.contains_key("k"), read.zone.as_deref()),
        ("", false, Some("a"))
    );
    let many: Vec<String> = (0..5000).map(|n| format!("k{n}=v")).collect();
    let meta = json!({"tls": "true", "weight": "2", "zone": "b", "version": "3"});
    let read = provider(&entry(json!({"Tags": many, "Meta": meta}), json!([])));
    assert!(read.metadata.len() < 200);
    assert_eq!(
        (read.secure, read.weight.hundredths(), read.zone.as_deref(), &*read.version),
        (true, 200, Some("b"), "3"),
        "what means something holds beside however many labels"
    );
    let (_, detail) = cause(&entry(json!({"ID": "i".repeat(5000), "Port": 0}), json!([])));
    assert!(detail.len() < 1100);
}

#[test]
fn the_worst_check_decides() {
    let (reason, detail) =
        cause(&entry(json!({}), json!([check("warning"), check("critical"), check("passing")])));
    assert_eq!(reason, Reason::Disabled);
    assert_eq!(detail, "the check \"ping\" is critical: dial tcp: refused");
    let maintenance = json!([{"CheckID": "_node_maintenance", "Status": "critical", "Notes": "new disk"}]);
    assert_eq!(cause(&entry(json!({}), maintenance)).1, "in maintenance: new disk");
    let long = json!([{"CheckID": "c", "Status": "critical", "Output": "x".repeat(5000)}]);
    assert!(cause(&entry(json!({}), long)).1.len() < 300);
    assert_eq!(provider(&entry(json!({}), json!([check("odd")]))).weight, Weight::ONE);
}

#[test]
fn demands_leave_out_what_does_not_meet_them() {
    let demands = Demands { tags: vec!["a".to_owned()], passing: true };
    let reason = |fields, status| {
        let decoded = decode_with(&entry(fields, json!([check(status)])), &demands);
        decoded.unusable.first().map(|unusable| unusable.reason)
    };
    assert_eq!(reason(json!({"Tags": ["b", "a"]}), "passing"), None);
    assert_eq!(reason(json!({"Tags": ["b"]}), "passing"), Some(Reason::Filtered));
    assert_eq!(reason(json!({"Tags": ["a"]}), "warning"), Some(Reason::Disabled));
}

#[test]
fn an_address_that_cannot_be_dialled_is_none() {
    for fields in [
        json!({"Port": 0}),
        json!({"Port": 70000}),
        json!({"Port": -1}),
        json!({"Address": "0.0.0.0"}),
        json!({"Address": "a b"}),
        json!({"Address": "10.0.0.300"}),
    ] {
        assert_eq!(cause(&entry(fields.clone(), json!([]))).0, Reason::Address, "{fields}");
    }
    assert_eq!(provider(&entry(json!({"Address": "::1"}), json!([]))).address.to_string(), "[::1]:80");
}

#[test]
fn weights_have_bounds() {
    assert_eq!([weight(0, None), weight(-5, None)], [Weight::ZERO; 2]);
    assert_eq!([weight(i64::MAX, None), weight(65_535, Some("1000"))], [Weight::MAX; 2]);
    assert_eq!(weight(3, Some("many")).hundredths(), 300);
}

proptest! {
    #[test]
    fn any_text_for_any_field_is_read(text in "\\PC{0,60}", port in any::<i64>(), passing in any::<i64>()) {
        let fields = json!({
            "ID": text, "Address": text, "Port": port, "Tags": [text], "Weights": {"Passing": passing, "Warning": 0},
            "Meta": {"weight": text, "zone": text, "protocol": text, "version": text},
        });
        let checks = json!([{"CheckID": text, "Status": text, "Output": text}]);
        let decoded = decode_with(&entry(fields, checks), &Demands::default());
        prop_assert_eq!(decoded.providers.len() + decoded.unusable.len(), 1);
    }
}
