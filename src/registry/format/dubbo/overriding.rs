//! Configurators of Dubbo: what operators say of the providers of an interface, from beside them.

use super::url::{Key, Url};
use super::weight;
use crate::provider::Host;
use crate::registry::format::rule::{Effect, Rule, Target};
use crate::registry::format::{Decoded, Reason, Unusable, convention};

/// What an override says of weights and service; of time-outs and the like, nothing.
pub(super) fn rules(url: &Url, key: &Key) -> Decoded {
    let read = || {
        if url.scheme != "override" {
            let detail = format!("a configurator {}://, of which only override:// is read", url.scheme);
            return Err(Unusable::new(Reason::Filtered, detail));
        }
        if url.get("enabled") == Some("false") {
            return Err(Unusable::new(Reason::Disabled, "the override is switched off: enabled=false"));
        }
        let named = |name| url.get(name).filter(|word| !matches!(*word, "" | "*"));
        let (group, version) = (named("group"), named("version"));
        // What it does not name, it is for.
        let asked = |own: &Option<String>, named: Option<&str>| own.clone().filter(|_| named.is_some());
        let asked =
            Key { group: asked(&key.group, group), version: asked(&key.version, version), ..key.clone() };
        asked.admit(group, version)?;
        Ok((targets(url, group, version)?, effects(url)?))
    };
    match read() {
        Ok((targets, effects)) => Decoded {
            rules: effects.into_iter().map(|effect| Rule { targets: targets.clone(), effect }).collect(),
            ..Decoded::default()
        },
        Err(unusable) => Err(unusable).into(),
    }
}

/// The providers that an override is for.
fn targets(url: &Url, group: Option<&str>, version: Option<&str>) -> Result<Vec<Target>, Unusable> {
    let mut targets = Vec::new();
    let (host, port) = url.host_and_port()?;
    let every = matches!(host, "0.0.0.0" | "*" | "" | "::" | "[::]");
    match (every, port) {
        (true, None) => {}
        (true, Some(port)) => targets.push(Target::Port(port)),
        (false, Some(port)) => targets.push(Target::Address(convention::address(host, port)?)),
        (false, None) => {
            // Any port will do to read the host.
            let address = convention::address(host, 1)?;
            let host: Host = address.host().clone();
            targets.push(Target::Host(host));
        }
    }
    if let Some(group) = group {
        targets.push(Target::Metadata("group".to_owned(), group.to_owned()));
    }
    if let Some(version) = version {
        targets.push(Target::Version(version.to_owned()));
    }
    // Conditions of their own begin with a tilde.
    for (name, value) in &url.parameters {
        let name = if name == "application" { Some(name.as_str()) } else { name.strip_prefix('~') };
        if let Some(name) = name.filter(|_| !matches!(value.as_str(), "" | "*")) {
            targets.push(Target::Metadata(name.to_owned(), value.clone()));
        }
    }
    Ok(targets)
}

/// What an override does to them.
fn effects(url: &Url) -> Result<Vec<Effect>, Unusable> {
    let mut effects = Vec::new();
    if let Some(written) = url.get("weight") {
        if written.trim().parse::<i64>().is_err() {
            return Err(Unusable::new(Reason::Value, format!("the weight {written:?} is no whole number")));
        }
        effects.push(Effect::Weight(weight(Some(written))));
    }
    match url.get("disabled") {
        Some("true") => effects.push(Effect::Disabled(true)),
        Some("false") => effects.push(Effect::Disabled(false)),
        Some(_) | None => {}
    }
    Ok(effects)
}
