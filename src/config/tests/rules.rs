//! What is laid down for requests, as the file says it.

use http::StatusCode;

use super::*;
use crate::route::{RateLimit, Rules, Share};

fn config(text: &str) -> Config {
    read(None, &format!("{REGISTRY}{text}"), &Overrides::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Each claim in short: the service, and the version that is wanted of it.
fn followed(config: &Config) -> Vec<String> {
    let claim = |claim: &Claim| match &claim.subset.version {
        Some(version) => format!("{} {version}", claim.service),
        None => claim.service.to_string(),
    };
    config.declared.iter().map(claim).collect()
}

#[test]
fn a_fault_of_one_kind_reads_back_as_itself() {
    for fault in ["abort = 503", "delay = '1s'"] {
        let written = config(&format!("[[service]]\nname = 'a'\nfault = {{ {fault} }}"));
        let again = read(None, written.to_toml(), &Overrides::default());
        let again = again.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.to_toml(), written.to_toml());
    }
}

#[test]
fn a_route_has_what_its_service_has_unless_it_says_otherwise() {
    let config = config(
        r#"
        [services]
        key = "client"
        [[service]]
        name = "a"
        policy = "maglev"
        key = ["header:X-User", "path"]
        overrides = true
        sticky = { cookie = "s", ttl = "90s", path = "/shop/" }
        mirror = { service = "b", percent = 0.5 }
        rate_limit = { requests = 10 }
        fault = { delay = "1s", abort = 503, abort_percent = 1 }
        [[service]]
        name = "b"
        version = "1"
        [[route]]
        service = "a"
        path = "/a"
        [[route]]
        service = "a"
        path = "/b"
        overrides = false
        key = "cookie:c"
        sticky = { cookie = "other" }
        mirror = { service = "c", version = "2" }
        rate_limit = { requests = 1, per = "1m", burst = 3 }
        "#,
    );
    let naming = config.routes.naming();
    let a = &naming.declared["a"].rules;
    let keys = |rules: &Rules| {
        rules.key.as_ref().unwrap().sources.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(keys(a), ["header:x-user", "path"]);
    assert_eq!(
        (keys(&naming.rules), keys(&naming.declared["b"].rules)),
        (vec!["client".into()], vec!["client".into()])
    );
    let sticky = a.sticky.as_ref().unwrap();
    assert_eq!((&*sticky.cookie, sticky.ttl, &*sticky.path), ("s", Some(Duration::from_secs(90)), "/shop"));
    let fault = a.fault.as_ref().unwrap();
    assert_eq!(fault.delay, Some((Duration::from_secs(1), Share::ALL)));
    assert_eq!(fault.abort, Some((StatusCode::SERVICE_UNAVAILABLE, Share::percent(1.0))));
    let limit = |requests, per, burst| Some(RateLimit { requests, per: Duration::from_secs(per), burst });
    let limit_of = |rules: &Rules| rules.rate.as_ref().map(|rate| rate.limit);
    assert_eq!(limit_of(a), limit(10, 1, 10));

    let [first, second] = config.routes.routes() else { panic!("there are two routes") };
    assert_eq!((keys(&first.rules), first.rules.overrides), (keys(a), true));
    assert_eq!(first.rules.sticky, a.sticky);
    assert_eq!(
        (&first.rules.rate, &first.rules.fault),
        (&None, &None),
        "those of a service are for who names it"
    );
    assert_eq!((keys(&second.rules), second.rules.overrides), (vec!["cookie:c".into()], false));
    assert_eq!(&*second.rules.sticky.as_ref().unwrap().cookie, "other");
    assert_eq!(limit_of(&second.rules), limit(1, 60, 3));
    let mirrored = |rules: &Rules| rules.mirror.as_ref().map(|mirror| (mirror.claim.clone(), mirror.share));
    let (of_a, of_second) = (mirrored(a).unwrap(), mirrored(&second.rules).unwrap());
    assert_eq!(of_a, (naming.claim("b".parse().unwrap()), Share::percent(0.5)), "declared after it");
    assert_eq!((of_second.0.service.as_str(), of_second.0.subset.version.as_deref()), ("c", Some("2")));
    assert_eq!(mirrored(&first.rules).unwrap(), of_a);
    assert_eq!(followed(&config), ["a", "b 1", "c 2"]);
}

#[test]
fn the_parts_of_a_split_are_followed_from_the_start() {
    let config = config(
        r#"
        [[service]]
        name = "b"
        version = "1"
        [[route]]
        service = "a"
        version = "1"
        path = "/a"
        policy = "random"
        overrides = true
        split = [{ weight = 95.5 }, { version = "2", weight = 0 }, { service = "b", weight = 1 }]
        [[route]]
        split = [{ service = "c", weight = 1 }, { service = "d", weight = 1 }]
        "#,
    );
    assert_eq!(followed(&config), ["b 1", "a 1", "a", "a 2", "b 1", "b", "c", "d"]);
    let [first, second] = config.routes.routes() else { panic!("there are two routes") };
    let parts = first.rules.split.as_ref().unwrap().parts();
    let named: Vec<(&str, f64)> = parts.iter().map(|part| (&*part.name, part.weight)).collect();
    assert_eq!(named, [("a[version=1]", 95.5), ("a[version=2]", 0.0), ("b[version=1]", 1.0)]);
    assert!(parts.iter().all(|part| part.claim.choice.policy.as_str() == "random"));
    assert_eq!(second.claim.service.as_str(), "c", "a route without a service");
}

#[test]
fn only_listeners_of_this_machine_are_trusted_unless_they_say_so() {
    let trusted = |address: &str, more: &str| {
        config(&format!("[[listener]]\naddress = \"{address}\"\n{more}")).listeners[0].trusted
    };
    assert!(trusted("127.0.0.1:1", "") && trusted("[::1]:1", "") && trusted("0.0.0.0:1", "trusted = true"));
    assert!(trusted("unix:/a.sock", "") && !trusted("unix:/a.sock", "proxy_protocol = true"));
    assert!(!trusted("127.0.0.1:1", "proxy_protocol = true"));
    assert!(trusted("127.0.0.1:1", "proxy_protocol = true\ntrusted = true"));
    assert!(
        !trusted("0.0.0.0:1", "") && !trusted("10.0.0.1:1", "") && !trusted("127.0.0.1:1", "trusted = false")
    );
}

#[test]
fn services_are_counted_and_not_their_subsets() {
    let text = "[services]\nmax = 1\n[[route]]\nservice = \"a\"\nsplit = [{ weight = 1 }, { version = \"2\", weight = 1 }]";
    assert_eq!(config(text).declared.len(), 2);
}
