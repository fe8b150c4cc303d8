//! The schema is checked in as it is made, takes what is good, and refuses much of what is not.

use boon::{Compiler, Schemas};
use serde_json::Value;

use super::*;

struct Validator {
    schemas: Schemas,
    index: boon::SchemaIndex,
}

impl Validator {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler.add_resource("https://wayside.invalid/schema.json", schema()).unwrap();
        let index = compiler.compile("https://wayside.invalid/schema.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn hold(&self, text: &str) -> Result<(), String> {
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
        let value = serde_json::to_value(table).unwrap();
        self.schemas.validate(&value, self.index).map_err(|error| format!("{error:#}"))
    }
}

#[test]
fn it_is_checked_in_as_it_is_made() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
    let made = schema();
    // As with snapshots.
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, format!("{made:#}\n")).unwrap();
    }
    let checked_in: Value = std::fs::read_to_string(path)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    assert!(checked_in == made, "config/schema.json is stale: wayside config schema > config/schema.json");
}

#[test]
fn it_takes_every_configuration_of_the_repository() {
    let validator = Validator::new();
    let mut count = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            validator.hold(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            count += 1;
        }
    }
    assert!(count >= 4, "{count}");
    validator
        .hold(&super::super::schema::everything(REFERENCE))
        .unwrap_or_else(|error| panic!("the reference: {error}"));
}

/// Every `toml` block of the README and of the pages in `docs/`.
#[test]
fn it_takes_every_example_of_the_pages() {
    let validator = Validator::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let to = if path.is_dir() { &mut folders } else { &mut pages };
            to.push(path);
        }
    }
    let mut examples = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        for (block, _) in text.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```")) {
            validator.hold(block).unwrap_or_else(|error| panic!("{}: {error}: {block}", page.display()));
            examples += 1;
        }
    }
    assert!(examples >= 15, "{examples}");
}

#[test]
fn it_refuses_what_an_editor_can_tell() {
    let validator = Validator::new();
    for wrong in [
        "workrs = 2",
        "workers = 0",
        "workers = \"many\"",
        "drain_timeout = 30",
        "drain_timeout = \"30\"",
        "[route]\nservice = \"a\"",
        "[[admin]]\nenabled = true",
        "[[service]]\npolicy = \"random\"",
        "[services]\npolicy = \"fastest\"",
        "[limits]\nheader_bytes = \"64K\"",
        "[retries]\nstatuses = [200]",
        "[naming]\npath = \"true\"",
        "[registry]\nauth = { path = \"x\" }",
        "[[route]]\nservice = \"a\"\nmirror = { percent = 101, service = \"b\" }",
        "[headers]\nforwarded = \"yes\"",
        "[[route]]\nservice = \"a\"\n[route.sticky]\nttl = \"1h\"",
    ] {
        assert!(validator.hold(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn it_says_what_keys_are_for() {
    let schema = schema();
    let connect = &schema["properties"]["timeouts"]["properties"]["connect"];
    assert_eq!(connect["default"], "1s500ms");
    assert!(connect["description"].as_str().unwrap().starts_with("Making a connection to a provider"));
    assert!(connect["pattern"].is_string());
    let policy = &schema["properties"]["services"]["properties"]["policy"];
    assert_eq!(
        (&policy["enum"][0], &policy["default"]),
        (&Value::from("round-robin"), &Value::from("round-robin"))
    );
    assert_eq!(
        schema["properties"]["route"]["items"]["properties"]["split"]["items"]["required"][0],
        "weight"
    );
    assert!(
        schema["properties"]["services"]["description"]
            .as_str()
            .unwrap()
            .starts_with("How services are followed")
    );
}
