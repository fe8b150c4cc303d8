//! Consul, an agent behind a way.

use serde_json::json;

use super::*;
use crate::support::consul;
use crate::support::way::Way;

/// Consul.
pub(crate) struct Consul {
    agent: consul::Consul,
    way: Way,
}

impl Subject for Consul {
    async fn start() -> Self {
        let agent = consul::Consul::start().await;
        let way = Way::open(agent.address().to_string()).await;
        Self { agent, way }
    }

    fn registry(&self) -> Arc<dyn Registry> {
        open(&format!("consul://{}", self.way.address))
    }

    async fn announce(&mut self, service: &str, id: &str, address: &str) {
        let (host, port) = address.rsplit_once(':').unwrap();
        let port: u16 = port.parse().unwrap();
        // Ids are unique within an agent, over all services.
        let id = format!("{service}-{id}");
        self.agent.register(&json!({"ID": id, "Name": service, "Address": host, "Port": port})).await;
    }

    async fn withdraw(&mut self, service: &str, id: &str) {
        self.agent.deregister(&format!("{service}-{id}")).await;
    }

    async fn put_bad(&mut self, service: &str, id: &str) {
        self.agent.register(&json!({"ID": format!("{service}-{id}"), "Name": service, "Port": 0})).await;
    }

    async fn break_connection(&mut self) {
        self.way.cut(true);
    }

    async fn mend(&mut self) {
        self.way.cut(false);
    }
}
