//! HTTP/2 on both sides (RFC 9113), gRPC and WebSocket: the whole program between clients and providers that are real, or played
//! frame by frame. What is required of it, and which test holds it, stands in `http2/REQUIREMENTS.md`.

mod floods;
mod grpc;
mod interim;
mod malformed_answers;
mod malformed_requests;
mod mapping;
mod streams;
mod tunnels;
mod websocket;

use wayside::app::Running;
use wayside::provider::Protocol;

use crate::support::frames::Frames;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

/// A proxy with one service, `svc`, of one provider, which the test plays.
struct Played {
    proxy: Running,
    provider: Script,
}

impl Played {
    async fn start(protocol: Protocol) -> Self {
        Self::with(protocol, "").await
    }

    async fn with(protocol: Protocol, config: &str) -> Self {
        let provider = Script::start().await;
        let registry = Told::new();
        registry.tell("svc", protocol, &[provider.address()]);
        Self { proxy: start(config_with(config), registry), provider }
    }

    /// A client that speaks HTTP/2.
    async fn client(&self) -> Frames {
        Frames::connect(self.proxy.listeners[0]).await
    }

    /// Waits until nothing is in flight any more, on any account.
    async fn settled(&self) {
        let idle = || {
            let services = self.proxy.catalog.services();
            let endpoints = services.iter().flat_map(|service| &service.endpoints);
            let loads: u32 = endpoints.map(|endpoint| endpoint.in_flight).sum();
            (self.proxy.metrics.proxy.requests_in_flight.get() == 0 && loads == 0).then_some(())
        };
        eventually(PATIENCE, "everything in flight ends", idle).await;
    }
}
