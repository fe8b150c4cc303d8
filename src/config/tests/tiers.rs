//! What is read of tiers and failover.

use super::*;
use crate::catalog::Layout;

fn config(text: &str, zone: Option<&str>) -> Config {
    let overrides = Overrides { zone: zone.map(|zone| given("--zone", zone)), ..Overrides::default() };
    read(None, text, &overrides).unwrap_or_else(|error| panic!("{error}"))
}

/// What is wrong with a text, without the places.
fn mistakes(text: &str) -> String {
    read(Some("w.toml"), &format!("{REGISTRY}{text}"), &Overrides::default()).unwrap_err().to_string()
}

#[test]
fn the_own_zone_comes_first_unless_that_is_turned_off() {
    let text = format!(
        "zone = \"a\"\nidentity = \"me\"\n{REGISTRY}
        [services]\nzones = [\"a\", \"b\"]\nspill_below = 90
        [[service]]\nname = \"here\"\nsubset_size = 5\npanic_below = 0
        [[service]]\nname = \"anywhere\"\nnearest = false\nzones = []\npriority_key = \"tier\"
        [[service]]\nname = \"usual\""
    );
    let layouts = config(&text, None).layouts;
    let of = |name: &str| Layout::clone(layouts.of(&name.parse().unwrap()));
    let usual = Layout {
        zone: Some("a".into()),
        zones: vec!["a".into(), "b".into()],
        spill_below: 90,
        identity: Some(twox_hash::XxHash3_64::oneshot(b"me")),
        ..Layout::default()
    };
    assert_eq!((of("usual"), of("other")), (usual.clone(), usual.clone()));
    let here = Layout { sample: std::num::NonZeroUsize::new(5), panic_below: 0, ..usual.clone() };
    assert_eq!(of("here"), here);
    let anywhere = Layout { zone: None, zones: vec![], priority: Some("tier".into()), ..usual };
    assert_eq!(of("anywhere"), anywhere);
    assert_eq!(config(&text, Some("b")).layouts.usual.zone.as_deref(), Some("b"));
    let off = config(&format!("{REGISTRY}[services]\nnearest = false"), Some("b"));
    assert_eq!(off.layouts.usual.zone, None);
    assert_eq!(*config(REGISTRY, None).layouts.usual, Layout::default());
}

#[test]
fn a_failover_is_followed_from_the_start_and_has_its_own() {
    let text = format!(
        "{REGISTRY}
        [[service]]\nname = \"a\"\nfailover = \"b\"
        [[service]]\nname = \"b\"\nfailover = \"c\"\nversion = \"2\"
        [[route]]\nservice = \"a\"\npath = \"/a\"
        [[route]]\nservice = \"a\"\npath = \"/d\"\nfailover = \"d\"
        [[route]]\nservice = \"a\"\npath = \"/v1\"\nversion = \"1\"\nfailover = \"a\""
    );
    let config = config(&text, None);
    let names = |claims: &[Claim]| claims.iter().map(|claim| claim.service.to_string()).collect::<Vec<_>>();
    let behind: Vec<_> = config.routes.routes().iter().map(|route| names(&route.rules.failover)).collect();
    assert_eq!(behind, [vec!["b", "c"], vec!["d"], vec!["a", "b", "c"]]);
    let naming = config.routes.naming();
    let rules = &naming.declared["a"].rules;
    assert_eq!(names(&rules.failover), ["b", "c"]);
    assert_eq!(rules.failover[0].subset.version.as_deref(), Some("2"), "as declared");
    assert_eq!(names(&naming.rules.failover), [""; 0]);
    let followed = names(&config.declared);
    assert!(
        ["a", "b", "c", "d"].iter().all(|name| followed.iter().any(|known| known == name)),
        "{followed:?}"
    );
}

#[test]
fn mistakes_name_culprit_and_cure() {
    for (text, expected) in [
        ("[services]\nspill_below = 0\npanic_below = 101", "0 is out of range"),
        (
            "[services]\nspill_below = 40",
            "a tier that is 40 percent available takes everything, so there is no panic at 50; write a panic_below of \
             40 or less",
        ),
        (
            "[services]\nzones = [\"b\", \"c\", \"b\"]",
            "\"b\" is there twice; write it once, where it is nearest",
        ),
        ("[services]\nsubset_size = 0", "0 is out of range"),
        ("[[service]]\nname = \"a\"\nfailover = \"a\"", "a would take its own place in the end"),
        (
            "[[service]]\nname = \"a\"\nfailover = \"b\"\n[[service]]\nname = \"b\"\nfailover = \"c\"\n[[service]]\n\
             name = \"c\"\nfailover = \"a\"",
            "c would take its own place in the end; leave one of them without a failover",
        ),
        (
            "[[service]]\nname = \"a\"\nfailover = \"b\"\n[[service]]\nname = \"c\"\nfailover = \"d\"\n[[service]]\n\
             name = \"d\"\nfailover = \"e\"\n[[service]]\nname = \"b\"\nfailover = \"c\"",
            "there are more than 3 services behind a; leave this one out",
        ),
        (
            "[[route]]\nservice = \"a\"\nfailover = \"a\"",
            "the route would take its own place in the end; write another service",
        ),
    ] {
        let said = mistakes(text);
        assert!(said.contains(expected), "{said}");
    }
}
