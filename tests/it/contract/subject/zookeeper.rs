//! ZooKeeper, a server behind a way.

use super::*;
use crate::support::way::Way;
use crate::support::zookeeper::{self, Writer};

/// ZooKeeper.
pub(crate) struct ZooKeeper {
    writer: Writer,
    way: Way,
    _server: zookeeper::ZooKeeper,
}

fn path(service: &str, id: &str) -> String {
    format!("/micro-registry/{service}/{id}")
}

impl Subject for ZooKeeper {
    async fn start() -> Self {
        let server = zookeeper::ZooKeeper::start().await;
        let way = Way::open(server.addresses()).await;
        Self { writer: server.writer().await, way, _server: server }
    }

    fn registry(&self) -> Arc<dyn Registry> {
        open(&format!("zookeeper://{}?session_timeout=6s&connection_timeout=2s", self.way.address))
    }

    async fn announce(&mut self, service: &str, id: &str, address: &str) {
        self.writer.put(&path(service, id), record(service, id, address)).await;
    }

    async fn withdraw(&mut self, service: &str, id: &str) {
        self.writer.delete(&path(service, id)).await;
    }

    async fn put_bad(&mut self, service: &str, id: &str) {
        self.writer.put(&path(service, id), "{").await;
    }

    async fn break_connection(&mut self) {
        self.way.cut(true);
    }

    async fn mend(&mut self) {
        self.way.cut(false);
    }
}
