//! Dubbo at interface level: what real ones wrote, keys, warm-up, overrides, and what is none.

use std::sync::Arc;

use super::*;
use crate::registry::format::rule::{self as rules, Effect};
use crate::registry::format::sample;

const DUMP: &str = include_str!("../../../../tests/fixtures/znodes/apache-dubbo-2.6.12.json");
const ORDERS: &str = "/dubbo/DubboRegister%24OrderService";

fn decode(service: &str, folder: Folder, url: &str) -> Decoded {
    let service = service.parse().unwrap();
    Dubbo::default().decode(Entry { folder, ..Entry::of(&service, &url::encoded(url), b"127.0.0.1") })
}

fn one(url: &str) -> Provider {
    let mut decoded = decode("com.foo.Bar", Folder::Providers, url);
    assert_eq!((decoded.providers.len(), &decoded.unusable), (1, &vec![]), "{url}");
    decoded.providers.remove(0)
}

fn unusable(service: &str, folder: Folder, url: &str) -> Unusable {
    let mut decoded = decode(service, folder, url);
    assert_eq!((decoded.providers.len(), decoded.rules.len(), decoded.unusable.len()), (0, 0, 1), "{url}");
    decoded.unusable.remove(0)
}

/// The weight that an override leaves to a provider, in Dubbo's measure.
fn overridden(provider: &str, url: &str) -> Result<u32, Reason> {
    let decoded = decode("com.foo.Bar", Folder::Rules, url);
    assert_eq!(decoded.unusable, [], "{url}");
    let provider = Arc::new(one(provider));
    rules::applied(&decoded.rules, "entry", &provider)
        .map(|provider| provider.weight.hundredths())
        .map_err(|unusable| unusable.reason)
}

#[test]
fn a_service_is_named_by_interface_group_and_version() {
    let dubbo = Dubbo::new(Some("g0".to_owned()), None, None);
    for (service, group, version) in [
        ("com.foo.Bar$Baz", Some("g0"), None),
        ("com.foo.Bar$Baz:1.0.0", Some("g0"), Some("1.0.0")),
        ("g1/com.foo.Bar$Baz", Some("g1"), None),
        ("g1/com.foo.Bar$Baz:1.0.0", Some("g1"), Some("1.0.0")),
        ("*/com.foo.Bar$Baz:*", Some("*"), Some("*")),
    ] {
        let service: ServiceName = service.parse().unwrap();
        assert_eq!(dubbo.folder(&service), "com.foo.Bar%24Baz/providers");
        assert_eq!(dubbo.rules_folder(&service).unwrap(), "com.foo.Bar%24Baz/configurators");
        let key = dubbo.key(&service);
        assert_eq!((key.group.as_deref(), key.version.as_deref()), (group, version), "{service}");
    }
    assert!(!dubbo.reads_data());
}

#[test]
fn reads_what_real_programs_wrote() {
    let records = sample::znodes_in(DUMP, &format!("{ORDERS}/providers"));
    assert_eq!(records.len(), 3);
    let ports = |format: &Dubbo, service: &str| -> Vec<u16> {
        let decoded = records.iter().map(|(name, data)| sample::decode_for(format, service, name, data));
        decoded.flat_map(|decoded| decoded.providers).map(|provider| provider.address.port()).collect()
    };
    let any = Dubbo::default();
    assert_eq!(ports(&any, "DubboRegister$OrderService"), [28570, 28571, 28572]);
    assert_eq!(ports(&any, "DubboRegister$OrderService:1.0.0"), [28570, 28571]);
    assert_eq!(ports(&any, "blue/DubboRegister$OrderService"), [28572]);
    assert_eq!(ports(&any, "blue/DubboRegister$OrderService:1.0.0"), [0_u16; 0]);
    let blue = Dubbo::new(Some("blue".to_owned()), Some("2.0.0".to_owned()), None);
    assert_eq!(ports(&blue, "DubboRegister$OrderService"), [28572]);
    let (name, data) = &records[2];
    let provider = sample::decode_for(&any, "DubboRegister$OrderService", name, data).providers.remove(0);
    assert_eq!((provider.weight.hundredths(), &*provider.version), (50, "2.0.0"));
    assert_eq!(provider.protocol, Protocol::Tcp);
    assert_eq!(&*provider.id, "dubbo://192.0.2.2:28572/DubboRegister$OrderService?timestamp=1795362021006");
    let said = |key: &str| provider.metadata.get(key).map(String::as_str);
    assert_eq!((said("methods"), said("application")), (Some("placeOrder,getOrder"), Some("order-app")));
    assert_eq!((said("pid"), said("timestamp"), said("group")), (None, None, Some("blue")));
    let users = sample::znodes_in(DUMP, "/dubbo/DubboRegister%24UserService/providers");
    let read = |(name, data): &(String, Vec<u8>)| {
        let provider = sample::decode(&any, name, data).providers.remove(0);
        (provider.protocol, provider.metadata["path"].clone())
    };
    assert_eq!(read(&users[0]), (Protocol::Tcp, "DubboRegister$UserService".to_owned()));
    assert_eq!(read(&users[1]), (Protocol::Http1, "api/DubboRegister$UserService".to_owned()));
}

#[test]
fn a_real_override_is_for_the_address_it_names() {
    let (name, data) = &sample::znodes_in(DUMP, &format!("{ORDERS}/configurators"))[0];
    let decoded = |service: &str| {
        let service = service.parse().unwrap();
        Dubbo::default().decode(Entry { folder: Folder::Rules, ..Entry::of(&service, name, data) })
    };
    let rules = decoded("DubboRegister$OrderService").rules;
    let remains = |url: &str| rules::applied(&rules, "entry", &Arc::new(one(url))).is_ok();
    assert!(!remains("dubbo://127.0.0.1:28571/DubboRegister$OrderService?version=1.0.0"));
    assert!(remains("dubbo://127.0.0.1:28571/DubboRegister$OrderService?version=2.0.0"));
    assert!(remains("dubbo://127.0.0.1:28570/DubboRegister$OrderService?version=1.0.0"));
    assert!(remains("dubbo://192.0.2.2:28571/DubboRegister$OrderService?version=1.0.0"));
    let other = decoded("DubboRegister$OrderService:2.0.0");
    assert_eq!((other.rules.len(), other.unusable[0].reason), (0, Reason::Filtered));
}

#[test]
fn parameters_say_how_a_provider_is_used() {
    let provider = one(
        "tri://10.0.0.5:50051/com.foo.Bar?weight=200&zone=z1&region=r1&dubbo.tag=gray&timestamp=1700000000000&x",
    );
    assert_eq!((provider.protocol, provider.weight.hundredths()), (Protocol::H2c, 200));
    assert_eq!((provider.zone.as_deref(), provider.metadata["dubbo.tag"].as_str()), (Some("z1"), "gray"));
    let warm_up = provider.warm_up.unwrap();
    assert_eq!(warm_up.since, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    assert_eq!((warm_up.over, provider.metadata["x"].as_str()), (WARM_UP, "x"));
    let with = |parameters: &str| one(&format!("dubbo://h:1/x?{parameters}"));
    assert_eq!(with("region=r1").zone.as_deref(), Some("r1"));
    assert_eq!(with("timestamp=1&warmup=5000").warm_up.unwrap().over, Duration::from_secs(5));
    for none in [
        "warmup=5000",
        "timestamp=0",
        "timestamp=1&warmup=0",
        "timestamp=-5",
        "timestamp=99999999999999999999",
    ] {
        assert_eq!(with(none).warm_up, None, "{none}");
    }
    let weight = |weight: &str| with(&format!("weight={weight}")).weight.hundredths();
    assert_eq!((weight("0"), weight("-3"), weight("much"), weight("99999999999")), (0, 0, 100, 100_000));
}

#[test]
fn the_scheme_says_what_is_spoken() {
    let spoken = |url: &str| {
        let provider = one(url);
        (provider.protocol, provider.secure)
    };
    for (scheme, protocol) in [
        ("tri", Protocol::H2c),
        ("grpc", Protocol::H2c),
        ("rest", Protocol::Http1),
        ("http", Protocol::Http1),
        ("dubbo", Protocol::Tcp),
        ("hessian", Protocol::Tcp),
        ("mucp", Protocol::Tcp),
    ] {
        assert_eq!(spoken(&format!("{scheme}://h:1/x")), (protocol, false), "{scheme}");
    }
    assert_eq!(spoken("tri://h:1/x?ssl-enabled=true"), (Protocol::H2c, true));
    assert_eq!(spoken("https://h:1/x"), (Protocol::Http1, true));
    assert_eq!(spoken("dubbo://h:1/x?ext.protocol=tri"), (Protocol::H2c, false));
    let tri = Dubbo::new(None, None, Some("tri".to_owned()));
    let name = url::encoded("dubbo://h:1/x");
    assert_eq!(sample::unusable(&tri, &name, b"").reason, Reason::Filtered);
}

#[test]
fn addresses_of_every_spelling() {
    let address = |authority: &str| one(&format!("dubbo://{authority}/x")).address.to_string();
    assert_eq!(address("[2001:db8::1]:80"), "[2001:db8::1]:80");
    assert_eq!(address("2001:db8:0:0:0:0:0:1:80"), "[2001:db8::1]:80");
    assert_eq!(address("user:secret@h:80"), "h:80");
    assert!(!format!("{:?}", one("dubbo://user:secret@h:80/x")).contains("secret"));
    for authority in ["h", "h:0", "h:65536", "h:x", "", ":80", "0.0.0.0:80", "[::1]"] {
        let url = format!("dubbo://{authority}/x");
        assert_eq!(unusable("x", Folder::Providers, &url).reason, Reason::Address, "{authority}");
    }
}

#[test]
fn what_is_no_provider_says_why() {
    let reason = |url: &str| unusable("com.foo.Bar:1.0.0", Folder::Providers, url).reason;
    for url in ["", "x", "dubbo:/h:1", "://h:1/x", "dubbo%3A%2F%2Fh%3A1"] {
        assert_eq!(reason(url), Reason::Malformed, "{url}");
    }
    assert_eq!(reason("dubbo://h:1/x"), Reason::Filtered);
    assert_eq!(reason("dubbo://h:1/x?version=1.0.0&enabled=false"), Reason::Disabled);
    assert_eq!(reason("dubbo://h:1/x?version=1.0.0&disabled=true"), Reason::Disabled);
    let detail = unusable("g/com.foo.Bar", Folder::Providers, "dubbo://h:1/x?group=other").detail;
    assert_eq!(detail, "of group \"other\"; asked for is \"g\"");
    assert_eq!(decode("com.foo.Bar:0.0.0", Folder::Providers, "dubbo://h:1/x").providers.len(), 1);
    let long = format!("dubbo://h:1/{}", "x".repeat(5000));
    assert_eq!(reason(&long), Reason::Malformed);
}

#[test]
fn overrides_set_weights_and_service() {
    let provider = "tri://10.0.0.5:50051/com.foo.Bar?version=1.0.0&group=g&application=a&side=provider";
    for (url, expected) in [
        ("override://0.0.0.0/com.foo.Bar?category=configurators&weight=200", Ok(200)),
        ("override://10.0.0.5:50051/com.foo.Bar?weight=0", Ok(0)),
        ("override://10.0.0.5:50052/com.foo.Bar?weight=0", Ok(100)),
        ("override://10.0.0.5/com.foo.Bar?weight=7", Ok(7)),
        ("override://10.0.0.6/com.foo.Bar?weight=7", Ok(100)),
        ("override://0.0.0.0:50051/com.foo.Bar?weight=7", Ok(7)),
        ("override://0.0.0.0:50052/com.foo.Bar?weight=7", Ok(100)),
        ("override://0.0.0.0/com.foo.Bar?disabled=true", Err(Reason::Disabled)),
        ("override://0.0.0.0/com.foo.Bar?disabled=false&weight=9", Ok(9)),
        ("override://0.0.0.0/com.foo.Bar?version=1.0.0&group=g&weight=9", Ok(9)),
        ("override://0.0.0.0/com.foo.Bar?version=2.0.0&weight=9", Ok(100)),
        ("override://0.0.0.0/com.foo.Bar?group=*&version=&weight=9", Ok(9)),
        ("override://0.0.0.0/com.foo.Bar?group=h&weight=9", Ok(100)),
        ("override://0.0.0.0/com.foo.Bar?application=a&weight=9", Ok(9)),
        ("override://0.0.0.0/com.foo.Bar?application=b&weight=9", Ok(100)),
        ("override://0.0.0.0/com.foo.Bar?~side=consumer&weight=9", Ok(100)),
        ("override://0.0.0.0/com.foo.Bar?timeout=1000", Ok(100)),
    ] {
        assert_eq!(overridden(provider, url), expected, "{url}");
    }
}

#[test]
fn what_is_no_override_says_why() {
    let reason = |url: &str| unusable("g/com.foo.Bar:1.0.0", Folder::Rules, url).reason;
    assert_eq!(reason("override://0.0.0.0/x?enabled=false&weight=1"), Reason::Disabled);
    assert_eq!(reason("absent://0.0.0.0/x?weight=1"), Reason::Filtered);
    assert_eq!(reason("override://0.0.0.0/x?version=2.0.0&weight=1"), Reason::Filtered);
    assert_eq!(reason("override://0.0.0.0/x?weight=much"), Reason::Value);
    assert_eq!(reason("override://h:x/x?weight=1"), Reason::Address);
    assert_eq!(reason("x"), Reason::Malformed);
    assert_eq!(
        decode("g/x", Folder::Rules, "override://0.0.0.0/x?weight=1").rules[0].effect,
        Effect::Weight(Weight::from_hundredths(1))
    );
}

#[test]
fn writes_what_real_programs_wrote() {
    for (name, data) in sample::znodes_in(DUMP, &format!("{ORDERS}/providers")) {
        let format = Dubbo::default();
        let mut provider =
            sample::decode_for(&format, "DubboRegister$OrderService", &name, &data).providers.remove(0);
        let since = provider.warm_up.take().unwrap().since;
        provider.metadata.insert("pid".to_owned(), "16810".to_owned());
        let announcement =
            Announcement { since, ..sample::announcement("DubboRegister$OrderService", provider) };
        assert_eq!(
            format.encode(&announcement).unwrap(),
            Encoded { name, is_numbered: false, data: Vec::new() }
        );
    }
}

#[test]
fn what_is_written_is_read_again() {
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for mut provider in sample::providers() {
        // What Dubbo cannot say: an ampersand.
        provider.metadata.insert("k".to_owned(), "a=b c+d%".to_owned());
        provider.zone = provider.zone.map(|_| "z é".into());
        provider.warm_up = Some(WarmUp { since, over: Duration::from_secs(5) });
        let announcement = sample::announcement("g/com.foo.Bar", provider.clone());
        let encoded = Dubbo::default().encode(&announcement).unwrap();
        let read =
            sample::decode_for(&Dubbo::default(), "g/com.foo.Bar", &encoded.name, b"").providers.remove(0);
        let keys =
            ["path", "scheme", "zone", "interface", "side", "group", "dubbo", "application", "ssl-enabled"];
        sample::add(&mut provider, &read, &keys);
        assert_eq!(read, Provider { id: read.id.clone(), ..provider });
    }
    let mut provider = Provider::new("i", "10.0.0.1:80".parse().unwrap());
    provider.metadata.insert("k".to_owned(), "a&b".to_owned());
    assert!(Dubbo::default().encode(&sample::announcement("x", provider)).unwrap_err().contains("k=a&b"));
}
