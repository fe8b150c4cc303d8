//! The registries under test, each as its users and its network treat it.

mod etcd;
mod file;
mod fixed;
mod zookeeper;

use std::sync::Arc;

use wayside::registry::{Registry, kinds};

pub(super) use etcd::Etcd;
pub(super) use file::File;
pub(super) use fixed::Fixed;
pub(super) use zookeeper::ZooKeeper;

/// A registry under test: what others do in it, and what becomes of the way to it.
///
/// One more is a file in `contract/subject/` with a type for which this is implemented, and a line in `registries!` of
/// `contract.rs`: the name of its tests and that type, such as `consul => subject::Consul;`. Where not every check applies,
/// as to a registry that holds nothing but providers, those that do follow in braces.
pub(super) trait Subject {
    /// One of its own for the test, with nothing in it.
    async fn start() -> Self;

    /// As this proxy sees it.
    fn registry(&self) -> Arc<dyn Registry>;

    /// Somebody announces a provider, or announces it anew at another address. The registry holds it when this returns, even
    /// while the way to it is broken.
    async fn announce(&mut self, service: &str, id: &str, address: &str);

    /// Somebody withdraws a provider.
    async fn withdraw(&mut self, service: &str, id: &str);

    /// Somebody writes a record that is no provider.
    async fn put_bad(&mut self, service: &str, id: &str);

    /// Breaks the way to the registry. What others do in it goes on.
    async fn break_connection(&mut self);

    /// Mends it.
    async fn mend(&mut self);
}

fn open(url: &str) -> Arc<dyn Registry> {
    url.parse::<kinds::Settings>().unwrap().open()
}

/// A record as Go Micro writes it.
fn record(service: &str, id: &str, address: &str) -> String {
    format!(
        r#"{{"name":"{service}","version":"latest","metadata":null,"endpoints":null,"nodes":[{{"id":"{id}","address":"{address}","metadata":null}}]}}"#
    )
}
