//! A fixed list, which is what it was when the proxy started.

use std::collections::BTreeMap;

use super::*;

/// A fixed list.
pub(crate) struct Fixed {
    services: BTreeMap<String, Vec<String>>,
}

impl Subject for Fixed {
    async fn start() -> Self {
        Self { services: BTreeMap::new() }
    }

    fn registry(&self) -> Arc<dyn Registry> {
        let service = |(name, addresses): (&String, &Vec<String>)| format!("{name}={}", addresses.join(","));
        open(&format!("fixed:{}", self.services.iter().map(service).collect::<Vec<_>>().join(";")))
    }

    async fn announce(&mut self, service: &str, _id: &str, address: &str) {
        self.services.entry(service.to_owned()).or_default().push(address.to_owned());
    }

    async fn withdraw(&mut self, _service: &str, _id: &str) {
        panic!("nothing changes in a fixed list");
    }

    async fn put_bad(&mut self, _service: &str, _id: &str) {
        panic!("a fixed list holds providers only");
    }

    async fn break_connection(&mut self) {
        panic!("there is no way to a fixed list");
    }

    async fn mend(&mut self) {
        panic!("there is no way to a fixed list");
    }
}
