//! ServerSets: what a real one held, named endpoints, vectors, and what is none.

use std::sync::Arc;

use super::*;
use crate::registry::format::{rule as rules, sample};

const DUMP: &str = include_str!("../../../../tests/fixtures/znodes/twitter-serverset-0.3.9.json");
const MEMBER: &str = r#"{"serviceEndpoint":{"host":"10.0.0.5","port":31943},"additionalEndpoints":{"http":{"host":"10.0.0.5","port":31943},"admin":{"host":"10.0.0.5","port":31944}},"status":"ALIVE","shard":7,"metadata":{"zone":"smf1"}}"#;

fn named(endpoint: &str) -> ServerSet {
    ServerSet::new(Some(endpoint.to_owned()))
}

fn reason(data: &str) -> Reason {
    sample::unusable(&ServerSet::default(), "member_0000000001", data.as_bytes()).reason
}

#[test]
fn reads_what_real_programs_wrote() {
    let records = sample::znodes(DUMP, &ServerSet::default(), "search/prod/api");
    assert_eq!(records.len(), 4);
    let read = |format: &ServerSet| -> Vec<(u16, Option<String>)> {
        let decoded = records.iter().map(|(name, data)| sample::decode(format, name, data));
        let providers = decoded.flat_map(|decoded| decoded.providers);
        providers.map(|provider| (provider.address.port(), provider.metadata.get("shard").cloned())).collect()
    };
    let shard = |shard: &str| Some(shard.to_owned());
    let own = [(28520, shard("0")), (28521, shard("1")), (28522, shard("2")), (28529, None)];
    assert_eq!(read(&ServerSet::default()), own);
    assert_eq!(read(&named("http")), [(28530, shard("0")), (28531, shard("1")), (28532, shard("2"))]);
    let (name, data) = &records[3];
    let unusable = sample::unusable(&named("http"), name, data);
    assert_eq!(
        (unusable.reason, unusable.detail.as_str()),
        (Reason::Filtered, "it has no additional endpoint \"http\"; it has none")
    );
}

#[test]
fn a_member_may_have_several_endpoints() {
    let provider = |format| sample::one(&format, "member_0000000001", MEMBER.as_bytes());
    let own = provider(ServerSet::default());
    assert_eq!(
        (own.address.port(), own.zone.as_deref(), own.protocol),
        (31943, Some("smf1"), Protocol::Http1)
    );
    assert_eq!((&*own.id, own.metadata["shard"].as_str()), ("member_0000000001", "7"));
    assert_eq!(
        (provider(named("admin")).address.port(), provider(named("admin")).protocol),
        (31944, Protocol::Http1)
    );
    let spoken = |name: &str| named(name).spoken_by_name();
    assert_eq!((spoken("https"), spoken("grpc")), ((Protocol::Http1, true), (Protocol::H2c, false)));
    assert_eq!((spoken("thrift"), spoken("aurora")), ((Protocol::Tcp, false), (Protocol::Http1, false)));
    let unusable = sample::unusable(&named("x"), "member_1", MEMBER.as_bytes());
    assert_eq!(unusable.detail, "it has no additional endpoint \"x\"; it has admin, http");
}

#[test]
fn only_members_that_live_are_used() {
    for status in ["\"DEAD\"", "\"STARTING\"", "\"alive\"", "null", "1"] {
        let member = MEMBER.replace("\"ALIVE\"", status);
        assert_eq!(reason(&member), Reason::Disabled, "{status}");
    }
    assert_eq!((reason(""), reason("\u{b}\u{1}")), (Reason::Empty, Reason::Malformed));
    assert_eq!((reason("{"), reason("{}")), (Reason::Malformed, Reason::Address));
    assert_eq!(reason(r#"{"serviceEndpoint":{"host":"h"},"status":"ALIVE"}"#), Reason::Address);
    let other = sample::unusable(&ServerSet::default(), "lock_1", MEMBER.as_bytes());
    assert_eq!(other.reason, Reason::Filtered);
}

#[test]
fn vectors_weigh_members() {
    let vector = r#"{"vector":[{"select":"inet=10.0.0.5:31943","weight":0.5,"priority":1},{"select":"member=member_0000000012","weight":0},{"select":"shard=7","weight":3.0},{"select":"shard=8","weight":-1},{"select":"shard=9"}]}"#;
    let decoded = sample::decode(&ServerSet::default(), "vector_0000000001", vector.as_bytes());
    assert_eq!((decoded.rules.len(), &decoded.unusable), (5, &vec![]));
    let weight = |entry: &str, shard: &str| {
        let member = MEMBER.replace("\"shard\":7", &format!("\"shard\":{shard}"));
        let provider = Arc::new(sample::one(&ServerSet::default(), entry, member.as_bytes()));
        rules::applied(&decoded.rules, entry, &provider).map(|provider| provider.weight.hundredths())
    };
    assert_eq!((weight("member_0000000001", "7"), weight("member_0000000001", "9")), (Ok(150), Ok(50)));
    assert_eq!(weight("member_0000000012", "7"), Ok(0));
    assert_eq!(weight("member_0000000001", "8").unwrap_err().reason, Reason::Disabled);
}

#[test]
fn a_bad_part_of_a_vector_spoils_no_other() {
    let vector = r#"{"vector":[{"select":"shard=1","weight":2},{"select":"colour=red","weight":2},{"select":"inet=x","weight":1},{"select":"shard=1","weight":"much"},7,{}]}"#;
    let decoded = sample::decode(&ServerSet::default(), "vector_1", vector.as_bytes());
    let reasons: Vec<Reason> = decoded.unusable.iter().map(|unusable| unusable.reason).collect();
    assert_eq!(decoded.rules.len(), 1);
    let value = Reason::Value;
    assert_eq!(reasons, [value, Reason::Address, value, Reason::Malformed, value]);
    let reason = |data: &str| sample::unusable(&ServerSet::default(), "vector_1", data.as_bytes()).reason;
    assert_eq!(
        (reason(""), reason("{}"), reason("[]")),
        (Reason::Empty, Reason::Malformed, Reason::Malformed)
    );
    assert_eq!(sample::decode(&ServerSet::default(), "vector_1", br#"{"vector":[]}"#), Decoded::default());
    let many = format!(r#"{{"vector":[{}]}}"#, vec![r#"{"select":"shard=1"}"#; 100].join(","));
    let decoded = sample::decode(&ServerSet::default(), "vector_1", many.as_bytes());
    assert_eq!((decoded.rules.len(), decoded.unusable.len()), (64, 1));
}

#[test]
fn what_is_written_is_read_again() {
    for format in [ServerSet::default(), named("http"), named("thrift")] {
        for mut provider in sample::providers() {
            provider.metadata.insert("shard".to_owned(), "3".to_owned());
            let encoded = format.encode(&sample::announcement("svc", provider.clone())).unwrap();
            assert_eq!((encoded.name.as_str(), encoded.is_numbered), ("member_", true));
            let read = sample::one(&format, "member_0000000001", &encoded.data);
            sample::add(&mut provider, &read, &["weight", "zone", "version", "protocol"]);
            assert_eq!(read, Provider { id: "member_0000000001".into(), ..provider });
        }
    }
    let (_, real) = &sample::znodes(DUMP, &ServerSet::default(), "search/prod/api")[3];
    let provider = sample::one(&ServerSet::default(), "member_0000000003", real);
    let encoded = ServerSet::default().encode(&sample::announcement("svc", provider)).unwrap();
    let value = |data: &[u8]| serde_json::from_slice::<Value>(data).unwrap();
    assert_eq!(value(&encoded.data), value(real));
}
