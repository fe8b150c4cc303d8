//! A proxy as a test wants it.

use std::net::SocketAddr;
use std::sync::Arc;

use wayside::app::{self, Running, Surroundings};
use wayside::catalog::Source;
use wayside::config::{Config, Overrides};
use wayside::proxy::ListenerSettings;
use wayside::registry::Registry;

use super::client::Client;

/// What a configuration cannot do without; the registry is given apart.
const TEXT: &str = "[registry]\nurl = \"fixed:nothing=127.0.0.1:1;svc=127.0.0.1:1\"";

/// A proxy with one listener on a free port of loopback and nothing else out of the ordinary.
pub(crate) fn config() -> Config {
    config_with("")
}

/// The same, with this in its file.
pub(crate) fn config_with(sections: &str) -> Config {
    let text = format!("{TEXT}\n{sections}");
    let mut config = wayside::config::read(None, &text, &Overrides::default()).unwrap();
    config.listeners =
        vec![ListenerSettings { address: loopback(), service: None, trusted: true, raw: None }];
    config.workers = 1;
    config.admin = None;
    config
}

/// Any free port of loopback.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Starts a proxy that follows a registry.
pub(crate) fn start(config: Config, registry: Arc<dyn Registry>) -> Running {
    start_with(config, vec![Source::new(registry)])
}

/// Starts a proxy that follows several registries.
pub(crate) fn start_with(config: Config, sources: Vec<Source>) -> Running {
    app::build(config, sources, Surroundings::default()).unwrap().start().unwrap()
}

/// Starts an ordinary proxy and a client of it.
pub(crate) async fn proxied(registry: Arc<dyn Registry>) -> (Running, Client) {
    let running = start(config(), registry);
    let client = Client::connect(running.listeners[0]).await;
    (running, client)
}
