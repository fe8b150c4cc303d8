//! Declared services.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::announced::Known;
use super::choices::Said;
use super::reader::Section;
use super::resolve::SERVICE;
use super::value::{TEXTS, text};
use crate::balance::Choice;
use crate::catalog::{Claim, Subset};
use crate::provider::ServiceName;
use crate::route::{Declared, Route, Rules};

/// What is declared of services.
pub(super) struct Services {
    choice: Choice,
    claims: BTreeMap<ServiceName, Claim>,
}

impl Services {
    /// Nothing yet; others are claimed by this choice.
    pub(super) const fn new(choice: Choice) -> Self {
        Self { choice, claims: BTreeMap::new() }
    }

    /// Reads one `[[service]]`; gives its name.
    pub(super) fn declare(&mut self, section: &mut Section<'_>, known: &Known) -> Option<ServiceName> {
        let name = section.required("name", &SERVICE, "write the name that the registry has");
        let said = Said::read(section, "as in [services]");
        let subset = subset(section, "any", "any").unwrap_or_default();
        known.check(section, "name", name.as_ref());
        let choice = said.over(section, self.choice);
        let service = name?;
        let claim = Claim { service: service.clone(), subset, choice };
        if self.claims.insert(service.clone(), claim).is_some() {
            let message = format!(
                "{service} is declared already; write one [[service]] for it, and a [[route]] for each subset"
            );
            section.wrong("name", message);
        }
        Some(service)
    }

    /// What a service is claimed by, where nothing else is said.
    pub(super) fn claim(&self, service: &ServiceName) -> Claim {
        let declared = self.claims.get(service).cloned();
        declared.unwrap_or_else(|| Claim::on(service.clone(), self.choice))
    }

    /// Everything that is followed from the start, each claim once.
    pub(super) fn followed<'s>(
        &self,
        routes: &[Route],
        bound: impl Iterator<Item = &'s ServiceName>,
    ) -> Vec<Claim> {
        let declared = self.claims.values().cloned();
        let routed = routes.iter().map(|route| route.claim.clone());
        let mut followed = Vec::new();
        for claim in declared.chain(routed).chain(bound.map(|name| self.claim(name))) {
            if !followed.contains(&claim) {
                followed.push(claim);
            }
        }
        followed
    }

    /// What is declared, by name; these rules are laid down for all.
    pub(super) fn into_declared(self, rules: &Arc<Rules>) -> BTreeMap<ServiceName, Declared> {
        let declared = |claim| Declared { claim, rules: Arc::clone(rules) };
        self.claims.into_iter().map(|(name, claim)| (name, declared(claim))).collect()
    }
}

/// The subset that a section says, if it says one.
pub(super) fn subset(
    section: &mut Section<'_>,
    any_version: &'static str,
    any_metadata: &'static str,
) -> Option<Subset> {
    let version = section.optional("version", &text("a version", "1.2.0"), any_version);
    let metadata = section.optional("metadata", &TEXTS, any_metadata);
    if version.is_none() && metadata.is_none() {
        return None;
    }
    Some(Subset { version: version.map(Arc::from), metadata: metadata.unwrap_or_default() })
}
