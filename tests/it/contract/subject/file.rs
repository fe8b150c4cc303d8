//! A file, which somebody replaces, and takes away.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A file.
pub(crate) struct File {
    folder: TempDir,
    /// What it holds, or will hold once it is back: each service's entries by id.
    services: BTreeMap<String, BTreeMap<String, Value>>,
    is_away: bool,
}

impl File {
    fn path(&self) -> PathBuf {
        self.folder.path().join("providers.json")
    }

    /// Replaces the file as a whole.
    fn write(&self) {
        if self.is_away {
            return;
        }
        let services: BTreeMap<&String, Vec<&Value>> =
            self.services.iter().map(|(name, entries)| (name, entries.values().collect())).collect();
        let beside = self.folder.path().join(".providers");
        fs::write(&beside, json!({ "services": services }).to_string()).unwrap();
        fs::rename(beside, self.path()).unwrap();
    }

    fn put(&mut self, service: &str, id: &str, entry: Value) {
        self.services.entry(service.to_owned()).or_default().insert(id.to_owned(), entry);
        self.write();
    }
}

impl Subject for File {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Self { folder, services: BTreeMap::new(), is_away: false };
        file.write();
        file
    }

    fn registry(&self) -> Arc<dyn Registry> {
        open(&format!("file:{}", self.path().display()))
    }

    async fn announce(&mut self, service: &str, id: &str, address: &str) {
        self.put(service, id, json!({ "id": id, "address": address }));
    }

    async fn withdraw(&mut self, service: &str, id: &str) {
        self.services.get_mut(service).unwrap().remove(id).unwrap();
        self.write();
    }

    async fn put_bad(&mut self, service: &str, id: &str) {
        self.put(service, id, json!({ "id": id, "address": "nowhere" }));
    }

    async fn break_connection(&mut self) {
        self.is_away = true;
        fs::remove_file(self.path()).unwrap();
    }

    async fn mend(&mut self) {
        self.is_away = false;
        self.write();
    }
}
