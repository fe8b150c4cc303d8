//! A format whose names are the records, with rules in a folder beside them.

use std::sync::Arc;

use wayside::provider::{Provider, ServiceName, Weight};
use wayside::registry::format::rule::{Effect, Rule};
use wayside::registry::format::{Decoded, Entry, Folder, Format, Reason};
use wayside::registry::zookeeper;

use super::watching::Watching;

/// Providers are named `host:port`, whatever stands behind a `?` aside; rules after the weight in hundredths they give to all.
#[derive(Debug)]
pub(crate) struct Names;

impl Format for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn prefix(&self) -> &'static str {
        "/names"
    }

    fn folder(&self, service: &ServiceName) -> String {
        format!("{service}/providers")
    }

    fn rules_folder(&self, service: &ServiceName) -> Option<String> {
        Some(format!("{service}/rules"))
    }

    fn reads_data(&self) -> bool {
        false
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        let (name, _) = entry.name.split_once('?').unwrap_or((entry.name, ""));
        match (entry.folder, name.parse(), name.parse()) {
            (Folder::Providers, Ok(address), _) => {
                Decoded { providers: vec![Provider::new(name, address)], ..Decoded::default() }
            }
            (Folder::Rules, _, Ok(hundredths)) => {
                let effect = Effect::Weight(Weight::from_hundredths(hundredths));
                let rules = vec![Rule { targets: Vec::new(), effect }];
                Decoded { rules, ..Decoded::default() }
            }
            (Folder::Providers | Folder::Rules, _, _) => Decoded::unusable(Reason::Malformed, "no name"),
        }
    }
}

/// Watches `greeter` below `/names`.
pub(crate) fn watch(servers: &str, options: &str, format: Names) -> Watching {
    let settings: zookeeper::Settings = format!("//{servers}?prefix=/names&{options}").parse().unwrap();
    let registry = zookeeper::open(settings.with_format(Arc::new(format)));
    Watching::start(Arc::new(registry), &["greeter"])
}
