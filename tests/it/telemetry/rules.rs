//! Alerts and dashboard: each expression is one, asks for metrics that there are, and alerts fire when they should.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::prometheus::checked;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All names under which something may be asked for, and whether each is a histogram.
fn names() -> BTreeSet<String> {
    let listed =
        text("src/telemetry/metrics/snapshots/wayside__telemetry__metrics__tests__names_are_stable.snap");
    let mut names = BTreeSet::new();
    for line in listed.lines().filter(|line| line.starts_with("wayside_")) {
        let (name, kind) = line.split_once(' ').unwrap();
        if kind == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    names
}

/// The metrics of ours that a text names.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(move |c| !is_of_name(c)).filter(|word| word.starts_with("wayside_"))
}

fn dashboard() -> Value {
    serde_json::from_str(&text("config/grafana/wayside.json")).unwrap()
}

/// All that a dashboard asks, with what stands for its variables.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let notes = dashboard["annotations"]["list"].as_array().cloned().unwrap_or_default();
    let asked = targets.chain(notes).map(|target| target["expr"].as_str().unwrap().to_owned());
    asked
        .map(|asked| {
            asked.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$service", ".*")
        })
        .collect()
}

#[test]
fn alerts_and_dashboard_ask_for_what_there_is() {
    let names = names();
    for (file, least) in [
        ("config/prometheus/alerts.yml", 20),
        ("config/prometheus/alerts.test.yml", 20),
        ("config/grafana/wayside.json", 60),
    ] {
        let text = text(file);
        let asked: BTreeSet<&str> = named(&text).collect();
        let unknown: Vec<&&str> = asked.iter().filter(|name| !names.contains(**name)).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}, which nothing exposes");
        assert!(asked.len() >= least, "{file} asks for {} metrics only", asked.len());
    }
}

/// What the dashboard shows nowhere is listed here, with the reason.
#[test]
fn the_dashboard_leaves_nothing_out() {
    const APART: [&str; 6] = [
        // Single numbers that tables under /services tell better.
        "wayside_service_revision",
        "wayside_service_unchanged_seconds",
        "wayside_shadow_policy_endpoint_choices_total",
        "wayside_shadow_policy_in_flight_total",
        "wayside_shadow_policy_latency_seconds_total",
        // Shown by its quantiles.
        "wayside_admission_wait_seconds",
    ];
    let text = text("config/grafana/wayside.json");
    let shown: BTreeSet<&str> = named(&text).collect();
    let whole = |name: &str| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        histogram.unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<String> = shown.into_iter().map(whole).collect();
    let missing: BTreeSet<String> =
        names().iter().map(|name| whole(name)).filter(|name| !shown.contains(name)).collect();
    let missing: Vec<&String> = missing.iter().filter(|name| !APART.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
}

#[test]
fn every_expression_of_the_dashboard_is_one() {
    let dashboard = dashboard();
    let asked = expressions(&dashboard);
    assert!(asked.len() > 80, "{}", asked.len());
    // Rules that record are what the checker takes expressions as.
    let rules = asked
        .iter()
        .enumerate()
        .map(|(at, asked)| serde_json::json!({ "record": format!("asked:{at}"), "expr": asked }));
    let file = serde_json::json!({ "groups": [{ "name": "asked", "rules": rules.collect::<Vec<_>>() }] });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    // What is JSON is YAML.
    std::fs::write(&path, file.to_string()).unwrap();
    checked(&["check", "rules"], &path);
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    let is_row = |panel: &&Value| panel["type"] == "row";
    assert!(panels.iter().filter(is_row).count() >= 6);
    for panel in panels.iter().filter(|panel| !is_row(panel)) {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "instance", "service"]);
    assert!(dashboard.get("id").is_none(), "a number of another Grafana's would be in the way");
}

#[test]
fn the_checker_is_content_with_alerts_and_they_fire_when_they_should() {
    checked(&["check", "config"], &path("config/prometheus/prometheus.yml"));
    checked(&["check", "rules"], &path("config/prometheus/alerts.yml"));
    checked(&["test", "rules"], &path("config/prometheus/alerts.test.yml"));
}

#[test]
fn every_alert_is_tested_both_ways_and_says_what_to_look_at() {
    let (alerts, tests) = (text("config/prometheus/alerts.yml"), text("config/prometheus/alerts.test.yml"));
    let mut count = 0;
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        for way in ["fires", "does not"] {
            assert!(tests.contains(&format!("- name: {name} {way}\n")), "{name} is not tested: {way}");
        }
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        // What it sends to is a page.
        let pages = alert.split_whitespace().map(|word| word.trim_end_matches(['.', ';', ',']));
        for page in pages.filter(|word| word.starts_with("docs/")) {
            assert!(path(page).exists(), "{name} sends to {page}, which is not there");
        }
        count += 1;
    }
    assert!(count >= 20, "{count}");
}
