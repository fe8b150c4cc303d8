//! The records of one service as they were read last, and the list they make.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::format::{Decoded, Reason, Rule, rule};
use super::{Skipped, View};
use crate::provider::{Provider, Tenure};

/// The records of one service, by name. `M` tells one state of a record from another, and the older from the newer.
#[derive(Debug)]
pub(crate) struct Records<M> {
    records: BTreeMap<String, Record<M>>,
    /// The rules of all records, in the order of their names.
    rules: Vec<Rule>,
}

/// One record.
#[derive(Debug)]
struct Record<M> {
    mark: M,
    providers: Box<[Arc<Provider>]>,
    rules: Box<[Rule]>,
    skipped: Box<[Skipped]>,
}

impl<M> Default for Records<M> {
    fn default() -> Self {
        Self { records: BTreeMap::new(), rules: Vec::new() }
    }
}

impl<M: Ord> Records<M> {
    /// Whether a record is there, in this very state.
    pub(crate) fn has(&self, name: &str, mark: &M) -> bool {
        self.records.get(name).is_some_and(|record| record.mark == *mark)
    }

    /// Whether a record is there, in whatever state.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.records.contains_key(name)
    }

    /// The state of a record, if it is there.
    pub(crate) fn mark(&self, name: &str) -> Option<&M> {
        self.records.get(name).map(|record| &record.mark)
    }

    /// Every record's name and state, in order of name.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (&str, &M)> {
        self.records.iter().map(|(name, record)| (name.as_str(), &record.mark))
    }

    /// Puts a record in place of what was there of its name. `path` is where it lies, for an operator.
    pub(crate) fn put(&mut self, name: String, mark: M, path: &str, tenure: Tenure, decoded: Decoded) {
        let path_of_all: Arc<str> = path.into();
        let provider =
            |provider: Provider| Arc::new(Provider { record: Arc::clone(&path_of_all), tenure, ..provider });
        let skipped = decoded.unusable.into_iter().map(|unusable| Skipped {
            record: path.to_owned(),
            reason: unusable.reason,
            detail: unusable.detail,
        });
        let record = Record {
            mark,
            providers: decoded.providers.into_iter().map(provider).collect(),
            rules: decoded.rules.into(),
            skipped: skipped.collect(),
        };
        let ruling = !record.rules.is_empty();
        let ruled = self.records.insert(name, record).is_some_and(|before| !before.rules.is_empty());
        if ruling || ruled {
            self.gather_rules();
        }
    }

    /// Takes a record out; true when it was there.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let Some(record) = self.records.remove(name) else { return false };
        if !record.rules.is_empty() {
            self.gather_rules();
        }
        true
    }

    /// Takes out all records whose name is not wanted any more; gives how many.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) -> usize {
        let before = self.records.len();
        self.records.retain(|name, _| wanted(name));
        self.gather_rules();
        before - self.records.len()
    }

    fn gather_rules(&mut self) {
        self.rules = self.records.values().flat_map(|record| record.rules.iter().cloned()).collect();
    }

    /// The list: providers in the order of their marks, so that of two records with one address the newer one comes last.
    pub(crate) fn view(&self) -> View {
        let mut records: Vec<(&String, &Record<M>)> = self.records.iter().collect();
        records.sort_by(|(_, a), (_, b)| a.mark.cmp(&b.mark));
        let mut providers = Vec::with_capacity(records.len());
        let mut skipped: Vec<Skipped> =
            self.records.values().flat_map(|record| record.skipped.iter().cloned()).collect();
        for (name, record) in records {
            for provider in &record.providers {
                match rule::applied(&self.rules, name, provider) {
                    Ok(provider) => providers.push(provider),
                    Err(unusable) => skipped.push(Skipped {
                        record: provider.record.to_string(),
                        reason: unusable.reason,
                        detail: unusable.detail,
                    }),
                }
            }
        }
        View::Present { providers, skipped }
    }
}

/// What a record says that may not be read.
pub(crate) fn denied(detail: &str) -> Decoded {
    Decoded::unusable(Reason::Denied, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Weight;
    use crate::registry::format::rule::{Effect, Target};

    fn announces(port: u16) -> Decoded {
        let provider = Provider::new(format!("p{port}"), format!("10.0.0.1:{port}").parse().unwrap());
        Decoded { providers: vec![provider], ..Decoded::default() }
    }

    fn put(records: &mut Records<i64>, name: &str, mark: i64, decoded: Decoded) {
        records.put(name.to_owned(), mark, &format!("/f/{name}"), Tenure::Lasting, decoded);
    }

    fn listed(records: &Records<i64>) -> (Vec<(u16, u32)>, Vec<String>) {
        let View::Present { providers, skipped } = records.view() else { panic!("absent") };
        let providers = providers.iter().map(|p| (p.address.port(), p.weight.hundredths())).collect();
        (providers, skipped.into_iter().map(|skipped| skipped.record).collect())
    }

    #[test]
    fn newer_records_come_last_and_know_where_they_lie() {
        let mut records = Records::default();
        put(&mut records, "a", 2, announces(1));
        put(&mut records, "b", 1, announces(2));
        assert_eq!(listed(&records).0, [(2, 100), (1, 100)]);
        assert!(records.has("a", &2) && !records.has("a", &3));
        let View::Present { providers, .. } = records.view() else { panic!("absent") };
        assert_eq!((&*providers[0].record, providers[0].tenure), ("/f/b", Tenure::Lasting));
        assert_eq!(records.retain(|name| name == "b"), 1);
        assert!(!records.remove("a") && records.remove("b"));
    }

    #[test]
    fn rules_come_and_go_with_their_records() {
        let mut records = Records::default();
        put(&mut records, "a", 1, announces(1));
        put(&mut records, "b", 2, announces(2));
        let weight = Effect::Weight(Weight::from_hundredths(50));
        let rule = Rule { targets: vec![Target::Entry("a".to_owned())], effect: weight };
        put(&mut records, "rule", 3, Decoded { rules: vec![rule], ..Decoded::default() });
        assert_eq!(listed(&records).0, [(1, 50), (2, 100)]);
        let out = Rule { targets: vec![Target::Entry("b".to_owned())], effect: Effect::Disabled(true) };
        put(&mut records, "rule", 4, Decoded { rules: vec![out], ..Decoded::default() });
        assert_eq!(listed(&records), (vec![(1, 100)], vec!["/f/b".to_owned()]));
        records.remove("rule");
        assert_eq!(listed(&records), (vec![(1, 100), (2, 100)], vec![]));
    }
}
