//! Which subset and which failover holds for routes, their parts, and mirrors.

use super::*;
use crate::catalog::Subset;
use crate::route::Rules;

fn config(text: &str) -> Config {
    read(None, &format!("{REGISTRY}{text}"), &Overrides::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// A claim in short: the service, the version and the metadata that are wanted.
fn short(claim: &Claim) -> String {
    let Subset { version, metadata, raw: _ } = &claim.subset;
    let metadata: Vec<String> = metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{} {} {}", claim.service, version.as_deref().unwrap_or("-"), metadata.join(","))
}

fn parts(rules: &Rules) -> Vec<String> {
    rules.split.as_ref().unwrap().parts().iter().map(|part| short(&part.claim)).collect()
}

#[test]
fn version_and_metadata_are_inherited_each_for_itself() {
    let config = config(
        r#"
        [[service]]
        name = "a"
        version = "1"
        metadata = { zone = "x" }
        mirror = { service = "b", metadata = { stage = "copy" } }
        [[service]]
        name = "b"
        version = "7"
        metadata = { zone = "y" }
        [[route]]
        service = "a"
        path = "/metadata"
        metadata = { stage = "canary" }
        mirror = { service = "b", version = "8" }
        [[route]]
        service = "a"
        path = "/version"
        version = "2"
        [[route]]
        service = "a"
        path = "/any"
        metadata = {}
        [[route]]
        service = "a"
        path = "/split"
        version = "3"
        split = [
            { weight = 1 },
            { weight = 1, metadata = { stage = "canary" } },
            { weight = 1, version = "4", metadata = {} },
            { weight = 1, service = "b", metadata = { stage = "canary" } },
        ]
        "#,
    );
    let routes = config.routes.routes();
    let claims: Vec<String> = routes[..3].iter().map(|route| short(&route.claim)).collect();
    assert_eq!(claims, ["a 1 stage=canary", "a 2 zone=x", "a 1 "]);
    assert_eq!(parts(&routes[3].rules), ["a 3 zone=x", "a 3 stage=canary", "a 4 ", "b 7 stage=canary"]);
    let mirror = |rules: &Rules| short(&rules.mirror.as_ref().unwrap().claim);
    assert_eq!(mirror(&routes[0].rules), "b 8 zone=y");
    let declared = &config.routes.naming().declared["a"];
    assert_eq!(mirror(&declared.rules), "b 7 stage=copy", "though b is declared below");
    assert_eq!(mirror(&routes[1].rules), "b 7 stage=copy");
}

const DECLARED: &str = r#"
    [[service]]
    name = "a"
    version = "1"
    hedge = "20ms"
    failover = "a-far"
    [[service]]
    name = "b"
    failover = "b-far"
"#;

#[test]
fn each_part_of_a_split_has_the_failover_of_its_service() {
    let config = config(&format!(
        r#"{DECLARED}
        [[route]]
        service = "a"
        path = "/declared"
        split = [{{ weight = 1 }}, {{ weight = 1, service = "b" }}, {{ weight = 1, service = "c" }}]
        [[route]]
        service = "a"
        path = "/said"
        failover = "b"
        split = [{{ weight = 1 }}, {{ weight = 1, service = "b" }}]
        "#
    ));
    let behind = |index: usize| -> Vec<Vec<String>> {
        let rules = &config.routes.routes()[index].rules;
        let names = |claims: &[Claim]| claims.iter().map(|claim| claim.service.to_string()).collect();
        rules.split.as_ref().unwrap().parts().iter().map(|part| names(&part.failover)).collect()
    };
    assert_eq!(behind(0), [vec!["a-far"], vec!["b-far"], vec![]]);
    assert_eq!(behind(1), [vec!["b", "b-far"], vec!["b-far"]], "none takes its own place");
    assert!(config.declared.iter().any(|claim| claim.service.as_str() == "b-far"), "it is followed");
}

#[test]
fn a_split_of_one_service_has_what_is_declared_of_that() {
    let config = config(&format!(
        r#"{DECLARED}
        [[route]]
        path = "/one"
        split = [{{ service = "a", weight = 9 }}, {{ service = "a", version = "2", weight = 1 }}]
        [[route]]
        path = "/several"
        split = [{{ service = "a", weight = 9 }}, {{ service = "b", weight = 1 }}]
        "#
    ));
    let [one, several] = config.routes.routes() else { panic!("there are two routes") };
    assert_eq!(parts(&one.rules), ["a 1 ", "a 2 "]);
    assert!(one.rules.limits.retries.hedge.is_some());
    assert_eq!(parts(&several.rules), ["a 1 ", "b - "]);
    assert_eq!(several.rules.limits.retries.hedge, None, "none is inherited");
}
