//! Declared services.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::announced::Known;
use super::choices::Said;
use super::failover::Failovers;
use super::raw;
use super::reader::Section;
use super::resolve::SERVICE;
use super::retries::Own;
use super::rules;
use super::subset::Wanted;
use crate::balance::Choice;
use crate::catalog::{Claim, Subset};
use crate::provider::ServiceName;
use crate::route::{Declared, Key, Limits, Mirror, Route, Rules};

/// What is declared of services.
pub(super) struct Services {
    choice: Choice,
    key: Option<Arc<Key>>,
    /// Each with what is laid down for it, but for its limits.
    declared: BTreeMap<ServiceName, (Claim, Rules)>,
    /// Which service takes the place of which.
    pub(super) failovers: Failovers,
    /// What is said of the retries of some.
    retries: BTreeMap<ServiceName, Own>,
    /// What is said of the providers that the mirrors of some send to.
    mirrored: BTreeMap<ServiceName, Wanted>,
}

impl Services {
    /// Nothing yet; others are claimed by this choice, and told apart by this key.
    pub(super) const fn new(choice: Choice, key: Option<Arc<Key>>) -> Self {
        Self {
            choice,
            key,
            declared: BTreeMap::new(),
            retries: BTreeMap::new(),
            failovers: Failovers::new(),
            mirrored: BTreeMap::new(),
        }
    }

    /// Reads one `[[service]]`, but for what stands in tables of its own; gives its name.
    pub(super) fn declare(&mut self, section: &mut Section<'_>, known: &Known) -> Option<ServiceName> {
        let name = section.required("name", &SERVICE, "write the name that the registry has");
        let said = Said::read(section, "as in [services]");
        let subset = Wanted::read(section, "any").over(Subset::default());
        let retries = Own::read(section, &UNLESS_SAID);
        known.check(section, "name", name.as_ref());
        self.failovers.declare(section, name.as_ref(), known);
        let mut rules = rules::plain(section, None);
        rules.proxy_protocol = raw::proxy_protocol(section);
        rules.key = rules.key.or_else(|| self.key.clone());
        let choice = said.over(section, self.choice);
        rules::key_is_used(section, choice);
        let service = name?;
        self.retries.insert(service.clone(), retries);
        let claim = Claim { service: service.clone(), subset, choice };
        match self.declared.entry(service.clone()) {
            Entry::Vacant(entry) => {
                entry.insert((claim, rules));
            }
            Entry::Occupied(_) => {
                let message = format!(
                    "{service} is declared already; write one [[service]] for it, and a [[route]] for each subset"
                );
                section.wrong("name", message);
            }
        }
        Some(service)
    }

    /// Reads what stands in tables of its own in one `[[service]]`.
    pub(super) fn lay_down(
        &mut self,
        section: &mut Section<'_>,
        service: Option<&ServiceName>,
        known: &Known,
    ) {
        let mut rules = self.rules(service);
        let mirrored = rules::tables(section, &mut rules, self, known);
        self.mirrored.extend(service.cloned().zip(mirrored));
        if let Some((_, laid)) = service.and_then(|service| self.declared.get_mut(service)) {
            *laid = rules;
        }
    }

    /// Lets mirrors and failovers of services go by what was declared after them.
    pub(super) fn settle(&mut self) {
        let claims: Vec<Option<Claim>> = self
            .declared
            .values()
            .map(|(claim, rules)| {
                let mirror = rules.mirror.as_ref()?;
                let wanted = self.mirrored.get(&claim.service).cloned().unwrap_or_default();
                let claim = self.claim(&mirror.claim.service);
                Some(Claim { subset: wanted.over(claim.subset), ..claim })
            })
            .collect();
        for ((_, rules), claim) in self.declared.values_mut().zip(claims) {
            if let (Some(mirror), Some(claim)) = (&mut rules.mirror, claim) {
                *mirror = Arc::new(Mirror { claim, ..Mirror::clone(mirror) });
            }
        }
        let behind: Vec<Vec<Claim>> =
            self.declared.keys().map(|service| self.claims(&self.failovers.behind(service))).collect();
        for ((_, rules), behind) in self.declared.values_mut().zip(behind) {
            rules.failover = behind.into();
        }
    }

    /// What a service is claimed by, where nothing else is said.
    pub(super) fn claim(&self, service: &ServiceName) -> Claim {
        let declared = self.declared.get(service).map(|(claim, _)| claim.clone());
        declared.unwrap_or_else(|| Claim::on(service.clone(), self.choice))
    }

    /// What these services are claimed by, where nothing else is said.
    pub(super) fn claims(&self, services: &[ServiceName]) -> Vec<Claim> {
        services.iter().map(|service| self.claim(service)).collect()
    }

    /// What is laid down for requests to a service, but for limits.
    pub(super) fn rules(&self, service: Option<&ServiceName>) -> Rules {
        let declared = service.and_then(|service| self.declared.get(service));
        declared.map_or_else(|| self.rules_of_others(), |(_, rules)| rules.clone())
    }

    /// What is laid down for requests to services that nothing is declared of, but for limits.
    fn rules_of_others(&self) -> Rules {
        Rules { key: self.key.clone(), ..Rules::default() }
    }

    /// Everything that is followed from the start, each claim once.
    pub(super) fn followed<'s>(
        &self,
        routes: &[Route],
        bound: impl Iterator<Item = &'s ServiceName>,
        raw: impl Iterator<Item = &'s ServiceName>,
    ) -> Vec<Claim> {
        let mut followed = Vec::new();
        let mut follow = |claim: Claim| {
            if !followed.contains(&claim) {
                followed.push(claim);
            }
        };
        let declared = self.declared.values().map(|(claim, rules)| (claim, rules));
        for (claim, rules) in declared.chain(routes.iter().map(|route| (&route.claim, &*route.rules))) {
            let claims = match &rules.split {
                Some(split) => split.parts().iter().map(|part| part.claim.clone()).collect(),
                None => vec![claim.clone()],
            };
            for claim in claims {
                // Who may ask for any provider may ask for one outside the subset.
                let whole = rules.overrides.then(|| claim.whole());
                follow(claim);
                whole.map(&mut follow);
            }
            if let Some(mirror) = &rules.mirror {
                follow(mirror.claim.clone());
            }
            let parts = rules.split.iter().flat_map(|split| split.parts());
            let behind = parts.flat_map(|part| &*part.failover).chain(&*rules.failover);
            behind.cloned().for_each(&mut follow);
        }
        bound.for_each(|name| follow(self.claim(name)));
        for name in raw {
            follow(self.claim(name).raw());
            let behind = self.claims(&self.failovers.behind(name));
            behind.into_iter().map(Claim::raw).for_each(&mut follow);
        }
        followed
    }

    /// Lays what is declared of a service over limits, and over that what a route says.
    pub(super) fn limits(&self, service: Option<&ServiceName>, mut limits: Limits, own: &Own) -> Limits {
        if let Some(declared) = service.and_then(|service| self.retries.get(service)) {
            declared.lay_over(&mut limits.retries);
        }
        own.lay_over(&mut limits.retries);
        limits
    }

    /// What is laid down for all others, and what is declared, by name; all within these limits, but for what each says of
    /// itself.
    pub(super) fn into_declared(self, limits: &Limits) -> (Arc<Rules>, BTreeMap<ServiceName, Declared>) {
        let within = |limits, rules| Arc::new(Rules { limits, ..rules });
        let others = within(limits.clone(), self.rules_of_others());
        let declared = |(name, (claim, rules)): (&ServiceName, &(Claim, Rules))| {
            let limits = self.limits(Some(name), limits.clone(), &Own::default());
            (name.clone(), Declared { claim: claim.clone(), rules: within(limits, rules.clone()) })
        };
        (others, self.declared.iter().map(declared).collect())
    }
}

/// What holds of a service's retries where nothing is said.
const UNLESS_SAID: [&str; 3] = ["false", "as in [retries]", "off"];
