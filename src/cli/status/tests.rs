//! What one look finds and shows.

use super::super::seen::{Endpoint, Freshness, Skipped};
use super::*;
use crate::cli::table::Line;

fn service(name: &str, used: (usize, usize), state: &str) -> Service {
    let freshness = Freshness { state: state.to_owned(), ..Freshness::default() };
    let (available, endpoints) = used;
    Service { name: name.to_owned(), available, endpoints, freshness, declared: true, ..Service::default() }
}

fn endpoint(address: &str, state: &str, why: &str) -> Endpoint {
    let why = Some(why.to_owned()).filter(|why| !why.is_empty());
    Endpoint { address: address.to_owned(), state: state.to_owned(), why, ..Endpoint::default() }
}

fn registry(state: &str, for_ms: u64, cause: Option<&str>) -> Registry {
    Registry {
        name: "zookeeper".to_owned(),
        kind: "zookeeper".to_owned(),
        role: "use".to_owned(),
        location: "10.0.0.1:2181,10.0.0.2:2181/micro-registry".to_owned(),
        state: state.to_owned(),
        for_ms,
        detail: (state == "up").then(|| "session 0x1".to_owned()),
        cause: cause.map(str::to_owned),
    }
}

fn seen(ready: bool, overview: Overview, details: &BTreeMap<String, Detail>) -> Seen {
    let why = if ready { Vec::new() } else { vec!["the first list is awaited of new".to_owned()] };
    let findings = Findings::of(&Readiness { ready, why }, &overview, details);
    let proxy =
        Proxy { admin: "127.0.0.1:4141".to_owned(), version: "0.1.0".to_owned(), up_s: Some(7300), ready };
    Seen {
        well: findings.ill.is_empty(),
        proxy,
        findings,
        registries: overview.registries,
        services: overview.services,
    }
}

fn shown(seen: &Seen, most: usize) -> String {
    shown::lines(seen, most, 80).iter().map(Line::bare).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_fleet_that_is_well_is_told_in_few_lines() {
    let services = vec![
        Service { attempts: 1_234_567, failures: 12, in_flight: 3, ..service("greeter", (3, 3), "live") },
        service("users", (2, 2), "live"),
    ];
    let seen = seen(
        true,
        Overview { registries: vec![registry("up", 7_000_000, None)], services },
        &BTreeMap::new(),
    );
    assert!(seen.well);
    insta::assert_snapshot!("well", shown(&seen, 20));
}

#[test]
fn what_is_ill_comes_first_and_says_why() {
    let failing = "5 failures in a row, the last: an answer of 503; out for 12.0 s more, ejected once";
    let billing = vec![
        endpoint("10.1.2.3:8080", "unreachable", "connections failed, 4 in a row"),
        endpoint("10.1.2.4:8080", "ejected", failing),
        endpoint("10.1.2.5:8080", "ghost", "nobody is behind its record"),
    ];
    let mut users: Vec<Endpoint> = (0..7)
        .map(|number| endpoint(&format!("10.1.3.{number}:80"), "unwell", "its check fails: 500"))
        .collect();
    users.push(endpoint("10.1.4.1:80", "available", ""));
    users.push(endpoint("10.1.4.2:80", "ghost", "nobody is behind its record"));
    let skipped = vec![Skipped {
        record: "/micro-registry/users/x".to_owned(),
        detail: "expected value at line 1".to_owned(),
        reason: "malformed".to_owned(),
    }];
    let database = Endpoint { protocol: "tcp".to_owned(), ..endpoint("10.1.5.1:5432", "available", "") };
    let details =
        [("billing", billing, vec![]), ("users", users, skipped), ("database", vec![database], vec![])];
    let details = details.map(|(name, endpoints, skipped)| (name.to_owned(), Detail { endpoints, skipped }));
    let overview = Overview {
        registries: vec![
            registry("down", 123_000, Some("no server answers: connection refused (os error 111)")),
            Registry {
                role: "shadow".to_owned(),
                name: "next".to_owned(),
                kind: "etcd".to_owned(),
                location: "e:2379".to_owned(),
                ..registry("down", 9_000, None)
            },
            registry("connecting", 500, None),
        ],
        services: vec![
            Service { skipped: 1, attempts: 900, ..service("users", (1, 9), "live") },
            Service { attempts: 500, failures: 500, ..service("billing", (0, 3), "live") },
            service("database", (0, 1), "live"),
            service("gone", (0, 0), "absent"),
            Service { declared: false, ..service("typo", (0, 0), "absent") },
            service("new", (0, 0), "pending"),
            service("empty", (0, 0), "live"),
        ],
    };
    let seen = seen(false, overview, &details.into_iter().collect());
    assert!(!seen.well);
    insta::assert_snapshot!("ill", shown(&seen, 4));
    insta::assert_snapshot!("ill_json", serde_json::to_string_pretty(&seen.findings).unwrap());
}

#[test]
fn what_is_ill_is_the_same_of_services_that_no_more_was_asked_of() {
    let troubled = |name: &str, state: &str| Service {
        trouble: BTreeMap::from([(state.to_owned(), 1)]),
        ..service(name, (1, 2), "live")
    };
    // Of the last one requests cannot be sent to the other: it speaks no HTTP.
    let services = vec![
        troubled("dead", "ghost"),
        troubled("busy", "aside"),
        troubled("broken", "ejected"),
        service("database", (1, 2), "live"),
    ];
    let overview = Overview { registries: Vec::new(), services };
    let found = Findings::of(&Readiness { ready: true, why: Vec::new() }, &overview, &BTreeMap::new());
    let told = |findings: &[findings::Finding]| -> Vec<String> {
        findings.iter().map(|finding| format!("{}: {}", finding.name, finding.what)).collect()
    };
    assert_eq!(told(&found.ill), ["broken: 1 of 2 providers is not used"]);
    assert_eq!(told(&found.noticed), ["dead: 1 record outlived its provider"]);
}

#[test]
fn many_lists_that_are_not_fresh_are_told_as_one() {
    let stale = |number: u64| {
        let mut stale = service(&format!("s{number}"), (1, 1), "stale");
        stale.freshness.for_ms = Some(number * 1000);
        stale.freshness.cause = Some("session expired".to_owned());
        stale
    };
    let found = |count: u64| {
        let services = (1..=count).map(stale).collect();
        let overview = Overview { registries: Vec::new(), services };
        Findings::of(&Readiness { ready: true, why: Vec::new() }, &overview, &BTreeMap::new()).ill
    };
    assert_eq!((found(3).len(), found(3)[0].what.as_str()), (3, "its list is not fresh for 1 s"));
    let found = found(9);
    assert_eq!(found[0].what, "the lists of 9 services are not fresh, for up to 9 s");
    assert_eq!((found.len(), found[0].details[0].as_str()), (1, "s1, s2, s3, s4, s5 and 4 more"));
}

#[test]
fn nothing_known_is_said_too() {
    insta::assert_snapshot!("nothing", shown(&seen(true, Overview::default(), &BTreeMap::new()), 20));
}
