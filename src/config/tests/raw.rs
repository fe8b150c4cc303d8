//! Raw listeners: where their connections go, and what is of no use there.

use super::*;
use crate::route::ProxyProtocol;

fn config(text: &str) -> Result<Config, String> {
    read(None, &format!("{REGISTRY}{text}"), &Overrides::default()).map_err(|mistakes| mistakes.to_string())
}

const REDIS: &str = r#"
    [[listener]]
    address = "127.0.0.1:6379"
    protocol = "tcp"
    service = "redis"
"#;

#[test]
fn a_raw_listener_is_for_all_providers_of_its_service_and_of_those_behind_it() {
    let text = r#"
        [[service]]
        name = "redis"
        version = "7"
        failover = "redis-far"
        send_proxy_protocol = "v1"
        [[service]]
        name = "redis-far"
        send_proxy_protocol = "v2"
    "#;
    let config = config(&format!("{REDIS}{text}")).unwrap();
    let listener = &config.listeners[0];
    assert_eq!(
        (listener.service.as_ref(), listener.raw.as_ref().map(|service| service.as_str())),
        (None, Some("redis"))
    );
    let raw = config.declared.iter().filter(|claim| claim.subset.raw);
    let followed: Vec<(&str, Option<&str>)> =
        raw.map(|claim| (claim.service.as_str(), claim.subset.version.as_deref())).collect();
    assert_eq!(followed, [("redis", Some("7")), ("redis-far", None)]);
    assert_eq!(config.declared.len(), 4, "requests may name them too");
    for (service, version) in [("redis", ProxyProtocol::V1), ("redis-far", ProxyProtocol::V2)] {
        let (claim, rules) = config.routes.raw(&service.parse().unwrap());
        assert!(config.declared.contains(&claim), "{claim:?}");
        assert_eq!(rules.proxy_protocol, Some(version));
        assert_eq!(config.checks.openings[service], version);
    }
    let again = read(None, config.to_toml(), &Overrides::default()).unwrap();
    assert_eq!((again.listeners, again.declared), (config.listeners, config.declared));
}

#[test]
fn an_undeclared_service_is_followed_for_its_listener() {
    let config = config(REDIS).unwrap();
    let [claim] = &*config.declared else { panic!("{:?}", config.declared) };
    assert_eq!((claim.service.as_str(), claim.subset.raw), ("redis", true));
}

#[test]
fn mistakes_name_the_key_and_the_cure() {
    for (text, words) in [
        ("[[listener]]\nprotocol = \"tcp\"".to_owned(), &["listener.service", "\"redis\""][..]),
        (format!("{REDIS}trusted = true"), &["listener.trusted", "leave this out"]),
        (format!("{REDIS}refuse_cross_site = true"), &["listener.refuse_cross_site", "leave this out"]),
        ("[[listener]]\nprotocol = \"udp\"".to_owned(), &["listener.protocol", "\"http\"", "\"tcp\""]),
        (
            "[[service]]\nname = \"a\"\nsend_proxy_protocol = \"v1\"".to_owned(),
            &["send_proxy_protocol of a", "protocol = \"tcp\" and service = \"a\""],
        ),
        (
            format!("{REDIS}[[service]]\nname = \"redis\"\nsend_proxy_protocol = 2"),
            &["service.send_proxy_protocol", "\"v1\"", "\"v2\""],
        ),
    ] {
        let said = config(&text).unwrap_err();
        assert!(words.iter().all(|word| said.contains(word)), "{text}: {said}");
    }
}
