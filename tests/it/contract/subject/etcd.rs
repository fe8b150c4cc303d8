//! etcd, a server behind a way.

use super::*;
use crate::support::etcd::{self, Writer};
use crate::support::way::Way;

/// etcd.
pub(crate) struct Etcd {
    writer: Writer,
    way: Way,
    _server: etcd::Etcd,
}

fn key(service: &str, id: &str) -> String {
    format!("/micro/registry/{service}/{id}")
}

impl Subject for Etcd {
    async fn start() -> Self {
        let server = etcd::Etcd::start().await;
        let way = Way::open(server.address()).await;
        Self { writer: server.writer().await, way, _server: server }
    }

    fn registry(&self) -> Arc<dyn Registry> {
        open(&format!("etcd://{}", self.way.address))
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
        self.way.cut(true);
    }

    async fn mend(&mut self) {
        self.way.cut(false);
    }
}
