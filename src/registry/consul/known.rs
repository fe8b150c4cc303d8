//! What is known of one service: its instances as answered last, and the list they make.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::value::RawValue;

use super::entry::Entry;
use super::settings::Demands;
use crate::provider::Tenure;
use crate::registry::View;
use crate::registry::format::{Decoded, Reason};
use crate::registry::records::Records;

/// What is known of one service.
#[derive(Debug)]
pub(super) struct Known {
    demands: Demands,
    records: Records<Mark>,
    view: View,
}

/// What tells one state of an instance from another. An instance that was written later is newer; a check that turns makes
/// none newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    modified: u64,
    created: u64,
    /// Of all that the answer says of it, checks included.
    digest: u64,
}

impl Known {
    /// Nothing is known yet.
    pub(super) fn new(demands: Demands) -> Self {
        Self { demands, records: Records::default(), view: View::Absent }
    }

    /// Takes over an answer, which is the whole list. Gives whether the list is another one, and how many instances it has.
    ///
    /// # Errors
    /// When the answer is no list at all; what was known stands.
    pub(super) fn replace(&mut self, answer: &[u8]) -> Result<(bool, u32), serde_json::Error> {
        let entries = serde_json::from_slice::<Option<Vec<&RawValue>>>(answer)?.unwrap_or_default();
        let mut names = BTreeSet::new();
        for raw in &entries {
            names.insert(self.put(raw.get()));
        }
        self.records.retain(|name| names.contains(name));
        // Consul does not tell a service that never was from one whose last instance is gone.
        let view = if entries.is_empty() { View::Absent } else { self.records.view() };
        let changed = view != self.view;
        self.view = view;
        Ok((changed, u32::try_from(entries.len()).unwrap_or(u32::MAX)))
    }

    /// Takes over one instance; gives its name.
    fn put(&mut self, raw: &str) -> String {
        let mut hasher = DefaultHasher::new();
        raw.hash(&mut hasher);
        let digest = hasher.finish();
        let (name, mark, decoded) = match serde_json::from_str::<Entry>(raw) {
            Ok(entry) => {
                let name = entry.name();
                let (modified, created) = (entry.service.modify_index, entry.service.create_index);
                let mark = Mark { modified, created, digest };
                if self.records.has(&name, &mark) {
                    return name;
                }
                (name, mark, entry.decode(&self.demands))
            }
            Err(error) => {
                let detail = format!("not an instance as Consul answers it: {error}");
                let mark = Mark { modified: 0, created: 0, digest };
                (format!("unreadable/{digest:016x}"), mark, Decoded::unusable(Reason::Malformed, detail))
            }
        };
        self.records.put(name.clone(), mark, &name, Tenure::Lasting, decoded);
        name
    }

    /// The list.
    pub(super) fn view(&self) -> View {
        self.view.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn instance(id: &str, port: u16, modified: u64, status: &str) -> Value {
        json!({
            "Node": {"Node": "n1", "Address": "10.0.0.1"},
            "Service": {"ID": id, "Port": port, "ModifyIndex": modified, "CreateIndex": 3},
            "Checks": [{"CheckID": "c", "Status": status}],
        })
    }

    fn replace(known: &mut Known, entries: &[Value]) -> (bool, u32) {
        known.replace(&serde_json::to_vec(entries).unwrap()).unwrap()
    }

    fn listed(known: &Known) -> (Vec<String>, Vec<(String, Reason)>) {
        let View::Present { providers, skipped } = known.view() else { panic!("absent") };
        let providers = providers.iter().map(|provider| provider.record.to_string()).collect();
        (providers, skipped.into_iter().map(|skipped| (skipped.record, skipped.reason)).collect())
    }

    #[test]
    fn what_was_written_last_comes_last_however_its_checks_turn() {
        let mut known = Known::new(Demands::default());
        let (old, new) = (instance("z", 80, 5, "passing"), instance("a", 80, 9, "passing"));
        assert_eq!(replace(&mut known, &[new.clone(), old.clone()]), (true, 2));
        assert_eq!(listed(&known).0, ["n1/z", "n1/a"]);
        assert_eq!(
            replace(&mut known, &[old, new.clone()]),
            (false, 2),
            "the order of the answer says nothing"
        );
        let mut turned = instance("z", 80, 5, "warning");
        turned["Checks"][0]["ModifyIndex"] = json!(12);
        replace(&mut known, &[turned, new]);
        assert_eq!(listed(&known).0, ["n1/z", "n1/a"]);
    }

    #[test]
    fn no_instance_is_no_service_and_only_bad_ones_are_one() {
        let mut known = Known::new(Demands::default());
        assert_eq!(replace(&mut known, &[]), (false, 0));
        assert_eq!(known.view(), View::Absent);
        assert_eq!(replace(&mut known, &[instance("a", 80, 5, "critical")]), (true, 1));
        assert_eq!(listed(&known), (vec![], vec![("n1/a".to_owned(), Reason::Disabled)]));
        assert_eq!(known.replace(b"null").unwrap(), (true, 0));
        assert_eq!(known.view(), View::Absent);
    }

    #[test]
    fn a_bad_instance_spoils_nothing_and_a_bad_answer_changes_nothing() {
        let mut known = Known::new(Demands::default());
        let good = instance("a", 80, 5, "passing");
        assert_eq!(
            replace(&mut known, &[json!(7), good, json!({"Node": {}, "Service": {"Port": "x"}})]).1,
            3
        );
        let (providers, skipped) = listed(&known);
        assert_eq!(providers, ["n1/a"]);
        assert_eq!(skipped.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(), [Reason::Malformed; 2]);
        for answer in [&b"[{"[..], b"", b"{}", b"\xff"] {
            assert!(known.replace(answer).is_err());
        }
        assert_eq!(listed(&known).0, ["n1/a"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answers_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Known::new(Demands::default()).replace(&bytes);
        }
    }
}
