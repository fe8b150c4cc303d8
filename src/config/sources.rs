//! Which registries are followed, by which names, and which of them a service may come from.

use std::sync::Arc;

use super::announced;
use super::error::nearest;
use super::file::{Entry, Node};
use super::reader::{Section, listed};
use super::routes::NAME;
use super::value::{List, Word, quoted};
use crate::catalog::source::SOURCES_MAX;
use crate::catalog::{Restrictions, Role};
use crate::provider::ServiceName;
use crate::registry::kinds::Settings;

/// A registry of the configuration.
#[derive(Clone, Debug)]
pub struct Followed {
    /// What it is called.
    pub name: Arc<str>,
    /// What its word is good for.
    pub role: Role,
    /// Which registry it is, and how it is reached.
    pub registry: Settings,
}

/// What a registry may be used for.
const ROLE: Word<Role> = Word(&Role::ALL, |role| role.as_str());

/// Makes a list of what is written of registries: one may be written as a section of its own, or be given by flags alone.
pub(super) fn spread(tree: &mut Entry) {
    let place = tree.place_of("registry");
    match tree.child("registry") {
        None => {
            let list = Node::List(vec![Entry::empty()]);
            tree.put(&["registry"], Entry { place, node: list });
        }
        Some(entry) if entry.node.as_table().is_some() => {
            let one = Entry { place, node: std::mem::replace(&mut entry.node, Node::List(Vec::new())) };
            entry.node = Node::List(vec![one]);
        }
        Some(_) => {}
    }
}

/// Reads every `[[registry]]`; `None` where a mistake was noted that leaves no value.
pub(super) fn sources(top: &mut Section<'_>) -> Option<Vec<Followed>> {
    let mut earlier: Vec<Followed> = Vec::new();
    let read = top.sections("registry", |section| {
        let name = section.optional("name", &NAME, "its kind; zookeeper-2 for the second of that kind");
        let role = section.get("role", &ROLE, Role::default());
        let registry = announced::registry(section)?;
        let name = name.unwrap_or_else(|| default_name(&registry, &earlier)).into();
        if earlier.iter().any(|other| other.name == name) {
            section.wrong("name", format!("{name} is the name of another registry; write a different one"));
        }
        earlier.push(Followed { name, role, registry });
        Some(())
    });
    if top.is_empty_list("registry") {
        top.wrong("registry", "there is no registry; write [[registry]] with a url");
        return None;
    }
    if read.len() > SOURCES_MAX {
        let message =
            format!("{} registries are more than can be followed; write {SOURCES_MAX} at most", read.len());
        top.wrong("registry", message);
    }
    read.into_iter().collect::<Option<Vec<()>>>()?;
    if !earlier.is_empty() && earlier.iter().all(|source| source.role != Role::Use) {
        top.wrong(
            "registry",
            "no registry is used; leave the role of one of them out, or write role = \"use\"",
        );
    }
    (earlier.len() <= SOURCES_MAX).then_some(earlier)
}

/// The name of a registry that has none: its kind, and which of that kind it is.
fn default_name(registry: &Settings, earlier: &[Followed]) -> String {
    let kind = registry.kind();
    match earlier.iter().filter(|other| other.registry.kind() == kind).count() {
        0 => kind.to_owned(),
        others => format!("{kind}-{}", others + 1),
    }
}

/// Reads which registries a declared service may come from.
pub(super) fn restriction(
    section: &mut Section<'_>,
    service: Option<ServiceName>,
    sources: Option<&[Followed]>,
    restrictions: &mut Restrictions,
) {
    let names = section.optional("registries", &List(NAME), "all");
    let (Some(names), Some(sources)) = (names, sources) else { return };
    let mut wanted = Vec::new();
    for name in &names {
        let Some(source) = sources.iter().find(|source| *source.name == **name) else {
            let known: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
            let cure = match nearest(name, known.iter().copied()) {
                Some(near) => format!("write {}", quoted(near)),
                None => format!("there are {}", listed(&known)),
            };
            section.wrong("registries", format!("there is no registry {}; {cure}", quoted(name)));
            return;
        };
        wanted.push(source);
    }
    if wanted.iter().all(|source| source.role == Role::Shadow) {
        section
            .wrong("registries", "none of these is used; name one that is no shadow, or leave the key out");
    }
    let names: Vec<Arc<str>> = wanted.iter().map(|source| Arc::clone(&source.name)).collect();
    restrictions.extend(service.map(|service| (service, names)));
}
