//! etcd, a server behind a gate.

use super::*;
use crate::support::etcd::{self, Writer};
use crate::support::gate::Gate;

/// etcd.
pub(crate) struct Etcd {
    writer: Writer,
    gate: Gate,
    _server: etcd::Etcd,
}

fn key(service: &str, id: &str) -> String {
    format!("/micro/registry/{service}/{id}")
}

impl Subject for Etcd {
    async fn start() -> Self {
        let server = etcd::Etcd::start().await;
        let gate = Gate::open(server.address()).await;
        Self { writer: server.writer().await, gate, _server: server }
    }

    fn registry(&self) -> Arc<dyn Registry> {
        open(&format!("etcd://{}", self.gate.address))
    }

    async fn announce(&mut self, service: &str, id: &str, address: &str) {
        self.writer.put(&key(service, id), record(service, id, address)).await;
    }

    async fn withdraw(&mut self, service: &str, id: &str) {
        self.writer.delete(&key(service, id)).await;
    }

    async fn put_bad(&mut self, service: &str, id: &str) {
        self.writer.put(&key(service, id), "{").await;
    }

    async fn break_connection(&mut self) {
        self.gate.cut(true);
    }

    async fn mend(&mut self) {
        self.gate.cut(false);
    }
}
