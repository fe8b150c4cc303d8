//! Consul, an agent behind a gate.

use serde_json::json;

use super::*;
use crate::support::consul;
use crate::support::gate::Gate;

/// Consul.
pub(crate) struct Consul {
    agent: consul::Consul,
    gate: Gate,
}

impl Subject for Consul {
    async fn start() -> Self {
        let agent = consul::Consul::start().await;
        let gate = Gate::open(agent.address().to_string()).await;
        Self { agent, gate }
    }

    fn registry(&self) -> Arc<dyn Registry> {
        open(&format!("consul://{}", self.gate.address))
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
        self.gate.cut(true);
    }

    async fn mend(&mut self) {
        self.gate.cut(false);
    }
}
