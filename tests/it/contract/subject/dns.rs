//! DNS, whose records are a list that somebody edits, and whose server falls silent.

use std::collections::BTreeMap;

use super::*;
use crate::support::dns::{Answer, DnsServer, at, srv};

/// DNS.
pub(crate) struct Dns {
    server: DnsServer,
    /// What each service has, by id: an address, or `None` for a record that is no provider.
    services: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

impl Dns {
    fn put(&mut self, service: &str, id: &str, address: Option<&str>) {
        let entries = self.services.entry(service.to_owned()).or_default();
        entries.insert(id.to_owned(), address.map(str::to_owned));
        self.publish(service);
    }

    fn publish(&self, service: &str) {
        let name = format!("{service}.test");
        let mut records = Vec::new();
        for (id, address) in &self.services[service] {
            let target = format!("{id}.test");
            let address = address.as_ref().and_then(|address| address.rsplit_once(':'));
            let port = address.map_or(0, |(_, port)| port.parse().unwrap());
            records.push(srv(&name, 1, 1, port, &target));
            records.push(at(&target, address.map_or("10.0.0.99", |(host, _)| host)));
        }
        self.server.answer(&name, Answer::Records(records, 1));
    }
}

impl Subject for Dns {
    async fn start() -> Self {
        Self { server: DnsServer::start().await, services: BTreeMap::new() }
    }

    fn registry(&self) -> Arc<dyn Registry> {
        open(&format!("dns://{}?name={{service}}.test&timeout=500ms", self.server.address))
    }

    async fn announce(&mut self, service: &str, id: &str, address: &str) {
        self.put(service, id, Some(address));
    }

    async fn withdraw(&mut self, service: &str, id: &str) {
        self.services.get_mut(service).unwrap().remove(id).unwrap();
        self.publish(service);
    }

    async fn put_bad(&mut self, service: &str, id: &str) {
        self.put(service, id, None);
    }

    async fn break_connection(&mut self) {
        self.server.silence(true);
    }

    async fn mend(&mut self) {
        self.server.silence(false);
    }
}
