//! `wayside config`: what is in force and where it comes from, the reference, and the schema.

use std::fs;

use serde_json::{Value, json};

use crate::support::program::whole;

#[test]
fn every_value_is_shown_with_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    let file = folder.path().join("wayside.toml");
    let text = "include = [\"conf.d/*.toml\"]\nlame_duck = \"0s\"\n[registry]\nurl = \"zookeeper://127.0.0.1:2181\"\n\
                [[route]]\nservice = \"a\"\npath = \"/a\"\n";
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join("conf.d/10.toml"), "[timeouts]\nconnect = \"3s\"\n").unwrap();
    let file = file.to_str().unwrap();
    let here = format!("{}/", folder.path().display());
    let variables = [("WAYSIDE_REGISTRY_AUTH", "user:hunter2"), ("WAYSIDE_LIMITS__REQUESTS", "77")];
    let show = |more: &[&str]| {
        let arguments =
            [&["config", "show", file, "--log-level", "debug", "--set", "services.max=9"], more].concat();
        let (code, said, complaint) = whole(&arguments, &variables);
        assert_eq!((code, complaint.as_str()), (0, ""), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        said.replace(&here, "")
    };
    insta::assert_snapshot!(show(&["--changed"]));
    let all = show(&[]);
    assert!(all.contains("header = \"10s\"") && all.lines().any(|line| line.ends_with("# default")), "{all}");
    let again: toml::Table = all.parse().unwrap_or_else(|error| panic!("{error}: {all}"));
    assert_eq!(again["timeouts"]["connect"].as_str(), Some("3s"), "it is TOML");
    let list: Value = serde_json::from_str(&show(&["--json"])).unwrap();
    let of = |key: &str| list.as_array().unwrap().iter().find(|value| value["key"] == key).unwrap().clone();
    assert_eq!(
        of("timeouts.connect"),
        json!({
            "key": "timeouts.connect", "value": "3s", "secret": false, "default": false,
            "origin": { "kind": "file", "file": "conf.d/10.toml", "line": 2, "column": 1 },
        })
    );
    assert_eq!(
        of("limits.requests")["origin"],
        json!({ "kind": "variable", "name": "WAYSIDE_LIMITS__REQUESTS" })
    );
    assert_eq!(of("log.level")["origin"], json!({ "kind": "flag", "name": "--log-level" }));
    assert_eq!(of("services.max")["origin"], json!({ "kind": "flag", "name": "--set services.max" }));
    assert_eq!(of("lame_duck")["default"], true, "it is written, and what would hold anyway");
    let auth = of("registry.1.auth");
    assert_eq!((&auth["value"], &auth["secret"]), (&Value::Null, &json!(true)));
    let changed: Value = serde_json::from_str(&show(&["--json", "--changed"])).unwrap();
    assert!(changed.as_array().unwrap().iter().all(|value| value["default"] == false));
}

#[test]
fn what_is_wrong_is_told_as_by_check() {
    let (code, said, complaint) = whole(&["config", "show", "--registry", "zookeper://h"], &[]);
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(complaint.contains("--registry") && complaint.contains("1 mistake"), "{complaint}");
    assert_eq!(whole(&["config", "show", "/no/such/file.toml"], &[]).0, 2);
    assert_eq!(whole(&["config", "show", "--set", "workers"], &[]).0, 2);
    let (code, _, complaint) = whole(&["config", "show", "--set", "worker=2"], &[]);
    assert_eq!(code, 1);
    assert!(complaint.contains("--set worker: there is no such key; write --set workers"), "{complaint}");
}

#[test]
fn the_reference_and_the_schema_are_printed() {
    let (code, said, _) = whole(&["config", "reference"], &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reference.toml");
    fs::write(&file, said).unwrap();
    assert_eq!((code, whole(&["check", file.to_str().unwrap()], &[]).0), (0, 0));
    let (code, said, _) = whole(&["config", "schema"], &[]);
    let schema: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &schema["properties"]["workers"]["default"]), (0, &json!("auto")));
}
