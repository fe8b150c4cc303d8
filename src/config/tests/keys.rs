//! Every key arrives where it belongs: what differs in the settings when one key is changed, and nothing else is.

use std::collections::BTreeSet;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::*;

/// Keys whose values are files or secrets, or that are none of what is in force, which other tests write.
const ELSEWHERE: [&str; 6] = ["auth", "ca", "client_cert", "client_key", "crl", "include"];

/// What a value other than the default may be; the first that is good and changes something is taken.
const VALUES: [&str; 24] = [
    "true",
    "false",
    "7",
    "77",
    "0.5",
    "\"7s\"",
    "\"77s\"",
    "\"77ms\"",
    "\"33KiB\"",
    "\"json\"",
    "\"debug\"",
    "\"random\"",
    "\"grpc\"",
    "\"fallback\"",
    "\"header:x-user\"",
    "\"b\"",
    "\"/b\"",
    "[\"b\"]",
    "[503]",
    "\"127.0.0.1:7777\"",
    "\"p77\"",
    "{ b = \"c\" }",
    "[\"169.254.0.0/16\"]",
    "\"b3\"",
];

/// What stands before a section, and the keys in it that others need.
fn context(section: &str, key: &str) -> (&'static str, &'static str) {
    const SERVICE: &str = "[[service]]\nname = \"a\"\n";
    const ROUTE: &str = "[[route]]\nservice = \"a\"\n";
    const ANNOUNCE: &str = "[[announce]]\nservice = \"a\"\naddress = \":80\"\n";
    match (section, key) {
        ("", "workers") => ("", "workers = 3"),
        ("[[listener]]", "mode") => ("", "address = \"unix:/a.sock\""),
        ("[[registry]]", "services") => ("", ""),
        ("[[registry]]", _) => ("[[registry]]\nurl = \"file:a\"\n", "url = \"file:b\""),
        ("[[listener]]", "protocol") => ("", "service = \"a\""),
        ("[store]", _) => ("", "folder = \"a\""),
        ("[services]", "on_demand") => (SERVICE, ""),
        ("[services]", "key" | "load_bound") => ("", "policy = \"maglev\""),
        ("[services]", "policy") => ("", "key = \"path\"\npolicy = \"maglev\""),
        ("[services.check]", "grpc_service") => ("", "kind = \"grpc\""),
        ("[services.check]", _) => ("", "kind = \"http\""),
        ("[services.limits]", _) => ("", "adaptive = true"),
        ("[[service]]", "send_proxy_protocol") => {
            ("[[listener]]\nprotocol = \"tcp\"\nservice = \"a\"\n", "name = \"a\"")
        }
        ("[[service]]", "key" | "load_bound") => ("", "name = \"a\"\npolicy = \"maglev\""),
        ("[[service]]", _) => ("[[registry]]\nurl = \"file:b\"\nname = \"b\"\n", "name = \"a\""),
        ("[service.check]", "grpc_service") => (SERVICE, "kind = \"grpc\""),
        ("[service.check]", _) => (SERVICE, "kind = \"http\""),
        ("[service.limits]", _) => (SERVICE, "adaptive = true"),
        ("[service.sticky]", _) => (SERVICE, "cookie = \"a\""),
        ("[service.mirror]", _) => (SERVICE, "service = \"a\""),
        ("[service.rate_limit]", _) => (SERVICE, "requests = 5"),
        ("[service.fault]", _) => (SERVICE, "delay = \"5s\"\nabort = 500"),
        ("[service.health]" | "[service.tls]", _) => (SERVICE, ""),
        ("[[route]]", "key" | "load_bound") => ("", "service = \"a\"\npolicy = \"maglev\""),
        ("[[route]]", "tunnel") => ("", "service = \"a\""),
        ("[[route]]", _) => ("", "service = \"a\"\npath = \"/a\""),
        ("[route.rewrite_path]", _) => (ROUTE, "pattern = \"^/(a)$\"\nwith = \"/$1\""),
        ("[route.request_headers]" | "[route.response_headers]", _) => (ROUTE, ""),
        ("[service.request_headers]" | "[service.response_headers]", _) => (SERVICE, ""),
        ("[route.sticky]", _) => (ROUTE, "cookie = \"a\""),
        ("[route.mirror]", _) => (ROUTE, "service = \"a\""),
        ("[route.rate_limit]", _) => (ROUTE, "requests = 5"),
        ("[route.fault]", _) => (ROUTE, "delay = \"5s\"\nabort = 500"),
        ("[[route.split]]", _) => (ROUTE, "weight = 5"),
        ("[[announce]]", "registry") => (
            "[[registry]]\nurl = \"etcd://127.0.0.1:1\"\nname = \"b\"\n",
            "service = \"a\"\naddress = \":80\"",
        ),
        ("[[announce]]", _) => ("", "service = \"a\"\naddress = \":80\""),
        ("[tracing]", "endpoint") => ("", ""),
        ("[tracing]", _) => ("", "endpoint = \"http://127.0.0.1:4318\""),
        ("[announce.check]", "grpc_service") => (ANNOUNCE, "kind = \"grpc\""),
        ("[announce.check]", _) => (ANNOUNCE, "kind = \"http\""),
        _ => ("", ""),
    }
}

/// A configuration with this line in a section, in place of the one that its context has for the same key.
fn with(section: &str, key: &str, value: Option<&str>) -> Option<Config> {
    let (before, needed) = context(section, key);
    let line = |key: &str, value: &str| format!("{key} = {value}\n");
    let is_other = |line: &&str| value.is_none() || line.split(" = ").next() != Some(key);
    let mut keys: String = needed.lines().filter(is_other).map(|line| format!("{line}\n")).collect();
    keys.extend(value.map(|value| line(key, value)));
    let zone = if (section, key) == ("", "zone") { "" } else { "zone = \"a\"\n" };
    let registry = "[[registry]]\nurl = \"zookeeper://127.0.0.1:2181\"\n";
    let text = if section.is_empty() {
        format!("{zone}{keys}{registry}")
    } else {
        format!("{zone}{registry}{before}{section}\n{keys}")
    };
    read(None, &text, &Overrides::default()).ok()
}

/// All settings, each line with the fields that it is within, but for what only closes one.
fn shown(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let mut show = |name: &str, value: &dyn fmt::Debug| {
        let mut within: Vec<(usize, String)> = vec![(0, name.to_owned())];
        for line in format!("{value:#?}").lines() {
            let text = line.trim().trim_end_matches(',');
            if matches!(text, ")" | "]" | "}") {
                continue;
            }
            let depth = line.len() - line.trim_start().len();
            within.retain(|(outer, _)| *outer == 0 || *outer < depth);
            let path: Vec<&str> = within.iter().map(|(_, field)| field.as_str()).collect();
            lines.push(format!("{}: {text}", path.join(".")));
            let opens = text.ends_with(['(', '[', '{']);
            if let Some((field, _)) = text.split_once(": ").filter(|(field, _)| opens && *field != ")") {
                within.push((depth, field.to_owned()));
            }
        }
    };
    show("workers", &config.workers);
    show("drain_timeout", &config.drain_timeout);
    show("lame_duck", &config.lame_duck);
    show("succession", &config.succession);
    show("listeners", &config.listeners);
    show("admin", &config.admin);
    show("sources", &config.sources);
    show("restrictions", &config.restrictions);
    show("store", &config.store);
    show("handover", &config.handover);
    show("catalog", &config.catalog);
    show("cares", &config.cares);
    show("layouts", &config.layouts);
    show("checks", &config.checks);
    show("routes", &config.routes);
    show("declared", &config.declared);
    show("announce", &config.announce);
    show("proxy", &config.proxy);
    show("upstream", &config.upstream);
    show("log", &config.log);
    show("access", &config.access);
    show("explain", &config.explain);
    show("traces", &config.traces);
    lines
}

/// The lines that differ, each once.
fn difference(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (shown(old), shown(new));
    let mut lines = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        if !matches!(op, DiffOp::Equal { .. }) {
            lines.extend(old[op.old_range()].iter().map(|line| format!("- {line}")));
            lines.extend(new[op.new_range()].iter().map(|line| format!("+ {line}")));
        }
    }
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}

#[test]
fn every_key_changes_what_it_is_for_and_nothing_else() {
    let text = super::super::schema::everything(REFERENCE);
    let (asked, _) = reference::asked(&text);
    let mut keys: Vec<(String, &str)> = Vec::new();
    let mut examples: BTreeMap<(String, &str), String> = BTreeMap::new();
    for asked in asked {
        let key = (asked.section, asked.key);
        if asked.place.is_some() {
            examples.extend(asked.value.map(|value| (key.clone(), value)));
        }
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let (mut told, mut idle) = (String::new(), Vec::new());
    let elsewhere = |section: &str, key| ELSEWHERE.contains(&key) || section == "[listener.tls]";
    for (section, key) in keys.into_iter().filter(|(section, key)| !elsewhere(section, *key)) {
        let base = with(&section, key, None);
        // What "auto" means depends on the machine.
        let example = examples
            .get(&(section.clone(), key))
            .map(String::as_str)
            .filter(|example| *example != "\"auto\"");
        let changed = example.into_iter().chain(VALUES).find_map(|value| {
            let new = with(&section, key, Some(value))?;
            let difference = match &base {
                Some(base) => difference(base, &new),
                // It is needed, or takes the place of what is.
                None => shown(&new).into_iter().filter(|line| line.starts_with("sources")).collect(),
            };
            (!difference.is_empty()).then(|| (value.to_owned(), difference))
        });
        let Some((value, difference)) = changed else {
            idle.push(format!("{section} {key}"));
            continue;
        };
        told.push_str(&format!("{section} {key} = {value}\n"));
        difference.iter().for_each(|line| told.push_str(&format!("    {line}\n")));
    }
    assert_eq!(idle, [""; 0], "these change nothing");
    insta::assert_snapshot!(told);
}
